"""A part of a core where the system grants no quota: a replica that has worked waits, so that batches take as long as on a slower core.

    share   cores that the replica has, such as 0.375
    cpu     CPU seconds of a batch, of all threads, with reading it and packing the answer
    wall    seconds that it took

    owed = owed + max(0, cpu / share - wall) - slept          the replica sleeps while owed > 0, then answers

What sleeping takes beyond what was asked is owed no more at the next batch, so the share is kept over the batches. Time lost to other
processes (wall above cpu / share) is not made up for: a slow core would have lost it too. Idle time is not saved up.
"""

from __future__ import annotations


class Slot:
    """share: None = no limit."""

    def __init__(self, share: float | None = None) -> None:
        self._share = share
        self._owed_s = 0.0

    @property
    def limited(self) -> bool:
        return self._share is not None

    def change(self, share: float | None) -> None:
        self._share, self._owed_s = share, 0.0

    def owed_s(self, cpu_s: float, wall_s: float) -> float:
        """Seconds to sleep after a batch; 0 when it took long enough by itself."""
        if self._share is not None:
            self._owed_s += max(0.0, cpu_s / self._share - wall_s)
        return max(0.0, self._owed_s)

    def slept(self, seconds: float) -> None:
        self._owed_s -= seconds
