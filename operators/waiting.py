"""The rows that wait in a stage: earliest deadline first, but those that a rule has set aside after all others.

    hopeful   rows that may still be in time, as far as the rule can tell: what `first`, `take` and `ahead` are about
    aside     rows that cannot, or that make way for more valuable ones: taken by `take_aside`, and only counted, expired, withdrawn and
              discarded with the others

Under overload, earliest deadline first alone serves the rows that are lost already, and so loses those behind them, one after the other.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heapify
from typing import Any

import numpy as np
from numpy.typing import NDArray

from operators.queue import EdfQueue, Run, chosen

Values = Callable[[Any], NDArray[np.float32] | None]
"""What the rows of a request are worth; None = each as much as any that brings no value, which is 1."""


class Waiting(EdfQueue):
    """rows: all that wait, hopeful and aside. While nothing is set aside it costs little more than its base.

    valued: a request whose rows are not all worth the same may have come since the queue was last empty.
    """

    def __init__(self, values: Values | None = None) -> None:
        super().__init__()
        self.aside = EdfQueue()
        self.valued = False
        self._values = values

    @property
    def hopeful(self) -> int:
        return self.rows - self.aside.rows

    def add(self, run: Run) -> None:
        if self._values is not None and (not self.valued or not self.rows):
            self.valued = self._values(run.request) is not None
        super().add(run)

    def set_aside(self, before: float, most: int) -> None:
        """The most urgent rows, as many as have an earlier deadline, at most so many."""
        for run in self.earlier(before, most):
            self.aside.add(run)  # with a place of its own: a run may come in pieces, of which each needs one
            self.rows += len(run)

    def in_order(self) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
        """Deadlines and values of the hopeful rows, by deadline, those that came first first. O(rows log rows)."""
        runs = self._runs()
        deadlines, order = _ordered(runs)
        return deadlines[order], np.concatenate([self._worth(run) for run in runs])[order]

    def give_up(self, places: NDArray[np.intp]) -> None:
        """Sets aside the rows at these places of `in_order`."""
        runs = self._runs()
        deadlines, order = _ordered(runs)
        going = np.zeros(len(deadlines), bool)
        going[order[places]] = True
        self._heap, at = [], 0
        for run in runs:
            goes = going[at : at + len(run)]
            at += len(run)
            gone, left = np.flatnonzero(goes), np.flatnonzero(~goes)
            if len(left):
                stays = chosen(run, left)
                self._heap.append((float(stays.due[stays.first]), stays.sequence, stays))
            if len(gone):
                self.aside.add(chosen(run, gone) if len(left) else run)
        heapify(self._heap)

    def take_aside(self, n: int) -> list[Run]:
        """As `take`, of those set aside."""
        return self._counted(self.aside.take(n))

    def first_deadline(self, sheddable: bool = False) -> float | None:
        found = [one for one in (super().first_deadline(sheddable), self.aside.first_deadline(sheddable)) if one is not None]
        return min(found, default=None)

    def oldest(self) -> float | None:
        return min((one for one in (super().oldest(), self.aside.oldest()) if one is not None), default=None)

    def expired(self, before: float) -> list[Run]:
        return super().expired(before) + self._counted(self.aside.expired(before))

    def withdraw(self, cut: Callable[[Run], int]) -> list[Run]:
        found = super().withdraw(cut)
        found += self.aside.withdraw(cut)
        self.rows += self.aside.rows  # the base counts its own rows anew
        return found

    def discard(self, unwanted: Callable[[Run], bool]) -> list[Run]:
        return super().discard(unwanted) + self._counted(self.aside.discard(unwanted))

    def _runs(self) -> list[Run]:
        """The hopeful ones, as they came."""
        return sorted((run for _, _, run in self._heap), key=lambda run: run.sequence)

    def _worth(self, run: Run) -> NDArray[np.float32]:
        values = self._values(run.request) if self._values is not None else None
        return np.ones(len(run), np.float32) if values is None else values[run.rows]

    def _counted(self, gone: list[Run]) -> list[Run]:
        if gone:
            self.rows -= sum(map(len, gone))
        return gone


def _ordered(runs: list[Run]) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """(deadlines of all rows, run after run; their order by deadline, equal ones as they came)."""
    deadlines = np.concatenate([np.asarray(run.deadlines, np.float64) for run in runs])
    return deadlines, np.argsort(deadlines, kind="stable")
