"""Stages that are slower than profiled: how that is measured, and what our policy makes of it."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoscaler.planner.model import Option, Problem, Share, StageModel
from autoscaler.planner.objectives import LeastCost
from autoscaler.planner.queueing import ServiceWait
from autoscaler.policies.policy import Forecast, Pool, StageState, State
from autoscaler.policies.slowness import MOST, STEP, Slowness, profiled_ms, shares_in, slowed, state_in
from autoscaler.policies.sluice import Knowledge, Sluice


def option(batch: int = 1, units: float = 1, ms: float = 20.0, variant: str = "only") -> Option:
    return Option(variant, batch, units, ms, 1000 * batch / ms, 0.9, units)


STAGE = StageModel("work", tuple(option(batch, units, ms) for batch, units, ms in (
    (1, 1, 20.0), (4, 1, 50.0), (8, 1, 90.0), (1, 2, 12.0), (4, 2, 28.0), (8, 2, 50.0))))
PROBLEM = Problem((STAGE,), 1.0, 200.0, LeastCost(), ServiceWait(), {"cpu": 16.0})


def state(slowness: float = 1.0, rate: float = 60.0, replicas: int = 1) -> State:
    return State(100.0, (rate,) * 20, {"work": StageState((Pool(STAGE.options[1], replicas),), rate=rate, slowness=slowness)})


@given(st.floats(1.0, MOST), st.integers(1, 20))
def test_a_steady_ratio_is_found_within_a_step_and_then_stands(ratio: float, seconds: int):
    slowness = Slowness()
    for _ in range(60):
        slowness.observe(ratio, seconds)
    found = slowness.factor
    assert ratio / STEP - 1e-9 <= found <= ratio * STEP + 1e-9
    for _ in range(20):
        slowness.observe(ratio, seconds)
        assert slowness.factor == found


@given(st.lists(st.floats(0.96, 1.04), min_size=1, max_size=200))
def test_small_noise_is_none(ratios: list[float]):
    slowness = Slowness()
    for ratio in ratios:
        slowness.observe(ratio, 1.0)
    assert slowness.factor == 1.0


@given(st.lists(st.floats(0.01, 100.0), min_size=1, max_size=100))
def test_never_faster_than_profiled_and_never_beyond_the_most(ratios: list[float]):
    slowness = Slowness()
    for ratio in ratios:
        slowness.observe(ratio, 1.0)
        assert 1.0 <= slowness.factor <= MOST * STEP


def test_it_rises_in_seconds_and_falls_in_a_minute():
    slowness = Slowness()
    rising = next(second for second in range(100) if slowness.observe(2.0, 1.0) or slowness.factor > 1.6)
    assert rising <= 6
    falling = next(second for second in range(1000) if slowness.observe(1.0, 1.0) or slowness.factor == 1.0)
    assert 20 <= falling <= 200


def test_one_that_is_restored_stands_where_it_stood():
    slowness = Slowness.at(STEP**3)
    slowness.observe(STEP**3, 1.0)
    assert slowness.factor == STEP**3


@pytest.mark.parametrize(("rows", "milliseconds"), [(0.5, 20.0), (1, 20.0), (2.5, 35.0), (4, 50.0), (6, 70.0), (8, 90.0), (30, 90.0)])
def test_profiled_time_is_linear_between_what_was_measured(rows: float, milliseconds: float):
    assert profiled_ms(STAGE, STAGE.options[0], rows) == pytest.approx(milliseconds)


def test_the_profiled_time_of_an_option_that_is_the_only_one_of_its_size_is_its_own():
    assert profiled_ms(STAGE, option(2, 3, 7.0), 5) == 7.0


@given(st.floats(1.0, 8.0))
def test_a_slowed_problem_maps_back(factor: float):
    slow = slowed(PROBLEM, {"work": factor})
    for was, now in zip(STAGE.options, slow.stage("work").options, strict=True):
        assert now.latency_ms == pytest.approx(was.latency_ms * factor)
        assert now.throughput == pytest.approx(was.throughput / factor)
        assert shares_in(STAGE, shares_in(slow.stage("work"), (Share(was, 2),))) == (Share(was, 2),)
    assert state_in(PROBLEM, state_in(slow, state())) == state()


def test_a_slow_stage_gets_more_of_what_is_in_the_profile():
    policy = Sluice(PROBLEM)
    forecast = Forecast(10.0, {0.5: 60.0, 0.95: 60.0})
    plain = policy.decide(state(), forecast)
    slow = policy.decide(state(slowness=STEP**8), forecast)
    assert "as slow as profiled" in slow.reason

    def carries(decision) -> float:
        here = tuple(Share(pool.option, pool.replicas) for pool in state().stages["work"].pools)
        shares = decision.targets["work"].shares if "work" in decision.targets else here
        assert all(share.option in STAGE.options for share in shares)
        return math.fsum(share.replicas * share.option.throughput for share in shares)

    assert carries(slow) >= 60.0 * STEP**8 > carries(plain) / 1.5


def test_slowness_can_be_left_out_of_account():
    blind = Sluice(PROBLEM, knowledge=Knowledge(slowness=False))
    forecast = Forecast(10.0, {0.5: 60.0})
    assert blind.decide(state(slowness=3.0), forecast) == blind.decide(state(), forecast)


@given(st.floats(1.05, 4.0), st.floats(5.0, 100.0))
def test_it_plans_as_if_the_profile_had_said_so(factor: float, rate: float):
    forecast = Forecast(10.0, {0.5: rate, 0.95: rate})
    seen = state(factor, rate)
    told = Sluice(slowed(PROBLEM, {"work": factor})).decide(
        state_in(slowed(PROBLEM, {"work": factor}), replace(seen, stages={"work": replace(seen.stages["work"], slowness=1.0)})), forecast)
    measured = Sluice(PROBLEM).decide(seen, forecast)
    assert {name: shares_in(STAGE, target.shares) for name, target in told.targets.items()} == {
        name: target.shares for name, target in measured.targets.items()}
