"""Fewest cores for a given number of instances: a batch and a size for every stage, both changed in place.

    n[s]     instances of stage s, given          c, b     cores of each, and its batch
    h[s](b, c)  rows/s of one                      lam      rows/s

    minimise    sum over s of c[s]
    subject to  n[s] * h[s](b, c) >= demand(lam[s])                                    (capacity)
                on every way through the graph: sum of l[s](b, c) + q[s](b) <= SLO     (latency)

by `latency_dp`. Where (capacity) cannot hold, the hybrid step: the largest whole rate lam' of the source for which it can, its sizes,
and more instances of the same size, ceil((lam - lam') / h[s]) at each stage. lam' is found by bisection in O(log lam) runs of the DP, as
in the released code: a batch fills slower at a lower rate, so a higher lam' may exist where the SLO is that tight.

Source: Themis (arXiv 2407.14843), `vertical_2d` and the hybrid step of the released code.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from autoscaler.planner.model import Option, Problem, Share, Sizing
from autoscaler.policies.latency_dp import NEAR, Way, cheapest, limit_of, steps_of, transform
from autoscaler.policies.stage_rates import gains


@dataclass(frozen=True, slots=True)
class Fixed:
    """What is given for one stage: its instances and the sizes and batches they may take, all of one variant."""

    replicas: int
    options: tuple[Option, ...]


def vertical(problem: Problem, rate: float, fixed: Mapping[str, Fixed], sizing: Sizing) -> dict[str, Share] | None:
    """The smallest sizes for `rate` events/s of the source; None when these instances cannot carry it in time."""
    at_each = gains(problem, _variants(fixed))
    ways = {stage.name: _ways(problem, rate * at_each[stage.name], fixed[stage.name], sizing) for stage in problem.stages}
    best = cheapest(transform({stage.name: stage.after for stage in problem.stages}), ways, limit_of(problem))
    return {name: way.share for name, way in best.ways} if best else None


def largest_vertical(problem: Problem, rate: float, fixed: Mapping[str, Fixed], sizing: Sizing) -> tuple[int, dict[str, Share]] | None:
    """The largest whole rate below `rate` that these instances can carry, and their sizes for it; None when it is not even one."""
    low, low_plan, high = 0, None, math.ceil(rate)
    while low + 1 < high:
        middle = (low + high) // 2
        plan = vertical(problem, float(middle), fixed, sizing)
        low, low_plan, high = (middle, plan, high) if plan else (low, low_plan, middle)
    return (low, low_plan) if low_plan else None


def hybrid(problem: Problem, rate: float, fixed: Mapping[str, Fixed], sizing: Sizing) -> dict[str, Share] | None:
    """`vertical`, and where it cannot, more instances of the sizes for the largest rate it can; None when there is no such rate."""
    plan = vertical(problem, rate, fixed, sizing)
    if plan is not None:
        return plan
    found = largest_vertical(problem, rate, fixed, sizing)
    if found is None:
        return None
    reached, sizes = found
    at_each = gains(problem, _variants(fixed))
    return {name: replace(share, replicas=share.replicas + math.ceil((rate - reached) * at_each[name] / share.option.throughput - NEAR))
            for name, share in sizes.items()}


def _variants(fixed: Mapping[str, Fixed]) -> dict[str, str]:
    return {name: stage.options[0].variant for name, stage in fixed.items()}


def _ways(problem: Problem, rate: float, fixed: Fixed, sizing: Sizing) -> list[Way]:
    found = []
    for option in fixed.options:
        steps = steps_of(option.latency_ms + sizing.wait_ms(option, rate, fixed.replicas), problem.grid_ms)
        if fixed.replicas * option.throughput >= sizing.demand(rate) - NEAR and math.isfinite(steps):  # capacity
            found.append(Way(Share(option, fixed.replicas), int(steps), option.units))
    return found
