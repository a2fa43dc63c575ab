"""The rows that wait in a stage: earliest deadline first, but those that a rule has set aside after all others.

    hopeful   rows that may still be in time, as far as the rule can tell: what `first`, `take` and `ahead` are about
    aside     rows that cannot: taken by `take_aside`, and only counted, expired, withdrawn and discarded with the others

Under overload, earliest deadline first alone serves the rows that are lost already, and so loses those behind them, one after the other.
"""

from __future__ import annotations

from collections.abc import Callable

from operators.queue import EdfQueue, Run


class Waiting(EdfQueue):
    """rows: all that wait, hopeful and aside. While nothing is set aside it costs no more than its base."""

    def __init__(self) -> None:
        super().__init__()
        self.aside = EdfQueue()

    @property
    def hopeful(self) -> int:
        return self.rows - self.aside.rows

    def set_aside(self, before: float, most: int) -> None:
        """The most urgent rows, as many as have an earlier deadline, at most so many."""
        for run in self.earlier(before, most):
            self.aside.add(run)  # with a place of its own: a run may come in pieces, of which each needs one
            self.rows += len(run.rows)

    def take_aside(self, n: int) -> list[Run]:
        """As `take`, of those set aside."""
        return self._counted(self.aside.take(n))

    def first_deadline(self, sheddable: bool = False) -> float | None:
        found = [one for one in (super().first_deadline(sheddable), self.aside.first_deadline(sheddable)) if one is not None]
        return min(found, default=None)

    def oldest(self) -> float | None:
        return min((one for one in (super().oldest(), self.aside.oldest()) if one is not None), default=None)

    def expired(self, before: float) -> list[Run]:
        return super().expired(before) + self._counted(self.aside.expired(before))

    def withdraw(self, cut: Callable[[Run], int]) -> list[Run]:
        found = super().withdraw(cut)
        found += self.aside.withdraw(cut)
        self.rows += self.aside.rows  # the base counts its own rows anew
        return found

    def discard(self, unwanted: Callable[[Run], bool]) -> list[Run]:
        return super().discard(unwanted) + self._counted(self.aside.discard(unwanted))

    def _counted(self, gone: list[Run]) -> list[Run]:
        if gone:
            self.rows -= sum(map(len, gone))
        return gone
