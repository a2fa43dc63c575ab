"""Proteus: the aggregated program against the published one and an exhaustive search; the rules around it."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from autoscaler.planner.model import Option, Problem, RateTerm, StageModel
from autoscaler.planner.objectives import MostAccurate
from autoscaler.planner.queueing import NoWait
from autoscaler.policies.policy import Forecast, Pool, StageState, State
from autoscaler.policies.proteus import Proteus, betas, ewma, gap_of, hostings, sommelier
from autoscaler.policies.proteus_milp import Fleet, Hosting, aggregated, each_device, most_served


def fleet(seed: int) -> Fleet:
    """Up to 3 families of up to 3 variants on 2 kinds, at most 5 devices, demand around what they carry."""
    draw = np.random.default_rng(seed)
    devices = {"cpu": float(draw.integers(1, 4)), "gpu": float(draw.integers(0, 3))}
    found = []
    for family in range(draw.integers(1, 4)):
        accuracies = sorted(draw.uniform(50, 100, draw.integers(1, 4)))
        for place, accuracy in enumerate(accuracies):
            for kind, speed in (("cpu", 1), ("gpu", 5)):
                if draw.random() < 0.85:
                    rows = float(draw.integers(5, 60)) * speed / (place + 1)
                    option = Option(f"{family}.{place}", 1, 1.0, 1000 / rows, rows, accuracy / 100, 1.0, kind)
                    found.append(Hosting(str(family), option, float(math.floor(rows)) or 1.0, accuracy))
    demand = {str(family): float(draw.integers(1, 60)) for family in range(3) if any(hosting.family == str(family) for hosting in found)}
    return Fleet(tuple(found), devices, demand)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), beta=st.sampled_from([1.05, 1.0, 0.6, 0.2]))
def test_the_aggregated_program_has_the_value_of_the_published_one(seed, beta):
    case = fleet(seed)
    together, apart = aggregated(case, beta), each_device(case, beta)
    assert (together is None) == (apart is None)
    if together is not None:
        assert together.value == pytest.approx(apart.value, abs=2e-6)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_a_gap_of_a_half_is_kept_by_both(seed):
    case = fleet(seed)
    best = aggregated(case, 1.05)
    for solve in (aggregated, each_device):
        found = solve(case, 1.05, gap=0.5)
        assert (found is None) == (best is None)
        if found is not None:
            assert best.value / 1.5 - 1e-6 <= found.value <= best.value + 1e-6
            assert best.value <= found.bound + 1e-6


@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_no_other_placement_is_better(seed):
    case = fleet(seed)
    case = replace(case, hostings=case.hostings[:6])
    case = replace(case, demand={family: rate for family, rate in case.demand.items() if any(h.family == family for h in case.hostings)})
    assume(case.hostings)
    best = -math.inf
    for counts in itertools.product(*(range(int(case.devices[hosting.option.device]) + 1) for hosting in case.hostings)):
        if all(sum(n for n, h in zip(counts, case.hostings, strict=True) if h.option.device == kind) <= units for kind, units in case.devices.items()):
            best = max(best, _shared_out(case, counts, 1.05))
    found = aggregated(case, 1.05)
    assert (found is None) == (best == -math.inf)
    if found is not None:
        assert found.value == pytest.approx(best, abs=2e-6)


def _shared_out(case: Fleet, counts: tuple[int, ...], beta: float) -> float:
    """The greatest accuracy with these replicas; with beta > 1 every row sent must be served beta times: u <= n p / beta."""
    total = sum(case.demand.values())
    gain = [-hosting.accuracy / 100 / total for hosting in case.hostings]
    sent = [[1.0 if hosting.family == family else 0.0 for hosting in case.hostings] for family in case.demand]
    done = linprog(gain, A_eq=sent, b_eq=list(case.demand.values()),
                   bounds=[(0, n * hosting.throughput / beta) for n, hosting in zip(counts, case.hostings, strict=True)])
    return -done.fun if done.status == 0 else -math.inf


def problem(cpu: float = 4.0, gpu: float = 1.0) -> Problem:
    """Two families, two variants each, on two kinds; SLO 300 ms."""
    def options(name: str) -> tuple[Option, ...]:
        return tuple(Option(f"{name} {variant}", batch, 1.0, latency * (1 + 0.5 * (batch - 1)) / speed, 0.0, accuracy, 1.0, kind)
                     for variant, latency, accuracy in (("small", 40.0, 0.6), ("large", 120.0, 0.8))
                     for kind, speed in (("cpu", 1), ("gpu", 10)) for batch in (1, 2, 4, 8))
    stages = tuple(StageModel(name, tuple(replace(option, throughput=1000 * option.batch / option.latency_ms) for option in options(name)),
                              rates=(RateTerm(None, share),)) for name, share in (("yolo", 0.75), ("bert", 0.25)))
    return Problem(stages, 40.0, 300.0, MostAccurate(), NoWait(), {"cpu": cpu, "gpu": gpu})


def state(given_problem: Problem, rates: tuple[float, ...]) -> State:
    pools = {stage.name: StageState((Pool(stage.options[0], 1),)) for stage in given_problem.stages}
    return State(0.0, rates, pools)


def test_the_largest_batch_below_half_of_the_slo():
    found = {(hosting.option.variant, hosting.option.device): (hosting.option.batch, hosting.throughput, hosting.accuracy)
             for hosting in hostings(problem()) if hosting.family == "yolo"}
    assert found == {
        ("yolo small", "cpu"): (4, 40.0, 75.0),    # 40 ms * 2.5 = 100 < 150; 8 rows: 180
        ("yolo large", "cpu"): (1, 8.0, 100.0),    # 120 < 150; 2 rows: 180; floor(1000 / 120) = 8
        ("yolo small", "gpu"): (8, 444.0, 75.0),   # 18 ms
        ("yolo large", "gpu"): (8, 148.0, 100.0),  # 54 ms
    }


def test_a_variant_that_never_meets_half_of_the_slo_is_not_hosted():
    slow = replace(problem(), slo_ms=200.0)  # large takes 120 ms on a core, more than 100
    assert {hosting.option.device for hosting in hostings(slow) if hosting.option.variant == "yolo large"} == {"gpu"}


def test_light_demand_gets_the_most_accurate():
    decision = Proteus(problem()).decide(state(problem(), (8.0,) * 30), Forecast(10.0, {}))
    assert {share.option.variant for target in decision.targets.values() for share in target.shares} == {"yolo large", "bert large"}
    assert "accuracy 100.00 % at beta 1.05" in decision.reason


def test_heavy_demand_trades_accuracy_for_capacity():
    policy = Proteus(problem(cpu=3.0, gpu=0.0))
    decision = policy.decide(state(policy.problem, (40.0,) * 30), Forecast(10.0, {}))
    # yolo 30, bert 10 rows/s, three cores of 40 small or 8 large: bert 10 * 1.05 is more than one core of large
    assert decision.targets["yolo"].shares[0].option.variant == "yolo small"
    assert "at beta 1.05" in decision.reason


def test_beta_goes_down_until_it_can_be_had():
    policy = Proteus(problem(cpu=2.0, gpu=0.0))
    decision = policy.decide(state(policy.problem, (60.0,) * 30), Forecast(10.0, {}))
    # two cores, 40 rows/s each for 45 and 15: 55 of 60 is .917 of the demand, so .90
    assert "at beta 0.90" in decision.reason


def test_what_cannot_be_provided_for_at_all_is_served_as_far_as_it_goes():
    policy = Proteus(problem(cpu=2.0, gpu=0.0))
    demand = {"yolo": 750.0, "bert": 250.0}
    placement = policy.place(policy.fleet(demand, {}))
    assert placement.beta == pytest.approx(80 / 1000)
    assert sum(placement.rates) == pytest.approx(80)


def test_the_steps_of_beta():
    assert list(betas(1.6, 1.3)) == [1.6, 1.5, 1.45, 1.4, 1.35, 1.3]


def test_the_newest_second_weighs_most():
    assert ewma((0.0, 26.0), 1.6) == pytest.approx(26 / (1 + 1.6 / 2.6))
    assert ewma((5.0,) * 9, 1.6) == pytest.approx(5.0)
    assert ewma((), 1.6) == 0.0


def test_sommelier_keeps_each_device_for_its_family():
    policy = sommelier(problem(cpu=2.0, gpu=0.0))
    first = {stage.name: next(option for option in stage.options if option.variant.endswith("large")) for stage in policy.problem.stages}
    pools = {name: StageState((Pool(option, 1),)) for name, option in first.items()}
    decision = policy.decide(State(0.0, (30.0,) * 30, pools), Forecast(10.0, {}))
    # 22.5 and 7.5 rows/s: yolo must go to small, bert's device cannot help
    assert [(share.option.variant, share.replicas) for share in decision.targets["yolo"].shares] == [("yolo small", 1)]
    assert sum(share.replicas for share in decision.targets["bert"].shares) == 1


def test_sommelier_has_its_devices_again_after_a_quiet_time():
    policy = sommelier(problem(cpu=3.0, gpu=0.0))
    small = {stage.name: next(option for option in stage.options if option.variant.endswith("small")) for stage in policy.problem.stages}
    pools = {"yolo": StageState((Pool(small["yolo"], 2),)), "bert": StageState((Pool(small["bert"], 1),))}
    quiet = policy.decide(State(0.0, (4.0,) * 30, pools), Forecast(10.0, {}))
    assert sum(share.replicas for share in quiet.targets["yolo"].shares) == 1  # 3 rows/s
    left = {name: StageState(tuple(Pool(share.option, share.replicas) for share in target.shares)) for name, target in quiet.targets.items()}
    busy = policy.decide(State(10.0, (80.0,) * 30, left), Forecast(10.0, {}), quiet.memory)
    assert sum(share.replicas for share in busy.targets["yolo"].shares) == 2  # 60 rows/s of 40 a core


def test_loading_counts_only_when_asked():
    now = {stage.name: () for stage in problem(cpu=2.0, gpu=0.0).stages}
    demand = {"yolo": 38.0, "bert": 7.0}
    ignoring, counting = (Proteus(problem(cpu=2.0, gpu=0.0), load_s=load_s) for load_s in (0.0, 5.0))
    assert ignoring.place(ignoring.fleet(demand, now)).beta == pytest.approx(1.05)
    assert counting.place(counting.fleet(demand, now)).beta < 0.65  # half of 40 rows/s in the interval in which both load


def test_most_served_prefers_accuracy_among_equals():
    case = Fleet((Hosting("a", Option("x", 1, 1.0, 10.0, 50.0, 0.5, 1.0), 50.0, 50.0),
                  Hosting("a", Option("y", 1, 1.0, 10.0, 50.0, 1.0, 1.0), 50.0, 100.0)), {"cpu": 1.0}, {"a": 500.0})
    assert most_served(case).replicas == (0, 1)


def test_a_gap_is_said():
    case = fleet(3)
    assert gap_of(aggregated(case, 0.2)) == pytest.approx(0.0, abs=1e-4)
