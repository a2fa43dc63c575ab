"""The rows in flight, as columns: a row is a slot, and slots are used again, so memory follows what is in flight.

    SENT      when its event left its sender, s        ARRIVED   when the event came to the source topic, s
    DEADLINE  of the event, s                          EVENT     number of the event, from 0 in order of sending
    CHILDREN  what its joined children make of its accuracy: mean of theirs, 1 without

values    (columns, slots): a column is one piece of memory, which numpy indexes several times as fast as a row of few
variants  (stages, slots) int8, index v of the variant that answered the row at that stage, -1 where none did; -2 - v where it answered a
          relative: an ancestor before the fan-out, or a child. Answers are noted by batch and written many at a time, when somebody looks
parent    slot of the row that it was fanned out from, -1 for a source event
"""

from __future__ import annotations

from collections import defaultdict

import numpy as np
from numpy.typing import NDArray

SENT, ARRIVED, DEADLINE, EVENT, CHILDREN = range(5)
COLUMNS = 5

Slots = NDArray[np.int64]


def elsewhere(variants: NDArray[np.int8]) -> NDArray[np.int8]:
    """The same answers, as a relative sees them."""
    return np.where(variants >= 0, -2 - variants, variants)


def anywhere(variants: NDArray[np.int8]) -> NDArray[np.int8]:
    """Indexes of the variants that answered the row or a relative of it."""
    return np.where(variants < -1, -2 - variants, variants)


class Rows:
    def __init__(self, stages: int, size: int = 1024) -> None:
        self.values = np.zeros((COLUMNS, size))
        self.deadline = self.values[DEADLINE]
        self._variants = np.full((stages, size), -1, np.int8)
        self._answers: list[defaultdict[int, list[Slots]]] = [defaultdict(list) for _ in range(stages)]
        self._is_noted = False
        self.parent = np.full(size, -1, np.int64)
        self._free = np.arange(size, dtype=np.int64)[::-1].copy()
        self._count = size

    @property
    def in_flight(self) -> int:
        return self.room - self._count

    @property
    def room(self) -> int:
        """Slots there are."""
        return self.values.shape[1]

    @property
    def variants(self) -> NDArray[np.int8]:
        if self._is_noted:
            for variants, answers in zip(self._variants, self._answers, strict=True):
                for variant, parts in answers.items():
                    variants[np.concatenate(parts)] = variant
                answers.clear()
            self._is_noted = False
        return self._variants

    def answered(self, stage: int, variant: int, parts: list[Slots]) -> None:
        """At that stage, by the variant of that index."""
        self._answers[stage][variant] += parts
        self._is_noted = True

    def take(self, count: int) -> Slots:
        """Slots of new rows, without a parent; their values are the caller's to set."""
        while count > self._count:
            self._grow()
        self._count -= count
        return self._free[self._count : self._count + count].copy()

    def taken(self) -> Slots:
        """Slots of all rows in flight, ascending."""
        free = np.zeros(self.room, bool)
        free[self._free[: self._count]] = True
        return np.flatnonzero(~free)

    def free(self, slots: Slots) -> None:
        count = len(slots)
        self._free[self._count : self._count + count] = slots
        self._count += count
        self.variants[:, slots] = -1
        self.parent[slots] = -1

    def _grow(self) -> None:
        size = self.room
        self.values = np.concatenate([self.values, np.zeros((COLUMNS, size))], axis=1)
        self.deadline = self.values[DEADLINE]
        self._variants = np.concatenate([self._variants, np.full((len(self._variants), size), -1, np.int8)], axis=1)
        self.parent = np.concatenate([self.parent, np.full(size, -1, np.int64)])
        free = np.empty(2 * size, np.int64)
        free[: self._count] = self._free[: self._count]
        free[self._count : self._count + size] = np.arange(2 * size - 1, size - 1, -1)
        self._free, self._count = free, self._count + size
