"""When an idle replica gets a batch, and how large: the rules, each `decide(view, now) -> Release | SetAside | GiveUp | Wait`.

    q     rows queued, without those set aside     b_max  rows per batch at most
    R     replicas that are ready                  lam    rows/s arriving, `ArrivalRate`
    l(b)  seconds of a batch of b rows             l+(b)  l(b) and a standard deviation
    E     deadline of the most urgent row          D      this stage's share of it

AdaptiveRule, the default, waits only where the load needs it, and lets rows that are lost make way for those that are not:
    b* = least b with R * b / l(b) >= HEADROOM * lam, infinite where no batch keeps up          the load
    b+ = least b with b / l(b) >= EFFICIENT * (limit of b / l(b)), at most b_max                hardly worth more
    l unknown                                     release min(q, b_max)
    E < now + l+(min(q, b_max))                   hard pressed, see below
    q >= b_max                                    release b_max, "full"
    q >= b* or b* > b+                            release q, "idle"
    now >= D - l+(q + 1) - SPARE * l+(b*)         release q, "deadline"
    now >= A + max(PROMPT_S, OVERDUE * b* / lam)  release q, "idle": the load is no more what lam says           A: when the most urgent row came
    else                                          wait until the earlier of these, or until lam says b* rows are there
  Hard pressed, with m = min(q, b*, b+):
    E < now + l+(1)      set aside the rows of which that is true, and begin again
    now + l+(m) <= E     release as many, from m to min(q, b_max), as let the first be in time, "deadline"
    else                 set aside the rows before the first i with d_i >= now + l+(min(m, q - i)), and begin again    d_i: deadlines, ascending
  Rows set aside fill up batches below b+ as far as D - SPARE * l+(b*) allows, and are released b_max at a time while no others wait. Once more
  than PATIENCE_S late they are every TURN-th batch.
  Where rows are not all worth the same, before anything else, if hard pressed or q > b_max: those are set aside that operators/worth.py gives up, and
  it begins again; of the rows that would be set aside for a larger batch only those that are worth no more than any they make way for are, and
  where there is none, as many rows are released as let the first be in time.

Where rows are put back into their order behind the stage, one set aside would hold back all after it: none is set aside, and hard pressed it releases
as many, from m on, as let the first be in time, else min(q, b_max).

SPARE: to wait is worth it only where batches are short beside the deadlines. A row that comes when one has just begun waits for it and is in the
next, and both may take long: with 2 instead of 3, simulated batches of 91 ms and a variation of 0.3 had a third more late of 300 ms.

FixedRule releases at a size or after a wait. AimdRule adds to its size while batches are in time and halves it after a late one.
EarlyDropRule takes the first window of `target` rows, at the end of the queue of fewer, of which the first row can be in time in a batch of
the whole window, and gives up the rows before it:
    i = least i with d_i >= now + l+(min(target, q - i))

A rule keeps no queue and reads no clock. Sources: Proteus (ASPLOS 2024) section 4.2 for "deadline"; Clipper (NSDI 2017) section 4.3 for
AIMD; Nexus (SOSP 2019) section 6.3 for early drop and the windows, with its released code's windows at the end of the queue and its
latencies, mean and standard deviation.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from math import ceil, exp, inf
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from operators.service_time import ServiceTime
from operators.waiting import Waiting
from operators.worth import done_by, least_worth

HEADROOM = 1.1
EFFICIENT = 0.95
SPARE = 3.0
PATIENCE_S = 60.0
TURN = 16
OVERDUE = 4.0
PROMPT_S = 0.01  # rows come in micro-batches; a wait of so little is not worth being clever about
LEAST_WAIT_S = 0.0005  # a shorter one is not worth a wake-up


class Reason(StrEnum):
    FULL = "full"
    DEADLINE = "deadline"
    IDLE = "idle"
    FLUSH = "flush"


_FULL, _DEADLINE, _IDLE = Reason.FULL, Reason.DEADLINE, Reason.IDLE  # asking an enumeration for a member is a call in Python
_new: Any = tuple.__new__  # what a named tuple's own __new__, a function in Python, calls


class Release(NamedTuple):  # as View and Wait: made for every batch, at a third of the cost of a frozen dataclass
    """Send n rows now, and `aside` of those set aside. Rows that need not be kept and whose deadline is before `drop_before` are given up first."""

    n: int
    reason: Reason
    drop_before: float | None = None
    aside: int = 0


class SetAside(NamedTuple):
    """The first rows, as many as are due before that, at most so many, make way for the others; ask again."""

    before: float
    most: int


class GiveUp(NamedTuple):
    """The rows at these places of `Waiting.in_order` make way for the others; ask again."""

    places: NDArray[np.intp]


class Wait(NamedTuple):
    """Ask again at this time, or at the next event."""

    until: float


@dataclass(slots=True, eq=False)
class View:
    """What a rule sees. The queue is never empty; `replicas` >= 1 of which at least one is idle; rate in rows/s; share in (0, 1].

    A stage shows the same one again and again, as things are then: a rule keeps none.
    """

    queue: Waiting
    batch_max: int
    replicas: int
    rate: float
    service_time: ServiceTime
    deadline_share: float = 1.0

    def stage_deadline(self) -> float:
        """When the most urgent row should leave this stage."""
        run = self.queue.first()
        assert run is not None
        return run.leaves_by(self.deadline_share)


Decision = Release | SetAside | GiveUp | Wait


class Rule(Protocol):
    def decide(self, view: View, now: float) -> Decision: ...

    def observe(self, rows: int, late: int) -> None:
        """A batch was answered; `late` of its rows after their deadline."""


@dataclass(slots=True)
class AdaptiveRule:
    """in_order: rows are put back into their order behind the stage, so that one set aside would hold back those after it: none is."""

    headroom: float = HEADROOM
    in_order: bool = False
    _turn: int = 0  # batches since one of rows set aside too long

    def decide(self, view: View, now: float) -> Decision:
        queue, batch_max, time = view.queue, view.batch_max, view.service_time
        queued, aside = queue.rows, queue.aside.rows
        if aside:
            queued -= aside
            if not queued or self._owed(queue, now):
                return _new(Release, (0, _FULL, None, batch_max) if aside >= batch_max else (0, _IDLE, None, aside))
        rows = queued if queued < batch_max else batch_max
        fixed_s, per_row_s = time.fixed_s, time.per_row_s
        if fixed_s is None or per_row_s is None:
            return Release(rows, _FULL if rows == batch_max else _IDLE)
        is_pressed = queue.earliest() < now + time.margin_s + fixed_s + per_row_s * rows
        if is_pressed and self.in_order:
            return _pressed_in_order(view, rows, batch_needed(view, self.headroom), now)
        if queue.valued and not self.in_order and (is_pressed or queued > rows):
            decided = self._by_value(view, rows, is_pressed, now)
            if decided is not None:
                return decided
        if is_pressed:
            return _pressed(view, rows, batch_needed(view, self.headroom), now)
        if rows == batch_max:
            return _new(Release, (rows, _FULL, None, 0))
        needed = batch_needed(view, self.headroom)
        if aside:
            return Release(rows, _IDLE, aside=_filling(view, rows, needed, now))
        if rows >= needed or needed > _efficient(view):
            return _new(Release, (rows, _IDLE, None, 0))
        run = queue.first()
        assert run is not None
        latest = run.leaves_by(view.deadline_share) - time.within(rows + 1) - SPARE * time.within(needed)
        if now >= latest:
            return _new(Release, (rows, _DEADLINE, None, 0))
        patience_s = OVERDUE * needed / view.rate
        overdue = run.arrived + (patience_s if patience_s > PROMPT_S else PROMPT_S)  # max and min are slow in Python
        if now >= overdue:
            return _new(Release, (rows, _IDLE, None, 0))
        missing_s = (needed - rows) / view.rate
        until = now + (missing_s if missing_s > LEAST_WAIT_S else LEAST_WAIT_S)
        if latest < until:
            until = latest
        return _new(Wait, (overdue if overdue < until else until,))

    def _by_value(self, view: View, rows: int, is_pressed: bool, now: float) -> Release | GiveUp | None:
        """What differs from the rest of the rule where rows are not all worth the same."""
        deadlines, values = view.queue.in_order()
        if values.min() == values.max():
            return None
        lost = least_worth(values, done_by(deadlines, now, view.service_time, view.batch_max, view.replicas))
        if len(lost):
            return GiveUp(lost)
        pressed = _pressed(view, rows, batch_needed(view, self.headroom), now) if is_pressed else None
        if not isinstance(pressed, SetAside):
            return pressed
        urgent = min(int(np.searchsorted(deadlines, pressed.before)), pressed.most)
        least = values[urgent:].min() if urgent < len(values) else inf
        going = np.flatnonzero(values[:urgent] <= least)
        if len(going):
            return GiveUp(going)
        return Release(max(1, min(rows, view.service_time.rows_within(float(deadlines[0]) - now))), Reason.DEADLINE)

    def _owed(self, queue: Waiting, now: float) -> bool:
        """Whether it is the turn of rows set aside that have waited too long."""
        if queue.aside.earliest() + PATIENCE_S > now:
            return False
        self._turn = (self._turn + 1) % TURN
        return not self._turn

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
    """Releases the first window of `target` rows that can be in time as one batch; drops those before it."""

    target: int | None = None  # None: the batch maximum

    def decide(self, view: View, now: float) -> Release | Wait:
        size, queued, time = min(self.target or view.batch_max, view.batch_max), view.queue.rows, view.service_time
        rows = min(queued, size)
        if view.queue.earliest() >= now + time.within(rows):
            return Release(rows, Reason.FULL if rows == size else Reason.IDLE)
        first = _lost(view, size, now)
        if first == queued:
            return Release(rows, Reason.IDLE, inf)  # of rows that must be kept
        window = min(size, queued - first)
        return Release(window, Reason.FULL if window == size else Reason.IDLE, float(view.queue.deadlines()[first]))

    def observe(self, rows: int, late: int) -> None:
        pass


def batch_needed(view: View, headroom: float) -> float:
    """b*, a whole number or inf: from R b >= headroom lam (fixed + per_row b). 1 while l is unknown."""
    time = view.service_time
    fixed, per_row = time.fixed_s, time.per_row_s
    if fixed is None or per_row is None:
        return 1
    load = headroom * view.rate
    spare = view.replicas - load * per_row
    if spare <= 0:
        return inf
    needed = ceil(load * fixed / spare)
    return 1 if needed < 1 else needed


def _efficient(view: View) -> int:
    """b+: from b / (fixed + per_row b) >= EFFICIENT / per_row."""
    time, batch_max = view.service_time, view.batch_max
    if not time.fixed_s or not time.per_row_s:
        return batch_max
    efficient = ceil(EFFICIENT / (1 - EFFICIENT) * time.fixed_s / time.per_row_s)
    return batch_max if efficient > batch_max else efficient or 1


def _pressed(view: View, rows: int, needed: float, now: float) -> Release | SetAside:
    """A batch of all rows would make the first one late."""
    queue, time = view.queue, view.service_time
    queued, first = queue.hopeful, queue.earliest()
    before = now + time.within(1)
    if first < before:
        return SetAside(before, queued)
    least = int(min(rows, needed, _efficient(view)))
    before = now + time.within(least)
    if first >= before:
        return Release(max(least, min(rows, time.rows_within(first - now))), Reason.DEADLINE)
    if queued > least:
        return SetAside(before, queued - least)
    return SetAside(inf, max(1, _lost(view, least, now)))


def _pressed_in_order(view: View, rows: int, needed: float, now: float) -> Release:
    """As many as let the first row be in time, if that is no fewer than the load needs, else as many as there are."""
    fits = view.service_time.rows_within(view.queue.earliest() - now)
    return Release(min(rows, fits) if fits >= min(rows, needed, _efficient(view)) else rows, Reason.DEADLINE)


def _lost(view: View, window: int, now: float) -> int:
    """How many rows come before the first window that can be in time, all of them where there is none. O(q log q)."""
    deadlines = view.queue.deadlines()  # (q,)
    queued = len(deadlines)
    sizes = np.minimum(window, queued - np.arange(queued))
    fits = deadlines >= now + view.service_time.within(0) + (view.service_time.per_row_s or 0.0) * sizes
    return int(np.argmax(fits)) if fits.any() else queued


def _filling(view: View, rows: int, needed: float, now: float) -> int:
    """Rows set aside that a batch of `rows` has room for."""
    time = view.service_time
    if needed > _efficient(view):
        return 0
    spare_s = view.stage_deadline() - SPARE * time.within(needed) - now
    return max(0, min(view.queue.aside.rows, min(_efficient(view), time.rows_within(spare_s)) - rows))


@dataclass(slots=True)
class ArrivalRate:
    """Rows/s, exponentially weighted over the last `memory_s` seconds; starts at 0, so a stage starts eager."""

    memory_s: float = 0.5
    _rows: float = 0.0
    _at: float = 0.0

    def add(self, rows: int, now: float) -> None:
        before = self._rows
        self._rows = (before * exp((self._at - now) / self.memory_s) if now > self._at else before) + rows
        self._at = now

    def at(self, now: float) -> float:
        rows = self._rows
        return (rows * exp((self._at - now) / self.memory_s) if now > self._at else rows) / self.memory_s
