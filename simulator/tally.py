"""Counts that need no record of each event: outcomes, accuracy, a histogram of latencies.

Latencies fall into bins that grow by 1 %, so a percentile is within 1 % of the exact one; memory is the same for every length of trace.
Latency is from sending to the answer; an event without an answer is infinitely late in percentiles.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import ceil, inf, log

import numpy as np
from numpy.typing import NDArray

from simulator.outcome import Outcome

LEAST_S = 1e-4
GROWTH = 1.01
BINS = ceil(log(1e9) / log(GROWTH)) + 2  # up to 1e5 s


@dataclass(slots=True)
class Tally:
    """outcomes: events by `Outcome`. unavoidable: of those not in time, what no configuration could have met. accuracy: sum over answered."""

    outcomes: NDArray[np.int64] = field(default_factory=lambda: np.zeros(len(Outcome), np.int64))
    unavoidable: int = 0
    accuracy: float = 0.0
    latencies: NDArray[np.int64] = field(default_factory=lambda: np.zeros(BINS, np.int64))
    latency_s: float = 0.0

    @property
    def events(self) -> int:
        return int(self.outcomes.sum())

    @property
    def answered(self) -> int:
        return int(self.outcomes[Outcome.IN_TIME] + self.outcomes[Outcome.LATE])

    def add(self, outcome: NDArray[np.int8], latency_s: NDArray[np.float64], accuracy: NDArray[np.float64], hopeless: NDArray[np.bool_]) -> None:
        """hopeless: could not have been in time."""
        self.outcomes += np.bincount(outcome, minlength=len(Outcome))
        self.unavoidable += int(np.count_nonzero(hopeless & (outcome != Outcome.IN_TIME)))
        self.accuracy += float(accuracy.sum())
        answered = latency_s[outcome <= Outcome.LATE]
        self.latency_s += float(answered.sum())
        bins = np.ceil(np.log(np.maximum(answered, LEAST_S) / LEAST_S) / log(GROWTH)).astype(np.int64)
        self.latencies += np.bincount(np.minimum(bins, BINS - 1), minlength=BINS)

    def percentile_s(self, share: float) -> float:
        """The latency that this share (0..1) of all events kept to, within 1 % and not below; inf where that many were not answered."""
        rank = ceil(share * self.events - 1e-9)
        if rank > self.answered or rank == 0:
            return inf
        return LEAST_S * GROWTH ** float(np.searchsorted(np.cumsum(self.latencies), rank))
