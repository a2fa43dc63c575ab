"""Trying forecasters on what was known at the time (rolling origin; Tashman, International Journal of Forecasting 16(4), 2000).

    t      origin, a whole multiple of `step_s`: known there are the rates of the seconds before t
    y(t)   highest rate of the seconds t .. t + horizon - 1, known from t + horizon on

Whatever the interval at which it is asked, each origin is tried once and in order, with nothing that came after it; before an origin is tried,
what earlier ones missed has been learned. Origins whose outcome the rates do not reach back to are forgotten.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from math import ceil, floor
from typing import Generic, TypeVar

Attempt = TypeVar("Attempt")

STEP_S = 10


class RollingOrigin(Generic[Attempt]):
    """attempt(t, rates known at t): what is tried. learn(attempt, y): what came of it."""

    def __init__(self, horizon_s: float, attempt: Callable[[float, Sequence[float]], Attempt], learn: Callable[[Attempt, float], None],
                 step_s: int = STEP_S) -> None:
        self._horizon = max(1, ceil(horizon_s))
        self._attempt, self._learn, self._step = attempt, learn, step_s
        self._newest: int | None = None
        self._pending: deque[tuple[int, Attempt]] = deque()

    def advance(self, now_s: float, rates: Sequence[float]) -> None:
        """rates: of the past seconds, newest last, the newest that of the second before floor(now_s). Time that goes back starts anew from there."""
        now = floor(now_s)
        if self._newest is not None and now < self._newest:
            self._pending.clear()
            self._newest = None
        oldest = now - len(rates)
        after = oldest if self._newest is None else max(oldest, self._newest)
        for origin in range((after // self._step + 1) * self._step, now + 1, self._step):
            known = rates[: origin - oldest]
            self._settle(origin, known, oldest)
            self._pending.append((origin, self._attempt(float(origin), known)))
        self._settle(now, rates, oldest)
        self._newest = now

    def _settle(self, now: int, known: Sequence[float], oldest: int) -> None:
        while self._pending and self._pending[0][0] + self._horizon <= now:
            origin, attempt = self._pending.popleft()
            if origin >= oldest:
                self._learn(attempt, float(max(known[origin - oldest : origin - oldest + self._horizon])))
