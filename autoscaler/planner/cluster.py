"""Several pipelines on one cluster: the plan of each, so that together they fit and their weighted values add to the most.

    F[i]      frontier of pipeline i within its own SLO, of labels (value, units used of each kind), by `search`
    M[0..i]   = labels of M[0..i-1] plus labels of F[i], without those that use more of a kind than there is or that another beats
    best      of M[all], the greatest sum of weight * value, component by component in order

Exact: pipelines share nothing but capacity, and uses add. As for one pipeline, a kind is taken up only when a best plan without it has used
more than there is. O(labels of M * labels of F[i] * log) for each pipeline. Where a pipeline's own search is too large, pipelines are
planned one after another with what is left (anytime), and the gap is to the sum of what each could have alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from autoscaler.planner import frontier, infeasible
from autoscaler.planner.aim import aim_of
from autoscaler.planner.candidates import TOLERANCE, last_tick
from autoscaler.planner.labels import LabelAlgebra, Labels
from autoscaler.planner.model import Infeasible, Plan, Problem
from autoscaler.planner.outcome import as_plan, best_label
from autoscaler.planner.search import Graph, Search
from autoscaler.planner.solve import WORK, additive
from autoscaler.planner.transform import MOST_FIXED
from autoscaler.planner.work import TooMuch, Work


@dataclass(frozen=True, slots=True)
class ClusterPlan:
    """plans: in the order of the problems. value: weighted sum of theirs. used: units by kind. exact, gap: as of a plan."""

    plans: tuple[Plan, ...]
    value: tuple[float, ...]
    used: Mapping[str, float]
    exact: bool
    gap: float = 0.0


def plan_cluster(problems: Sequence[Problem], devices: Mapping[str, float], weights: Sequence[float] | None = None) -> ClusterPlan | Infeasible:
    """devices: units of each kind that all share; a problem's own devices hold beside them. weights: of each pipeline's value, >= 0; 1 each.

    Infeasible names the kinds of which there is too little for all, and the units to add of each alone; for a pipeline that does not even
    fit by itself it says what `plan` says of it. ValueError for no problems, or objectives whose values differ in length.
    """
    if not problems:
        raise ValueError("no pipelines to plan")
    weights = [1.0] * len(problems) if weights is None else list(weights)
    if len(weights) != len(problems) or min(weights) < 0:
        raise ValueError(f"{len(weights)} weights for {len(problems)} pipelines, the least {min(weights, default=0.0)}; use one >= 0 for each")
    own = [replace(problem, devices=_least_of(problem.devices, devices)) for problem in problems]
    try:
        return _merged(own, devices, weights, Work(WORK * len(problems)))
    except TooMuch:
        return _one_after_another(own, devices, weights)


def _least_of(first: Mapping[str, float], second: Mapping[str, float]) -> dict[str, float]:
    return {kind: min(first.get(kind, np.inf), second.get(kind, np.inf)) for kind in (*first, *second)}


@dataclass(slots=True)
class _Pipeline:
    problem: Problem
    graph: Graph
    search: Search
    frontier: Any

    def labels(self, weight: float, kinds: tuple[str, ...], number: int, *, values: bool = True) -> Labels:
        """Of the allowed ones: -weight * value (where asked for), and the units used of each kind."""
        places, _, found = self.search.algebra.ends(self.frontier)
        aim, rows, kept = self.search.aim, [], []
        for place, label in zip(places.tolist(), found.tolist(), strict=True):
            totals = aim.totals(label)
            if not aim.objective.allows(totals):
                continue
            used = label[len(label) - len(kinds):]
            rows.append([*(-weight * part for part in aim.objective.value(totals)), *used] if values else used)
            kept.append(place)
        width = len(rows[0]) if rows else len(kinds)
        return Labels(np.zeros(len(kept), dtype=np.int64), np.array(rows, dtype=float).reshape(len(kept), width), "leaf", (number,), (np.array(kept),))


def _merged(problems: Sequence[Problem], devices: Mapping[str, float], weights: Sequence[float], work: Work) -> ClusterPlan | Infeasible:
    kinds: tuple[str, ...] = ()
    graphs = [Graph(problem) for problem in problems]
    while True:
        pipelines = []
        for problem, graph in zip(problems, graphs, strict=True):
            if graph.steps.fixed > MOST_FIXED or not additive(problem):
                raise TooMuch
            search = Search(graph, aim_of(problem).with_kinds(kinds), max(0, last_tick(problem)), work)
            pipelines.append(_Pipeline(problem, graph, search, search.run()))
            if last_tick(problem) < 0 or best_label(search.aim, search.algebra.ends(pipelines[-1].frontier)) is None:
                return infeasible.explained(problem)
        parts = [pipeline.labels(weight, kinds, number) for number, (pipeline, weight) in enumerate(zip(pipelines, weights, strict=True))]
        width = parts[0].values.shape[1]
        if any(part.values.shape[1] != width for part in parts):
            raise ValueError("the pipelines' objectives have values of different length; they cannot be added")
        whole, algebra = _sum(parts, width - len(kinds), [devices.get(kind, np.inf) for kind in kinds], work)
        if len(whole.ticks) == 0:
            return _too_little(pipelines, devices, kinds, work)
        at = best_label(_Sum(width - len(kinds)), algebra.ends(whole))[0]
        chosen = dict(algebra.chosen(whole, at))
        plans = tuple(as_plan(one.problem, one.graph, one.search.algebra.chosen(one.frontier, chosen[number])) for number, one in enumerate(pipelines))
        over = _over(problems, plans, devices)
        if not over:
            return _cluster_plan(plans, weights)
        kinds += over


@dataclass(frozen=True, slots=True)
class _Sum:
    """The aim of merged labels: their values in order, whatever they use."""

    components: int

    @property
    def objective(self) -> _Sum:
        return self

    def totals(self, label: list[float]) -> list[float]:
        return label

    def value(self, label: list[float]) -> tuple[float, ...]:
        return tuple(-part for part in label[:self.components])

    def allows(self, label: list[float]) -> bool:
        return True


def _sum(parts: Sequence[Labels], values: int, caps: Sequence[float], work: Work) -> tuple[Labels, LabelAlgebra]:
    algebra = LabelAlgebra(0, np.array([np.inf] * values + list(caps)), None, work)
    whole = parts[0]
    for part in parts[1:]:
        whole = algebra.series(whole, part)
    return whole, algebra


def _over(problems: Sequence[Problem], plans: Sequence[Plan], devices: Mapping[str, float]) -> tuple[str, ...]:
    """Kinds of which the plans use more than there is, together or one by itself."""
    kinds = dict.fromkeys(kind for problem in problems for kind in problem.devices)
    used = _used(plans)
    return tuple(kind for kind in kinds if used.get(kind, 0.0) > devices.get(kind, np.inf) + TOLERANCE
                 or any(plan.totals.used.get(kind, 0.0) > problem.devices.get(kind, np.inf) + TOLERANCE
                        for problem, plan in zip(problems, plans, strict=True)))


def _used(plans: Sequence[Plan]) -> dict[str, float]:
    used: dict[str, float] = {}
    for one in plans:
        for kind, units in one.totals.used.items():
            used[kind] = used.get(kind, 0.0) + units
    return used


def _cluster_plan(plans: tuple[Plan, ...], weights: Sequence[float]) -> ClusterPlan:
    value = tuple(sum(weight * one.value[place] for weight, one in zip(weights, plans, strict=True)) for place in range(len(plans[0].value)))
    return ClusterPlan(plans, value, _used(plans), exact=True)


def _too_little(pipelines: Sequence[_Pipeline], devices: Mapping[str, float], kinds: tuple[str, ...], work: Work) -> Infeasible:
    """Each kind by itself made plenty: the least that all use of it, less what there is."""
    parts = [pipeline.labels(1.0, kinds, number, values=False) for number, pipeline in enumerate(pipelines)]
    added = {}
    for place, kind in enumerate(kinds):
        caps = [np.inf if other == kind else devices.get(other, np.inf) for other in kinds]
        whole, _ = _sum(parts, 0, caps, work)
        if len(whole.ticks):
            added[kind] = max(0.0, float(whole.values[:, place].min()) - devices[kind])
    return Infeasible(binding=tuple(added) or kinds, added=added)


def _one_after_another(problems: Sequence[Problem], devices: Mapping[str, float], weights: Sequence[float]) -> ClusterPlan | Infeasible:
    left, plans, bound = dict(devices), [], 0.0
    for problem, weight in zip(problems, weights, strict=True):
        alone = frontier.attempt(problem)
        found = frontier.attempt(replace(problem, devices=_least_of(problem.devices, left)))
        if isinstance(alone, Infeasible):
            return infeasible.explained(problem, proven=alone.proven)
        if isinstance(found, Infeasible):
            return Infeasible(tuple(devices), proven=False)
        plans.append(found)
        bound += weight * (alone.value[0] + alone.gap)
        for kind, units in found.totals.used.items():
            if kind in left:
                left[kind] = max(0.0, left[kind] - units)
    together = _cluster_plan(tuple(plans), weights)
    return replace(together, exact=False, gap=max(0.0, bound - together.value[0]))
