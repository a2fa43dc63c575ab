"""Holt-Winters on bucket maxima: additive trend, damped, with an optional additive season.

    x[j]     highest rate of the j-th bucket of `bucket_s` seconds, newest last, j < n
    l, b     level and trend; s[i] season, i < m; m = 0: none
    phi      0..1, damping of the trend; alpha, beta, gamma 0..1, weights of what is new

        l'    = alpha (x - s[j-m]) + (1 - alpha)(l + phi b)
        b'    = beta (l' - l) + (1 - beta) phi b
        s[j]  = gamma (x - l - phi b) + (1 - gamma) s[j-m]
        f(k)  = l + (phi + .. + phi^k) b + s[of that bucket]                                  forecast of the k-th bucket to come
        answer max of f(k) over the buckets of the horizon, not below 0

    start    l = x[1], b = x[1] - x[0]; with a season l = mean of the first m, b = (mean of the next m - l) / m, s = x - l of the first m
    fewer than two buckets, or with a season than two seasons: the greatest there is

It starts anew from the last `history` buckets each time, so it is a function of the rates; 60 buckets forget the start to (1 - alpha)^60.
With phi = 1 a straight ramp is met exactly. A point at every quantile (`conformal` makes quantiles of it).
Parameters: the least mean |y - answer| / scale over a grid (`fit`), vectorised over the examples.

Source: Hyndman, Athanasopoulos, Forecasting: Principles and Practice, 3rd ed., sections 8.2, 8.3; Gardner, McKenzie, 1985 (damping).
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any

import numpy as np

from autoscaler.forecast.buckets import maxima, maxima_of
from autoscaler.forecast.examples import Examples
from autoscaler.forecast.forecaster import certain
from autoscaler.policies.policy import Forecast

BUCKET_S = 10
HISTORY = 60

Level = Any
"""A number, or an array of them."""


@dataclass(frozen=True, slots=True)
class Smoothing:
    """The weights of the table. season: buckets, 0 = none."""

    alpha: float = 0.5
    beta: float = 0.1
    phi: float = 0.8
    gamma: float = 0.1
    season: int = 0


@dataclass(frozen=True, slots=True)
class HoltWinters:
    smoothing: Smoothing = Smoothing()
    horizon_s: float = 10.0
    bucket_s: int = BUCKET_S
    history: int = HISTORY

    def forecast(self, now_s: float, rates: Sequence[float]) -> Forecast:
        if not len(rates):
            return Forecast(self.horizon_s, {})
        seen = maxima(rates, self.bucket_s, self.history)
        if len(seen) < max(2, 2 * self.smoothing.season):
            return certain(self.horizon_s, max(rates[-self.bucket_s * self.history :]))
        return certain(self.horizon_s, float(highest(seen.tolist(), self.smoothing, ceil(self.horizon_s / self.bucket_s))))


def highest(x: Sequence[Level], smoothing: Smoothing, buckets: int) -> Level:
    """The most of the next `buckets`, after those of x, oldest first: numbers, or arrays of as many loads side by side."""
    alpha, beta, phi, gamma, m = smoothing.alpha, smoothing.beta, smoothing.phi, smoothing.gamma, smoothing.season
    level, trend, seasons = _start(x, m)
    for j in range(m or 2, len(x)):
        ahead = level + phi * trend
        season = seasons[j % m] if m else 0.0
        if m:
            seasons[j % m] = gamma * (x[j] - ahead) + (1 - gamma) * season
        new = alpha * (x[j] - season) + (1 - alpha) * ahead
        trend = beta * (new - level) + (1 - beta) * phi * trend
        level = new
    damped = itertools.accumulate(phi**k for k in range(1, buckets + 1))
    coming = (level + sum_of * trend + (seasons[(len(x) + k) % m] if m else 0.0) for k, sum_of in enumerate(damped))
    return functools.reduce(np.maximum, coming, 0.0)


def _start(x: Sequence[Level], m: int) -> tuple[Level, Level, list[Level]]:
    """Level, trend and seasons."""
    if not m:
        return x[1], x[1] - x[0], []
    first, second = sum(x[:m]) / m, sum(x[m : 2 * m]) / m
    return first, (second - first) / m, [each - first for each in x[:m]]


GRID = tuple(Smoothing(*values) for values in itertools.product((0.1, 0.25, 0.5, 0.75, 0.95), (0.02, 0.1, 0.3), (0.5, 0.8, 0.9, 1.0), (0.1,), (0,))) + \
       tuple(Smoothing(*values) for values in itertools.product((0.1, 0.3, 0.6), (0.02,), (0.8,), (0.1, 0.3), (6, 30)))
"""Seasons of one and five minutes: what scheduled jobs leave in a load."""


def fit(examples: Examples, horizon_s: float, grid: Iterable[Smoothing] = GRID) -> HoltWinters:
    """The best of the grid on the examples, whose windows must hold 600 s."""
    x = list(maxima_of(examples.windows[:, -BUCKET_S * HISTORY :], BUCKET_S).T)
    ahead = ceil(horizon_s / BUCKET_S)

    def error(smoothing: Smoothing) -> float:
        return float(np.mean(np.abs(examples.highest - highest(x, smoothing, ahead)) / examples.scale))

    return HoltWinters(min(grid, key=error), horizon_s)
