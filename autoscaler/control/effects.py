"""Whether a change came about, and whether it helped.

    under way   from a confirmed change until every wanted lane is ready                             took = that time
    overdue     under way for longer than `patience_s`: half of it at best succeeded                 -> undo, back off
    pressed     at the moment of growth more than `LATE` of the rows missed their deadline, or the queue was longer than QUEUE_S carries
    useless     grown while pressed and SETTLE_S after it is ready neither violations nor queue are down, nor answered rows up, by HELPED
                                                                                                     -> undo, back off
    back off    nothing may grow at the stage for BACK_OFF_S, twice as long each time in a row, BACK_OFF_MOST_S at most

A growth that came before it was needed (a forecast's) is not judged: nothing pressed. Flink's autoscaler calls the same
`scaling.effectiveness.detection`, with the same threshold of 0.1, and only stops; here what did not help is taken back.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from autoscaler.control.lanes import Order
from autoscaler.policies.policy import StageState

LATE = 0.02
QUEUE_S = 0.5
HELPED = 0.1
SETTLE_S = 10.0
BACK_OFF_S = 60.0
BACK_OFF_MOST_S = 600.0


@dataclass(frozen=True, slots=True)
class Pressure:
    """violations: 0..1. queue: rows. answered: rows/s."""

    violations: float
    queue: int
    answered: float

    @property
    def is_high(self) -> bool:
        return self.violations > LATE or self.queue > QUEUE_S * max(self.answered, 1.0)

    def is_better_than(self, before: Pressure) -> bool:
        return (self.violations <= before.violations * (1 - HELPED) and before.violations > LATE) or (
            self.queue <= before.queue * (1 - HELPED) and before.queue > 0) or self.answered >= before.answered * (1 + HELPED)


def pressure(stage: StageState, answered_rps: float | None) -> Pressure:
    return Pressure(stage.violations, stage.queue, answered_rps or 0.0)


@dataclass(frozen=True, slots=True)
class Change:
    """One change of a stage. before: what to go back to. grown: more replicas or cores. ready_s: since when all of it is; None = under way."""

    at_s: float
    before: Order
    wanted: Order
    grown: bool
    pressed: Pressure
    ready_s: float | None = None


@dataclass(frozen=True, slots=True)
class Undo:
    """Go back to that, because."""

    order: Order
    reason: str


@dataclass(frozen=True, slots=True)
class BackOff:
    until_s: float
    length_s: float


@dataclass(slots=True)
class Effects:
    """The last change of every stage. patience_s: until a change must have come about."""

    patience_s: float = 60.0
    changes: dict[str, Change] = field(default_factory=dict)
    took_s: dict[str, float] = field(default_factory=dict)
    """By stage, how long its last change took until all replicas were ready."""
    last_s: dict[str, float] = field(default_factory=dict)
    """By stage, when it was changed last."""
    _backing_off: dict[str, BackOff] = field(default_factory=dict)

    def began(self, stage: str, change: Change) -> None:
        """Growth on top of growth that was not judged yet keeps what that one began from."""
        unjudged = self.changes.get(stage)
        if unjudged is not None and unjudged.grown and change.grown:
            change = replace(change, before=unjudged.before, pressed=unjudged.pressed)
        self.changes[stage] = change
        self.last_s[stage] = change.at_s

    def judge(self, stage: str, seen: Pressure, ready: bool, now_s: float) -> Undo | None:
        """seen: now. ready: every wanted lane is. What is to be undone, once."""
        change = self.changes.get(stage)
        if change is None:
            return None
        if change.ready_s is None:
            if ready:
                self.took_s[stage] = now_s - change.at_s
                self.changes[stage] = replace(change, ready_s=now_s)
            elif now_s - change.at_s > self.patience_s:
                return self._undone(stage, change, now_s, f"not all replicas are ready after {now_s - change.at_s:.0f} s")
            return None
        if now_s - change.ready_s < SETTLE_S:
            return None
        if change.grown and change.pressed.is_high and seen.is_high and not seen.is_better_than(change.pressed):
            return self._undone(stage, change, now_s, f"it did not help: {_words(change.pressed)} before, {_words(seen)} after")
        del self.changes[stage]
        if change.grown:
            self._backing_off.pop(stage, None)
        return None

    def failed(self, stage: str, now_s: float) -> None:
        """The actuator gave up: the stage backs off as after a change that did not help."""
        self.changes.pop(stage, None)
        self._back_off(stage, now_s)

    def held_until_s(self, stage: str, now_s: float) -> float | None:
        """Until when nothing may grow there; None when it may."""
        backing_off = self._backing_off.get(stage)
        return backing_off.until_s if backing_off is not None and now_s < backing_off.until_s else None

    def _undone(self, stage: str, change: Change, now_s: float, reason: str) -> Undo:
        del self.changes[stage]
        self._back_off(stage, now_s)
        return Undo(change.before, reason)

    def _back_off(self, stage: str, now_s: float) -> None:
        before = self._backing_off.get(stage)
        length_s = BACK_OFF_S if before is None else min(2 * before.length_s, BACK_OFF_MOST_S)
        self._backing_off[stage] = BackOff(now_s + length_s, length_s)


def grows(before: Order, wanted: Order) -> bool:
    """More units of anything, or another variant."""
    had = {lane.variant: lane for lane in before}
    return any(lane.variant not in had or lane.replicas * lane.cores > had[lane.variant].replicas * had[lane.variant].cores for lane in wanted)


def shrinks(before: Order, wanted: Order) -> bool:
    """Fewer units in all."""
    return _units(wanted) < _units(before)


def _units(order: Order) -> float:
    return sum(lane.replicas * lane.cores for lane in order)


def _words(pressure: Pressure) -> str:
    return f"{pressure.violations:.1%} violations, {pressure.queue} rows waiting, {pressure.answered:.0f} answered a second"
