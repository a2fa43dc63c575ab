"""What a run leaves: one row per event, the actions, a series per second. Statistics and plots are made of these.

    event       number, in order of sending           outcome    `Outcome`
    sent_s, arrived_s, deadline_s, finish_s           accuracy   0..1; 0 where it was not answered
    variants    (events, stations) int8, -1 where it did not pass

Records are complete: every event that was sent is in exactly one row.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class Events:
    """In the order in which they ended."""

    event: NDArray[np.int64]
    sent_s: NDArray[np.float64]
    arrived_s: NDArray[np.float64]
    deadline_s: NDArray[np.float64]
    finish_s: NDArray[np.float64]
    outcome: NDArray[np.int8]
    accuracy: NDArray[np.float64]
    variants: NDArray[np.int8]

    def __len__(self) -> int:
        return len(self.event)

    def tobytes(self) -> bytes:
        columns = (self.event, self.sent_s, self.arrived_s, self.deadline_s, self.finish_s, self.outcome, self.accuracy, self.variants)
        return b"".join(column.tobytes() for column in columns)


@dataclass(frozen=True, slots=True)
class Action:
    """kind: replicas, resize, batch, variant, parallelism, failure. amount: by how many, or the new value."""

    at_s: float
    station: str
    kind: str
    amount: float


@dataclass(frozen=True, slots=True)
class Second:
    """at_s: its end. arrived: events that came to the source. held: units by kind, mean over the second, `cost` among them.
    used: units in batches, mean. queued: rows that wait, by station. ready: replicas that serve, by station. rows: that came, by station.
    capacity: rows/s that the ready replicas take back to back by their options' throughput, by station."""

    at_s: float
    arrived: int
    held: dict[str, float]
    used: float
    queued: dict[str, int]
    ready: dict[str, int]
    rows: dict[str, int] = field(default_factory=dict)
    capacity: dict[str, float] = field(default_factory=dict)


@dataclass(slots=True)
class Records:
    """parts: of the events, while the run goes on."""

    parts: list[Events] = field(default_factory=list)
    actions: list[Action] = field(default_factory=list)
    seconds: list[Second] = field(default_factory=list)

    def events(self, stations: int) -> Events:
        """All of them; computed anew at each call."""
        if not self.parts:
            none = np.zeros(0)
            return Events(none.astype(np.int64), none, none, none, none, none.astype(np.int8), none, np.zeros((0, stations), np.int8))
        return Events(*(np.concatenate([getattr(part, name) for part in self.parts]) for name in Events.__slots__))
