"""Fewest instances: a batch for every stage, and as many instances of a fixed size as carry the load.

    lam[s]   rows/s at stage s                           h[s](b)  rows/s of one instance at batch b
    l, q     ms of a batch; ms a row waits for it         k        standard deviations of a Poisson rate as headroom   (in the sizing)
    n[s](b)  = ceil(demand(lam[s]) / h[s](b)), demand = round(lam + k sqrt(lam)) in the papers; least .. most
    price    n[s](b) * cost[s], or n[s](b)

    minimise    sum over s of price
    subject to  on every way through the graph: sum of l[s](b) + q[s](b) <= SLO       (strict: <, as the released code has it)

by `latency_dp`. O(stages * SLO in steps * batches) on a chain. Knows no limit on devices: the least price may be more than there is.
Source: FA2 (RTAS 2022); Themis (arXiv 2407.14843), `horizontal_2d` of the released code, whose cost of an instance is memory + 18 * cores.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from autoscaler.planner.model import Option, Problem, Share, Sizing, StageModel
from autoscaler.planner.queueing import Fill, FillWait
from autoscaler.policies.latency_dp import NEAR, Way, cheapest, limit_of, steps_of, transform
from autoscaler.policies.stage_rates import gains

Price = Callable[[Option, int], float]

PUBLISHED_SIZING = FillWait(Fill.EXPONENTIAL, headroom_sigmas=1.0, share=0.99, whole=True)
"""Of the published experiments: one standard deviation of headroom, waits by the exponential form at 99 %, whole rows/s and ms."""


def instances(option: Option, demand: float, stage: StageModel) -> int:
    """The fewest that carry the demand, at least `stage.least`; may be more than `stage.most`."""
    return max(stage.least, math.ceil(demand / option.throughput - NEAR))


def total_cost(option: Option, replicas: int) -> float:
    return replicas * option.cost


def count(option: Option, replicas: int) -> float:
    """Every instance alike."""
    return float(replicas)


def horizontal(problem: Problem, rate: float, options: Mapping[str, tuple[Option, ...]], sizing: Sizing,
               price: Price = total_cost) -> dict[str, Share] | None:
    """The cheapest share of each stage for `rate` events/s of the source; None when no batches meet the SLO.

    options: those each stage may run, all of one variant. Of equal batches' prices the smaller batch, if it comes first there.
    """
    at_each = gains(problem, {name: of_stage[0].variant for name, of_stage in options.items()})
    ways = {stage.name: _ways(problem, stage, rate * at_each[stage.name], options[stage.name], sizing, price)
            for stage in problem.stages}
    best = cheapest(transform({stage.name: stage.after for stage in problem.stages}), ways, limit_of(problem))
    return {name: way.share for name, way in best.ways} if best else None


def _ways(problem: Problem, stage: StageModel, rate: float, options: tuple[Option, ...], sizing: Sizing, price: Price) -> list[Way]:
    found = []
    for option in options:
        replicas = instances(option, sizing.demand(rate), stage)
        steps = steps_of(option.latency_ms + sizing.wait_ms(option, rate, replicas), problem.grid_ms)
        if replicas <= stage.most and math.isfinite(steps):
            found.append(Way(Share(option, replicas), int(steps), price(option, replicas)))
    return found
