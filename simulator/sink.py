"""Where events end: each exactly once. Ended events are gathered and counted many at a time; their slots are free after that."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from simulator.accuracy import Accuracies
from simulator.outcome import Outcome
from simulator.records import Events, Records
from simulator.rows import ARRIVED, DEADLINE, EVENT, SENT, Rows, Slots, anywhere
from simulator.tally import Tally

GATHERED = 4096
"""Events counted at a time."""


class Sink:
    """least_s: from arrival to answer when nothing waits and everything is as fast as it can be. records: None = only the tally."""

    def __init__(self, rows: Rows, accuracies: Accuracies, least_s: float, records: Records | None) -> None:
        self.tally = Tally()
        self.records = records
        self._rows = rows
        self._accuracies = accuracies
        self._least_s = least_s
        self._slots: list[Slots] = []
        self._ended: list[tuple[int, Outcome, float]] = []
        self._gathered = 0

    @property
    def events(self) -> int:
        """That ended so far."""
        return self.tally.events + self._gathered

    def end(self, parts: list[Slots], count: int, outcome: Outcome, now_s: float) -> None:
        """parts: `count` rows in all. outcome IN_TIME: answered now, in time or late as the deadlines say."""
        self._slots += parts
        self._ended.append((count, outcome, now_s))
        self._gathered += count
        if self._gathered >= GATHERED:
            self.count()

    def count(self) -> None:
        if not self._ended:
            return
        slots = np.concatenate(self._slots)
        counts, outcomes, times_s = zip(*self._ended, strict=True)
        finish = np.repeat(np.array(times_s), counts)
        outcome = np.repeat(np.array(outcomes, np.int8), counts)
        self._slots, self._ended, self._gathered = [], [], 0
        self._counted(slots, finish, outcome)
        self._rows.free(slots)

    def _counted(self, slots: Slots, finish: NDArray[np.float64], outcome: NDArray[np.int8]) -> None:
        values = self._rows.values[:, slots]  # (columns, slots)
        outcome[(outcome == Outcome.IN_TIME) & (finish > values[DEADLINE])] = Outcome.LATE
        accuracy = np.where(outcome <= Outcome.LATE, self._accuracies.of(self._rows, slots), 0.0)
        hopeless = values[DEADLINE] - values[ARRIVED] < self._least_s
        self.tally.add(outcome, finish - values[SENT], accuracy, hopeless)
        if self.records is not None:
            self.records.parts.append(Events(values[EVENT].astype(np.int64), values[SENT], values[ARRIVED],
                                             values[DEADLINE], finish, outcome, accuracy, anywhere(self._rows.variants[:, slots]).T))
