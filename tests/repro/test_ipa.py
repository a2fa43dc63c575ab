"""IPA's reproduction: its configurations, the calibrated second stages, and that a short case runs."""

from math import ceil

import pytest

from bench.published import ipa as published
from bench.repro import ipa, ipa_audio
from bench.repro.level import Level
from bench.repro.profile import profiled
from bench.repro.runs import BOUND
from bench.repro.study import Study
from tests.repro.found import found_of


def costs(ratio: float, units: int, rates: list[float]) -> list[int]:
    return [units * ceil(rate) + ceil(rate / ratio) for rate in rates]


def test_every_cost_of_a_rate_is_reachable():
    rates = [0.07 * step for step in range(1, 500)]
    assert set(costs(4.9, 2, rates)) <= ipa_audio.reachable(4.9, 2, 200)


def test_a_cost_that_no_rate_makes_is_not_reachable():
    # one of the second for five of the first, two cores each: 2n + ceil(n/5) for n = 1..6 is 3, 5, 7, 9, 11, 14
    assert ipa_audio.reachable(5.0, 2, 14) & set(range(15)) == {3, 5, 7, 9, 11, 14}


@pytest.mark.parametrize("ratio", [2.3, 4.9, 7.2])
def test_costs_pin_the_second_stage(ratio):
    found, made = ipa_audio.pinned(costs(ratio, 2, [0.11 * step for step in range(1, 400)]), 2)
    assert found == pytest.approx(ratio, rel=0.02)
    assert made == 1.0


def test_costs_of_no_ratio_leave_a_residual():
    _, made = ipa_audio.pinned(list(range(3, 80)), 2)
    assert made < 0.8


def test_weights_are_the_released_ones():
    assert ipa.weights_of("video", "Bursty", "IPA").alpha == 2.0
    assert [ipa.weights_of("audio-qa", workload, "IPA").alpha for workload in published.WINDOWS] == [20.0, 10.0, 10.0, 20.0]
    assert ipa.weights_of("audio-sent", "Bursty", "RIM").beta == 0.4


@pytest.mark.data
def test_second_stages_make_the_published_costs(shared):
    for pipeline in ipa_audio.SECOND:
        heavy, light = ipa_audio.heavy(pipeline), ipa_audio.light(pipeline)
        assert heavy.residual < 0.25
        assert heavy.steps > 450
        assert light.residual < 3.0
        assert 2 < light.rows_s < 40
        assert 2 < heavy.rows_s < 40


@pytest.mark.data
def test_systems_run_what_they_may(shared):
    run = ipa.on_window("video", "Bursty", quick=True)
    (setting,) = run.settings
    given = ipa.believed(setting.problem, profiled(setting.problem, setting.surface, Level(0.0), 1, setting.fit))
    low, high, rim = (ipa.configured(run, system, given).plan(12.0) for system in ("FA2-low", "FA2-high", "RIM"))
    assert [stage.shares[0].option.variant for stage in low.stages] == ["yolov5n", "resnet18"]
    assert [stage.shares[0].option.variant for stage in high.stages] == ["yolov5s", "resnet101"]
    assert [stage.shares[0].replicas for stage in rim.stages] == [3, 3]
    assert high.totals.accuracy == pytest.approx(0.568 * 0.7737)


@pytest.mark.data
def test_truth_without_noise_is_the_measured_throughput(shared):
    run = ipa.on_window("video", "Steady_Low", quick=True)
    (setting,) = run.settings
    option = next(option for stage in setting.problem.stages for option in stage.options if (option.variant, option.units, option.batch) == ("yolov5n", 1.0, 1))
    assert 1000 / setting.surface("crop", option, 1) == pytest.approx(15.077, abs=1e-3)


@pytest.mark.data
def test_published_steps_are_in_cores(shared):
    steps = ipa.shown("video", "Steady_Low")
    assert sum(steps.values["fa2-low"]["cost"][3:]) / len(steps.values["fa2-low"]["cost"][3:]) == pytest.approx(2.0, abs=0.05)
    assert steps.values["fa2-high"]["accuracy"][5] == pytest.approx(43.95, abs=0.01)


@pytest.mark.data
@pytest.mark.parametrize("pipeline", ["video", "audio-qa"])
def test_a_short_case_runs(shared, pipeline):
    run = ipa.on_window(pipeline, "Steady_Low", quick=True)
    names = ("ipa, oracle", "sluice, same levers")  # without the network, which torch trains
    rows = found_of(Study("x", "X", (ipa.case(pipeline, run, names),), {})).headline[pipeline]
    assert set(rows.by_seed) == {*names, BOUND}
    for name in names:
        assert rows.values(name, "violation_share")[0] < 0.2
        assert rows.values(name, "cost")[0] >= rows.values(BOUND, "cost")[0]
        assert rows.values(name, "accuracy")[0] <= rows.values(BOUND, "accuracy")[0]
