"""The Loki comparison: plain rates, isolated accuracies, its pipeline and contenders."""

from __future__ import annotations

from dataclasses import replace

import pytest

from autoscaler.planner.model import GivenVariant, Option, Problem, RateTerm, StageModel
from autoscaler.planner.objectives import MostAccurate
from autoscaler.planner.queueing import NoWait
from autoscaler.policies.loki import Loki
from autoscaler.policies.policy import Forecast, Pool, StageState, State
from bench.published import loki as published
from bench.repro import loki
from bench.repro.level import HEADLINE
from bench.repro.loki_plain import PlainRates, isolated
from bench.repro.row import row
from simulator.simulation import simulate

# the large detector finds 10 cars in a frame, the small one 2
TABLE = {("large", "fine"): 1.0, ("large", "coarse"): 0.5, ("small", "fine"): 0.3, ("small", "coarse"): 0.1}


def problem(gpus: float) -> Problem:
    detect = StageModel("detect", (Option("large", 1, 1.0, 40.0, 25.0, 1.0, 1.0, "gpu"), Option("small", 1, 1.0, 10.0, 100.0, 1.0, 1.0, "gpu")))
    classify = StageModel("classify", (Option("fine", 1, 1.0, 20.0, 50.0, 1.0, 1.0, "gpu"), Option("coarse", 1, 1.0, 5.0, 200.0, 1.0, 1.0, "gpu")),
                          after=("detect",), rates=(RateTerm("detect", 1.0, {"large": 10.0, "small": 2.0}),), accuracy_given=GivenVariant("detect", TABLE))
    return Problem((detect, classify), 10.0, 200.0, MostAccurate(), NoWait(), {"gpu": gpus})


def running(given: Problem, variants: tuple[str, str]) -> State:
    pools = {stage.name: StageState((Pool(next(option for option in stage.options if option.variant == variant), 1),))
             for stage, variant in zip(given.stages, variants, strict=True)}
    return State(0.0, (40.0 / 1.05,) * 30, pools)


def test_plain_rates_are_those_of_the_variants_that_run():
    # 40 frames/s; beside the small detector two objects each are expected of any: 80 rows/s, 2 replicas of the fine one, though the large
    # detector that is chosen will make 400
    policy = PlainRates(Loki(problem(gpus=50.0)))
    blind = policy.decide(running(policy.loki.problem, ("small", "fine")), Forecast(10.0, {}))
    assert blind.targets["detect"].shares[0].option.variant == "large"
    assert blind.targets["classify"].shares[0].replicas == 2
    knowing = policy.loki.decide(running(policy.loki.problem, ("small", "fine")), Forecast(10.0, {}))
    assert knowing.targets["classify"].shares[0].replicas == 8


def test_accuracies_by_themselves_are_those_beside_the_best():
    detect, classify = isolated(problem(gpus=4.0), TABLE).stages
    assert {option.variant: option.accuracy for option in detect.options} == {"large": 1.0, "small": 0.3}
    assert {option.variant: option.accuracy for option in classify.options} == {"fine": 1.0, "coarse": 0.5}
    assert classify.accuracy_given is None


def test_capacity_grows_as_accuracy_may_fall():
    half = replace(problem(gpus=9.0), slo_ms=400.0)
    # 9 GPUs, large and fine: r / 25 and 10 r / 50, at most 1 + 6 or 2 + 7: 35 frames/s
    assert loki.capacity(half, 1.0) == pytest.approx(35.0, rel=1e-3)
    # small and coarse: r / 100 and 2 r / 200: 4 + 4 of them: 400
    assert loki.capacity(half, 0.0) == pytest.approx(400.0, rel=1e-3)
    assert loki.capacity(half, 1.1) == 0.0


def test_only_the_named_variants_are_left():
    assert {option.variant for stage in loki.only(problem(4.0), ("large", "fine")).stages for option in stage.options} == {"large", "fine"}


@pytest.mark.data
def test_the_published_pipeline(shared):
    one = loki.traffic()
    assert "yolov5s" not in {option.variant for option in one.problem.stages[0].options}  # no accuracy was measured of it
    assert one.table["yolov5x", "eb6"] == pytest.approx(1.0, abs=1e-6)
    _, cars, persons = published.branching()
    assert one.table["yolov5n", "eb6"] == pytest.approx(cars["yolov5n"] * 0.00478 + persons["yolov5n"], abs=1e-4)


@pytest.mark.data
@pytest.mark.parametrize("name", ["loki", "inferline", "proteus, by stage", "loki, plain rates", "sluice, same levers"])
def test_contenders_answer_the_published_pipeline(shared, name):
    setting = loki.setting((20.0, 25.0, 20.0))
    made = next(contender for contender in loki.contenders(setting) if contender.name == name)
    scenario, control = made.make(HEADLINE, 1)
    found = row(simulate(scenario, control, 1, records=False))
    assert found["events"] > 40
    assert found["violation_share"] < 0.5
    assert found["accuracy"] > 0.5
