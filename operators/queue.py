"""Rows waiting for a replica, earliest deadline first, exact to the row.

The queue is a heap of runs. A run is rows of one request, sorted by deadline, so its first row stands for it in the heap and the
rows taken of it are always a prefix. A part of a run is two indexes into what it shares with the others: nothing is copied.

    take(n) = the n rows with the least (deadline, arrival), as one prefix per run; the order inside a batch means nothing

Where the heap's first run holds n rows before the next run begins, that is one slice. Where runs interleave, the n-th least
deadline t is found among the first n rows of every run that begins before t; each run then gives its rows < t, and rows = t in
order of arrival until n are taken. O(n) work per run touched, by slices: no Python call per row. Deadlines are a list in runs that came
with at most SMALL rows and an array in longer ones: numpy takes a microsecond to begin with, in which a list is done.

Times are float seconds of one clock, whichever it is.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from heapq import heapify, heappop, heappush, heapreplace
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

SMALL = 64


@dataclass(slots=True, eq=False)
class Run:
    """Rows of one request, by deadline: those at first, first + 1, ..., last - 1 of `order` and `due`.

    request      whatever the caller wants back
    order        int32, rows of the request; None = 0, 1, 2, ..., so that the run is a range of the request's bytes
    due          seconds, ascending: their deadlines
    arrived      seconds
    keep         these rows must be answered even if late
    sequence     order of arrival; given by the queue
    """

    request: Any
    order: NDArray[np.int32] | None
    due: Sequence[float] | NDArray[np.float64]
    first: int
    last: int
    arrived: float
    keep: bool = False
    sequence: int = -1

    def __len__(self) -> int:
        return self.last - self.first

    @property
    def rows(self) -> NDArray[np.int32]:
        """Indexes into the request, by deadline."""
        if self.order is not None:
            return self.order[self.first : self.last]
        return _ROWS[self.first : self.last] if self.last <= len(_ROWS) else np.arange(self.first, self.last, dtype=np.int32)

    @property
    def deadlines(self) -> Sequence[float] | NDArray[np.float64]:
        """Seconds, ascending, of each row."""
        return self.due[self.first : self.last]

    @property
    def adjacent(self) -> bool:
        """The rows are a range of the request's bytes."""
        return self.order is None

    def leaves_by(self, share: float) -> float:
        """When its first row should leave a stage that may use that share of the row's time."""
        return self.arrived + (float(self.due[self.first]) - self.arrived) * share

    def part(self, first: int, last: int) -> Run:
        """Of its rows, counted from its own first one."""
        if first == 0 and last == len(self):
            return self
        return Run(self.request, self.order, self.due, self.first + first, self.first + last, self.arrived, self.keep, self.sequence)

    def earlier(self, than: float) -> int:
        """How many of its rows have an earlier deadline."""
        return bisect_left(self.due, than, self.first, self.last) - self.first

    def until(self, deadline: float) -> int:
        """How many of its rows have no later deadline."""
        return bisect_right(self.due, deadline, self.first, self.last) - self.first


_ROWS = np.arange(4096, dtype=np.int32)
_ROWS.setflags(write=False)


def runs_of(request: Any, deadlines: NDArray[np.float64], arrived: float, keep: NDArray[np.bool_] | None = None) -> list[Run]:
    """The rows of a request as sorted runs: one, or two where only some rows must be kept."""
    count = len(deadlines)
    if count == 1 and keep is None:
        return [Run(request, None, deadlines.tolist(), 0, 1, arrived)]
    due: Sequence[float] | NDArray[np.float64]
    if count <= SMALL:
        plain = deadlines.tolist()
        due = sorted(plain)
        adjacent = plain == due
    else:
        due = deadlines
        adjacent = bool((deadlines[1:] >= deadlines[:-1]).all())
    order = None
    if not adjacent:
        order = deadlines.argsort(kind="stable").astype(np.int32)
        due = due if count <= SMALL else deadlines[order]
    run = Run(request, order, due, 0, count, arrived)
    if keep is None or not keep.any():
        return [run]
    if keep.all():
        return [replace(run, keep=True)]
    kept = keep[run.rows]
    return [replace(chosen(run, np.flatnonzero(kept)), keep=True), chosen(run, np.flatnonzero(~kept))]


def chosen(run: Run, positions: NDArray[np.intp]) -> Run:
    """The run's rows at ascending positions."""
    if len(positions) and positions[-1] - positions[0] == len(positions) - 1:
        return run.part(int(positions[0]), int(positions[-1]) + 1)
    due = np.asarray(run.deadlines)[positions]
    return Run(run.request, run.rows[positions], due, 0, len(positions), run.arrived, run.keep, run.sequence)


class EdfQueue:
    """rows: that wait; `len` says the same, at the price of a call."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Run]] = []
        self.rows = 0
        self._sequence = 0

    def __len__(self) -> int:
        return self.rows

    def add(self, run: Run) -> None:
        if run.first == run.last:
            return
        run.sequence = self._sequence
        self._sequence += 1
        self._push(run)

    def first(self) -> Run | None:
        """The run with the earliest row; it stays in the queue."""
        return self._heap[0][2] if self._heap else None

    def first_deadline(self, sheddable: bool = False) -> float | None:
        """The earliest deadline; with `sheddable`, of rows that need not be kept. None when there is no such row."""
        if not sheddable:
            return self._heap[0][0] if self._heap else None
        return min((deadline for deadline, _, run in self._heap if not run.keep), default=None)

    def earliest(self) -> float:
        """The deadline of `first`'s first row, of which there must be one."""
        return self._heap[0][0]

    def oldest(self) -> float | None:
        """When the row that has waited longest arrived."""
        return min((run.arrived for _, _, run in self._heap), default=None)

    def take(self, n: int) -> list[Run]:
        """Removes the n most urgent rows, fewer when there are fewer."""
        taken: list[Run] = []
        heap = self._heap
        while n > 0 and heap:
            run = heap[0][2]
            held = run.last - run.first
            count = n if n < held else held
            runs = len(heap)
            if runs > 1:
                following = heap[1] if runs == 2 or heap[1] < heap[2] else heap[2]
                last = run.due[run.first + count - 1]
                if last > following[0] or (last == following[0] and run.sequence > following[1]):
                    taken += self._interleaved(self._pop(), n)
                    break
            if count < held:
                taken.append(self._prefix(run, count))
                break
            heappop(heap)
            self.rows -= count
            taken.append(run)
            n -= count
        return taken

    def earlier(self, before: float, most: int) -> list[Run]:
        """Removes the most urgent rows, as many as have an earlier deadline, at most so many."""
        found: list[Run] = []
        heap = self._heap
        while most > 0 and heap and heap[0][0] < before:
            run = heap[0][2]
            count = min(most, run.earlier(before))
            if len(heap) > 1:
                following = heap[1] if len(heap) == 2 or heap[1] < heap[2] else heap[2]
                ahead = run.until(following[0]) if run.sequence < following[1] else run.earlier(following[0])
                count = min(count, max(1, ahead))
            found.append(self._prefix(run, count))
            most -= count
        return found

    def deadlines(self) -> NDArray[np.float64]:
        """Of all rows, ascending. O(rows)."""
        return np.sort(np.fromiter(chain.from_iterable(run.deadlines for _, _, run in self._heap), np.float64))

    def expired(self, before: float) -> list[Run]:
        """Removes the rows whose deadline is earlier than `before` and that need not be kept."""
        gone: list[Run] = []
        kept: list[Run] = []
        while self._heap and self._heap[0][0] < before:
            run = self._heap[0][2]
            if run.keep:
                kept.append(self._pop())
            else:
                gone.append(self._prefix(run, run.earlier(before)))
        for run in kept:
            self._push(run)
        return gone

    def ahead(self, deadline: float) -> int:
        """Rows whose deadline is not later."""
        return sum(run.until(deadline) for first, _, run in self._heap if first <= deadline)

    def withdraw(self, cut: Callable[[Run], int]) -> list[Run]:
        """Removes the first `cut(run)` rows of every run."""
        gone = [(run, cut(run)) for _, _, run in self._heap]
        self._heap, self.rows = [], 0
        for run, count in gone:
            if count < len(run):
                self._push(run.part(count, len(run)))
        return [run.part(0, count) for run, count in gone if count]

    def discard(self, unwanted: Callable[[Run], bool]) -> list[Run]:
        """Removes whole runs, for requests that nobody waits for any more."""
        gone = [run for _, _, run in self._heap if unwanted(run)]
        if gone:
            self._heap = [entry for entry in self._heap if not unwanted(entry[2])]
            heapify(self._heap)
            self.rows -= sum(map(len, gone))
        return gone

    def _interleaved(self, run: Run, n: int) -> list[Run]:
        runs, rows = [run], len(run)
        bound = run.due[run.first + n - 1] if rows >= n else None  # the n-th least deadline is not later
        while self._heap and (bound is None or self._heap[0][0] <= bound):
            run = self._pop()
            runs.append(run)
            rows += len(run)
            if bound is None and rows >= n:
                bound = max(run.due[run.last - 1] for run in runs)
            elif bound is not None and len(run) >= n:
                bound = min(bound, run.due[run.first + n - 1])
        n = min(n, rows)
        last = _least([run.due[run.first : min(run.first + n, run.last)] for run in runs], n)
        below = [run.earlier(last) for run in runs]
        left = n - sum(below)
        counts = dict(zip((run.sequence for run in runs), below, strict=True))
        for run in sorted(runs, key=lambda run: run.sequence):
            ties = run.until(last) - counts[run.sequence]
            counts[run.sequence] += min(ties, left)
            left -= min(ties, left)
        pieces = [self._split(run, counts[run.sequence]) for run in runs]
        return [piece for piece in pieces if len(piece)]

    def _prefix(self, run: Run, count: int) -> Run:
        """The first `count` rows, at least one, of the first run of the heap, whose rest stays."""
        self.rows -= count
        first = run.first
        rest = first + count
        if rest == run.last:
            heappop(self._heap)
            return run
        run.first = rest
        heapreplace(self._heap, (float(run.due[rest]), run.sequence, run))
        return Run(run.request, run.order, run.due, first, rest, run.arrived, run.keep, run.sequence)

    def _split(self, run: Run, count: int) -> Run:
        """The first `count` rows of a popped run; the rest goes back."""
        if count == len(run):
            return run
        self._push(run.part(count, len(run)))
        return run.part(0, count)

    def _push(self, run: Run) -> None:
        heappush(self._heap, (float(run.due[run.first]), run.sequence, run))
        self.rows += run.last - run.first

    def _pop(self) -> Run:
        run = heappop(self._heap)[2]
        self.rows -= run.last - run.first
        return run


def _least(parts: list[Sequence[float] | NDArray[np.float64]], n: int) -> float:
    """The n-th least of all of them; at most n are of one part."""
    if n <= SMALL:
        return sorted(chain.from_iterable(parts))[n - 1]
    return float(np.partition(np.concatenate(parts), n - 1)[n - 1])
