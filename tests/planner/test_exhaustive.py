"""Exhaustive search looks at every plan, and refuses too many."""

import itertools

import pytest
from hypothesis import HealthCheck, given, settings

from autoscaler.planner import exhaustive
from autoscaler.planner.choices import choices, mixes, ordered
from autoscaler.planner.evaluate import evaluate, same_value
from autoscaler.planner.model import Infeasible, Plan, RateTerm, Share, StagePlan, Totals
from autoscaler.planner.objectives import CheapestOfAccurate
from tests.planner.solvers import NoWait, WaitForReplica, option, problem, problems, stage


def test_every_combination_is_counted():
    ways = (option(10), option(20, variant="n"), option(30, variant="n"))
    assert exhaustive.count(problem(stage("a", *ways), stage("b", *ways[:2], after=("a",)))) == 6


def test_more_than_the_limit_is_refused():
    ways = (option(10), option(20))
    asked = problem(stage("a", *ways), stage("b", *ways))
    assert isinstance(exhaustive.solve(asked, limit=4), Plan)
    with pytest.raises(ValueError, match="more than 3"):
        exhaustive.solve(asked, limit=3)


def test_the_plans_of_a_conditioned_graph_are_those_of_every_setting():
    first = stage("a", option(10, variant="x"), option(10, variant="x"), option(10, variant="y"))
    second = stage("b", option(10), option(20), after=("a",), rates=(RateTerm("a", 1.0, {"x": 2.0}),))
    assert exhaustive.count(problem(first, second)) == 6  # 2 * 2 with x, 1 * 2 with y


def test_an_array_of_plans_cut_into_pieces_has_the_same_best(monkeypatch):
    ways = [option(10 + 3 * index, cost=20.0 - index) for index in range(6)]
    asked = problem(stage("a", *ways), stage("b", *ways, after=("a",)), stage("c", *ways, after=("b",)), slo_ms=60)
    whole = exhaustive.solve(asked)
    monkeypatch.setattr(exhaustive, "AT_ONCE", 40)
    assert exhaustive.solve(asked) == whole


def test_replicas_beyond_the_least_only_where_they_shorten_the_time():
    model = stage("a", option(10, throughput=10), most=20)
    fixed = choices(problem(model), model, 25.0, mixes(model)[0], None)
    assert [choice.shares[0].replicas for choice in fixed] == [3]
    falling = choices(problem(model, sizing=WaitForReplica()), model, 25.0, mixes(model)[0], None)
    # 10 + 10 * 2.5 / (n - 2.5): 3 -> 60, 4 -> 26.7, 5 -> 20, 6 -> 17.1, 7 -> 15.6, 8 -> 14.5, 9 -> 13.8, ..
    assert [(choice.shares[0].replicas, choice.time_ms) for choice in falling][:6] == [(3, 60), (4, 27), (5, 20), (6, 18), (7, 16), (8, 15)]
    assert [choice.time_ms for choice in falling] == sorted({choice.time_ms for choice in falling}, reverse=True)


def test_shares_are_every_split_on_the_grid():
    model = stage("a", option(1, variant="x"), option(1, variant="y"), share_step=0.25)
    assert mixes(model) == [(("y", 1.0),), (("x", 0.25), ("y", 0.75)), (("x", 0.5), ("y", 0.5)), (("x", 0.75), ("y", 0.25)), (("x", 1.0),)]


def test_circles_and_unknown_names_are_refused():
    for stages in ([stage("a", option(1), after=("b",)), stage("b", option(1), after=("a",))], [stage("a", option(1), after=("c",))]):
        with pytest.raises(ValueError):
            ordered(problem(*stages))


def by_hand(asked):
    """Every plan of one variant per stage, built and judged one at a time by `evaluate` alone; up to 3 replicas."""
    best = None
    ways = [[Share(way, count) for way in model.options for count in range(1, 4)] for model in asked.stages]
    for shares in itertools.product(*ways):
        bare = Plan(tuple(StagePlan(model.name, (share,), 0.0, 0.0) for model, share in zip(asked.stages, shares, strict=True)),
                    Totals(0.0, 0.0), 0.0, (), exact=False)
        found = evaluate(asked, bare)
        if all(violation.constraint.startswith("claimed") for violation in found.violations) and (best is None or exhaustive.better(found.value, best)):
            best = found.value
    return best


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(problems())
def test_the_best_is_the_best_of_all_plans_that_evaluate_lets_through(asked):
    if len(asked.stages) > 3 or any(model.most > 3 for model in asked.stages) or len(asked.stages[0].options) * 3 > 12:
        return
    found = exhaustive.solve(asked)
    expected = by_hand(asked)
    if isinstance(found, Infeasible):
        assert expected is None
    else:
        assert same_value(found.value, expected)


def test_equal_but_for_rounding_falls_to_the_next_component():
    assert not exhaustive.better((0.1 + 0.2, -5.0), (0.3, -4.0))
    assert exhaustive.better((0.1 + 0.2, -3.0), (0.3, -4.0))


def test_steps_of_accuracy_then_cost_then_accuracy():
    ways = (option(1, cost=3.0, accuracy=0.79, variant="x"), option(1, cost=2.0, accuracy=0.71, variant="y"), option(1, cost=2.0, accuracy=0.75, variant="z"))
    found = exhaustive.solve(problem(stage("a", *ways), objective=CheapestOfAccurate(step=0.1), sizing=NoWait()))
    assert found.stages[0].shares[0].option.variant == "z"
    assert found.value == (7.0, -2.0, 0.75)
