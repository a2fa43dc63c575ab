"""Quantiles from how far off a forecaster was lately: split conformal prediction over a rolling window.

    q(tau)   the base's forecast; of a point the same at every tau
    y        highest rate that came within the horizon
    s        scale = the greater of q(1/2) and the most of the last SCALE_S seconds
    e(tau)   = (y - q(tau)) / s, of each past origin                                                          score
    E(tau)   the ceil((n + 1) tau)-th smallest of the newest n scores, the largest where that is beyond n
    answer   q(tau) + E(tau) s, none below 0 or below a smaller quantile's

The first scores are those of the slice the base was chosen on; they leave the window first. Coverage is exact for exchangeable scores
(Vovk et al., 2005; for quantiles Romano, Patterson, Candès, NeurIPS 2019); a load drifts, which is why the window rolls, and there is no
guarantee then, only the coverage that was measured.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from math import ceil

from autoscaler.forecast.forecaster import QUANTILES, Forecaster, ordered
from autoscaler.forecast.rolling_origin import STEP_S, RollingOrigin
from autoscaler.policies.policy import Forecast

SCALE_S = 120
KEEP = 2160
"""Scores in the window: six hours at one origin in ten seconds."""


class Scores:
    """The newest `keep` of them, in order of size."""

    def __init__(self, first: Iterable[float] = (), keep: int = KEEP) -> None:
        self._newest = deque(first, maxlen=keep)
        self._sorted = sorted(self._newest)

    def __len__(self) -> int:
        return len(self._sorted)

    def add(self, score: float) -> None:
        if len(self._newest) == self._newest.maxlen:
            del self._sorted[bisect_left(self._sorted, self._newest[0])]
        self._newest.append(score)
        insort(self._sorted, score)

    def at(self, quantile: float) -> float:
        """0 while there are none."""
        count = len(self._sorted)
        return self._sorted[min(count, ceil((count + 1) * quantile)) - 1] if count else 0.0


class Conformal:
    """Remembers: one object for one stream. scores: by quantile, of the slice the base was chosen on."""

    def __init__(self, base: Forecaster, scores: Mapping[float, Iterable[float]] | None = None, keep: int = KEEP, step_s: int = STEP_S) -> None:
        self.base = base
        self._scores = {quantile: Scores((scores or {}).get(quantile, ()), keep) for quantile in QUANTILES}
        self._past = RollingOrigin(base.horizon_s, self._attempt, self._learn, step_s)
        self._latest: tuple[float, tuple[Forecast, float]] | None = None

    @property
    def horizon_s(self) -> float:
        return self.base.horizon_s

    def forecast(self, now_s: float, rates: Sequence[float]) -> Forecast:
        self._past.advance(now_s, rates)
        latest = self._latest
        found, scale = latest[1] if latest is not None and latest[0] == now_s else scaled(self.base, now_s, rates)
        return ordered(found.horizon_s, {quantile: rate + scale * self._scores[quantile].at(quantile) for quantile, rate in found.quantiles.items()})

    def _attempt(self, now_s: float, rates: Sequence[float]) -> tuple[Forecast, float]:
        self._latest = now_s, scaled(self.base, now_s, rates)
        return self._latest[1]

    def _learn(self, attempt: tuple[Forecast, float], came: float) -> None:
        for quantile, score in missed(*attempt, came).items():
            self._scores[quantile].add(score)


def scaled(base: Forecaster, now_s: float, rates: Sequence[float]) -> tuple[Forecast, float]:
    """The base's forecast and the scale of its scores; 0 where there is nothing to measure by."""
    found = base.forecast(now_s, rates)
    if not found.quantiles:
        return found, 0.0
    return found, max(found.at(0.5), float(max(rates[-SCALE_S:])))


def missed(forecast: Forecast, scale: float, came: float) -> dict[float, float]:
    """Scores by quantile; none where there was no forecast or no scale."""
    return {quantile: (came - rate) / scale for quantile, rate in forecast.quantiles.items()} if scale > 0 else {}
