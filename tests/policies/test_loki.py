"""Loki: hardware before accuracy, rates and accuracy that hang on the detector."""

from dataclasses import replace

import pytest

from autoscaler.planner.evaluate import evaluate
from autoscaler.planner.model import GivenVariant, Option, Problem, RateTerm, StageModel
from autoscaler.planner.objectives import MostAccurate
from autoscaler.planner.queueing import NoWait
from autoscaler.policies.loki import Loki
from autoscaler.policies.policy import Forecast, Pool, StageState, State
from bench.published import loki

# the large detector finds 10 cars in a frame, the small one 2; a pair's accuracy is no product of the two
TABLE = {("large", "fine"): 1.0, ("large", "coarse"): 0.5, ("small", "fine"): 0.3, ("small", "coarse"): 0.1}


def problem(gpus: float) -> Problem:
    detect = StageModel("detect", (Option("large", 1, 1.0, 40.0, 25.0, 1.0, 1.0, "gpu"), Option("small", 1, 1.0, 10.0, 100.0, 1.0, 1.0, "gpu")))
    classify = StageModel("classify", (Option("fine", 1, 1.0, 20.0, 50.0, 1.0, 1.0, "gpu"), Option("coarse", 1, 1.0, 5.0, 200.0, 1.0, 1.0, "gpu")),
                          after=("detect",), rates=(RateTerm("detect", 1.0, {"large": 10.0, "small": 2.0}),), accuracy_given=GivenVariant("detect", TABLE))
    return Problem((detect, classify), 10.0, 200.0, MostAccurate(), NoWait(), {"gpu": gpus})


def chosen(plan) -> dict[str, tuple[str, int]]:
    return {stage.name: (stage.shares[0].option.variant, stage.shares[0].replicas) for stage in plan.stages}


def test_hardware_first():
    plan, how = Loki(problem(gpus=50.0)).plan(40.0)
    assert how == "hardware scaling"
    assert chosen(plan) == {"detect": ("large", 2), "classify": ("fine", 8)}  # 40 / 25; 40 * 10 / 50


def test_accuracy_when_the_devices_run_out():
    plan, how = Loki(problem(gpus=9.0)).plan(40.0)
    assert how == "accuracy scaling"
    # large + coarse: 2 + 2 devices, 0.5; small + fine: 1 + 2 devices, 0.3
    assert chosen(plan) == {"detect": ("large", 2), "classify": ("coarse", 2)}
    assert plan.totals.accuracy == pytest.approx(0.5)


def test_overload_serves_what_it_can():
    plan, how = Loki(problem(gpus=2.0)).plan(500.0)
    assert how == "overload"
    assert chosen(plan) == {"detect": ("small", 1), "classify": ("coarse", 1)}
    assert plan.stage("detect").rate == pytest.approx(100.0, rel=1e-3)  # 100 small; 100 * 2 = 200 coarse


def test_half_of_the_slo_is_left_to_queueing():
    plan, how = Loki(replace(problem(gpus=50.0), slo_ms=110.0)).plan(10.0)
    assert how == "hardware scaling"
    assert chosen(plan)["detect"][0] == "large"  # large + coarse: 45 ms of 55; small + fine: 30 ms, but 0.3
    assert chosen(plan)["classify"][0] == "coarse"


def test_an_slo_that_nothing_meets_changes_nothing():
    policy = Loki(replace(problem(gpus=50.0), slo_ms=20.0))
    state = State(0.0, (10.0,), {stage.name: StageState((Pool(stage.options[0], 1),)) for stage in policy.problem.stages})
    decision = policy.decide(state, Forecast(10.0, {}))
    assert decision.targets == {}
    assert decision.reason.startswith("no variants are fast enough")


def test_five_percent_more_than_comes_is_planned_for():
    policy = Loki(problem(gpus=50.0))
    state = State(0.0, (24.0,) * 30, {stage.name: StageState(()) for stage in policy.problem.stages})
    # 24 * 1.05 = 25.2 is more than one large detector carries
    assert policy.decide(state, Forecast(10.0, {})).targets["detect"].shares[0].replicas == 2


def test_a_plan_is_what_an_independent_check_makes_of_it():
    policy = Loki(problem(gpus=9.0))
    plan, _ = policy.plan(40.0)
    posed = replace(policy.problem, rate=40.0, slo_ms=100.0)
    assert not evaluate(posed, plan).violations


@pytest.mark.data
def test_traffic_analysis_trades_accuracy_for_capacity(shared):
    policy = Loki(loki.problem(devices={"gpu_pascal": 20.0}))
    quiet, busy = policy.plan(2.0), policy.plan(250.0)
    assert quiet[1] == "hardware scaling"
    assert quiet[0].totals.accuracy == 1.0
    assert busy[1] == "accuracy scaling"
    assert busy[0].totals.accuracy < 1.0


@pytest.mark.data
def test_the_published_tables_are_read(shared):
    found = loki.problem()
    detect, cars, _ = found.stages
    assert {option.variant for option in detect.options} == set(loki.DETECTORS)
    assert cars.accuracy_given.table["yolov5l", "eb6"] == pytest.approx(0.718, abs=5e-4)
    assert ("yolov5s", "eb6") not in cars.accuracy_given.table
    assert cars.rates[0].by_variant["yolov5x"] == pytest.approx(18.894 * 0.943, abs=0.01)
