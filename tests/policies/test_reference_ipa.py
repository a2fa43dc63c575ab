"""IPA's published steps: what the complete rows make, and that every explanation can fail."""

from dataclasses import replace

import pytest

from bench.planner_reference import Compared, counted
from bench.published import ipa
from bench.published.ipa import Step
from bench.published.ipa_causes import Cause, Reference, Released, intervals, matching

pytestmark = pytest.mark.data


@pytest.fixture(scope="module")
def reference(shared) -> Reference:
    return Reference()


def step(accuracy: float, cost: float, system: str = "IPA", workload: str = "Bursty", series: str = "18", pipeline: str = "video") -> Step:
    return Step(pipeline, series, workload, system, accuracy, cost)


def test_complete_rows_have_both_figures(shared):
    one = {(row.variant, row.cores, row.batch): (row.latency_ms, row.throughput) for row in ipa.rows()}
    assert one["yolov5n", 1, 1] == (pytest.approx(197.99), pytest.approx(15.077, abs=1e-3))
    assert one["resnet101", 1, 1] == (pytest.approx(376.474), pytest.approx(5.669, abs=1e-3))
    assert ("resnet18", 1, 2) not in one  # throughput, no latency
    assert not any(row.variant.startswith("deepset-roberta") for row in ipa.rows())


def test_a_core_costs_two_in_the_video_figures(shared):
    assert {ipa.unit("video", series, workload, system) for series in ipa.SERIES["video"] for workload in ipa.WINDOWS for system in ipa.SYSTEMS} == {2}


def test_published_steps_are_made(reference):
    assert reference.equal(step(34.79, 2.0))                       # yolov5n, resnet50, one replica each
    assert reference.equal(step(43.95, 10.0, system="FA2-high"))   # yolov5s, resnet101
    assert reference.equal(step(31.88, 5.0, workload="Steady_High"))


def test_steps_that_nobody_published_are_neither_made_nor_explained(reference):
    for wrong in (step(34.79, 9.0), step(31.88, 1.0), step(43.95, 30.0, system="FA2-high"), step(12.34, 2.0), step(31.88, 5.0, workload="Steady_Low")):
        assert not reference.equal(wrong)
        assert reference.cause(wrong) is None


def test_a_missing_row_explains_only_what_it_could_give(reference):
    assert reference.cause(step(33.5, 4.0)) is Cause.MISSING_PROFILE   # resnet34 has no batch above one
    assert reference.cause(step(33.5, 8.0)) is None                    # no throughput within the measured gain makes that


def test_a_tie_needs_an_equal_value(reference):
    assert reference.cause(step(0.5, 3.0, series="14")) is Cause.TIE       # 2 * 0.5 - 3 = 2 * 0 - 2
    assert reference.cause(step(0.5, 4.0, series="14", workload="Steady_Low")) is None


def test_rounding_is_of_the_size_of_reading_a_figure(reference):
    off = replace(step(34.79, 2.0), accuracy=34.82)
    assert not reference.equal(off)
    assert reference.cause(off) is Cause.ROUNDING


def test_the_released_queue_term_makes_steps_that_the_slo_forbids(reference):
    tight = Reference()
    stages = ipa.system("IPA", reference.given, ranked=False).posed(30.0).stages
    fastest_ms = sum(min(option.latency_ms for option in stage.options) for stage in stages)
    tight.given = replace(reference.given, slo_ms=fastest_ms / 3)
    policy = ipa.system("IPA", tight.given, ranked=False)
    assert policy.plan(30.0) is None  # not even the fastest configuration
    loosened = Released(policy).plan(30.0)
    found = step(round(100 * loosened.totals.accuracy, 2), loosened.totals.cost, system="IPA", workload="Steady_High")
    assert not tight.equal(found)
    assert tight.cause(found) is Cause.DEFECT


def test_audio_steps_lack_a_variant_altogether(reference):
    assert reference.lacks_rows(step(53.79, 18.0, pipeline="audio-qa"))
    assert not reference.lacks_rows(step(50.0, 18.0, pipeline="audio-qa"))  # no pair of variants has that accuracy


def test_pairs_by_accuracy(shared):
    assert matching(step(35.36, 6.0)) == [("yolov5n", "resnet101")]


def test_the_plan_is_the_same_within_an_interval(reference):
    policy = ipa.system("IPA", reference.given, ranked=False)
    for interval in intervals(policy, 14.0, 18.0)[1:]:
        inside = policy.plan((interval.low + interval.high) / 2)
        assert (inside.totals.accuracy, inside.totals.cost) == (interval.plan.totals.accuracy, interval.plan.totals.cost)


def test_no_published_video_step_is_unexplained(reference):
    steps = ipa.steps("video")
    left = [found for found in steps if not reference.equal(found) and reference.cause(found) is None]
    assert len(steps) == 235
    assert left == []


def test_counts_add_up():
    results = [Compared("x", "a", 1, 1, True), Compared("x", "b", 1, 2, False, Cause.TIE), Compared("x", "c", 1, 2, False)]
    assert counted(results) == {"compared": 3, "equal": 1, "explained": 1, "unexplained": 1}
