"""The least time an event can take: alone in an idle pipeline, on the fastest option of every stage, on the shortest way.

    least(v) = min over o of l(o, 1) + least of what follows;  a branch: the shortest way it may take; a fan-out: the longest of the
    kinds that always have a child; plain joins take none

An event with less than that left on arrival cannot be met by any configuration: it is unavoidable.
"""

from __future__ import annotations

from autoscaler.planner.model import Problem
from simulator.network import Branch, FanOut, Graph
from simulator.truth import Truth


def least_s(graph: Graph, problem: Problem, truth: Truth) -> float:
    """Seconds; without noise, so single draws may be shorter."""
    found: dict[str, float] = {}
    for station in reversed(graph.stations):
        own = 0.0 if station.plain else min(truth.mean_s(station.name, option, 1) for option in problem.stage(station.name).options)
        found[station.name] = own + _after(station.after, found)
    return _after(graph.source, found)


def _after(after: Branch | FanOut, found: dict[str, float]) -> float:
    if isinstance(after, Branch):
        return min(0.0 if to is None else found[to] for to, probability in after.ways if probability > 0)
    always = [_after(kind.branch, found) for kind in after.kinds if min([kind.width, *kind.by_variant.values()]) >= 1]
    return max(always, default=0.0)
