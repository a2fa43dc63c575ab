"""What the job makes of the offsets it reads, from its own counters: how many records for one offset, and how far it is behind."""

from __future__ import annotations

from dataclasses import dataclass, field

LEAST_OFFSETS = 500
"""Fewer say too little of the ratio."""
KEPT_S = 120.0


@dataclass(frozen=True, slots=True)
class Progress:
    """Of the job's source at one moment: records it has emitted since it started, sum of the offsets it has reached, records behind."""

    at_s: float
    records: int
    offsets: int
    lag: int | None = None


@dataclass(slots=True)
class Consumption:
    """ratio: records for one offset, 0..1; 1 until enough was seen."""

    ratio: float = 1.0
    lag: int | None = None
    _seen: list[Progress] = field(default_factory=list)

    def observe(self, progress: Progress) -> None:
        """A job that started again counts anew from there."""
        self.lag = progress.lag
        if self._seen and (progress.records < self._seen[-1].records or progress.offsets < self._seen[-1].offsets):
            self._seen = []
        self._seen = [*(seen for seen in self._seen if seen.at_s > progress.at_s - KEPT_S), progress]
        records, offsets = progress.records - self._seen[0].records, progress.offsets - self._seen[0].offsets
        if offsets >= LEAST_OFFSETS:
            self.ratio = min(1.0, records / offsets)
