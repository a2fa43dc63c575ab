"""Rows waiting for a replica, earliest deadline first, exact to the row.

The queue is a heap of runs. A run is rows of one request, sorted by deadline, so its first row stands for it in the heap and the
rows taken of it are always a prefix.

    take(n) = the n rows with the least (deadline, arrival), as one prefix per run; the order inside a batch means nothing

Where the heap's first run holds n rows before the next run begins, that is one slice. Where runs interleave, the n-th least
deadline t is found among the first n rows of every run that begins before t; each run then gives its rows < t, and rows = t in
order of arrival until n are taken. O(n) numpy work per run touched, no Python work per row.

Times are float seconds of one clock, whichever it is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from heapq import heapify, heappop, heappush
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(slots=True, eq=False)
class Run:
    """Rows of one request, by deadline.

    request    whatever the caller wants back
    rows       int32, indexes into the request
    deadlines  float64 seconds, ascending, of the same length
    arrived    seconds
    keep       these rows must be answered even if late
    adjacent   rows is first, first + 1, ...: a range of the request's bytes
    sequence   order of arrival; given by the queue
    """

    request: Any
    rows: NDArray[np.int32]
    deadlines: NDArray[np.float64]
    arrived: float
    keep: bool = False
    adjacent: bool = True
    sequence: int = -1

    def __len__(self) -> int:
        return len(self.rows)

    def part(self, first: int, last: int) -> Run:
        if first == 0 and last == len(self.rows):
            return self
        rows, deadlines = self.rows[first:last], self.deadlines[first:last]
        return Run(self.request, rows, deadlines, self.arrived, self.keep, self.adjacent, self.sequence)


_FIRST = np.arange(64, dtype=np.int32)
_FIRST.setflags(write=False)


def _ascends(deadlines: NDArray[np.float64]) -> bool:
    if len(deadlines) <= len(_FIRST):  # up to there a list is faster
        plain = deadlines.tolist()
        return plain == sorted(plain)
    return bool((deadlines[1:] >= deadlines[:-1]).all())


def runs_of(request: Any, deadlines: NDArray[np.float64], arrived: float, keep: NDArray[np.bool_] | None = None) -> list[Run]:
    """The rows of a request as sorted runs: one, or two where only some rows must be kept."""
    count = len(deadlines)
    rows = _FIRST[:count] if count <= len(_FIRST) else np.arange(count, dtype=np.int32)
    adjacent = _ascends(deadlines)
    if not adjacent:
        rows = np.argsort(deadlines, kind="stable").astype(np.int32)
        deadlines = deadlines[rows]
    run = Run(request, rows, deadlines, arrived, adjacent=adjacent)
    if keep is None or not keep.any():
        return [run]
    if keep.all():
        return [replace(run, keep=True)]
    kept = keep[rows]
    return [
        replace(run, rows=rows[kept], deadlines=deadlines[kept], keep=True, adjacent=False),
        replace(run, rows=rows[~kept], deadlines=deadlines[~kept], adjacent=False),
    ]


class EdfQueue:
    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Run]] = []
        self._rows = 0
        self._sequence = 0

    def __len__(self) -> int:
        return self._rows

    def add(self, run: Run) -> None:
        if not len(run):
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

    def oldest(self) -> float | None:
        """When the row that has waited longest arrived."""
        return min((run.arrived for _, _, run in self._heap), default=None)

    def take(self, n: int) -> list[Run]:
        """Removes the n most urgent rows, fewer when there are fewer."""
        taken: list[Run] = []
        while n > 0 and self._heap:
            run = self._pop()
            count = min(n, len(run.rows))
            if self._heap and (run.deadlines[count - 1], run.sequence) > self._heap[0][:2]:
                taken += self._interleaved(run, n)
                break
            taken.append(self._split(run, count))
            n -= count
        return taken

    def expired(self, before: float) -> list[Run]:
        """Removes the rows whose deadline is earlier than `before` and that need not be kept."""
        gone: list[Run] = []
        kept: list[Run] = []
        while self._heap and self._heap[0][0] < before:
            run = self._pop()
            if run.keep:
                kept.append(run)
            else:
                gone.append(self._split(run, int(np.searchsorted(run.deadlines, before, "left"))))
        for run in kept:
            self._push(run)
        return gone

    def ahead(self, deadline: float) -> int:
        """Rows whose deadline is not later."""
        return sum(int(np.searchsorted(run.deadlines, deadline, "right")) for first, _, run in self._heap if first <= deadline)

    def withdraw(self, cut: Callable[[Run], int]) -> list[Run]:
        """Removes the first `cut(run)` rows of every run."""
        gone = [(run, cut(run)) for _, _, run in self._heap]
        self._heap, self._rows = [], 0
        for run, count in gone:
            if count < len(run.rows):
                self._push(run.part(count, len(run.rows)))
        return [run.part(0, count) for run, count in gone if count]

    def discard(self, unwanted: Callable[[Run], bool]) -> list[Run]:
        """Removes whole runs, for requests that nobody waits for any more."""
        gone = [run for _, _, run in self._heap if unwanted(run)]
        if gone:
            self._heap = [entry for entry in self._heap if not unwanted(entry[2])]
            heapify(self._heap)
            self._rows -= sum(map(len, gone))
        return gone

    def _interleaved(self, run: Run, n: int) -> list[Run]:
        runs, rows = [run], len(run)
        bound = run.deadlines[n - 1] if rows >= n else None  # the n-th least deadline is not later
        while self._heap and (bound is None or self._heap[0][0] <= bound):
            run = self._pop()
            runs.append(run)
            rows += len(run)
            if bound is None and rows >= n:
                bound = max(run.deadlines[-1] for run in runs)
            elif bound is not None and len(run) >= n:
                bound = min(bound, run.deadlines[n - 1])
        n = min(n, rows)
        last = np.partition(np.concatenate([run.deadlines[:n] for run in runs]), n - 1)[n - 1]
        below = [int(np.searchsorted(run.deadlines, last, "left")) for run in runs]
        left = n - sum(below)
        counts = dict(zip((run.sequence for run in runs), below, strict=True))
        for run in sorted(runs, key=lambda run: run.sequence):
            ties = int(np.searchsorted(run.deadlines, last, "right")) - counts[run.sequence]
            counts[run.sequence] += min(ties, left)
            left -= min(ties, left)
        pieces = [self._split(run, counts[run.sequence]) for run in runs]
        return [piece for piece in pieces if len(piece)]

    def _split(self, run: Run, count: int) -> Run:
        """The first `count` rows of a popped run; the rest goes back."""
        if count == len(run.rows):
            return run
        self._push(run.part(count, len(run.rows)))
        return run.part(0, count)

    def _push(self, run: Run) -> None:
        heappush(self._heap, (float(run.deadlines[0]), run.sequence, run))
        self._rows += len(run.rows)

    def _pop(self) -> Run:
        run = heappop(self._heap)[2]
        self._rows -= len(run.rows)
        return run
