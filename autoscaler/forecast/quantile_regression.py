"""Linear quantile regression on what the last two minutes looked like, and on the clock.

    r         events/s of the last WINDOW_S seconds; a shorter past is filled up with its oldest
    m(w)      mean of the last w seconds, M(w) the most of them
    x         shape (F,), all of them 0 on a constant load:
                  r[-1] - m(10);  m(30), m(60), m(120) - m(10);  M(10), M(30), M(60), M(120) - m(10)
                  h (m(10) - m(10) of 10 s before) / 10,  h (m(30) - m(30) of 30 s before) / 30       slopes over the horizon h
                  root of the mean squared difference of neighbouring seconds over 60 s, / sqrt(2)     what is noise
    i         bin of the clock's period that now_s is in, i < bins; bins = 0: no clock
    q(tau)    m(10) + x . beta(tau) + m(60) kappa(tau)[i], for each tau; ordered, none below 0
    loss      mean of rho(y - q) / scale, rho(e) = e (tau - [e < 0])                                    pinball
    fit       majorise and minimise: the next beta, kappa = argmin of sum of e^2 / (2 (|e'| + epsilon)) + (2 tau - 1) e over all examples, in
              shares of their scale, e' the errors before; until the loss stays as it is

Scale-equivariant, and exact on a constant load when there is no clock. A period is used where the load has one: of those offered (none among
them) the one with the least loss on the choosing slice (`training`). Its phase is that of `now_s`, which must then count from a midnight.

Source: Koenker, Bassett, Econometrica 46(1), 1978; the fit: Hunter, Lange, Journal of Computational and Graphical Statistics 9(1), 2000.
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
    """A load's period, in bins. bins = 0: none."""

    period_s: int = 1
    bins: int = 0

    def at(self, now_s: Series) -> Series:
        """Bins of the instants, shape (n,); 0 without a clock."""
        return (now_s % self.period_s * self.bins / self.period_s).astype(int)


@dataclass(frozen=True, slots=True, eq=False)
class Design:
    """Of n examples. level: m(10), x: shape (n, F), trend: m(60), at: bin."""

    level: Series
    x: Series
    trend: Series
    at: Series
    bins: int

    @classmethod
    def of(cls, windows: Series, now_s: Series, horizon_s: float, clock: Clock) -> Design:
        """windows: shape (n, at least WINDOW_S), now_s: shape (n,)."""
        r = windows[:, -WINDOW_S:]
        means = {seconds: r[:, -seconds:].mean(axis=1) for seconds in (10, 30, 60, 120)}
        level = means[10]
        steps = np.diff(r[:, -61:], axis=1)
        x = np.stack((r[:, -1] - level, means[30] - level, means[60] - level, means[120] - level,
                      *(r[:, -seconds:].max(axis=1) - level for seconds in (10, 30, 60, 120)),
                      *(horizon_s / w * (means[w] - r[:, -2 * w : -w].mean(axis=1)) for w in (10, 30)),
                      np.sqrt((steps**2).mean(axis=1) / 2)), axis=1)
        return cls(level, x, means[60], clock.at(now_s), clock.bins)

    def above(self, coefficients: Series) -> Series:
        """q - m(10), shape (n,); coefficients: beta, then kappa, shape (F + bins,)."""
        features = self.x.shape[1]
        rises = self.x @ coefficients[:features]
        return rises + self.trend * coefficients[features + self.at] if self.bins else rises

    def over(self, scale: Series) -> Design:
        return Design(self.level / scale, self.x / scale[:, None], self.trend / scale, self.at, self.bins)

    def products(self, weights: Series) -> Series:
        """Z' W Z of the n rows Z = (x, m(60) in the column of the bin), shape (F + bins, F + bins), without writing Z down."""
        weighted = weights[:, None] * self.x
        side = np.stack([self._in_bins(column * self.trend) for column in weighted.T])
        return np.block([[weighted.T @ self.x, side], [side.T, np.diag(self._in_bins(weights * self.trend**2))]])

    def sums(self, weights: Series) -> Series:
        """Z' w, shape (F + bins,)."""
        return np.concatenate((self.x.T @ weights, self._in_bins(weights * self.trend)))

    def _in_bins(self, values: Series) -> Series:
        return np.bincount(self.at, values, self.bins) if self.bins else np.empty(0)


@dataclass(frozen=True, slots=True, eq=False)
class QuantileRegression:
    """coefficients: by quantile, beta and kappa, shape (F + bins,)."""

    coefficients: Mapping[float, Series]
    horizon_s: float = 10.0
    clock: Clock = Clock()

    def forecast(self, now_s: float, rates: Sequence[float]) -> Forecast:
        if not len(rates):
            return Forecast(self.horizon_s, {})
        seen = newest(rates, WINDOW_S)
        filled = np.concatenate((np.full(WINDOW_S - len(seen), seen[0]), seen))
        design = Design.of(filled[None, :], np.array([now_s]), self.horizon_s, self.clock)
        return ordered(self.horizon_s, {quantile: (design.level + design.above(each))[0] for quantile, each in self.coefficients.items()})

    def loss(self, examples: Examples) -> float:
        """Mean pinball loss over examples and quantiles, in shares of the scale."""
        design = Design.of(examples.windows, examples.now_s, self.horizon_s, self.clock)
        found = np.stack([design.level + design.above(each) for each in self.coefficients.values()])  # (quantiles, n)
        found = np.maximum(np.maximum.accumulate(found, axis=0), 0.0)
        return float(np.mean([pinball(examples.highest - row, quantile) / examples.scale for quantile, row in zip(self.coefficients, found, strict=True)]))


def fit(examples: Examples, horizon_s: float, clock: Clock = Clock()) -> QuantileRegression:
    """All quantiles, each started from the one before."""
    design = Design.of(examples.windows, examples.now_s, horizon_s, clock).over(examples.scale)
    rise = examples.highest / examples.scale - design.level
    found: dict[float, Series] = {}
    coefficients = np.zeros(design.x.shape[1] + clock.bins)
    for quantile in QUANTILES:
        coefficients = found[quantile] = minimised(design, rise, quantile, coefficients)
    return QuantileRegression(found, horizon_s, clock)


def minimised(design: Design, rise: Series, quantile: float, start: Series) -> Series:
    """Coefficients with the least pinball loss. rise: y - m(10), shape (n,)."""
    found, best, least = start, start, np.inf
    tilt = 2 * quantile - 1
    ridge = RIDGE * len(rise) * np.eye(len(start))
    for _ in range(MOST_STEPS):
        error = rise - design.above(found)
        loss = float(pinball(error, quantile).mean())
        if loss >= (1 - TOLERANCE) * least:
            break
        least, best = loss, found
        weights = 1 / (EPSILON + np.abs(error))
        found = np.linalg.solve(design.products(weights) + ridge, design.sums(weights * rise + tilt))
    return best


def pinball(error: Series, quantile: float) -> Series:
    """rho of y - q."""
    return error * (quantile - (error < 0))
