"""Replicas as they run, as the shares that planners speak of."""

from __future__ import annotations

import math
from dataclasses import replace

from autoscaler.planner.evaluate import same
from autoscaler.planner.model import Share
from autoscaler.policies.policy import Pool


def merged(pools: tuple[Pool, ...]) -> tuple[Share, ...]:
    """Pools as shares, one for each variant: while it changes over, or runs in several sizes, its option is that of most of its replicas."""
    found: dict[str, Share] = {}
    most: dict[str, int] = {}
    for pool in pools:
        if pool.replicas == 0:
            continue
        name = pool.option.variant
        before = found.get(name)
        option = pool.option if before is None or pool.replicas > most[name] else before.option
        most[name] = max(pool.replicas, most.get(name, 0))
        found[name] = Share(option, pool.replicas + (before.replicas if before else 0), pool.share + (before.share if before else 0.0))
    whole = math.fsum(share.share for share in found.values())
    return tuple(found.values()) if same(whole, 1.0) or not whole else tuple(replace(share, share=share.share / whole) for share in found.values())
