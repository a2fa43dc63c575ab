"""Requests that come together go to the stage together.

A replica that is idle would be sent the first row alone, and after it no more at once than the service reads while it computes. Where calls come one by
one and service and replicas share cores, that is one or two, and each batch costs both a turn. So rows wait while the loop still has something to read:
a loop that is never quiet is what they would wait for anyway.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from operators.queue import Run

GROUP_S = 0.005
"""Rows wait for those that come with them at most so long."""
GROUP_ROWS = 64
"""So many wait for no other."""
QUIET = 3
"""Turns of the loop that bring no request; a call that has begun to arrive comes within so many."""


class Loop(Protocol):
    """What of an event loop is used."""

    def time(self) -> float: ...

    def call_soon(self, callback: Callable[..., object], *arguments: Any) -> object: ...


class Grouping:
    """take: gets the rows of requests that came together, in their runs."""

    def __init__(self, loop: Loop, take: Callable[[list[Run]], None]) -> None:
        self._loop = loop
        self._take = take
        self._runs: list[Run] = []
        self._rows = 0

    def __len__(self) -> int:
        """Rows that wait here."""
        return self._rows

    def add(self, runs: list[Run]) -> None:
        """The rows of a request."""
        if not self._runs:
            self._loop.call_soon(self._look, self._loop.time() + GROUP_S, 0, 0)
        self._runs += runs
        self._rows += sum(map(len, runs))
        if self._rows >= GROUP_ROWS:
            self.flush()

    def flush(self) -> None:
        """Hands on what waits."""
        if self._runs:
            runs, self._runs, self._rows = self._runs, [], 0
            self._take(runs)

    def forget(self, unwanted: Callable[[Any], bool]) -> list[Run]:
        """Drops and returns the rows of requests that nobody waits for."""
        dropped = [run for run in self._runs if unwanted(run.request)]
        if dropped:
            self._runs = [run for run in self._runs if not unwanted(run.request)]
            self._rows = sum(map(len, self._runs))
        return dropped

    def _look(self, until: float, seen: int, quiet: int) -> None:
        """seen: rows at the last look; quiet: looks at which there were no more."""
        quiet = quiet + 1 if self._rows == seen else 0
        if quiet >= QUIET or self._loop.time() > until:
            self.flush()
        elif self._rows:
            self._loop.call_soon(self._look, until, self._rows, quiet)
