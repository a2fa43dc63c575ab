"""The baselines of Proteus: Clipper's two placements, the greedy one."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autoscaler.planner.model import Option, Problem, RateTerm, StageModel
from autoscaler.planner.objectives import MostAccurate
from autoscaler.planner.queueing import NoWait
from autoscaler.policies.clipper import clipper_ha, clipper_ht
from autoscaler.policies.infaas import Infaas
from autoscaler.policies.policy import Decision, Forecast, Pool, StageState, State
from autoscaler.policies.proteus import Proteus

SMALL, LARGE = 10.0, 40.0  # ms; 100 and 25 rows/s


def problem(cores: float = 6.0, rate: float = 60.0) -> Problem:
    """Two families of 2/3 and 1/3 of the queries on cores; SLO 100 ms."""
    stages = tuple(StageModel(name, (Option("small", 1, 1.0, SMALL, 100.0, 0.7, 1.0), Option("large", 1, 1.0, LARGE, 25.0, 0.9, 1.0)),
                              rates=(RateTerm(None, share),)) for name, share in (("yolo", 2 / 3), ("bert", 1 / 3)))
    return Problem(stages, rate, 100.0, MostAccurate(), NoWait(), {"cpu": cores})


def state(given_problem: Problem, rate: float, **replicas: tuple[int, int]) -> State:
    """replicas: (small, large) of each family."""
    pools = {stage.name: StageState(tuple(Pool(option, count) for option, count in zip(stage.options, replicas.get(stage.name, (0, 0)), strict=True)
                                          if count)) for stage in given_problem.stages}
    return State(0.0, (rate,) * 30, pools)


def counts(decision: Decision) -> dict[str, dict[str, int]]:
    return {name: {share.option.variant: share.replicas for share in target.shares} for name, target in decision.targets.items()}


def test_clipper_keeps_the_most_accurate_whatever_comes():
    policy = clipper_ha(problem())
    quiet, busy = (policy.decide(state(policy.problem, rate, yolo=(1, 0), bert=(1, 0)), Forecast(10.0, {})) for rate in (1.0, 500.0))
    assert counts(quiet) == counts(busy)
    assert {variant for found in counts(quiet).values() for variant in found} == {"large"}


def test_clipper_for_throughput_keeps_the_fastest():
    policy = clipper_ht(problem())
    assert {variant for found in counts(policy.decide(state(policy.problem, 60.0), Forecast(10.0, {}))).values() for variant in found} == {"small"}


def test_clipper_takes_the_best_that_some_device_can_host():
    tight = clipper_ha(replace(problem(), slo_ms=60.0))  # 40 ms is more than 30
    assert {hosting.option.variant for hosting in tight.hosted()} == {"small"}


def test_greedy_adds_the_most_accurate_while_devices_are_free():
    policy = Infaas.of(problem(cores=6.0))
    decision = policy.decide(state(policy.problem, 60.0, yolo=(0, 1), bert=(0, 1)), Forecast(10.0, {}))
    # yolo 40 <= .9 * 25 n: 2 replicas; bert 20 <= .9 * 25: 1
    assert counts(decision) == {"yolo": {"large": 2}, "bert": {"large": 1}}


def test_greedy_exchanges_for_a_faster_variant_when_nothing_is_free():
    policy = Infaas.of(problem(cores=2.0))
    decision = policy.decide(state(policy.problem, 60.0, yolo=(0, 1), bert=(0, 1)), Forecast(10.0, {}))
    assert counts(decision) == {"yolo": {"small": 1}, "bert": {"large": 1}}


def test_greedy_goes_back_to_accuracy_when_load_falls():
    policy = Infaas.of(problem(cores=2.0))
    decision = policy.decide(state(policy.problem, 30.0, yolo=(1, 0), bert=(0, 1)), Forecast(10.0, {}))
    assert counts(decision)["yolo"] == {"large": 1}  # 20 <= .9 * 25


def test_greedy_stays_between_its_two_thresholds():
    policy = Infaas.of(problem(cores=4.0))
    decision = policy.decide(state(policy.problem, 60.0, yolo=(0, 2), bert=(0, 1)), Forecast(10.0, {}))
    # yolo 40 of 50 carried: 0.8, between 0.7 and 0.9; bert 20 of 25
    assert counts(decision) == {"yolo": {"large": 2}, "bert": {"large": 1}}
    assert decision.reason == "0 greedy steps"


@settings(max_examples=30, deadline=None)
@given(rate=st.floats(1, 400), yolo=st.tuples(st.integers(0, 3), st.integers(0, 3)), bert=st.tuples(st.integers(0, 2), st.integers(0, 2)))
def test_none_takes_more_devices_than_there_are(rate, yolo, bert):
    given_problem = problem(cores=10.0)
    seen = state(given_problem, rate, yolo=yolo, bert=bert)
    for policy in (Infaas.of(given_problem), clipper_ha(given_problem), Proteus(given_problem)):
        decision = policy.decide(seen, Forecast(10.0, {}))
        assert sum(share.replicas for target in decision.targets.values() for share in target.shares) <= 10
        for target in decision.targets.values():
            assert sum(share.share for share in target.shares) == pytest.approx(1.0)


@settings(max_examples=20, deadline=None)
@given(rate=st.floats(5, 300))
def test_proteus_is_never_less_accurate_than_greedy_that_serves_as_much(rate):
    given_problem = problem(cores=5.0)
    seen = state(given_problem, rate, yolo=(0, 1), bert=(0, 1))
    greedy, best = (policy.decide(seen, Forecast(10.0, {})) for policy in (Infaas.of(given_problem), Proteus(given_problem, beta=1.0)))
    if all(_carries(greedy, name, rate * part) for name, part in (("yolo", 2 / 3), ("bert", 1 / 3))):
        assert _accuracy(best) >= _accuracy(greedy) - 1e-6


def _carries(decision: Decision, name: str, rate: float) -> bool:
    return sum(share.replicas * share.option.throughput for share in decision.targets[name].shares) >= rate


def _accuracy(decision: Decision) -> float:
    return sum(part * sum(share.share * share.option.accuracy for share in decision.targets[name].shares)
               for name, part in (("yolo", 2 / 3), ("bert", 1 / 3)))
