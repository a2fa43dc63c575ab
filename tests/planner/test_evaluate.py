"""`evaluate` finds every figure by itself, and everything that is wrong with a plan."""

from dataclasses import dataclass, replace

import pytest

from autoscaler.planner.evaluate import evaluate
from autoscaler.planner.model import AccuracyRule, GivenVariant, Plan, RateTerm, Share, StagePlan, Totals
from autoscaler.planner.objectives import LeastCost, MostAccurate
from tests.planner.solvers import WaitForReplica, option, problem, stage

SLOW = option(30, cost=2.0, throughput=10, accuracy=0.9, variant="big", batch=4, memory_gb=0.5)
FAST = option(10.2, cost=3.0, throughput=10, accuracy=0.8, variant="small", units=2.0)
AFTER = option(5, cost=1.0, throughput=20, accuracy=0.5)
TWO = problem(stage("a", SLOW, FAST), stage("b", AFTER, after=("a",)), slo_ms=40, devices={"cpu": 4.0, "memory_gb": 1.0})


def planned(*stages, totals=None, latency_ms=0.0, value=()):
    return Plan(tuple(StagePlan(name, shares, rate, time_ms) for name, shares, rate, time_ms in stages), totals or Totals(0.0, 0.0), latency_ms, value,
                exact=False)


RIGHT = planned(("a", (Share(SLOW, 1),), 10.0, 30.0), ("b", (Share(AFTER, 1),), 10.0, 5.0), latency_ms=35.0, value=(-3.0,),
                totals=Totals(cost=3.0, accuracy=0.45, batches=5.0, change=0.0, used={"cpu": 2.0, "memory_gb": 0.5}))  # 0.9 * 0.5, batches 4 + 1


def broken(asked, plan):
    return [(violation.constraint, violation.stage) for violation in evaluate(asked, plan).violations]


def test_a_right_plan_has_no_violations_and_its_figures_are_found():
    found = evaluate(TWO, RIGHT)
    assert found.violations == ()
    assert (found.rates, found.times_ms) == ({"a": 10.0, "b": 10.0}, {"a": 30.0, "b": 5.0})
    assert (found.latency_ms, found.slowest_way, found.value) == (35.0, ("a", "b"), (-3.0,))
    assert found.totals == RIGHT.totals


@pytest.mark.parametrize(("claim", "said"), [
    ({"latency_ms": 34.0}, ("claimed latency", "")),
    ({"value": (-2.0,)}, ("claimed value", "0")),
    ({"value": (-3.0, 0.0)}, ("claimed components", "")),
    ({"totals": replace(RIGHT.totals, cost=2.9)}, ("claimed cost", "")),
    ({"totals": replace(RIGHT.totals, accuracy=0.46)}, ("claimed accuracy", "")),
    ({"totals": replace(RIGHT.totals, batches=4.0)}, ("claimed batches", "")),
    ({"totals": replace(RIGHT.totals, change=1.0)}, ("claimed change", "")),
    ({"totals": replace(RIGHT.totals, used={"cpu": 2.0})}, ("claimed use", "memory_gb")),
    ({"stages": (replace(RIGHT.stages[0], rate=9.0), RIGHT.stages[1])}, ("claimed rate", "a")),
    ({"stages": (RIGHT.stages[0], replace(RIGHT.stages[1], time_ms=4.0))}, ("claimed time", "b")),
])
def test_a_wrong_claim_is_the_one_violation(claim, said):
    assert broken(TWO, replace(RIGHT, **claim)) == [said]


@pytest.mark.parametrize(("change", "said"), [
    ({"slo_ms": 34.9}, ("deadline", "")),
    ({"slo_ms": 35.0, "strict": True}, ("deadline", "")),
    ({"devices": {"cpu": 1.9}}, ("capacity", "cpu")),
    ({"devices": {"memory_gb": 0.4}}, ("capacity", "memory_gb")),
    ({"objective": LeastCost(min_accuracy=0.46)}, ("objective", "")),
    ({"objective": LeastCost(), "stages": (replace(TWO.stages[0], least=2), TWO.stages[1])}, ("least", "a")),
    ({"stages": (TWO.stages[0], replace(TWO.stages[1], most=0))}, ("most", "b")),
])
def test_a_tighter_problem_breaks_what_it_tightens(change, said):
    assert broken(replace(TWO, **change), RIGHT) == [said]


def test_a_deadline_met_exactly_is_met_unless_it_is_strict():
    assert broken(replace(TWO, slo_ms=35.0), RIGHT) == []


def test_too_few_replicas_for_the_rate():
    found = evaluate(replace(TWO, rate=11.0), RIGHT)
    assert ("demand", "a", 10.0, 11.0) in [(violation.constraint, violation.stage, violation.found, violation.limit) for violation in found.violations]
    assert not any(violation.constraint == "demand" and violation.stage == "b" for violation in found.violations)  # 20 rows/s carry 11


def test_replicas_that_carry_the_demand_but_for_rounding_are_enough():
    third = option(1, throughput=0.1)
    asked = problem(stage("a", third), rate=0.1 * 3)  # 0.30000000000000004
    plan = planned(("a", (Share(third, 3),), 0.1 * 3, 1.0), latency_ms=1.0, value=(-3.0,), totals=Totals(3.0, 1.0, 1.0, used={"cpu": 3.0}))
    assert broken(asked, plan) == []


def test_times_are_rounded_up_to_the_grid_of_each_stage():
    asked = problem(stage("a", FAST), stage("b", option(4.0000000001), after=("a",)), grid_ms=2.0)
    plan = planned(("a", (Share(FAST, 1),), 10, 12), ("b", (Share(asked.stages[1].options[0], 1),), 10, 4))
    assert evaluate(asked, plan).times_ms == {"a": 12.0, "b": 4.0}  # 10.2 to 12; 4.0000000001 is 4 but for rounding


def test_the_wait_of_the_replicas_at_work_counts_and_is_infinite_at_full_load():
    asked = problem(stage("a", SLOW), sizing=WaitForReplica())
    plan = planned(("a", (Share(SLOW, 3),), 10, 45))
    assert evaluate(asked, plan).times_ms == {"a": 45.0}  # 30 + 30 * 1 / (3 - 1)
    assert evaluate(asked, planned(("a", (Share(SLOW, 1),), 10, 30))).latency_ms == float("inf")


def test_the_slowest_way_through_a_diamond():
    one, two, long = option(1), option(2), option(7)
    asked = problem(stage("a", one), stage("b", two, after=("a",)), stage("c", long, after=("a",)), stage("d", one, after=("b", "c")), rate=5)
    plan = planned(*((name, (Share(way, 2),), 0, 0) for name, way in zip("abcd", (one, two, long, one), strict=True)))
    found = evaluate(asked, plan)
    assert (found.slowest_way, found.latency_ms) == (("a", "c", "d"), 9.0)  # 1 + 7 + 1
    assert found.rates == {"a": 5, "b": 5, "c": 5, "d": 10}  # both branches' rows reach the join


def test_rates_follow_factors_and_the_variant_chosen_upstream_with_shares_by_their_mean():
    first = stage("a", SLOW, FAST, share_step=0.25)
    second = stage("b", AFTER, after=("a",), rates=(RateTerm("a", 0.5, {"big": 2.0}), RateTerm(None, 0.1)))
    plan = planned(("a", (Share(SLOW, 1, 0.75), Share(FAST, 1, 0.25)), 10, 30), ("b", (Share(AFTER, 1),), 0, 5))
    assert evaluate(problem(first, second), plan).rates["b"] == pytest.approx(10 * 0.5 * (0.75 * 2 + 0.25 * 1) + 1)


def test_shares_take_the_longest_time_the_mean_accuracy_and_the_sum_of_the_rest():
    asked = problem(stage("a", SLOW, FAST, share_step=0.25))
    plan = planned(("a", (Share(SLOW, 1, 0.75), Share(FAST, 2, 0.25)), 10, 30))
    found = evaluate(asked, plan)
    assert found.times_ms == {"a": 30.0}
    assert found.totals == Totals(cost=2 + 6, accuracy=pytest.approx(0.75 * 0.9 + 0.25 * 0.8), batches=5, used={"cpu": 1 + 4.0, "memory_gb": 0.5})


@pytest.mark.parametrize(("shares", "said"), [
    ((Share(SLOW, 1, 0.5), Share(FAST, 1, 0.25)), ("shares", "a")),
    ((Share(SLOW, 1, 0.6), Share(FAST, 1, 0.4)), ("share", "a")),
])
def test_shares_that_do_not_add_up_or_lie_off_the_grid(shares, said):
    assert said in broken(problem(stage("a", SLOW, FAST, share_step=0.25)), planned(("a", shares, 10, 30)))


@pytest.mark.parametrize("shares", [
    (),
    (Share(SLOW, 1, 0.5), Share(SLOW, 1, 0.5)),
    (Share(SLOW, 1, 0.5), Share(FAST, 1, 0.5)),
    (Share(AFTER, 1),),
])
def test_a_plan_that_a_stage_cannot_run_is_refused(shares):
    with pytest.raises(ValueError):
        evaluate(TWO, replace(RIGHT, stages=(StagePlan("a", shares, 10, 30), RIGHT.stages[1])))


def test_a_plan_for_other_stages_is_refused():
    with pytest.raises(ValueError):
        evaluate(TWO, replace(RIGHT, stages=RIGHT.stages[:1]))


@pytest.mark.parametrize(("rule", "weights", "accuracy"), [
    (AccuracyRule.PRODUCT, (1.0, 2.0), 0.9 * 0.5 ** 2),
    (AccuracyRule.SUM, (1.0, 2.0), 0.9 + 2 * 0.5),
    (AccuracyRule.MEAN, (1.0, 3.0), (0.9 + 3 * 0.5) / 4),
])
def test_the_rules_of_accuracy(rule, weights, accuracy):
    stages = tuple(replace(model, weight=weight) for model, weight in zip(TWO.stages, weights, strict=True))
    asked = replace(TWO, stages=stages, accuracy=rule, objective=MostAccurate())
    assert evaluate(asked, RIGHT).totals.accuracy == pytest.approx(accuracy, rel=1e-12)


def test_accuracy_given_the_variant_upstream_and_a_pair_that_may_not_be():
    given = GivenVariant("a", {("big", "m"): 0.7})
    asked = replace(TWO, stages=(TWO.stages[0], replace(TWO.stages[1], accuracy_given=given)))
    assert evaluate(asked, RIGHT).totals.accuracy == pytest.approx(0.9 * 0.7)
    other = replace(RIGHT, stages=(StagePlan("a", (Share(FAST, 1),), 10, 11), RIGHT.stages[1]))
    assert ("pair", "b") in broken(asked, other)


@dataclass(frozen=True)
class ByName:
    """Two of each stage's price for each share."""

    def price(self, stage, shares):
        return {"a": 2.0, "b": 0.5}[stage] * len(shares)


def test_the_change_is_priced_stage_by_stage():
    found = evaluate(replace(TWO, switching=ByName()), RIGHT)
    assert (found.totals.change, found.value) == (2.5, (-5.5,))


@pytest.mark.parametrize("change", [
    {"stages": (replace(TWO.stages[0], after=("b",)), TWO.stages[1])},
    {"stages": (replace(TWO.stages[0], rates=(RateTerm("b"),)), TWO.stages[1])},
])
def test_circles_are_refused(change):
    with pytest.raises(ValueError):
        evaluate(replace(TWO, **change), RIGHT)
