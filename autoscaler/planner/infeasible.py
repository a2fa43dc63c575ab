"""Why no plan meets a problem, and what alone would make one do.

    binding       a set of constraints that cannot hold together, none of which could be left out of it: go through all, and drop each
                  without which the rest still cannot hold (deletion filter, Chinneck 1997); a constraint whose relaxation alone helps
                  is always in it
    least SLO     the latency axis made twice as long until a plan exists, then the least ticks of an allowed label of the final frontier
    added[kind]   least use of the kind by a plan that meets all the rest, less what there is
    largest rate  bisection between the highest rate of the ladder rate / 2, rate / 4, .. rate / 2^20 that can be served and the next one
                  above, to 1e-6 of it, from below; the wait for a batch to fill may hide servable rates higher up

Each is one constraint relaxed, all others as they are: "slo", each kind, "budget" and "accuracy" of the objective, "replicas" (the most of
each stage raised until any of its options carries the demand); "options" where a stage can run in no way even without all these.

A search that only asks whether there is a plan carries in its labels what is constrained, and nothing else.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

from autoscaler.planner.aim import ACCURACY, COST, Aim, Component, accuracy_weights, aim_of
from autoscaler.planner.candidates import TOLERANCE, last_tick
from autoscaler.planner.model import Infeasible, Plan, Problem, StageModel
from autoscaler.planner.objectives import CheapestOfAccurate, LeastCost, MostAccurate, Weighted
from autoscaler.planner.outcome import as_plan
from autoscaler.planner.search import Graph, Search
from autoscaler.planner.solve import exceeded
from autoscaler.planner.transform import MOST_FIXED
from autoscaler.planner.work import TooMuch, Work

WORK = 2e10
HALVINGS = 20
PRECISION = 1e-6
NO_DEADLINE = 1e18
"""ms; a grid of that step has no deadline."""


def explained(problem: Problem, *, proven: bool = True) -> Infeasible:
    """For a problem without a plan. Where a search grows too large, what it was to say is left out, and `proven` is False."""
    question = _Question(Work(WORK), proven)
    added = {kind: found for kind in problem.devices if (found := question.asked(added_units, problem, kind)) is not None}
    return Infeasible(binding=question.asked(_binding, problem) or (), least_slo_ms=question.asked(least_slo_ms, problem), added=added,
                      largest_rate=question.asked(largest_rate, problem), proven=question.proven)


@dataclass(slots=True)
class _Question:
    work: Work
    proven: bool

    def asked(self, ask: Callable, *arguments: object) -> object:
        try:
            return ask(*arguments, self.work)
        except TooMuch:
            self.proven = False
            return None


def feasible(problem: Problem, work: Work) -> bool:
    """Whether any plan meets the problem. TooMuch when that takes more work."""
    return last_tick(problem) >= 0 and _found(problem, last_tick(problem), work) is not None


def least_slo_ms(problem: Problem, work: Work) -> float | None:
    """The smallest SLO that can be met, all else as it is, a whole number of ticks; with a strict deadline the tick after the longest way."""
    if not feasible(_without_deadline(problem), work):
        return None
    last = max(1, last_tick(problem))
    while (found := _found(problem, last, work, quickest=True)) is None:
        last *= 2
    return round(found.latency_ms / problem.grid_ms + problem.strict) * problem.grid_ms


def added_units(problem: Problem, kind: str, work: Work) -> float | None:
    """Units of the kind to add, all else as it is; None where no number of them helps."""
    without = replace(problem, devices={name: units for name, units in problem.devices.items() if name != kind})
    found = _found(without, last_tick(problem), work, first=Component(kind=kind)) if last_tick(problem) >= 0 else None
    return None if found is None else max(0.0, found.totals.used.get(kind, 0.0) - problem.devices[kind])


def largest_rate(problem: Problem, work: Work) -> float | None:
    """events/s that can be served, to `PRECISION`; None where none of the ladder can."""
    above = problem.rate
    for _ in range(HALVINGS):
        below = above / 2
        if feasible(replace(problem, rate=below), work):
            break
        above = below
    else:
        return None
    while above - below > PRECISION * below:
        middle = (above + below) / 2
        if feasible(replace(problem, rate=middle), work):
            below = middle
        else:
            above = middle
    return below


def _binding(problem: Problem, work: Work) -> tuple[str, ...]:
    relaxations: dict[str, Callable[[Problem], Problem]] = {}
    if any(stage.most < _most(problem) for stage in problem.stages):
        relaxations["replicas"] = lambda one: replace(one, stages=tuple(replace(stage, most=max(stage.most, _most(problem))) for stage in one.stages))
    match problem.objective:
        case LeastCost(min_accuracy) if min_accuracy is not None:
            relaxations["accuracy"] = lambda one: replace(one, objective=LeastCost())
        case MostAccurate(budget) if budget is not None:
            relaxations["budget"] = lambda one: replace(one, objective=MostAccurate())
        case LeastCost() | MostAccurate() | Weighted() | CheapestOfAccurate():
            pass
        case _:
            relaxations["objective"] = lambda one: replace(one, objective=LeastCost())
    for kind in problem.devices:
        relaxations[kind] = lambda one, kind=kind: replace(one, devices={name: units for name, units in one.devices.items() if name != kind})
    relaxations["slo"] = _without_deadline
    return _contradiction(problem, relaxations, work)


def _contradiction(problem: Problem, relaxations: dict[str, Callable[[Problem], Problem]], work: Work) -> tuple[str, ...]:
    """The deletion filter."""
    for name, relaxed in relaxations.items():
        without = relaxed(problem)
        if feasible(without, work):
            continue
        problem = without
        relaxations = {other: relaxation for other, relaxation in relaxations.items() if other != name}
    return tuple(relaxations) or ("options",)


def _most(problem: Problem) -> int:
    """Replicas that are enough for any option: of the slowest, ten times what the highest rate of any stage needs."""
    slowest = min((option.throughput for stage in problem.stages for option in stage.options), default=1.0)
    highest = problem.rate
    for stage in problem.stages:
        highest *= max(1.0, _growth(stage))
    return math.ceil(min(10 * problem.sizing.demand(highest) / slowest + 1, 1e6))


def _growth(stage: StageModel) -> float:
    return sum(abs(term.factor) * max([1.0, *term.by_variant.values()]) for term in stage.rate_terms())


def _without_deadline(problem: Problem) -> Problem:
    return replace(problem, grid_ms=NO_DEADLINE, slo_ms=2 * NO_DEADLINE)


def _found(problem: Problem, last: int, work: Work, *, first: Component | None = None, quickest: bool = False) -> Plan | None:
    """A plan with the least of `first` (or the least ticks) that meets the problem within `last` ticks."""
    graph = Graph(problem)
    if graph.steps.fixed > MOST_FIXED:
        raise TooMuch
    kinds: tuple[str, ...] = ()
    while True:
        aim = _constraints(problem, first, kinds)
        search = Search(graph, aim, last, work)
        frontier = search.run()
        places, ticks, values = search.algebra.ends(frontier)
        allowed = [place for place in range(len(places))
                   if (values[place] <= aim.caps + TOLERANCE).all() and problem.objective.allows(aim.totals(values[place].tolist()))]
        if not allowed:
            return None
        best = min(allowed, key=lambda place: ticks[place] if quickest else values[place, 0])
        found = as_plan(problem, graph, search.algebra.chosen(frontier, int(places[best])))
        over = exceeded(problem, found)
        if not over:
            return found
        kinds += over


def _constraints(problem: Problem, first: Component | None, kinds: tuple[str, ...]) -> Aim:
    """Labels of what is asked for, then of what is constrained."""
    components = [] if first is None else [first]
    cost = accuracy = 0
    match problem.objective:
        case LeastCost(min_accuracy):
            if min_accuracy is not None and min_accuracy > 0:
                accuracy = len(components)
                components.append(ACCURACY)
        case MostAccurate(budget):
            if budget is not None:
                cost = len(components)
                components.append(COST)
        case Weighted() | CheapestOfAccurate():
            pass
        case _ if first is None:
            return aim_of(problem).with_kinds(kinds)
        case _:
            raise TooMuch  # what of an unknown objective is a constraint is not known
    components += [Component(kind=kind) for kind in kinds]
    components = components or [COST]
    has_accuracy = ACCURACY in components
    return Aim(problem, tuple(components), problem.objective, cost=cost, accuracy=accuracy if has_accuracy else None, weights=accuracy_weights(problem))
