"""Rows that wait to be sent to a stage: known ahead from the trace, or handed on by the stage before."""

from __future__ import annotations

from bisect import bisect_right
from math import inf
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from simulator.rows import COLUMNS, Rows, Slots


class Inbox(Protocol):
    """first_s: when the row that waits longest came or will come; inf without one. nth_s: when the n-th will be there (n >= 1), inf if unknown."""

    def first_s(self) -> float: ...

    def nth_s(self, n: int) -> float: ...

    def here(self, now_s: float) -> int: ...

    def take(self, count: int) -> Slots: ...


class Handed:
    """What earlier stages handed on. The times ascend."""

    def __init__(self) -> None:
        self._parts: list[tuple[float, Slots]] = []
        self._count = 0

    def add(self, slots: Slots, now_s: float) -> None:
        self._parts.append((now_s, slots))
        self._count += len(slots)

    def first_s(self) -> float:
        return self._parts[0][0] if self._parts else inf

    def nth_s(self, n: int) -> float:
        return self._parts[-1][0] if n <= self._count else inf  # not later than that, and that is not after now

    def here(self, now_s: float) -> int:
        return self._count

    def take(self, count: int) -> Slots:
        if count == self._count:
            taken = [slots for _, slots in self._parts]
            self._parts, self._count = [], 0
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
            self._count -= count
        return taken[0] if len(taken) == 1 else np.concatenate(taken)


class Coming:
    """Events of the source, known a second ahead; they take slots when they are sent on. taken: so far."""

    def __init__(self, rows: Rows) -> None:
        self.taken = 0
        self._rows = rows
        self._times: list[float] = []
        self._values: NDArray[np.float64] = np.zeros((COLUMNS, 0))  # (columns, events), by arrival
        self._head = 0

    def add(self, values: NDArray[np.float64], arrived: NDArray[np.float64]) -> None:
        """values: (columns, events). By arrival; they may come before some that are here already."""
        waiting = self._values[:, self._head :]
        times = np.concatenate([self._times[self._head :], arrived])
        values = np.concatenate([waiting, values], axis=1)
        ahead = waiting.shape[1]
        if ahead and len(arrived) and arrived[0] < times[ahead - 1]:
            order = np.argsort(times, kind="stable")
            times, values = times[order], values[:, order]
        self._times, self._values, self._head = times.tolist(), values, 0

    def first_s(self) -> float:
        return self._times[self._head] if self._head < len(self._times) else inf

    def nth_s(self, n: int) -> float:
        at = self._head + n - 1
        return self._times[at] if at < len(self._times) else inf

    def here(self, now_s: float) -> int:
        return bisect_right(self._times, now_s, self._head) - self._head

    def take(self, count: int) -> Slots:
        slots = self._rows.take(count)
        self._rows.values[:, slots] = self._values[:, self._head : self._head + count]
        self._head += count
        self.taken += count
        return slots
