"""When a smaller plan may take effect, as values that a policy hands back in its memory.

Themis counts decisions: a scale-in takes effect at the `limit`-th in a row that asks for one (20 steps of 0.5 s; released code).
"""

from __future__ import annotations

from collections.abc import Mapping

from autoscaler.planner.model import Share


def is_scale_in(plan: Mapping[str, Share], now: Mapping[str, Share]) -> bool:
    """Some stage has fewer instances and none has more, nor starts."""
    return set(plan) <= set(now) and all(share.replicas <= now[name].replicas for name, share in plan.items()) and any(
        share.replicas < now[name].replicas for name, share in plan.items())


def is_scale_down(plan: Mapping[str, Share], now: Mapping[str, Share]) -> bool:
    """Some stage has smaller instances and none has larger, nor starts."""
    return set(plan) <= set(now) and all(share.option.units <= now[name].option.units for name, share in plan.items()) and any(
        share.option.units < now[name].option.units for name, share in plan.items())


def counted(asks: bool, steps: int, limit: int) -> tuple[bool, int]:
    """Whether to wait, and the steps to remember: one more while something smaller is asked for, none once it is not or took effect."""
    if not asks:
        return False, 0
    return (True, steps + 1) if steps + 1 < limit else (False, 0)
