"""Proteus' own batch rule, which does not work on while a batch could still grow: a batch leaves at the last moment, or full.

    q      rows queued          b_max  rows per batch at most          E  deadline of the most urgent row
    l(b)   seconds of a batch of b rows and `deviations` standard deviations, as learned while serving
    b(q)   the largest of 1, 2, 4, 8, .. that is no more than q

    q >= b_max           b_max rows now
    now < E - l(b(q))    wait until then
    else                 b(q) rows, or b(q - 1) where the newest row came after that time: without it the first is in time
    l unknown            all rows now

Rows that expired are given up by the stage. As released l is a constant, and a batch begins when it just ends in time; with batch times that
vary half of such batches are late, hence the deviations.

Source: Proteus (ASPLOS 2024), section 4.2, and its released predictor ("accscale").
"""

from __future__ import annotations

from dataclasses import dataclass

from operators.batching import Reason, Release, View, Wait

DEVIATIONS = 3.0
EARLY_S = 1e-6
"""Before the last moment, at which the stage gives the row up."""


@dataclass(slots=True)
class ProteusRule:
    """deviations: 0 = as released."""

    deviations: float = DEVIATIONS
    _waiting: int = 0  # rows there were when it last said to wait

    def decide(self, view: View, now: float) -> Release | Wait:
        queued, time = len(view.queue), view.service_time
        if queued >= view.batch_max:
            return Release(view.batch_max, Reason.FULL)
        mean_s = time.of(power(queued))
        if mean_s is None:
            return Release(queued, Reason.IDLE)
        latest = view.queue.earliest() - mean_s - self.deviations * time.margin_s - EARLY_S
        if now < latest:
            self._waiting = queued
            return Wait(latest)
        return Release(power(queued if queued == self._waiting else max(1, queued - 1)), Reason.DEADLINE)

    def observe(self, rows: int, late: int) -> None:
        pass


def power(rows: int) -> int:
    """The largest power of two that is no more. rows >= 1."""
    return 1 << (rows.bit_length() - 1)
