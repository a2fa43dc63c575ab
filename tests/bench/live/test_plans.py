"""What follows from a profile; files of a run; its prediction."""

import numpy as np
import pytest

from autoscaler.graph.reader import read_pipeline
from autoscaler.planner.profile import Profile, read_profile
from bench.live.contender import FIXED, Contender
from bench.live.plans import PEAK_UNITS, UNIT, TooSmall, slo_ms, units
from bench.live.predicted import decider, predicted
from tests.bench.live.builders import SHIPPED, profile, setting

SLUICE = next(one for one in FIXED if one.name == "sluice")
PEAK = next(one for one in FIXED if one.name == "static_peak")


def test_the_slo_is_four_times_the_p99_of_a_row_of_the_most_accurate_variant_on_one_unit():
    assert slo_ms(SHIPPED, profile()) == 77.0  # 4 * 1.2 * (1 + 1) * 1 ms / 0.125 = 76.8
    with pytest.raises(TooSmall, match="no single row of ensemble on"):
        slo_ms(SHIPPED, Profile("live", ()))


def test_the_peak_is_the_greatest_rate_within_its_units():
    planner = setting().planner
    peak = planner.peak()
    assert 6 <= planner.need(float(peak)) <= PEAK_UNITS
    above = planner.need(float(peak + 1))
    assert above is None or above > PEAK_UNITS
    needs = [planner.need(peak * part) for part in (0.1, 0.3, 0.5, 0.7, 1.0)]
    assert needs == sorted(needs)
    assert needs[0] < needs[2] < needs[-1]


def test_who_only_replicates_starts_with_units_and_who_cannot_be_held_with_all_of_them():
    made = setting((300.0,) * 10 + (5000.0,) * 10)
    one_unit = made.first(Contender("hpa", "hpa"))
    assert one_unit.option.units == UNIT
    assert one_unit.replicas * one_unit.option.throughput > 300  # 4 rows in 5 ms / 0.125: 100 rows/s each
    assert units(made.first(SLUICE)) <= units(one_unit)
    assert units(made.first(PEAK)) == 8  # 5,000 events/s are more than there is


def test_the_files_of_a_run_read_back_and_have_only_what_the_contender_may_run(tmp_path):
    made = setting()
    single = made.files(tmp_path, "live-3-hpa", Contender("hpa", "hpa"))
    pipeline, of_run = read_pipeline(single.path), read_profile(tmp_path / "live-3-hpa.profile.yaml")
    assert (pipeline.name, pipeline.slo_ms, of_run.pipeline) == ("live-3-hpa", 77.0, "live-3-hpa")
    assert {topic.name for topic in (pipeline.source, pipeline.sink, pipeline.dead_letters)} == {
        "live-3-hpa-source", "live-3-hpa-sink", "live-3-hpa-dead-letters"}
    assert [variant.name for variant in pipeline.stages[0].variants] == [variant.name for variant in of_run.stages[0].variants] == ["ensemble"]
    assert (pipeline.stages[0].cores, pipeline.stages[0].replicas.spares) == (0.125, 0)
    every = made.files(tmp_path, "live-4-sluice", SLUICE)
    assert {variant.name for variant in every.pipeline.stages[0].variants} == {"linear", "mlp", "cnn", "ensemble"}
    assert every.pipeline.stages[0].variant == "ensemble"


def test_a_prediction_counts_what_comes_after_the_warm_up(tmp_path):
    made = setting()  # 100 events/s for 20 s after 5 s of warm-up
    files = made.files(tmp_path, "live-0-static", PEAK)
    told = predicted(files, PEAK, made.times_s(0, 1), 5, np.array([0.0]), 1)
    assert told.unit_s == pytest.approx(20 * units(made.first(PEAK)))
    assert told.violation_share < 0.01
    assert told.p99_ms < 77
    assert told.actions == 0
    late = predicted(files, PEAK, made.times_s(0, 1), 5, np.array([0.2]), 1)  # 200 ms on the way, of 77
    assert late.violation_share == 1.0


def test_the_prediction_has_the_sidecar_s_policy(tmp_path):
    made = setting()
    contender = Contender("hpa", "hpa", {"target": 0.5, "behavior.down_window_s": 60.0})
    policy = decider(made.files(tmp_path, "live-0-hpa", contender), contender)
    assert (policy.target, policy.behavior.down_window_s, policy.interval_s) == (0.5, 60.0, 15.0)
    assert policy.problem.slo_ms == 77.0 - 12.0  # what Kafka and Flink take


def test_runs_are_comparable_only_with_the_same_load_profile_and_seed():
    made = setting()
    assert made.digest(1) == setting().digest(1)
    assert len({made.digest(1), made.digest(2), setting((101.0,) * 20).digest(1), setting(warm_s=6).digest(1)}) == 4
    assert made.times_s(0, 1) == setting().times_s(0, 1)
    assert made.times_s(0, 1) != made.times_s(1, 1)
