"""A plan where the exact search is too large, and a proven bound on how much better another may be.

    bound   the same search over a problem that allows more and asks less, so that no plan of the problem is better than its best:
            too many labels are put together as if one had the best of each (`thinning`, merge), those of fixed arcs too; capacities are
            dropped; rates and accuracies are conditioned on some stages only, and for the others
                rate       the least factor of any variant, and where a rate is left open, no wait
                accuracy   the greatest of any variant
            a price of change that is no sum over the variants counts as 0
    plan    the same search over fewer labels and mixes, each of which can be had: first with one mix for each stage that conditions others,
            then with all mixes of one of them at a time while that makes the plan better
    gap     value of the bound - value of the plan, in the first component; 0 proves the plan best where there is but one component

Needs demand and factors that never fall when the rate rises, and waits that are never negative. Each search is given less to look at until
its counted work fits, so the plan is the same on every machine.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from autoscaler.planner.aim import Aim, aim_of
from autoscaler.planner.candidates import last_tick
from autoscaler.planner.conditions import Conditions, Mix
from autoscaler.planner.model import Infeasible, Kind, Option, Plan, Problem, RateTerm, Sizing, StageModel
from autoscaler.planner.outcome import TIE, as_plan, best_label, greatest
from autoscaler.planner.search import Graph, Search
from autoscaler.planner.solve import additive, exceeded
from autoscaler.planner.thinning import Thinning
from autoscaler.planner.work import TooMuch, Work

SETTINGS = 200
"""Combinations of mixes that a search may begin with."""
EFFORTS = ((2000, 64), (2000, 8), (400, 8), (400, 2), (60, 2), (60, 1))
"""(labels, labels of each fixed arc) of one search after another, until its work fits."""
ROUNDS = 3


def plan(problem: Problem, graph: Graph, work: float) -> Plan | Infeasible:
    """work: of each search. Infeasible without its reasons, `proven` where even the bound has no plan."""
    if last_tick(problem) < 0:
        return Infeasible(())
    bound = _bound(problem, work)
    if bound is None:
        return Infeasible(())
    found = _plan(problem, graph, work)
    if found is None:
        return Infeasible((), proven=False)
    gap = max(0.0, bound - found.value[0])
    if gap <= TIE * max(1.0, abs(bound)):
        return replace(found, exact=len(found.value) == 1, gap=0.0)
    return replace(found, exact=False, gap=gap)


def _efforts(work: float) -> list[tuple[int, int, Work]]:
    """Labels, labels of a fixed arc, and the work it may take; the last may take any."""
    return [(labels, fixed, Work(work if effort < len(EFFORTS) else math.inf)) for effort, (labels, fixed) in enumerate(EFFORTS, 1)]


def _bound(problem: Problem, allowed: float) -> float | None:
    """Value, in the first component, that no plan exceeds; None where there can be no plan."""
    loose = _loosened(problem)
    graph = Graph(loose)
    aim = aim_of(loose)
    for labels, fixed, work in _efforts(allowed):
        try:
            search = Search(graph, aim, last_tick(loose), work, thin=Thinning(labels, merge=True) if len(aim.components) > 1 else None,
                            thin_fixed=Thinning(fixed, merge=True))
            label = best_label(aim, search.algebra.ends(search.run()))
        except TooMuch:
            continue
        return None if label is None else label[1][0]
    raise AssertionError("the last effort has no limit")


@dataclass(frozen=True, slots=True)
class _NoWait:
    """No wait for some options, the sizing's for all others."""

    sizing: Sizing
    free: frozenset[Option]

    @property
    def kind(self) -> Kind:
        return self.sizing.kind

    def demand(self, rate: float) -> float:
        return self.sizing.demand(rate)

    def wait_ms(self, option: Option, rate: float, replicas: int) -> float:
        return 0.0 if option in self.free else self.sizing.wait_ms(option, rate, replicas)

    def falls_with_replicas(self) -> bool:
        return self.sizing.falls_with_replicas()


def _loosened(problem: Problem) -> Problem:
    """As large a problem as can be gone through, of which every plan of the given one is a plan that is valued no less."""
    conditions = Conditions(problem)
    kept: list[str] = []
    for origin in conditions.origins:
        if math.prod(conditions.count(name) for name in [*kept, origin]) <= SETTINGS:
            kept.append(origin)
    left = frozenset(conditions.origins) - set(kept)
    open_rates: set[str] = set()
    for name in conditions.ordered():
        if any(term.origin in open_rates or (term.origin in left and conditions.varies(term)) for term in conditions.stages[name].rate_terms()):
            open_rates.add(name)
    free = frozenset(option for name in open_rates for option in conditions.stages[name].options)
    return replace(problem, stages=tuple(_loose_stage(stage, left, conditions) for stage in problem.stages),
                   sizing=_NoWait(problem.sizing, free) if free else problem.sizing, switching=problem.switching if additive(problem) else None)


def _loose_stage(stage: StageModel, left: frozenset[str], conditions: Conditions) -> StageModel:
    terms = tuple(RateTerm(term.origin, term.factor * min(term.by_variant.get(variant, 1.0) for variant in conditions.variants[term.origin]))
                  if term.origin in left and conditions.varies(term) else term for term in stage.rate_terms())
    given = stage.accuracy_given
    if given is None or given.origin not in left:
        return replace(stage, rates=terms)
    best: dict[str, float] = {}
    for (theirs, own), accuracy in given.table.items():
        if theirs in conditions.variants[given.origin]:
            best[own] = max(accuracy, best.get(own, 0.0))
    options = tuple(replace(option, accuracy=best[option.variant]) for option in stage.options if option.variant in best)
    return replace(stage, rates=terms, accuracy_given=None, options=options)


def _plan(problem: Problem, graph: Graph, work: float) -> Plan | None:
    origins = graph.conditions.origins
    found = _best([_tried(problem, graph, domains, work) for domains in _starts(graph)])
    for _ in range(ROUNDS if found is not None else 0):
        before = found
        for origin in origins:
            setting = _setting(graph, found)
            domains = {name: [mix] for name, mix in setting.items()} | {origin: _some(graph, origin, setting[origin])}
            found = _best([found, _tried(problem, graph, domains, work)])
        if found.value == before.value:
            break
    return found


def _starts(graph: Graph) -> list[dict[str, list[Mix]]]:
    """Mixes of one variant each: few for each stage that conditions others, so that all combinations can be looked at; then, for all
    stages alike, the variant that sends on the least, and the most accurate one."""
    conditions = graph.conditions
    if not conditions.origins:
        return [{}]
    orders = {name: _ranked(graph, name) for name in conditions.origins}
    width = max(1, math.floor(SETTINGS ** (1 / len(orders)) + 1e-9))
    starts = [{name: [((variant, conditions.parts[name]),) for variant in least[:width]] for name, (least, _) in orders.items()}]
    return [*starts, *({name: [((order[kind][0], conditions.parts[name]),)] for name, order in orders.items()} for kind in range(2))]


def _ranked(graph: Graph, name: str) -> tuple[list[str], list[str]]:
    """Variants of the stage: those that send on the least first, and the most accurate first."""
    stages = graph.problem.stages
    sent = {variant: sum(term.factor * term.by_variant.get(variant, 1.0) for stage in stages for term in stage.rate_terms() if term.origin == name)
            for variant in graph.conditions.variants[name]}
    accuracy = {option.variant: option.accuracy for option in graph.conditions.stages[name].options}
    for stage in stages:
        if stage.accuracy_given and stage.accuracy_given.origin == name:
            for (theirs, _), value in stage.accuracy_given.table.items():
                if theirs in accuracy:
                    accuracy[theirs] = max(accuracy[theirs], value)
    return sorted(sent, key=lambda variant: sent[variant]), sorted(accuracy, key=lambda variant: -accuracy[variant])


def _some(graph: Graph, origin: str, mix: Mix) -> list[Mix]:
    """All mixes of the stage, or evenly chosen ones and the given one."""
    every = max(1, -(-graph.conditions.count(origin) // SETTINGS))
    return list(dict.fromkeys([mix, *itertools.islice(graph.conditions.mixes(origin), 0, None, every)]))


def _setting(graph: Graph, found: Plan) -> dict[str, Mix]:
    return {origin: tuple((share.option.variant, round(share.share * graph.conditions.parts[origin])) for share in found.stage(origin).shares)
            for origin in graph.conditions.origins}


def _tried(problem: Problem, graph: Graph, domains: Mapping[str, Sequence[Mix]], allowed: float) -> Plan | None:
    """The best plan with these mixes among labels few enough to go through."""
    aim, kinds = aim_of(problem), ()
    efforts = _efforts(allowed)
    while efforts:
        labels, fixed, work = efforts[0]
        try:
            found = _searched(problem, graph, aim.with_kinds(kinds), domains, labels, fixed, work)
        except TooMuch:
            efforts = efforts[1:]
            continue
        over = exceeded(problem, found) if found is not None else ()
        if not over:
            return found
        kinds += over
    raise AssertionError("the last effort has no limit")


def _searched(problem: Problem, graph: Graph, aim: Aim, domains: Mapping[str, Sequence[Mix]], labels: int, fixed: int, work: Work) -> Plan | None:
    search = Search(graph, aim, last_tick(problem), work, domains, Thinning(labels, merge=False) if len(aim.components) > 1 else None,
                    Thinning(fixed, merge=False))
    frontier = search.run()
    label = best_label(aim, search.algebra.ends(frontier))
    return None if label is None else as_plan(problem, graph, search.algebra.chosen(frontier, label[0]))


def _best(plans: Sequence[Plan | None]) -> Plan | None:
    found = [one for one in plans if one is not None]
    best = greatest(list(enumerate(one.value for one in found)))
    return None if best is None else found[best[0]]
