from dataclasses import replace

import pytest

from autoscaler.planner.model import Option, StageModel
from autoscaler.policies.policy import Forecast, Pool, StageState, State
from autoscaler.policies.sponge import Fa2InSponge, Sponge, deadline_parts, fewest_in_time, smallest_in_time
from bench.published.sponge import problem

OF = problem()
NO_FORECAST = Forecast(1.0, {})


def option(batch: int, cores: int, ms: float) -> Option:
    return Option("v", batch, cores, ms, 1000 * batch / ms, 1.0, cores)


def chosen(policy, rate: float, *spent_ms: float):
    return policy.decide(State(0.0, (rate,), {"detect": StageState(())}, spent_ms), NO_FORECAST)


def test_smallest_size_first_then_smallest_batch():
    options = (option(1, 1, 50), option(2, 1, 80), option(1, 2, 30), option(2, 2, 45))
    assert smallest_in_time(options, 10, 500) == options[0]  # 10 batches of 50 ms
    assert smallest_in_time(options, 10, 400) == options[1]  # 5 of 80
    assert smallest_in_time(options, 10, 300) == options[2]  # 10 of 30
    assert smallest_in_time(options, 11, 299) == options[3]  # 6 of 45
    assert smallest_in_time(options, 11, 269) is None
    assert smallest_in_time(options, 0, 0) == options[0]


def test_time_used_on_the_way_asks_for_cores():
    sizes = [chosen(Sponge(OF), 20.0, spent).targets["detect"].shares[0].option.units for spent in (0.0, 500.0, 700.0, 780.0)]
    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[-1]


def test_the_worst_event_of_the_window_counts():
    assert chosen(Sponge(OF), 20.0, 700.0, 10.0).targets == chosen(Sponge(OF), 20.0, 700.0).targets


def test_when_nothing_is_in_time_the_most_there_is():
    decision = chosen(Sponge(OF), 20.0, 950.0)
    share = decision.targets["detect"].shares[0]
    assert (share.replicas, share.option.units) == (1, 16)
    assert "nothing serves them in time at detect" in decision.reason


def test_one_instance_whatever_the_load():
    assert [chosen(Sponge(OF), rate).targets["detect"].shares[0].replicas for rate in (0.0, 20.0, 2000.0)] == [1, 1, 1]


def test_fa2_adds_instances_of_one_core():
    options = (option(1, 1, 50), option(2, 1, 80))
    # 400 ms: batch 1 floor(350 / 50) = 7 rows an instance, batch 2 floor(320 / 80) * 2 = 8
    assert fewest_in_time(options, 7, 400, range(1, 17)).option.batch == 1
    assert fewest_in_time(options, 8, 400, range(1, 17)).option.batch == 2
    assert fewest_in_time(options, 20, 400, range(1, 17)).replicas == 3
    assert fewest_in_time(options, 20, 50, range(1, 17)) is None  # no time left but for one batch
    share = chosen(Fa2InSponge(OF), 20.0, 600.0).targets["detect"].shares[0]
    assert share.option.units == 1
    assert share.replicas > 1


def test_several_stages_part_the_deadline():
    stages = tuple(StageModel(name, (option(1, 1, ms),), after=after) for name, ms, after in (
        ("a", 10, ()), ("b", 30, ("a",)), ("c", 10, ("a",)), ("d", 10, ("b", "c"))))
    parts = deadline_parts(stages, {"a": 10, "b": 30, "c": 10, "d": 10})
    assert parts == {"a": pytest.approx(0.2), "b": pytest.approx(0.6), "c": pytest.approx(1 / 3), "d": pytest.approx(0.2)}


def test_keeps_the_variant_that_runs():
    heavy = tuple(replace(option, variant="yolov5m", cost=option.cost * 3, latency_ms=option.latency_ms * 2) for option in OF.stages[0].options)
    both = replace(OF, stages=(replace(OF.stages[0], options=OF.stages[0].options + heavy),))
    state = State(0.0, (10.0,), {"detect": StageState((Pool(heavy[0], 1),))})
    assert Sponge(both).decide(state, NO_FORECAST).targets["detect"].shares[0].option.variant == "yolov5m"
