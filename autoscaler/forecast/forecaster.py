"""What every forecaster is: a function of the rates seen, to quantiles of the highest rate within its horizon.

    rates     events/s of the source in each past second, newest last; a forecaster reads as many of them as it needs, and what it reads
              says all there is to know: a trace times k gives the forecast times k
    horizon   counts from the end of the newest second in `rates`. With figures that come late it must reach that much further
    nothing seen yet: no quantiles, and policies then do what they do without a forecast

Points become quantiles in `conformal`; which forecaster is used is settled in `chooser`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from autoscaler.policies.policy import Forecast

QUANTILES = (0.5, 0.8, 0.9, 0.95, 0.99)
"""Median; Themis plans for a surge above 1 - 0.2; Sluice's price of shortage, 19 : 1, asks for 0.95; between them lines are drawn."""

Series = NDArray[np.float64]


class Forecaster(Protocol):
    @property
    def horizon_s(self) -> float: ...

    def forecast(self, now_s: float, rates: Sequence[float]) -> Forecast:
        """now_s: since any fixed midnight. rates: events/s of the source in each past second, newest last."""


def certain(horizon_s: float, rate: float) -> Forecast:
    """A point: the same rate at every quantile."""
    return Forecast(horizon_s, dict.fromkeys(QUANTILES, float(rate)))


def ordered(horizon_s: float, rates: Mapping[float, float]) -> Forecast:
    """Quantiles that were found one by one: none below 0 or below a smaller quantile's."""
    least, found = 0.0, {}
    for quantile in sorted(rates):
        least = found[quantile] = max(least, float(rates[quantile]))
    return Forecast(horizon_s, found)


def newest(rates: Sequence[float], seconds: int) -> Series:
    """The last `seconds` of them, or as many as there are."""
    return np.asarray(rates[-seconds:], float)
