"""The solver against going through all plans, on every kind of graph, objective and constraint."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings

from autoscaler.planner.frontier import attempt, plan
from autoscaler.planner.model import AccuracyRule, GivenVariant, Infeasible, Option, Plan, Problem, RateTerm, StageModel, Totals
from autoscaler.planner.objectives import CheapestOfAccurate, LeastCost, MostAccurate, Weighted
from tests.planner.brute import Waits, brute, problems

FEW = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


def option(latency_ms, cost, *, variant="m", batch=1, throughput=10.0, accuracy=0.5, device="cpu", units=1.0):
    return Option(variant, batch, units, latency_ms, throughput, accuracy, cost, device)


def slow_or_fast(name, *after):
    """10 ms for 1, or 5 ms for 3."""
    return StageModel(name, (option(10.0, 1.0, throughput=1000.0), option(5.0, 3.0, throughput=1000.0)), after)


def problem(*stages, slo_ms=100.0, rate=10.0, objective=None, **more):
    return Problem(stages, rate, slo_ms, objective or LeastCost(), Waits(), **more)


def agrees(found, expected):
    if expected is None:
        return found is None or isinstance(found, Infeasible)
    return isinstance(found, Plan) and found.value == pytest.approx(expected, rel=1e-9, abs=1e-12)


@FEW
@given(problems())
def test_no_plan_is_better_and_none_is_missed(problem):
    found = attempt(problem)
    assert agrees(found, brute(problem))
    assert isinstance(found, Infeasible) or (found.exact and found.gap == 0)


@FEW
@given(problems(conditioned=False, shares=False))
def test_plain_graphs(problem):
    assert agrees(attempt(problem), brute(problem))


@pytest.mark.parametrize(("slo_ms", "price"), [(40, 4), (39, 6), (35, 6), (30, 8), (25, 10), (20, 12)])
def test_chain_pays_for_as_much_speed_as_it_needs(slo_ms, price):
    chain = problem(*(slow_or_fast(f"s{place}", *([f"s{place - 1}"] if place else [])) for place in range(4)), slo_ms=slo_ms)
    assert plan(chain).value == (-price,)


def test_the_two_ways_of_a_diamond_share_one_deadline():
    diamond = problem(slow_or_fast("a"), slow_or_fast("b", "a"), slow_or_fast("c", "a"), slow_or_fast("d", "b", "c"), slo_ms=20)
    found = plan(diamond)
    assert found.value == (-8.0,)  # a and d at 3, b and c at 1: 5 + 10 + 5 = 20
    assert found.latency_ms == 20.0
    assert plan(replace(diamond, slo_ms=15)).value == (-12.0,)


def test_n_graph_needs_a_fixing_and_is_exact():
    # ways a-c, a-d, b-d; one of each way fast: a and d at 3, the others at 1
    stages = slow_or_fast("a"), slow_or_fast("b"), slow_or_fast("c", "a"), slow_or_fast("d", "a", "b")
    found = plan(problem(*stages, slo_ms=15))
    assert found.value == (-8.0,)
    assert found.exact


def test_a_graph_that_needs_many_fixings_carries_a_bound():
    stages = [slow_or_fast(f"a{place}") for place in range(6)]
    stages += [slow_or_fast(f"b{place}", *(f"a{other}" for other in range(6) if other != place)) for place in range(6)]
    found = attempt(problem(*stages, slo_ms=15), work=1e7)
    # of every a and b that are joined one is fast: at least 6 of the 12, all a or all b, at 3, and 6 at 1
    assert found.latency_ms <= 15
    assert found.value[0] <= -24.0 <= found.value[0] + found.gap
    assert found.exact == (found.gap == 0)


def test_the_deadline_may_be_below():
    one = problem(slow_or_fast("a"), slo_ms=10)
    assert plan(one).value == (-1.0,)
    assert plan(replace(one, strict=True)).value == (-3.0,)


def test_a_better_detector_sends_more_rows():
    detect = StageModel("detect", (option(1.0, 1.0, variant="small", accuracy=0.6), option(1.0, 2.0, variant="large", accuracy=0.9)))
    classify = StageModel("classify", (option(1.0, 1.0, accuracy=1.0),), ("detect",), (RateTerm("detect", 1.0, {"small": 2.0, "large": 6.0}),))
    pair = problem(detect, classify, objective=MostAccurate(7.0))
    assert plan(pair).totals.accuracy == pytest.approx(0.6)  # large: 2 + 60 / 10 = 8 > 7
    assert plan(replace(pair, objective=MostAccurate(8.0))).stage("classify").shares[0].replicas == 6


def test_accuracy_of_pairs_of_variants():
    table = GivenVariant("a", {("x", "x"): 0.2, ("x", "y"): 0.9, ("y", "x"): 0.8})
    both = (option(1.0, 1.0, variant="x", accuracy=1.0), option(1.0, 1.0, variant="y", accuracy=1.0))
    found = plan(problem(StageModel("a", both), StageModel("b", both, ("a",), accuracy_given=table), objective=MostAccurate()))
    assert [stage.shares[0].option.variant for stage in found.stages] == ["x", "y"]
    assert found.totals.accuracy == pytest.approx(0.9)


def test_shares_reach_an_accuracy_between_two_variants():
    both = (option(1.0, 1.0, variant="poor", accuracy=0.5, throughput=5.0), option(1.0, 10.0, variant="good", accuracy=0.9, throughput=5.0))
    found = plan(problem(StageModel("a", both, share_step=0.05), rate=20.0, objective=LeastCost(0.7)))
    # half and half: 10 rows/s each, 2 replicas each: 2 + 20; good alone would need 4
    assert found.value == (-22.0,)
    assert {share.option.variant: share.share for share in found.stages[0].shares} == {"poor": 0.5, "good": 0.5}


def test_scarce_kind_goes_where_it_saves_most():
    def stage(name, cpu_cost, *after):
        return StageModel(name, (option(1.0, cpu_cost), option(1.0, 1.0, device="gpu")), after)

    found = plan(problem(stage("a", 5.0), stage("b", 9.0, "a"), stage("c", 7.0, "b"), devices={"gpu": 1}))
    assert found.value == (-13.0,)
    assert found.stage("b").shares[0].option.device == "gpu"


def test_more_replicas_when_they_shorten_the_wait():
    one = Problem((StageModel("a", (option(1.0, 1.0),)),), 10.0, 6.0, LeastCost(), Waits(crowd=20.0))
    assert plan(one).stages[0].shares[0].replicas == 4  # 1 + 20 / 4 = 6


@pytest.mark.parametrize(("objective", "accuracy", "cost"), [
    (LeastCost(), 0.5, 1.0), (LeastCost(0.6), 0.7, 2.0), (MostAccurate(2.5), 0.7, 2.0), (MostAccurate(), 0.702, 4.0),
    (CheapestOfAccurate(0.1), 0.7, 2.0), (Weighted(10.0, 0.5), 0.7, 2.0), (Weighted(10.0, 3.0), 0.5, 1.0)])
def test_objectives(objective, accuracy, cost):
    three = (option(1.0, 1.0, variant="a", accuracy=0.5), option(1.0, 2.0, variant="b", accuracy=0.7), option(1.0, 4.0, variant="c", accuracy=0.702))
    found = plan(problem(StageModel("a", three), objective=objective))
    assert (found.totals.accuracy, found.totals.cost) == (pytest.approx(accuracy), cost)


def test_zero_accuracy_is_a_plan_like_any_other():
    zero = problem(StageModel("a", (option(1.0, 1.0, accuracy=0.0),)), objective=MostAccurate())
    assert plan(zero).value == (0.0, -1.0)
    assert isinstance(plan(replace(zero, objective=LeastCost(0.1))), Infeasible)


def test_an_objective_of_ones_own():
    class Squared:
        def value(self, totals: Totals):
            return (-(totals.cost ** 2) - 50 * (1 - totals.accuracy),)

        def allows(self, totals: Totals):
            return totals.cost < 9

        def needs_accuracy(self):
            return True

    three = tuple(option(1.0, cost, variant=name, accuracy=accuracy) for name, cost, accuracy in (("a", 1.0, 0.1), ("b", 4.0, 0.6), ("c", 7.0, 1.0)))
    assert plan(problem(StageModel("a", three), objective=Squared())).totals.cost == 4.0  # -46, -36, -49


def test_equal_prices_in_another_order_are_one_value():
    stages = [StageModel(f"s{place}", (option(1.0, 0.1 * (place + 1)), option(1.0, 0.3))) for place in range(5)]
    assert plan(problem(*stages)).value == pytest.approx((-1.2,))
    assert plan(problem(*reversed(stages))).value == pytest.approx((-1.2,))


def test_long_chain():
    stages = [slow_or_fast(f"s{place}", *([f"s{place - 1}"] if place else [])) for place in range(300)]
    assert plan(problem(*stages, slo_ms=2000)).value == (-(300 + 2 * 200),)


@pytest.mark.parametrize("stages", [
    (), (slow_or_fast("a", "b"), slow_or_fast("b", "a")), (slow_or_fast("a", "nowhere"),), (slow_or_fast("a"), slow_or_fast("a")),
    (slow_or_fast("a"), StageModel("b", (option(1.0, 1.0),), ("a",), (RateTerm("b"),)))])
def test_what_is_no_graph_is_refused(stages):
    with pytest.raises(ValueError):
        plan(problem(*stages))


def test_mean_and_sum_of_accuracies():
    pair = (option(1.0, 1.0, variant="a", accuracy=0.5), option(1.0, 2.0, variant="b", accuracy=0.9))
    stages = StageModel("s", pair, weight=3.0), StageModel("t", pair, ("s",), weight=1.0)
    assert plan(problem(*stages, objective=MostAccurate(3.0), accuracy=AccuracyRule.MEAN)).totals.accuracy == pytest.approx(0.8)  # (3 * .9 + .5) / 4
    assert plan(problem(*stages, objective=Weighted(1.0, 1.0), accuracy=AccuracyRule.SUM)).totals.accuracy == pytest.approx(3.2)  # 3 * .4 > 1 > .4
