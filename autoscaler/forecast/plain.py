"""Forecasts that need no training: what the policies' papers fall back on, and the bound of knowing the future.

    r_k  events/s in second k, newest last

    Persistence   what was: the last second's rate at every quantile
    WindowMax     the most of the last `seconds` (IPA's backup predictor, Themis' recent maximum)
    Oracle        the most of what will come within the horizon, from the trace itself; its horizon counts from now
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

from autoscaler.forecast.forecaster import certain
from autoscaler.policies.policy import Forecast


@dataclass(frozen=True, slots=True)
class Persistence:
    horizon_s: float = 10.0

    def forecast(self, now_s: float, rates: Sequence[float]) -> Forecast:
        return certain(self.horizon_s, rates[-1]) if len(rates) else Forecast(self.horizon_s, {})


@dataclass(frozen=True, slots=True)
class WindowMax:
    """factor: of the maximum; above 1 where nothing is known to be better."""

    seconds: int = 120
    horizon_s: float = 10.0
    factor: float = 1.0

    def forecast(self, now_s: float, rates: Sequence[float]) -> Forecast:
        return certain(self.horizon_s, self.factor * max(rates[-self.seconds:])) if len(rates) else Forecast(self.horizon_s, {})


@dataclass(frozen=True, slots=True)
class Oracle:
    """counts: events in each second of the trace."""

    counts: Sequence[float]
    horizon_s: float = 10.0

    def forecast(self, now_s: float, rates: Sequence[float]) -> Forecast:
        coming = self.counts[int(now_s) : max(int(now_s) + 1, ceil(now_s + self.horizon_s))]
        return certain(self.horizon_s, max(coming) if len(coming) else 0.0)
