"""How much a search may do, counted and never timed, so that the same problem gives the same plan on every machine."""

from __future__ import annotations


class TooMuch(Exception):
    """The search is larger than it may be."""


class Work:
    """limit: elementary array steps, about 1e9 a second on a current core."""

    def __init__(self, limit: float) -> None:
        self.left = limit

    def spend(self, steps: float) -> None:
        self.left -= steps
        if self.left < 0:
            raise TooMuch
