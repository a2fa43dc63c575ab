"""The exact search, with the kinds of device that bind taken up one after another."""

from __future__ import annotations

from autoscaler.planner.aim import Aim, aim_of
from autoscaler.planner.candidates import TOLERANCE, last_tick
from autoscaler.planner.model import Plan, Problem
from autoscaler.planner.outcome import as_plan, best_label
from autoscaler.planner.search import Graph, Search
from autoscaler.planner.transform import MOST_FIXED
from autoscaler.planner.work import TooMuch, Work

WORK = 4e9
"""Counted array steps; some seconds."""


def exact(problem: Problem, graph: Graph, work: Work, aim: Aim | None = None) -> Plan | None:
    """The best plan for the aim (the problem's own), None where there is none. TooMuch beyond the class in which it is exact."""
    if graph.steps.fixed > MOST_FIXED or not additive(problem):
        raise TooMuch
    last = last_tick(problem)
    if last < 0:
        return None
    aim, kinds = aim or aim_of(problem), ()
    while True:
        search = Search(graph, aim.with_kinds(kinds), last, work)
        frontier = search.run()
        label = best_label(search.aim, search.algebra.ends(frontier))
        if label is None:
            return None
        found = as_plan(problem, graph, search.algebra.chosen(frontier, label[0]))
        over = exceeded(problem, found)
        if not over:
            return found
        kinds += over


def additive(problem: Problem) -> bool:
    """Whether the price of change can be told variant by variant: where one variant runs per stage it always can."""
    return problem.switching is None or all(stage.share_step is None for stage in problem.stages) or getattr(problem.switching, "by_variant", False)


def exceeded(problem: Problem, plan: Plan) -> tuple[str, ...]:
    """Kinds of which the plan uses more than there is."""
    return tuple(kind for kind, units in problem.devices.items() if plan.totals.used.get(kind, 0.0) > units + TOLERANCE)
