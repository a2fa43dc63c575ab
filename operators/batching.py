"""When an idle replica gets a batch, and how large: the rules, each `decide(view, now) -> Release | Wait`.

    q     rows queued                              b_max  rows per batch at most
    R     replicas that are ready                  lam    rows/s arriving, `ArrivalRate`
    l(b)  seconds of a batch of b rows             D      deadline of the most urgent row, this stage's share of it

AdaptiveRule, the default, waits only where the load needs it:
    b* = least b with R * b / l(b) >= HEADROOM * lam, at most b_max
    q >= b_max                 release b_max, "full"
    l unknown or q >= b*       release q, "idle"
    now >= D - l(q + 1)        release q, "deadline"      waiting for one more row would make the first one late
    else                       wait until then, or until lam says b* rows are there

FixedRule releases at a size or after a wait. AimdRule adds to its size while batches are in time and halves it after a late one.
EarlyDropRule aims at a size and gives up the rows that would be late in a batch of that size.

A rule keeps no queue and reads no clock. Sources: Proteus (ASPLOS 2024) section 4.2 for "deadline"; Clipper (NSDI 2017) section
4.3 for AIMD; Nexus (SOSP 2019) section 6.3 for early drop, which here takes the target from l instead of a schedule.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from math import ceil, exp
from typing import Any, NamedTuple, Protocol

from operators.queue import EdfQueue
from operators.service_time import ServiceTime

HEADROOM = 1.1
LEAST_WAIT_S = 0.0005  # a shorter one is not worth a wake-up


class Reason(StrEnum):
    FULL = "full"
    DEADLINE = "deadline"
    IDLE = "idle"
    FLUSH = "flush"


_FULL, _IDLE = Reason.FULL, Reason.IDLE  # asking an enumeration for a member is a call in Python
_new: Any = tuple.__new__  # what a named tuple's own __new__, a function in Python, calls


class Release(NamedTuple):  # as View and Wait: made for every batch, at a third of the cost of a frozen dataclass
    """Send n rows now. Rows that need not be kept and whose deadline is before `drop_before` are given up first."""

    n: int
    reason: Reason
    drop_before: float | None = None


class Wait(NamedTuple):
    """Ask again at this time, or at the next event."""

    until: float


class View(NamedTuple):
    """What a rule sees. The queue is never empty; `replicas` >= 1 of which at least one is idle; rate in rows/s; share in (0, 1]."""

    queue: EdfQueue
    batch_max: int
    replicas: int
    rate: float
    service_time: ServiceTime
    deadline_share: float = 1.0

    def stage_deadline(self) -> float:
        """When the most urgent row should leave this stage."""
        run = self.queue.first()
        assert run is not None
        return run.arrived + (float(run.deadlines[0]) - run.arrived) * self.deadline_share


class Rule(Protocol):
    def decide(self, view: View, now: float) -> Release | Wait: ...

    def observe(self, rows: int, late: int) -> None:
        """A batch was answered; `late` of its rows after their deadline."""


@dataclass(slots=True)
class AdaptiveRule:
    headroom: float = HEADROOM

    def decide(self, view: View, now: float) -> Release | Wait:
        queue, batch_max, _, _, _, _ = view
        queued = queue.rows
        if queued >= batch_max:
            return _new(Release, (batch_max, _FULL, None))
        needed = batch_needed(view, self.headroom)
        if queued >= needed:
            return _new(Release, (queued, _IDLE, None))
        one_more_s = view.service_time.of(queued + 1) or 0.0
        latest = view.stage_deadline() - one_more_s
        if now >= latest:
            return Release(queued, Reason.DEADLINE)
        filled = now + max(LEAST_WAIT_S, (needed - queued) / view.rate)
        return _new(Wait, (latest if latest < filled else filled,))

    def observe(self, rows: int, late: int) -> None:
        pass


@dataclass(slots=True)
class FixedRule:
    """Releases `size` rows, or what there is once the oldest row has waited `max_wait_s`."""

    size: int
    max_wait_s: float

    def decide(self, view: View, now: float) -> Release | Wait:
        queued, size = len(view.queue), min(self.size, view.batch_max)
        if queued >= size:
            return Release(size, Reason.FULL)
        oldest = view.queue.oldest()
        assert oldest is not None
        due = oldest + self.max_wait_s
        return Release(queued, Reason.DEADLINE) if now >= due else Wait(due)

    def observe(self, rows: int, late: int) -> None:
        pass


@dataclass(slots=True)
class AimdRule:
    """Releases what there is, up to a size that it finds by itself."""

    step: float = 1.0
    size: float = 1.0

    def decide(self, view: View, now: float) -> Release | Wait:
        self.size = min(self.size, float(view.batch_max))
        queued, size = len(view.queue), int(self.size)
        return Release(size, Reason.FULL) if queued >= size else Release(queued, Reason.IDLE)

    def observe(self, rows: int, late: int) -> None:
        if late:
            self.size = max(1.0, self.size / 2)
        elif rows >= int(self.size):  # a smaller batch says nothing about a larger one
            self.size += self.step


@dataclass(slots=True)
class EarlyDropRule:
    """Releases the first `target` rows that can be in time as one batch; drops those before them that cannot."""

    target: int | None = None  # None: the batch maximum

    def decide(self, view: View, now: float) -> Release | Wait:
        size = min(self.target or view.batch_max, view.batch_max)
        n = min(len(view.queue), size)
        return Release(n, Reason.FULL if n == size else Reason.IDLE, now + (view.service_time.of(n) or 0.0))

    def observe(self, rows: int, late: int) -> None:
        pass


def batch_needed(view: View, headroom: float) -> int:
    """b*: from R b >= headroom lam (fixed + per_row b). 1 while l is unknown."""
    _, batch_max, replicas, rate, service_time, _ = view
    fixed, per_row = service_time.fixed_s, service_time.per_row_s
    if fixed is None or per_row is None:
        return 1
    load = headroom * rate
    spare = replicas - load * per_row
    if spare <= 0:
        return batch_max
    needed = ceil(load * fixed / spare)
    return 1 if needed < 1 else needed if needed < batch_max else batch_max


@dataclass(slots=True)
class ArrivalRate:
    """Rows/s, exponentially weighted over the last `memory_s` seconds; starts at 0, so a stage starts eager."""

    memory_s: float = 0.5
    _rows: float = 0.0
    _at: float = 0.0

    def add(self, rows: int, now: float) -> None:
        self._rows = self._decayed(now) + rows
        self._at = now

    def at(self, now: float) -> float:
        rows = self._rows
        return (rows * exp((self._at - now) / self.memory_s) if now > self._at else rows) / self.memory_s

    def _decayed(self, now: float) -> float:
        return self._rows * exp((self._at - now) / self.memory_s) if now > self._at else self._rows
