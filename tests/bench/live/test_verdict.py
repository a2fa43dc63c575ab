"""What is taken of a grid, and what is reached."""

import pytest

from bench.live.contender import Contender
from bench.live.tuning import Tried, best, most_unit_s
from bench.live.verdict import figures, targets, word
from tests.bench.live.builders import run, setting
from tests.bench.live.test_plans import PEAK


def tried(violation_share, unit_s, target=0.5):
    return Tried(Contender("hpa_tuned", "hpa", {"target": target}), violation_share, unit_s)


def test_tuned_is_the_one_with_fewest_violations_among_those_that_cost_no_more_than_they_may():
    dear, good, cheap = tried(0.0, 1000.0), tried(0.02, 700.0), tried(0.05, 500.0)
    assert best([dear, cheap, good], 700.0) == good
    assert best([dear, cheap], 700.0) == cheap
    assert best([dear, good, cheap], 400.0) == cheap  # nobody keeps to that: the cheapest
    assert best([tried(0.02, 650.0), good], 700.0).unit_s == 650.0


def test_what_a_tuned_policy_may_cost_is_what_is_asked_of_ours():
    made = setting((100.0,) * 20)
    assert most_unit_s(made, PEAK) == pytest.approx(0.7 * 20 * 2)  # 2 units for 100 events/s, by the profile's formula


def test_figures_are_means_over_the_valid_runs():
    found = figures([run(violation_share=0.01, p99_ms=50.0), run(repeat=1, violation_share=0.03, p99_ms=None), run(
        repeat=2, violation_share=0.9, invalid=["so"])])
    assert found["violation_share"] == 0.02
    assert found["p99_ms"] is None  # the median of 50 and never
    assert found["violation_shares"] == [0.01, 0.03, 0.9]
    assert found["invalid"] == [[], [], ["so"]]
    assert figures([run(violation_share=0.9, invalid=["so"])])["violation_share"] == 0.9
    assert {"violation_share", "p99_ms", "accuracy", "unit_s", "cpu_s", "decisions", "stalls", "predicted_violation_share"} <= found.keys()


def judged(ours, peak=(0.0, 1000.0, 0.985), today=(0.10,)):
    """ours, peak: violations, unit-seconds, accuracy."""
    names = ("hpa", "keda_lag_tuned", "flink_autoscaler")
    found = {name: figures([run(violation_share=share, unit_s=unit_s, accuracy=accuracy)])
             for name, (share, unit_s, accuracy) in (("sluice", ours), ("static_peak", peak))}
    return targets(found | {name: figures([run(violation_share=share)]) for name, share in zip(names, today, strict=False)})


def test_all_that_is_asked_is_reached_or_missed_at_its_limit():
    assert [one["reached"] for one in judged((0.015, 700.0, 0.975), today=(0.2, 0.075, 0.3)).values()] == [True, True, True, True]
    assert [one["reached"] for one in judged((0.0151, 701.0, 0.974), today=(0.2, 0.075, 0.3)).values()] == [False, False, False, False]


def test_the_ratio_is_to_the_best_of_those_used_today_and_needs_some_violations():
    told = judged((0.01, 600.0, 0.985), today=(0.2, 0.05, 0.3))
    assert told["violations over those of keda_lag_tuned, the best of those used today"] == {"value": 0.2, "target": "at most 0.2", "reached": True}
    few = next(reversed(judged((0.0, 600.0, 0.985), today=(0.001,)).values()))  # 10 of 10,000
    assert few["reached"] is None
    assert word(few).startswith("fewer than 20 violations")


def test_without_the_others_only_what_can_be_said_is_said():
    assert targets({}) == {}
    assert list(targets({"sluice": figures([run()])})) == ["violations"]
