"""One suite for every solver: the planner and the two oracles find the same value, or all find none, and `evaluate` finds nothing wrong."""

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings

from autoscaler.planner import exhaustive, frontier, milp
from autoscaler.planner.evaluate import evaluate, same_value
from autoscaler.planner.model import AccuracyRule, GivenVariant, Infeasible, Plan, RateTerm
from autoscaler.planner.objectives import CheapestOfAccurate, LeastCost, MostAccurate, Weighted
from tests.planner.solvers import WaitForReplica, option, problem, problems, stage

SOLVERS = {"frontier": frontier.plan, "exhaustive": exhaustive.solve, "milp": milp.solve}

CHEAP, QUICK = option(30, cost=1.0, variant="cheap", accuracy=0.8), option(10, cost=3.0, variant="quick", accuracy=0.9)
ONE, TWICE = option(10, cost=1.0, variant="one"), option(20, cost=0.4, variant="twice")
CHAIN = (stage("a", CHEAP, QUICK), stage("b", CHEAP, QUICK, after=("a",)), stage("c", CHEAP, QUICK, after=("b",)))
DIAMOND = (stage("a", CHEAP, QUICK), stage("b", CHEAP, QUICK, after=("a",), rates=(RateTerm("a", 0.5),)),
           stage("c", CHEAP, QUICK, after=("a",), rates=(RateTerm("a", 0.5),)), stage("d", CHEAP, QUICK, after=("b", "c")))
N = (stage("a", CHEAP, QUICK), stage("b", option(30, cost=10.0), option(10, cost=11.0)), stage("c", option(30, cost=5.0), after=("a",)),
     stage("d", CHEAP, QUICK, after=("a", "b"), rates=(RateTerm("a"),)))
FINDS = (stage("a", ONE, TWICE), stage("b", option(10, cost=1.0), after=("a",), rates=(RateTerm("a", 1.0, {"twice": 2.0}),)))
PAIRS = GivenVariant("a", {("cheap", "quick"): 0.95, ("quick", "cheap"): 0.5})

BY_HAND = {
    "every stage cheap": (problem(*CHAIN, slo_ms=90), (-3.0,)),  # 30 + 30 + 30
    "one stage quick": (problem(*CHAIN, slo_ms=89), (-5.0,)),  # 10 + 30 + 30 = 70
    "two stages quick": (problem(*CHAIN, slo_ms=69), (-7.0,)),  # 10 + 10 + 30 = 50
    "all quick": (problem(*CHAIN, slo_ms=30), (-9.0,)),
    "all quick and a strict deadline": (problem(*CHAIN, slo_ms=30, strict=True), None),
    "too slow": (problem(*CHAIN, slo_ms=29), None),
    "the grid rounds each stage up": (problem(*CHAIN, slo_ms=49, grid_ms=25.0), None),  # 25 + 25 + 25
    "three replicas each": (problem(*CHAIN, slo_ms=90, rate=25.0), (-9.0,)),  # 25 / 10 = 2.5
    "diamond, one branch stays cheap only with the other": (problem(*DIAMOND, slo_ms=70), (-6.0,)),  # 10 + 30 + 30: one stage of 3 + 3 cheap
    "diamond, ends or both branches": (problem(*DIAMOND, slo_ms=50), (-8.0,)),  # both ends quick: 3 + 1 + 1 + 3; a branch pair: 3 + 3 + 3 + 1
    "N, a serves both ways": (problem(*N, slo_ms=40), (-20.0,)),  # a quick for c (10 + 30); then b + d: 40 = 30 + 10 (10 + 3) or 10 + 30 (11 + 1)
    "N, without hurry": (problem(*N, slo_ms=60), (-17.0,)),  # 1 + 10 + 5 + 1
    "N, in vain": (problem(*N, slo_ms=39), None),
    "the cheaper variant makes more rows behind it": (problem(*FINDS), (-2.0,)),  # 1 + 1, against 0.4 + 2
    "more rows are worth it while a replica is spare": (problem(*FINDS, rate=5.0), (-1.4,)),  # 0.4 + 1
    "capacity of the cheap kind": (problem(stage("a", option(10, cost=1.0), option(5, cost=5.0, device="gpu")), rate=30.0, devices={"cpu": 2.0}), (-15.0,)),
    "capacity of both kinds": (problem(stage("a", option(10, cost=1.0), option(5, cost=5.0, device="gpu")), rate=30.0,
                                       devices={"cpu": 2.0, "gpu": 2.0}), None),
    "capacity is shared": (problem(stage("a", option(10), option(10, cost=7.0, device="gpu")), stage("b", option(10), option(10, cost=6.0, device="gpu")),
                                   devices={"cpu": 1.0}), (-7.0,)),
    "memory is a kind": (problem(stage("a", option(10, memory_gb=2.0), option(10, cost=2.0, memory_gb=1.0)), devices={"memory_gb": 1.5}), (-2.0,)),
    "more than the most replicas": (problem(stage("a", option(10), most=2), rate=30.0), None),
    "never fewer than the least": (problem(stage("a", option(10), least=3)), (-3.0,)),
    "a further replica instead of the wait": (problem(stage("a", option(10)), rate=5.0, slo_ms=14, sizing=WaitForReplica()), (-2.0,)),  # 10 + 10 * .5 / 1.5
    "least accuracy": (problem(*CHAIN, objective=LeastCost(min_accuracy=0.8 * 0.8 * 0.9)), (-5.0,)),
    "accuracy beyond reach": (problem(*CHAIN, objective=LeastCost(min_accuracy=0.73)), None),  # 0.9 ^ 3 = 0.729
    "accuracy within a budget": (problem(*CHAIN, objective=MostAccurate(budget=6.9)), (0.8 * 0.8 * 0.9, -5.0)),
    "no budget": (problem(*CHAIN, objective=MostAccurate()), (0.9 ** 3, -9.0)),
    "a budget too small": (problem(*CHAIN, objective=MostAccurate(budget=2.9)), None),
    "the mean of accuracies within a budget": (problem(*CHAIN, objective=MostAccurate(7.0), accuracy=AccuracyRule.MEAN), ((0.9 + 0.9 + 0.8) / 3, -7.0)),
    "the sum of accuracies against cost": (problem(*CHAIN, objective=Weighted(21.0, 1.0), accuracy=AccuracyRule.SUM), (21 * 2.7 - 9,)),
    "the sum of accuracies not worth its cost": (problem(*CHAIN, objective=Weighted(19.0, 1.0), accuracy=AccuracyRule.SUM), (19 * 2.4 - 3,)),
    "steps of accuracy": (problem(*CHAIN, objective=CheapestOfAccurate(0.1)), (7.0, -9.0, 0.9 ** 3)),  # .729 is alone from .7 on
    "whole steps of accuracy only": (problem(*CHAIN, objective=CheapestOfAccurate(0.3)), (2.0, -7.0, 0.9 * 0.9 * 0.8)),  # .648 is the cheapest from .6 on
    "accuracy given the variant before": (problem(CHAIN[0], replace(CHAIN[1], accuracy_given=PAIRS), objective=MostAccurate()), (0.8 * 0.95, -4.0)),
    "pairs that may not be": (problem(CHAIN[0], replace(CHAIN[1], accuracy_given=PAIRS), slo_ms=20), None),  # quick, quick is not in the table
    "half of the rows each": (problem(stage("a", option(10, cost=1.0, accuracy=0.5, variant="x"), option(10, cost=3.0, accuracy=1.0, variant="y"),
                                            share_step=0.5), objective=MostAccurate(4.0)), (1.0, -3.0)),
    "half of the rows each within a budget": (problem(stage("a", option(10, cost=1.0, accuracy=0.5, variant="x"),
                                                            option(10, cost=3.0, accuracy=1.0, variant="y"), share_step=0.5), rate=20.0,
                                                      objective=MostAccurate(5.0)), (0.75, -4.0)),  # one replica of each; two of y cost 6
    "a short cut is no way out": (problem(CHAIN[0], CHAIN[1], replace(CHAIN[2], after=("a", "b"), rates=(RateTerm("b"),)), slo_ms=89), (-5.0,)),
}


@pytest.mark.parametrize("solve", SOLVERS.values(), ids=SOLVERS)
@pytest.mark.parametrize("case", BY_HAND)
def test_the_answer_worked_out_by_hand(case, solve):
    asked, value = BY_HAND[case]
    found = solve(asked)
    if value is None:
        assert isinstance(found, Infeasible)
        return
    assert isinstance(found, Plan)
    assert found.value == pytest.approx(value, rel=1e-9)
    assert found.exact
    assert evaluate(asked, found).violations == ()


def agree(asked):
    answers = {name: solve(asked) for name, solve in SOLVERS.items()}
    for name, found in answers.items():
        if isinstance(found, Plan):
            assert evaluate(asked, found).violations == (), name
    values = {name: found.value if isinstance(found, Plan) else type(found).__name__ for name, found in answers.items()}
    best = values["exhaustive"]
    assert all(value == best if isinstance(best, str) or isinstance(value, str) else same_value(value, best) for value in values.values()), values
    return answers


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(problems())
def test_all_solvers_agree_on_any_graph(asked):
    agree(asked)


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(problems(shares=True))
def test_all_solvers_agree_on_shares_of_several_variants(asked):
    agree(asked)


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(problems())
def test_order_and_names_of_the_stages_do_not_matter(asked):
    def renamed(name):
        return None if name is None else "z" + name

    stages = tuple(replace(
        model, name=renamed(model.name), after=tuple(map(renamed, model.after)),
        rates=tuple(replace(term, origin=renamed(term.origin)) for term in model.rates),
        accuracy_given=model.accuracy_given and GivenVariant(renamed(model.accuracy_given.origin), model.accuracy_given.table))
        for model in reversed(asked.stages))
    found, other = frontier.plan(asked), frontier.plan(replace(asked, stages=stages))
    assert type(found) is type(other)
    assert isinstance(found, Infeasible) or same_value(found.value, other.value)


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(problems())
def test_more_time_and_more_devices_never_hurt(asked):
    found = frontier.plan(asked)
    roomy = frontier.plan(replace(asked, slo_ms=asked.slo_ms + 7, devices={kind: units + 1 for kind, units in asked.devices.items()}))
    if isinstance(found, Plan):
        assert isinstance(roomy, Plan)
        assert same_value(roomy.value, found.value) or exhaustive.better(roomy.value, found.value)


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(problems())
def test_what_would_make_an_infeasible_problem_feasible_does_and_nothing_less(asked):
    found = frontier.plan(asked)
    if not isinstance(found, Infeasible):
        return
    assert found.binding
    if found.least_slo_ms is not None:
        less = asked.grid_ms if asked.strict else 1e-6  # a strict one is told in whole ticks
        assert isinstance(exhaustive.solve(replace(asked, slo_ms=found.least_slo_ms)), Plan)
        assert isinstance(exhaustive.solve(replace(asked, slo_ms=found.least_slo_ms - less)), Infeasible)
    for kind, units in found.added.items():
        assert isinstance(exhaustive.solve(replace(asked, devices={**asked.devices, kind: asked.devices[kind] + units})), Plan)
        assert isinstance(exhaustive.solve(replace(asked, devices={**asked.devices, kind: asked.devices[kind] + units - 1e-6})), Infeasible)
    if found.largest_rate:
        assert isinstance(exhaustive.solve(replace(asked, rate=found.largest_rate)), Plan)
