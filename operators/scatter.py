"""Rows in flight against rows answered, in slices of about SLICE_S: what the model of concurrency against throughput learns from
(autoscaler/control/scatter.py).

    rows     held in the service but not set aside, mean over the slice
    rate     rows answered in it / its seconds
    ready    replicas that answer; a slice in which they changed is left out

A slice ends with the first row that comes or goes after SLICE_S, so an idle stage costs nothing.
"""

from __future__ import annotations

from collections import deque

SLICE_S = 0.1
KEPT = 64
"""Slices until somebody takes them; a record is made once a second."""


class Slices:
    """Times are of one clock, any."""

    def __init__(self) -> None:
        self._begun: float | None = None
        self._at = 0.0
        self._held = 0
        self._area = 0.0
        self._answered = 0
        self._ready = 0
        self._done: deque[dict[str, float]] = deque(maxlen=KEPT)

    def moved(self, held: int, answered: int, now: float) -> bool:
        """From now on so many rows are held, and so many of those before are answered. Whether the slice is long enough to `end`."""
        if self._begun is None:
            self._begun = now
        else:
            self._area += self._held * (now - self._at)
        self._at, self._held = now, held
        self._answered += answered
        return now - self._begun >= SLICE_S

    def end(self, aside: int, ready: int) -> None:
        """aside, ready: as of now, the time of the last `moved`, from which the next slice begins."""
        assert self._begun is not None
        seconds = self._at - self._begun
        if ready == self._ready and seconds > 0:
            rows = max(0.0, self._area / seconds - aside)
            self._done.append({"rows": round(rows, 2), "rate": round(self._answered / seconds, 2), "ready": ready})
        self._begun, self._area, self._answered, self._ready = self._at, 0.0, 0, ready

    def take(self) -> list[dict[str, float]]:
        """The slices since the last time, ready for JSON."""
        taken = list(self._done)
        self._done.clear()
        return taken
