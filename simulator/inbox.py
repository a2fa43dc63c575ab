"""Rows that wait to be sent to a stage: known ahead from the trace, or handed on by the stage before."""

from __future__ import annotations

from bisect import bisect_right
from math import inf
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from simulator.rows import Rows, Slots


class Inbox(Protocol):
    """first_s: when the row that waits longest came or will come; inf without one. nth_s: when the n-th will be there (n >= 1), inf if unknown."""

    def first_s(self) -> float: ...

    def nth_s(self, n: int) -> float: ...

    def here(self, now_s: float) -> int: ...

    def take(self, count: int) -> Slots: ...


class Handed:
    """What earlier stages handed on. The times ascend. count: rows there are."""

    def __init__(self) -> None:
        self.count = 0
        self._parts: list[tuple[float, Slots]] = []

    def add(self, parts: list[Slots], count: int, now_s: float) -> int:
        """parts: `count` rows in all. How many wait now."""
        for slots in parts:
            self._parts.append((now_s, slots))
        self.count += count
        return self.count

    def first_s(self) -> float:
        return self._parts[0][0] if self._parts else inf

    def nth_s(self, n: int) -> float:
        return self._parts[-1][0] if n <= self.count else inf  # not later than that, and that is not after now

    def here(self, now_s: float) -> int:
        return self.count

    def take(self, count: int) -> Slots:
        if count == self.count:
            taken = [slots for _, slots in self._parts]
            self._parts, self.count = [], 0
        else:
            taken, left = [], count
            while left:
                at, slots = self._parts[0]
                taken.append(slots[:left])
                if len(slots) > left:
                    self._parts[0] = (at, slots[left:])
                else:
                    self._parts.pop(0)
                left -= len(taken[-1])
            self.count -= count
        return taken[0] if len(taken) == 1 else np.concatenate(taken)


class Coming:
    """Events of the source, known a second ahead, with their slots. taken: so far."""

    def __init__(self, rows: Rows) -> None:
        self.taken = 0
        self._rows = rows
        self._times: list[float] = []
        self._slots: Slots = np.zeros(0, np.int64)  # by arrival, like the times
        self._head = 0

    def add(self, values: NDArray[np.float64], arrived: NDArray[np.float64]) -> None:
        """values: (columns, events). By arrival; they may come before some that are here already."""
        coming = self._rows.take(len(arrived))
        self._rows.values[:, coming] = values
        waiting = self._slots[self._head :]
        times = np.concatenate([self._times[self._head :], arrived])
        slots = np.concatenate([waiting, coming])
        ahead = len(waiting)
        if ahead and len(arrived) and arrived[0] < times[ahead - 1]:
            order = np.argsort(times, kind="stable")
            times, slots = times[order], slots[order]
        self._times, self._slots, self._head = times.tolist(), slots, 0

    def first_s(self) -> float:
        return self._times[self._head] if self._head < len(self._times) else inf

    def nth_s(self, n: int) -> float:
        at = self._head + n - 1
        return self._times[at] if at < len(self._times) else inf

    def here(self, now_s: float) -> int:
        return bisect_right(self._times, now_s, self._head) - self._head

    def take(self, count: int) -> Slots:
        slots = self._slots[self._head : self._head + count]
        self._head += count
        self.taken += count
        return slots
