"""How a HorizontalPodAutoscaler gets from what its metric asks for to what it does, one workload at a time.

    r        replicas now                     d     replicas the metric asks for
    window   of recommendations in the last seconds, this one included; at first what ran then
    up       least of the recommendations of the last `up_window_s` (0: d itself)
    down     most of the recommendations of the last `down_window_s` (300)
    settled  r, or up if that is more, or down if that is less
    start    replicas a period ago = r - added + removed within `period_s` (15)
    allowed  at most max(ceil(start * (1 + up_percent)), start + up_replicas), at least start * (1 - down_percent), both unless r is past it
    n        settled, within what is allowed, within least .. most

Defaults: behavior of autoscaling/v2 as documented ("Horizontal Pod Autoscaling", default behavior): up 100 % or 4 pods in 15 s, whichever
is more, no window; down 100 % in 15 s, window 300 s.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from autoscaler.planner.model import Option, Share
from autoscaler.policies.policy import Pool

NEAR = 1e-9


@dataclass(frozen=True, slots=True)
class Behavior:
    """Seconds, shares (1.0 = 100 %) and replicas, by the symbols of the module."""

    up_window_s: float = 0.0
    down_window_s: float = 300.0
    period_s: float = 15.0
    up_percent: float = 1.0
    up_replicas: int = 4
    down_percent: float = 1.0


@dataclass(frozen=True, slots=True)
class Past:
    """(at_s, replicas) recommended and (at_s, replicas more or less) done, oldest first, no older than the behavior asks."""

    recommended: tuple[tuple[float, int], ...] = ()
    changes: tuple[tuple[float, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Bounds:
    least: int
    most: int


def settle(desired: int, now: int, past: Past, behavior: Behavior, bounds: Bounds, at_s: float) -> tuple[int, Past]:
    """The replicas to run, and the past to hand to the next decision."""
    recommended = (*(past.recommended or ((at_s, now),)), (at_s, desired))
    up = min(count for seen_s, count in recommended if seen_s > at_s - behavior.up_window_s or (seen_s, count) == recommended[-1])
    down = max(count for seen_s, count in recommended if seen_s > at_s - behavior.down_window_s or (seen_s, count) == recommended[-1])
    settled = min(max(now, up), down)
    recent = tuple(change for change in past.changes if change[0] > at_s - behavior.period_s)
    start = now - sum(change for _, change in recent)
    ceiling = max(math.ceil(start * (1 + behavior.up_percent) - NEAR), start + behavior.up_replicas)
    floor = math.floor(start * (1 - behavior.down_percent) + NEAR)
    allowed = min(settled, max(now, ceiling)) if settled > now else max(settled, min(now, floor))
    replicas = min(max(allowed, bounds.least), bounds.most)
    window_s = max(behavior.up_window_s, behavior.down_window_s)
    kept = tuple(entry for entry in recommended if entry[0] > at_s - window_s)
    return replicas, Past(kept, (*recent, (at_s, replicas - now)) if replicas != now else recent)


def spread(pools: tuple[Pool, ...], total: int, otherwise: Option) -> tuple[Share, ...]:
    """The total over the options that run, as their replicas are now (largest remainder); all on `otherwise` where nothing runs."""
    running = [pool for pool in pools if pool.replicas]
    if not running:
        return (Share(otherwise, total),)
    exact = [total * pool.replicas / sum(other.replicas for other in running) for pool in running]
    counts = [math.floor(value + NEAR) for value in exact]
    for index in sorted(range(len(exact)), key=lambda index: counts[index] - exact[index])[:total - sum(counts)]:
        counts[index] += 1
    return tuple(Share(pool.option, count, pool.share) for pool, count in zip(running, counts, strict=True) if count or len(running) == 1)
