"""Why there is no plan: at each relaxation there is one, just below it there is none."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from autoscaler.planner.frontier import plan
from autoscaler.planner.model import Infeasible, Option, Problem, StageModel
from autoscaler.planner.objectives import LeastCost, MostAccurate
from tests.planner.brute import Waits, brute, problems


def option(latency_ms=10.0, cost=1.0, *, throughput=10.0, accuracy=0.5, device="cpu", units=1.0):
    return Option("m", 1, units, latency_ms, throughput, accuracy, cost, device)


def problem(*options, slo_ms=100.0, rate=10.0, objective=None, devices=None, most=1000):
    return Problem((StageModel("a", options, most=most),), rate, slo_ms, objective or LeastCost(), Waits(), devices or {})


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(problems(st.integers(1, 3), most_ways=60))
def test_each_relaxation_alone_is_enough_and_no_less_is(problem):
    assume(brute(problem) is None)
    found = plan(problem)
    assert isinstance(found, Infeasible)
    assert found.proven
    assert found.binding
    if found.least_slo_ms is None:
        assert brute(replace(problem, slo_ms=1e6)) is None
    else:
        assert "slo" in found.binding
        assert brute(replace(problem, slo_ms=found.least_slo_ms)) is not None
        below = problem.grid_ms if problem.strict else problem.grid_ms / 2
        assert brute(replace(problem, slo_ms=found.least_slo_ms - below)) is None
    for kind, units in problem.devices.items():
        if kind not in found.added:
            assert brute(replace(problem, devices={**problem.devices, kind: 1e9})) is None
            continue
        assert kind in found.binding
        assert brute(replace(problem, devices={**problem.devices, kind: units + found.added[kind]})) is not None
        assert brute(replace(problem, devices={**problem.devices, kind: units + found.added[kind] - 0.01})) is None
    if found.largest_rate is not None:
        assert brute(replace(problem, rate=found.largest_rate)) is not None
        assert brute(replace(problem, rate=found.largest_rate * (1 + 2e-6))) is None


def test_slo():
    found = plan(problem(option(10.0), option(7.5, 3.0), slo_ms=5.0))
    assert (found.binding, found.least_slo_ms, found.added, found.largest_rate) == (("slo",), 8.0, {}, None)


def test_capacity():
    found = plan(problem(option(units=2.0), rate=35.0, devices={"cpu": 6, "gpu": 1}))
    assert found.binding == ("cpu",)
    assert found.added == {"cpu": 2.0}  # 4 replicas of 2
    assert found.largest_rate == pytest.approx(30.0, rel=2e-6)
    assert found.least_slo_ms is None


def test_capacity_and_slo_together():
    # the fast one needs a GPU that is not there, the slow one is late: either helps alone
    found = plan(problem(option(10.0), option(2.0, device="gpu"), slo_ms=5.0, devices={"gpu": 0}))
    assert set(found.binding) == {"slo", "gpu"}
    assert found.least_slo_ms == 10.0
    assert found.added == {"gpu": 1.0}


@pytest.mark.parametrize(("objective", "binding"), [(LeastCost(0.9), "accuracy"), (MostAccurate(0.5), "budget")])
def test_the_objective_binds(objective, binding):
    assert plan(problem(option(), objective=objective)).binding == (binding,)


def test_replicas():
    found = plan(problem(option(), rate=50.0, most=3))
    assert found.binding == ("replicas",)
    assert found.largest_rate == pytest.approx(30.0, rel=2e-6)


def test_a_stage_that_can_run_in_no_way():
    found = plan(problem())
    assert found.binding == ("options",)
    assert (found.least_slo_ms, found.added, found.largest_rate) == (None, {}, None)
