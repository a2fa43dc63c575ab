"""From a final frontier to a plan: the best label that the objective allows, and the plan it stands for with its true totals."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np

from autoscaler.planner import transform
from autoscaler.planner.aim import Aim, combined
from autoscaler.planner.candidates import Ways
from autoscaler.planner.model import Plan, Problem, Share, StagePlan, Totals
from autoscaler.planner.pareto import nondominated
from autoscaler.planner.search import Graph

TIE = 1e-12


def best_label(aim: Aim, ends: tuple[np.ndarray, np.ndarray, np.ndarray]) -> tuple[int, tuple[float, ...]] | None:
    """Where the best label is, and its value; None when none is allowed. ends: where each is, ticks and values, as the algebra gives them."""
    places, _, values = ends
    kept = nondominated(np.zeros(len(values), dtype=np.int64), values)
    judged = [(int(places[place]), aim.objective.value(totals)) for place in kept.tolist()
              if aim.objective.allows(totals := aim.totals(values[place].tolist()))]
    return greatest(judged)


def greatest(judged: Iterable[tuple[int, tuple[float, ...]]]) -> tuple[int, tuple[float, ...]] | None:
    """Components in order; those within rounding of the greatest count as equal. None where there is none."""
    left = list(judged)
    for component in range(len(left[0][1]) if left else 0):
        most = max(value[component] for _, value in left)
        left = [one for one in left if one[1][component] >= most - TIE * max(1.0, abs(most))]
    return left[0] if left else None


def as_plan(problem: Problem, graph: Graph, chosen: Sequence[tuple[Ways, int]], *, exact: bool = True, gap: float = 0.0) -> Plan:
    """Every figure is worked out anew from the options and replicas chosen."""
    parts: dict[str, list[tuple[Ways, int]]] = {stage.name: [] for stage in problem.stages}
    for ways, way in chosen:
        parts[ways.stage.name].append((ways, way))
    for found in parts.values():
        found.sort(key=lambda one: int(one[0].option[one[1]]))
    shares = {name: tuple(ways.share_of(way) for ways, way in found) for name, found in parts.items()}
    conditions = graph.conditions
    setting = {origin: tuple((share.option.variant, round(share.share * conditions.parts[origin])) for share in shares[origin])
               for origin in conditions.origins}
    times = {name: problem.grid_ms * max(int(ways.ticks[way]) for ways, way in found) for name, found in parts.items()}
    stages = tuple(StagePlan(stage.name, shares[stage.name], conditions.rate(stage.name, setting), times[stage.name]) for stage in problem.stages)
    accuracies = {}
    for name, own in shares.items():
        given = conditions.accuracy(name, setting)
        accuracies[name] = sum(share.share * (share.option.accuracy if given is None else given[share.option.variant]) for share in own)
    totals = totals_of(problem, shares, combined(problem, accuracies))
    return Plan(stages, totals, latency_ms(problem, times), problem.objective.value(totals), exact, gap)


def totals_of(problem: Problem, shares: dict[str, tuple[Share, ...]], accuracy: float) -> Totals:
    used: dict[str, float] = {}
    for own in shares.values():
        for share in own:
            for kind, units in share.option.uses().items():
                used[kind] = used.get(kind, 0.0) + share.replicas * units
    every = [share for own in shares.values() for share in own]
    change = math.fsum(problem.switching.price(name, own) for name, own in shares.items()) if problem.switching is not None else 0.0
    return Totals(cost=math.fsum(share.replicas * share.option.cost for share in every), accuracy=accuracy,
                  batches=math.fsum(share.option.batch for share in every), change=change, used=used)


def latency_ms(problem: Problem, times: dict[str, float]) -> float:
    """The longest way."""
    done: dict[str, float] = {}
    for number in transform.ordered(problem.stages):
        stage = problem.stages[number]
        done[stage.name] = times[stage.name] + max((done[before] for before in stage.after), default=0.0)
    return max(done.values(), default=0.0)
