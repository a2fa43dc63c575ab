"""What is said of a plan, on cases small enough to reckon by hand."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from autoscaler.planner.explain import Difference, explain, next_best, text
from autoscaler.planner.frontier import plan
from autoscaler.planner.model import Infeasible, Option, Plan, Problem, StageModel
from autoscaler.planner.objectives import LeastCost, MostAccurate
from autoscaler.planner.queueing import NoWait

SLOW = Option("slow", 1, 1, 80.0, 12.5, 0.9, 1.0)
MIDDLE = Option("middle", 1, 2, 40.0, 25.0, 0.9, 2.0)
FAST = Option("fast", 1, 4, 20.0, 50.0, 0.9, 4.0)
SHARP = Option("sharp", 1, 4, 50.0, 20.0, 0.99, 4.0)


def problem(*options: Option, **more: object) -> Problem:
    """Two stages with the same options, 10 events/s, so one replica of anything will do."""
    chain = (StageModel("a", options), StageModel("b", options, after=("a",)))
    return replace(Problem(chain, 10.0, 100.0, LeastCost(), NoWait()), **more)


def explained(case: Problem):
    return explain(case, plan(case))


def limits(case: Problem) -> dict[str, bool]:
    return {limit.name: limit.binds for limit in explained(case).limits}


def test_what_each_stage_takes():
    # within 100 ms: 40 + 40 costs 4, 80 + 20 costs 5, 40 + 20 costs 6
    parts = explained(problem(SLOW, MIDDLE, FAST)).parts
    assert [(part.stage, part.variant, part.latency_ms, part.wait_ms, part.of_way, part.cost) for part in parts] == [
        ("a", "middle", 40.0, 0.0, 0.5, 2.0), ("b", "middle", 40.0, 0.0, 0.5, 2.0)]


def test_a_stage_beside_the_slowest_way_has_no_part_of_it():
    fork = (StageModel("a", (SLOW,)), StageModel("b", (FAST,)))
    case = Problem(fork, 10.0, 100.0, LeastCost(), NoWait())
    assert [part.of_way for part in explained(case).parts] == [1.0, None]


def test_the_slo_binds_when_twice_as_long_would_be_cheaper():
    assert limits(problem(SLOW, MIDDLE, FAST)) == {"slo": True}
    assert limits(problem(MIDDLE, FAST)) == {"slo": False}


def test_a_kind_binds_when_it_is_what_keeps_a_better_plan_away():
    aim = MostAccurate()
    assert limits(problem(SLOW, SHARP, objective=aim, slo_ms=200.0, devices={"cpu": 5})) == {"slo": False, "cpu": True}
    assert limits(problem(SLOW, SHARP, objective=aim, slo_ms=200.0, devices={"cpu": 8})) == {"slo": False, "cpu": False}


def test_budget_and_least_accuracy_are_limits_too():
    assert limits(problem(SLOW, SHARP, objective=MostAccurate(5.0), slo_ms=200.0))["budget"]
    assert not limits(problem(SLOW, SHARP, objective=MostAccurate(8.0), slo_ms=200.0))["budget"]
    assert limits(problem(SLOW, SHARP, objective=LeastCost(0.85), slo_ms=200.0))["accuracy"]
    assert not limits(problem(SLOW, SHARP, objective=LeastCost(0.8), slo_ms=200.0))["accuracy"]  # 0.9 * 0.9 = 0.81 is enough


def test_the_next_best_plan_and_its_price():
    case = problem(SLOW, MIDDLE, FAST)
    other = next_best(case, plan(case))  # 80 + 20 ms, either way round
    assert replace(other, choices=()) == Difference("without middle (2 cpu, batch 1) at a", False, 1.0, 0.0, 20.0)
    assert sorted(choice.split(": ")[1] for choice in other.choices) == ["1 x fast (4 cpu, batch 1)", "1 x slow (1 cpu, batch 1)"]


def test_no_next_best_where_every_other_choice_breaks_a_limit():
    case = problem(SLOW, MIDDLE, slo_ms=80.0)
    assert next_best(case, plan(case)) is None


def test_what_one_more_core_buys():
    case = problem(SLOW, SHARP, objective=MostAccurate(), slo_ms=200.0, devices={"cpu": 4})
    core, time = explained(case).buys
    assert (core.cost, core.accuracy, core.latency_ms) == (3.0, pytest.approx(0.9 * 0.99 - 0.81), -30.0)  # one of the two becomes sharp
    assert sorted(choice.split(": ")[1] for choice in core.choices) == ["1 x sharp (4 cpu, batch 1)", "1 x slow (1 cpu, batch 1)"]
    assert core.better
    assert not time.better


def test_what_ten_ms_more_buy():
    case = problem(SLOW, MIDDLE, slo_ms=110.0)
    (time,) = explained(case).buys
    assert (time.better, time.cost, time.latency_ms) == (True, -1.0, 40.0)  # 80 + 40 = 120 ms for 3 instead of 4
    assert not explained(replace(case, slo_ms=109.0)).buys[0].better


def test_every_difference_is_that_of_a_plan_that_there_is():
    case = problem(SLOW, MIDDLE, FAST, SHARP, objective=MostAccurate(), devices={"cpu": 6})
    here = plan(case)
    assert isinstance(here, Plan)
    other = explained(case).next_best
    assert other is not None
    assert not other.better
    assert (other.accuracy, -other.cost) <= (1e-12, 0.0) or other.accuracy < 0


def test_an_infeasible_problem_says_why_and_what_would_do():
    case = problem(SLOW, slo_ms=100.0)
    found = plan(case)
    assert isinstance(found, Infeasible)
    said = text(explain(case, found))
    assert "no plan carries 10 events/s within 100 ms" in said
    assert "an SLO of at least 160 ms" in said


def test_nothing_helps_is_said_too():
    said = text(explain(problem(SLOW), Infeasible(("accuracy",))))
    assert "accuracy stand(s) in the way" in said
    assert "no single relaxation" in said


def test_text_says_all_of_it():
    said = text(explained(problem(SLOW, MIDDLE, FAST, devices={"cpu": 8})))
    for part in ("a: 1 x middle, 2 cpu, batch 1, 10 rows/s: 40 ms + 0 ms wait, 50% of the slowest way; cost 2", "slo: 80 of 100 ms, 20 ms to spare; binds",
                 "cpu: 4 of 8 cores, 4 cores to spare; does not bind", "without middle (2 cpu, batch 1) at a: cost +1", "one more cpu: nothing",
                 "proven the best"):
        assert part in said


def test_data_is_ready_for_json():
    plain = json.loads(json.dumps(explained(problem(SLOW, MIDDLE, FAST)).data()))
    assert plain["limits"] == [{"name": "slo", "taken": 80.0, "limit": 100.0, "binds": True, "slack": 20.0}]
    assert plain["next_best"]["cost"] == 1.0
    assert plain["totals"]["cost"] == 4.0
