"""Themis' surge classifier: will the load exceed what runs? And, the other way round, what the load will exceed with what probability.

    x[t]     maximum of a bucket / the greatest of them, z = a rate / the greatest                  (ours, as in `lstm`)
    h        last state of an LSTM(25, relu) on x
    P(z)     P(highest rate within the horizon > z) = sigmoid(V h + v z + d)
    trained  on four z of each window: its least, its middle, its most, most + (most - least); cross-entropy; weights penalised by 1e-5 |W|
    surge    P > 0.2 (policies.themis), low because a missed surge costs more than a false one

P falls with z along one logistic curve, v < 0, so its quantiles are known:

    q(tau)   = z with P(z) = 1 - tau  =  (ln((1 - tau) / tau) - V h - d) / v, times the greatest

A policy gets them like any forecast's, asks whether what runs lies below q(0.8), and thereby asks what Themis asks.
Source: Themis (arXiv 2407.14843), released code: 6 maxima of 10 s, 10 s ahead.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from autoscaler.forecast.forecaster import QUANTILES, Series, ordered
from autoscaler.forecast.lstm import THEMIS, Shape, Weights, last_hidden, sigmoid
from autoscaler.policies.policy import Forecast


@dataclass(frozen=True, slots=True, eq=False)
class Surge:
    """weights: of which `dense` has u + 1 columns, the last one v. ValueError when v is not below 0: more is then exceeded sooner."""

    weights: Weights
    shape: Shape = THEMIS

    def __post_init__(self) -> None:
        if not self.weights.dense[0, -1] < 0:
            raise ValueError(f"a surge classifier whose probability rises with the rate (v = {self.weights.dense[0, -1]:.3g}); train it again")

    @property
    def horizon_s(self) -> float:
        return self.shape.horizon_s

    def forecast(self, now_s: float, rates: Sequence[float]) -> Forecast:
        seen = self.shape.seen(rates)
        if seen is None:
            return self.shape.backup(rates)
        scale, base = float(seen.max()), self._base(seen)
        slope = self.weights.dense[0, -1]
        return ordered(self.horizon_s, {tau: scale * (math.log((1 - tau) / tau) - base) / slope for tau in QUANTILES})

    def probability(self, rates: Sequence[float], rate: float) -> float:
        """P(the highest rate within the horizon exceeds `rate`). ValueError while the past is shorter than the network's."""
        seen = self.shape.seen(rates)
        if seen is None:
            raise ValueError(f"{len(rates)} s of rates; it reads {self.shape.steps * self.shape.bucket_s} s with events in them")
        return float(sigmoid(self._base(seen) + self.weights.dense[0, -1] * rate / seen.max()))

    def _base(self, seen: Series) -> float:
        """V h + d."""
        h = last_hidden(self.weights, seen[None, :] / seen.max(), self.shape.activation)[0]
        return float(self.weights.dense[0, :-1] @ h + self.weights.offset[0])
