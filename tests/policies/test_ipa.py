"""IPA: base allocation, margins, ranks, modes, and an exhaustive search as oracle."""

import itertools
import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autoscaler.planner.model import AccuracyRule, Option, Problem, RateTerm, StageModel
from autoscaler.planner.objectives import Weighted
from autoscaler.planner.queueing import NoWait
from autoscaler.policies.ipa import Ipa, Margins, by_rank, fa2_high, fa2_low
from autoscaler.policies.policy import Forecast, Pool, StageState, State
from autoscaler.policies.rim import rim


def option(variant: str, batch: int, cores: float, latency_ms: float, throughput: float, accuracy: float) -> Option:
    return Option(variant, batch, cores, latency_ms, throughput, accuracy, cores)


def stage(name: str, *options: Option, after: tuple[str, ...] = ()) -> StageModel:
    return StageModel(name, options, after=after)


def video() -> Problem:
    """Two stages in a row; the smaller detector on one core, the larger reaches 4 rows/s on two."""
    crop = stage("crop", option("n", 1, 1, 200, 15, 0.45), option("n", 4, 1, 500, 18, 0.45), option("s", 1, 1, 400, 3, 0.57),
                 option("s", 1, 2, 250, 6, 0.57))
    classify = stage("classify", option("18", 1, 1, 100, 17, 0.70), option("101", 1, 1, 350, 5.5, 0.77), after=("crop",))
    return Problem((crop, classify), 10.0, 5000.0, Weighted(2, 1, 1e-6), NoWait())


def choices(plan) -> dict[str, tuple[str, int, int]]:
    return {found.name: (found.shares[0].option.variant, found.shares[0].option.batch, found.shares[0].replicas) for found in plan.stages}


def test_a_replica_is_the_smallest_size_that_reaches_the_threshold():
    assert Ipa(video()).sizes(video().stages[0]) == {"n": 1, "s": 2}
    assert Ipa(video(), threshold=2.0).sizes(video().stages[0]) == {"n": 1, "s": 1}


def test_a_variant_that_reaches_it_nowhere_is_left_out_unless_all_are():
    assert Ipa(video(), threshold=10.0).sizes(video().stages[0]) == {"n": 1}
    assert Ipa(video(), threshold=99.0).sizes(video().stages[0]) == {"n": 1, "s": 2}


def test_a_more_accurate_variant_is_no_smaller():
    grown = stage("crop", option("light", 1, 2, 100, 8, 0.5), option("heavy", 1, 1, 100, 8, 0.6), option("heavy", 1, 2, 60, 14, 0.6))
    assert Ipa(replace(video(), stages=(grown,))).sizes(grown) == {"light": 2, "heavy": 2}


def test_few_cores_first_then_accuracy():
    # alpha 2: 0.32 of accuracy are worth less than a core
    assert choices(Ipa(video()).plan(5.0)) == {"crop": ("n", 1, 1), "classify": ("101", 1, 1)}
    assert choices(Ipa(video()).plan(8.0)) == {"crop": ("n", 1, 1), "classify": ("18", 1, 1)}


def test_a_greater_alpha_buys_accuracy():
    assert choices(Ipa(video(), weights=Weighted(20, 1, 1e-6)).plan(5.0)) == {"crop": ("s", 1, 1), "classify": ("101", 1, 1)}


def test_a_larger_batch_only_where_it_saves():
    assert choices(Ipa(video()).plan(16.0))["crop"] == ("n", 4, 1)  # 18 rows/s instead of 15, so one replica
    assert choices(Ipa(video(), batch_cap=1).plan(16.0))["crop"] == ("n", 1, 2)


def test_the_batch_must_fill_within_the_slo():
    tight = replace(video(), slo_ms=700.0)
    # n at batch 4: 500 + 1000 * 3 / 16 + 100 = 787.5
    assert choices(Ipa(tight).plan(16.0))["crop"] == ("n", 1, 2)


def test_margins_halve_the_throughput_and_raise_the_rate():
    margins = Margins(latency=1.0, throughput=-0.5, rate=0.2)
    plan = Ipa(video(), margins=margins, threshold=1.0, batch_cap=1).plan(10.0)
    assert choices(plan)["crop"][2] == math.ceil(12 / 7.5)
    assert plan.stage("crop").shares[0].option.throughput == 15  # as it was profiled


def test_ranks_go_from_nothing_to_one():
    assert by_rank(video().stages[0]) == {"n": 0.0, "s": 1.0}
    assert by_rank(stage("alone", option("x", 1, 1, 10, 10, 0.3))) == {"x": 1.0}


def test_the_first_version_sums_ranks():
    plan = Ipa(video(), ranked=True, accuracy=AccuracyRule.SUM, weights=Weighted(20, 1, 1e-6)).plan(5.0)
    assert plan.totals.accuracy == pytest.approx(2.0)


def test_low_and_high_fix_the_variants():
    low, high = fa2_low(video()).plan(5.0), fa2_high(video()).plan(5.0)
    assert [found.shares[0].option.variant for found in low.stages] == ["n", "18"]
    assert [found.shares[0].option.variant for found in high.stages] == ["s", "101"]


def test_rim_keeps_its_replicas_and_switches_variants():
    light, heavy = rim(video()).plan(5.0), rim(video()).plan(20.0)
    assert {found.shares[0].replicas for plan in (light, heavy) for found in plan.stages} == {3}
    assert choices(heavy)["classify"] == ("18", 1, 3)  # 3 * 5.5 < 20


def test_the_rate_of_the_source_is_every_stage_s_unless_told_otherwise():
    many = replace(video(), stages=(video().stages[0], replace(video().stages[1], rates=(RateTerm("crop", 3.0),))))
    assert choices(Ipa(many).plan(8.0))["classify"][2] == 1
    assert choices(Ipa(many, same_rate=False).plan(8.0))["classify"][2] == 2  # 24 rows/s


def test_what_cannot_be_served_in_time_stays_as_it_runs():
    policy = Ipa(replace(video(), slo_ms=50.0))
    state = State(0.0, (5.0,), {found.name: StageState((Pool(found.options[0], 1),)) for found in policy.problem.stages})
    decision = policy.decide(state, Forecast(20.0, {0.5: 5.0}))
    assert decision.targets == {}
    assert "as it runs" in decision.reason


def test_without_a_forecast_the_highest_of_two_minutes_counts():
    policy = Ipa(video())
    state = State(0.0, (100.0, *(1.0,) * 50, 29.0, *(1.0,) * 69), {found.name: StageState((Pool(found.options[0], 1),)) for found in policy.problem.stages})
    assert "at 29.0 events/s" in policy.decide(state, Forecast(20.0, {})).reason


@settings(max_examples=40, deadline=None)
@given(seeds=st.lists(st.tuples(st.floats(20, 300), st.floats(1.2, 30), st.floats(0.2, 1.0)), min_size=4, max_size=6),
       rate=st.floats(1, 60), alpha=st.sampled_from([0.1, 2.0, 20.0]), slo=st.floats(500, 2000))
def test_no_other_configuration_is_better(seeds, rate, alpha, slo):
    half = len(seeds) // 2
    stages = tuple(stage(name, *(option(f"{name}{place}", batch, 1, latency * (1 + batch) / 2, rows * (1 + batch) / 2, accuracy)
                                 for place, (latency, rows, accuracy) in enumerate(part) for batch in (1, 2)), after=after)
                   for name, part, after in (("a", seeds[:half], ()), ("b", seeds[half:], ("a",))))
    policy = Ipa(Problem(stages, rate, slo, Weighted(alpha, 1, 1e-6), NoWait(), grid_ms=0.01), weights=Weighted(alpha, 1, 1e-6), threshold=0.0)
    best, near = -math.inf, False
    for pair in itertools.product(*(found.options for found in stages)):
        delay = sum(one.latency_ms + 1000 * (one.batch - 1) / rate for one in pair)
        near = near or abs(delay - slo) < 0.05
        if delay <= slo:
            replicas = [math.ceil(rate / one.throughput - 1e-9) for one in pair]
            best = max(best, alpha * pair[0].accuracy * pair[1].accuracy - sum(replicas) - 1e-6 * sum(one.batch for one in pair)
                       if max(replicas) <= 100 else -math.inf)
    if not near and all(one.latency_ms <= slo / 2 for found in stages for one in found.options):
        plan = policy.plan(rate)
        assert plan is not None
        assert plan.value[0] == pytest.approx(best, abs=1e-9)
