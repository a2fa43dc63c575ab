"""Which share of the source events meets the SLO end to end, for a given plan: an approximation by moments.

    per stage   T = R + V + G + S, taken for independent:
                S   service      gamma, mean 1000 b / h, coefficient of variation cv
                R   free replica 0 with 1 - p, else the least of n uniforms on 0..S:     E = p S / (n+1), E2 = 2 p S^2 / ((n+1)(n+2))
                V   overflow     0 with 1 - C, else exponential with mean W/C:           E = W, E2 = 2 W^2 / C
                G   fill         j gaps of 1/lam, j uniform on 0..b*-1:                  E = (b*-1) / 2 lam, Var = E[j]/lam^2 + Var[j]/lam^2
                (p, b*, W, C as in `queueing.ServiceWait`; R and G overlap in truth, both are counted: from above)
    along a way means and variances add
    children    k at once and a join: the largest of k independent gammas, its moments by integrating 1 - F(t)^k
    a way       P(T <= slo), T gamma with those moments
    all         sum over the ways of the share of the events that goes it

Mean and variance are exact for the model above; that the sum is a gamma is the approximation (approximation, neither bound nor exact),
as is the independence of stages. tests/planner/test_attainment.py draws from the same model: within 0.01 at shares from 0.9 on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil, inf, sqrt

import numpy as np
from scipy.special import gammainc

from autoscaler.planner.free_replica import Station, erlang_c, ggc_mean_ms
from autoscaler.planner.model import Plan, Share, StagePlan
from autoscaler.planner.queueing import HEADROOM

CELLS = 2000
"""Of the integral over the largest of several children."""
REACH = 12
"""Standard deviations beyond the mean up to which it goes."""
MOST_PARTS = 4096
"""Combinations of variants along one way."""


@dataclass(frozen=True, slots=True)
class Spread:
    """Mean and variance of a time. mean_ms inf: it has no end."""

    mean_ms: float = 0.0
    variance: float = 0.0

    def __add__(self, other: Spread) -> Spread:
        return Spread(self.mean_ms + other.mean_ms, self.variance + other.variance)

    def within(self, limit_ms: float) -> float:
        """Share of the times up to the limit, of the gamma distribution with these moments."""
        if self.mean_ms == inf or limit_ms < 0:
            return 0.0
        if self.variance <= 1e-12 * self.mean_ms**2:
            return float(self.mean_ms <= limit_ms)
        return float(gammainc(self.mean_ms**2 / self.variance, limit_ms * self.mean_ms / self.variance))

    def slowest(self, count: int) -> Spread:
        """Of that many independent ones; 0 of none."""
        if count < 1:
            return Spread()
        if count == 1 or self.mean_ms == inf or self.variance <= 1e-12 * self.mean_ms**2:
            return self
        edges = np.linspace(0.0, self.mean_ms + REACH * sqrt(self.variance) * sqrt(count), CELLS + 1)  # (cells + 1,)
        middle, width = (edges[1:] + edges[:-1]) / 2, edges[1]
        longer = 1 - gammainc(self.mean_ms**2 / self.variance, middle * self.mean_ms / self.variance) ** count
        mean = float(longer.sum() * width)
        return Spread(mean, max(0.0, float((2 * middle * longer).sum() * width) - mean * mean))


@dataclass(frozen=True, slots=True)
class Children:
    """`count` rows that are worked on at once and waited for. ways: each of them goes; their shares add up to 1."""

    count: int
    ways: tuple[Way, ...]


Step = str | Children
"""A stage by name, or what the children of a fan-out pass."""


@dataclass(frozen=True, slots=True)
class Way:
    """share: of the events that go it, 0..1. path: in order."""

    share: float
    path: tuple[Step, ...]


def stage_spread(share: Share, rate: float, cv: float) -> Spread:
    """A row's time in a stage of these replicas at `rate` rows/s (of this variant). cv: coefficient of variation of the service time."""
    option, replicas = share.option, share.replicas
    service_ms = 1000 * option.batch / option.throughput
    if rate >= replicas * option.throughput:
        return Spread(inf, inf)
    service = Spread(service_ms, (cv * service_ms) ** 2)
    if rate <= 0:
        return service
    load = rate * service_ms / 1000
    gathered = min(option.batch, max(1, ceil(HEADROOM * load / replicas - 1e-9)))
    return (
        service
        + _residual(service_ms, erlang_c(replicas, min(load, replicas / HEADROOM)), replicas)
        + _overflow(Station(rate / option.batch, service_ms, replicas, 1 / option.batch, cv * cv))
        + _fill(gathered, 1000 / rate)
    )


def attained(plan: Plan, ways: Sequence[Way], slo_ms: float, cv: float | Mapping[str, float] = 0.2) -> float:
    """Share of the events within the SLO. ways: their shares add up to 1. cv: of the service time, for all stages or by stage.

    A stage with several variants at once makes as many ways of each; of children, and beyond MOST_PARTS, the mixture's moments count.
    """
    total = sum(way.share for way in ways)
    if abs(total - 1) > 1e-6:
        raise ValueError(f"the ways' shares add up to {total:g}; they must be 1")
    parts = {stage.name: _parts(stage, cv.get(stage.name, 0.0) if isinstance(cv, Mapping) else cv) for stage in plan.stages}
    return sum(part * spread.within(slo_ms) for part, spread in _any_way(ways, parts))


Parts = list[tuple[float, Spread]]
"""A time that is one of several, each with its probability."""


def _any_way(ways: Sequence[Way], parts: Mapping[str, Parts]) -> Parts:
    return [(way.share * part, spread) for way in ways for part, spread in _along(way.path, parts)]


def _along(path: Sequence[Step], parts: Mapping[str, Parts]) -> Parts:
    total: Parts = [(1.0, Spread())]
    for step in path:
        added = parts[step] if isinstance(step, str) else [(1.0, _mixed(_any_way(step.ways, parts)).slowest(step.count))]
        total = [(before * part, spread + more) for before, spread in total for part, more in added]
        if len(total) > MOST_PARTS:
            total = [(1.0, _mixed(total))]
    return total


def _parts(stage: StagePlan, cv: float) -> Parts:
    """One for each variant at work."""
    return [(share.share, stage_spread(share, stage.rate * share.share, cv)) for share in stage.shares if share.share > 0]


def _mixed(parts: Parts) -> Spread:
    """Mean and variance of the mixture."""
    if any(spread.mean_ms == inf for _, spread in parts):
        return Spread(inf, inf)
    mean = sum(part * spread.mean_ms for part, spread in parts)
    second = sum(part * (spread.variance + spread.mean_ms**2) for part, spread in parts)
    return Spread(mean, max(0.0, second - mean * mean))


def _residual(service_ms: float, busy: float, replicas: int) -> Spread:
    mean = busy * service_ms / (replicas + 1)
    return Spread(mean, 2 * busy * service_ms**2 / ((replicas + 1) * (replicas + 2)) - mean * mean)


def _overflow(station: Station) -> Spread:
    mean, waiting = ggc_mean_ms(station), erlang_c(station.servers, station.load)
    return Spread(mean, 2 * mean * mean / waiting - mean * mean) if waiting > 0 else Spread()


def _fill(batch: int, gap_ms: float) -> Spread:
    gaps = (batch - 1) / 2
    return Spread(gaps * gap_ms, (gaps + (batch * batch - 1) / 12) * gap_ms**2)
