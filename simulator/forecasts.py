"""Forecasts that need no training, as pure objects: what the policies' papers fall back on, and the bound of knowing the future.

    r_k  events/s in second k, newest last

    Persistence   what was: the last second's rate at every quantile
    WindowMax     the most of the last `seconds` (IPA's backup predictor, Themis' recent maximum)
    Oracle        the most of what will come within the horizon, from the trace itself
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import Protocol

from autoscaler.policies.policy import Forecast

QUANTILES = (0.5, 0.9, 0.99)


class Forecaster(Protocol):
    def forecast(self, now_s: float, rates: Sequence[float]) -> Forecast:
        """rates: events/s of the source in each past second, newest last."""


@dataclass(frozen=True, slots=True)
class Persistence:
    horizon_s: float = 10.0

    def forecast(self, now_s: float, rates: Sequence[float]) -> Forecast:
        return _certain(self.horizon_s, rates[-1:] or (0.0,))


@dataclass(frozen=True, slots=True)
class WindowMax:
    seconds: int = 120
    horizon_s: float = 10.0

    def forecast(self, now_s: float, rates: Sequence[float]) -> Forecast:
        return _certain(self.horizon_s, rates[-self.seconds:] or (0.0,))


@dataclass(frozen=True, slots=True)
class Oracle:
    """counts: events in each second of the trace."""

    counts: Sequence[float]
    horizon_s: float = 10.0

    def forecast(self, now_s: float, rates: Sequence[float]) -> Forecast:
        return _certain(self.horizon_s, self.counts[int(now_s) : max(int(now_s) + 1, ceil(now_s + self.horizon_s))] or (0.0,))


def _certain(horizon_s: float, rates: Sequence[float]) -> Forecast:
    return Forecast(horizon_s, dict.fromkeys(QUANTILES, float(max(rates))))
