"""What a decision may do now: the file's and the loop's own limits, on top of a policy's.

    paused       nothing is decided
    advice       decided and recorded, nothing done; as in an excluded period of the day
    cool-down    after a change of a stage nothing of it is taken away for `cool_down_s`
    back off     nothing grows at a stage whose last growth failed or did not help                              (`effects`)
    parallelism  p' for p asked for: of p .. min(N, 1.5 p), N partitions of the source, the one that leaves least idle,
                 ceil(N / p') p' - N, the smallest of equals; never above N. Set only once it was asked for STABLE_S long and every replica
                 of the stage is ready: a rescale stalls the job, so it comes last (Themis: horizontal once stable)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from math import ceil

from autoscaler.control.effects import Effects, grows, shrinks
from autoscaler.control.lanes import Order

STABLE_S = 5.0
ALIGNED_WITHIN = 1.5


class Mode(StrEnum):
    ACT = "act"
    ADVICE = "advice"
    PAUSED = "paused"


@dataclass(frozen=True, slots=True)
class Allowed:
    """withheld: why a stage stays as it is, by stage."""

    orders: Mapping[str, Order]
    withheld: Mapping[str, str] = field(default_factory=dict)


def allowed(has: Mapping[str, Order], wanted: Mapping[str, Order], effects: Effects, cool_down_s: float, now_s: float) -> Allowed:
    """Of what each stage is wanted to have."""
    orders, withheld = {}, {}
    for stage, order in wanted.items():
        reason = _reason(stage, has.get(stage, ()), order, effects, cool_down_s, now_s)
        if reason is None:
            orders[stage] = order
        else:
            withheld[stage] = reason
    return Allowed(orders, withheld)


def _reason(stage: str, has: Order, order: Order, effects: Effects, cool_down_s: float, now_s: float) -> str | None:
    until_s = effects.held_until_s(stage, now_s)
    if until_s is not None and grows(has, order):
        return f"the last growth failed or did not help; held for {until_s - now_s:.0f} s"
    last_s = effects.last_s.get(stage)
    if last_s is not None and now_s - last_s < cool_down_s and shrinks(has, order):
        return f"cooling down for {cool_down_s - (now_s - last_s):.0f} s"
    return None


def aligned(wanted: int, partitions: int) -> int:
    """p'. partitions: of the source's topic, at least 1."""
    if wanted >= partitions:
        return partitions
    most = min(partitions, max(wanted, int(wanted * ALIGNED_WITHIN)))
    return min(range(wanted, most + 1), key=lambda count: (ceil(partitions / count) * count - partitions, count))


@dataclass(slots=True)
class Patience:
    """How long each stage has been asked for more subtasks than it has."""

    _since_s: dict[str, float] = field(default_factory=dict)

    def due(self, wanted: Mapping[str, int], ready: Mapping[str, bool], now_s: float) -> dict[str, int]:
        """Of the stages that another parallelism is asked for, those whose time has come. ready: every replica is."""
        self._since_s = {stage: self._since_s.get(stage, now_s) for stage in wanted}
        return {stage: count for stage, count in wanted.items() if ready.get(stage, False) and now_s - self._since_s[stage] >= STABLE_S}
