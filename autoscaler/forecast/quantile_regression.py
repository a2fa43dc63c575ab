"""Linear quantile regression on what the last two minutes looked like, and on the clock.

    r         events/s of the last WINDOW_S seconds; a shorter past is filled up with its oldest
    m(w)      mean of the last w seconds, M(w) the most of them
    x         features, shape (F,), all of them 0 on a constant load but those of the clock:
                  r[-1] - m(10);  m(30), m(60), m(120) - m(10);  M(10), M(30), M(60), M(120) - m(10)
                  h (m(10) - m(10) of 10 s before) / 10,  h (m(30) - m(30) of 30 s before) / 30       slopes over the horizon h
                  sigma                            root of the mean squared difference of neighbouring seconds over 60 s, / sqrt(2)
                  m(60) * [phase of the clock is in bin i], i < bins                                  only with a period
    q(tau)    m(10) + x . beta(tau), for each tau; ordered, none below 0
    loss      mean of rho(y - q) / scale, rho(e) = e (tau - [e < 0])                                    pinball
    fit       majorise and minimise: beta' = argmin of sum of e^2 / (2 (|e'| + epsilon)) + (2 tau - 1) e, e' the errors before, until the loss stays

Scale-equivariant, and exact on a constant load when there is no clock. A period is used where the load has one: of those offered (none
among them) the one with the least loss on the choosing slice (`training`). Its phase is that of `now_s`, which must then count from a midnight.

Source: Koenker, Bassett, Econometrica 46(1), 1978; the fit: Hunter, Lange, Quantile regression via an MM algorithm, 2000.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from autoscaler.forecast.examples import Examples
from autoscaler.forecast.forecaster import QUANTILES, Series, newest, ordered
from autoscaler.policies.policy import Forecast

WINDOW_S = 120
EPSILON = 1e-4
"""Of the scale; below it an error counts as none."""
RIDGE = 1e-9
TOLERANCE = 1e-6
MOST_STEPS = 200


@dataclass(frozen=True, slots=True)
class Clock:
    """A load's period, in bins. period_s = 0: none."""

    period_s: int = 0
    bins: int = 0

    def features(self, now_s: Series, level: Series) -> Series:
        """Shape (n,) to (n, bins): the level in the bin of the instant."""
        if not self.bins:
            return np.empty((len(now_s), 0))
        at = (now_s % self.period_s * self.bins / self.period_s).astype(int)
        return level[:, None] * (at[:, None] == np.arange(self.bins))


@dataclass(frozen=True, slots=True, eq=False)
class QuantileRegression:
    """coefficients: by quantile, shape (F,)."""

    coefficients: Mapping[float, Series]
    horizon_s: float = 10.0
    clock: Clock = Clock()

    def forecast(self, now_s: float, rates: Sequence[float]) -> Forecast:
        if not len(rates):
            return Forecast(self.horizon_s, {})
        seen = newest(rates, WINDOW_S)
        filled = np.concatenate((np.full(WINDOW_S - len(seen), seen[0]), seen))
        level, x = features(filled[None, :], np.array([now_s]), self.horizon_s, self.clock)
        return ordered(self.horizon_s, {quantile: level[0] + x[0] @ beta for quantile, beta in self.coefficients.items()})


def features(windows: Series, now_s: Series, horizon_s: float, clock: Clock) -> tuple[Series, Series]:
    """m(10), shape (n,), and x, shape (n, F), of windows of shape (n, at least WINDOW_S)."""
    r = windows[:, -WINDOW_S:]
    means = {seconds: r[:, -seconds:].mean(axis=1) for seconds in (10, 30, 60, 120)}
    level = means[10]
    steps = np.diff(r[:, -61:], axis=1)
    x = np.stack((r[:, -1] - level, means[30] - level, means[60] - level, means[120] - level,
                  *(r[:, -seconds:].max(axis=1) - level for seconds in (10, 30, 60, 120)),
                  *(horizon_s / w * (means[w] - r[:, -2 * w : -w].mean(axis=1)) for w in (10, 30)),
                  np.sqrt((steps**2).mean(axis=1) / 2)), axis=1)  # (n, 11)
    return level, np.concatenate((x, clock.features(now_s, means[60])), axis=1)


def fit(examples: Examples, horizon_s: float, clock: Clock = Clock()) -> QuantileRegression:
    """All quantiles, each from the one before."""
    level, x = features(examples.windows, examples.now_s, horizon_s, clock)
    x, y = x / examples.scale[:, None], (examples.highest - level) / examples.scale
    found: dict[float, Series] = {}
    beta = np.zeros(x.shape[1])
    for quantile in QUANTILES:
        beta = found[quantile] = minimised(x, y, quantile, beta)
    return QuantileRegression(found, horizon_s, clock)


def minimised(x: Series, y: Series, quantile: float, start: Series) -> Series:
    """beta with the least pinball loss of y - x beta. x: shape (n, F)."""
    beta, least = start, np.inf
    tilt = (2 * quantile - 1) * x.sum(axis=0)
    ridge = RIDGE * len(x) * np.eye(x.shape[1])
    for _ in range(MOST_STEPS):
        error = y - x @ beta
        loss = float(pinball(error, quantile).mean())
        if least - loss < TOLERANCE * least:
            break
        least, weighted = loss, x / (EPSILON + np.abs(error))[:, None]
        beta = np.linalg.solve(weighted.T @ x + ridge, weighted.T @ y + tilt)
    return beta


def pinball(error: Series, quantile: float) -> Series:
    """rho of y - q."""
    return error * (quantile - (error < 0))


def loss(model: QuantileRegression, examples: Examples) -> float:
    """Mean over examples and quantiles, in shares of the scale."""
    level, x = features(examples.windows, examples.now_s, model.horizon_s, model.clock)
    found = level[:, None] + x @ np.stack(list(model.coefficients.values()), axis=1)  # (n, quantiles)
    found = np.maximum(np.maximum.accumulate(found, axis=1), 0.0)
    each = [pinball(examples.highest - column, quantile) for quantile, column in zip(model.coefficients, found.T, strict=True)]
    return float(np.mean([one / examples.scale for one in each]))
