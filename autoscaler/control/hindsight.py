"""What became of forecasts, told once their time is over.

    y        events/s, the highest of the H whole seconds after a forecast                    H: its horizon
    f[q]     events/s, the forecast's quantiles; q+ the greatest of them, q- the least
    s(x)     CHANCE sqrt(x): what comes beyond a rate x by chance, arrivals being independent
    under    y > (1 + SPARE) f[q+] + s(f[q+])              more than the forecast held to be nearly impossible
    over     f[q-] > WASTE y + s(WASTE y)                  even its least quantile provides for several times what came
    within   else

Of the forecasts of one second the first counts. One that nothing is known of afterwards (a gap, a restart) is left out.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from math import ceil, floor, sqrt

from autoscaler.policies.policy import Forecast

SPARE = 0.1
CHANCE = 3.0
"""Standard deviations."""
WASTE = 2.0


class Outcome(StrEnum):
    """What became of a forecast."""

    UNDER = "under"
    WITHIN = "within"
    OVER = "over"


def judged(forecast: Forecast, came: float) -> Outcome:
    """came: y. For a forecast that has quantiles."""
    rates = [rate for _, rate in sorted(forecast.quantiles.items())]
    if came > (1 + SPARE) * rates[-1] + CHANCE * sqrt(rates[-1]):
        return Outcome.UNDER
    if rates[0] > WASTE * came + CHANCE * sqrt(WASTE * came):
        return Outcome.OVER
    return Outcome.WITHIN


@dataclass(slots=True)
class Hindsight:
    """Forecasts whose time is not over. Memory: one for each second of the longest horizon."""

    _open: deque[tuple[int, Forecast]] = field(init=False, default_factory=deque)

    def look(self, now_s: float, rates: Sequence[float], forecast: Forecast) -> list[Outcome]:
        """What became of those that are over, oldest first. rates: events/s of each whole second up to floor(now_s); forecast: made now."""
        second = floor(now_s)
        if forecast.quantiles and (not self._open or self._open[-1][0] < second):
            self._open.append((second, forecast))
        found = []
        # a second later than it ends: the newest second is not always known whole
        while self._open and self._open[0][0] + ceil(self._open[0][1].horizon_s) < second:
            made_s, past = self._open.popleft()
            since = rates[-(second - made_s):]
            if len(since) == second - made_s:
                found.append(judged(past, max(since[: max(1, ceil(past.horizon_s))])))
        return found
