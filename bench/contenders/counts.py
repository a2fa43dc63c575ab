"""A sliding count per key over rows of fixed layout, and the same without state."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from operators.operator import Operator
from operators.sliding import slide, state_type
from operators.stateful import StatefulOperator
from operators.turns import Applied, Turns

EVENT = np.dtype([("number", "<i8"), ("at_ms", "<i8"), ("rest", "V84")])
"""100 bytes; `rest` stands for what else an event has."""
HEAD = np.dtype([("number", "<i8"), ("at_ms", "<i8")])
COUNTED = np.dtype([("number", "<i8"), ("slice", "<i8"), ("recent", "<i8"), ("total", "<i8")])
SLICES = 16
SLICE_MS = 100


class Counts(StatefulOperator):
    """Of each event: its key's events in the last 16 slices of 100 ms, and in all."""

    def apply(self, turns: Turns) -> Applied:
        heads = turns.event_table(HEAD)
        states, kept = turns.state_table(state_type(SLICES))
        counted = _counted(heads)
        counted["recent"], counted["total"] = slide(states, kept, turns.counts, counted["slice"])
        return Applied(states, counted)


class Slices(Operator):
    """Of each event its slice, in a row of the same layout."""

    def infer(self, rows: Sequence[bytes]) -> Sequence[bytes]:
        answers = _counted(np.frombuffer(b"".join(rows), EVENT)).tobytes()
        return [answers[at : at + COUNTED.itemsize] for at in range(0, len(answers), COUNTED.itemsize)]


def _counted(events: NDArray[Any]) -> NDArray[Any]:
    counted = np.zeros(len(events), COUNTED)
    counted["number"] = events["number"]
    counted["slice"] = events["at_ms"] // SLICE_MS
    return counted
