"""What training leaves behind: the parameters of every forecaster of one horizon, and how far off each was on the slice it was chosen on.

Plain arrays and plain facts, so that it is stored without pickle (`store`); `forecasters` and `chooser` make the objects that run, anew for each
stream, since those remember.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace

import numpy as np

from autoscaler.forecast.chooser import Choice, Chooser
from autoscaler.forecast.conformal import Conformal, missed, scaled
from autoscaler.forecast.examples import Examples
from autoscaler.forecast.forecaster import QUANTILES, Forecaster, Series
from autoscaler.forecast.holt_winters import HoltWinters, Smoothing
from autoscaler.forecast.lstm import Lstm, Shape, Weights
from autoscaler.forecast.plain import Persistence, WindowMax
from autoscaler.forecast.quantile_regression import Clock, QuantileRegression
from autoscaler.forecast.surge import Surge

SCORES = 100
"""Kept of each forecaster and quantile: as many evenly spaced ones stand for all."""


@dataclass(frozen=True, slots=True, eq=False)
class Trained:
    """scores: by forecaster and quantile, shape (SCORES,)."""

    holt_winters: HoltWinters
    quantile_regression: QuantileRegression
    lstm: Lstm
    surge: Surge
    scores: Mapping[str, Mapping[float, Series]]

    @property
    def horizon_s(self) -> float:
        return self.lstm.horizon_s

    def bases(self) -> dict[str, Forecaster]:
        """The forecasters as they come, simplest first."""
        return {"persistence": Persistence(self.horizon_s), "window_max": WindowMax(horizon_s=self.horizon_s), "holt_winters": self.holt_winters,
                "quantile_regression": self.quantile_regression, "lstm": self.lstm, "surge": self.surge}

    def forecasters(self) -> dict[str, Conformal]:
        """With quantiles from what they miss."""
        return {name: Conformal(base, self.scores.get(name)) for name, base in self.bases().items()}

    def chooser(self, choice: Choice = Choice()) -> Chooser:
        return Chooser(self.forecasters(), choice)


def scored(trained: Trained, choosing: Examples) -> Trained:
    """The same with the scores of all its forecasters on the choosing slice."""
    found = {}
    for name, base in trained.bases().items():
        scores: dict[float, list[float]] = {quantile: [] for quantile in QUANTILES}
        for window, now_s, highest in zip(choosing.windows, choosing.now_s, choosing.highest, strict=True):
            for quantile, score in missed(*scaled(base, now_s, window), float(highest)).items():
                scores[quantile].append(score)
        found[name] = {quantile: evenly(each) for quantile, each in scores.items()}
    return replace(trained, scores=found)


def evenly(scores: list[float]) -> Series:
    """SCORES of them that stand for all: the middles of as many equal parts."""
    return np.quantile(scores, (np.arange(SCORES) + 0.5) / SCORES)


def arrays(trained: Trained) -> dict[str, Series]:
    """By name, what is numbers only."""
    found = {f"{of}.{name}": np.asarray(getattr(weights, name)) for of, weights in (("lstm", trained.lstm.weights), ("surge", trained.surge.weights))
             for name in Weights.__slots__}
    found["quantile_regression.coefficients"] = np.stack([trained.quantile_regression.coefficients[quantile] for quantile in QUANTILES])
    for name, scores in trained.scores.items():
        found[f"scores.{name}"] = np.stack([scores[quantile] for quantile in QUANTILES])
    return {name: np.ascontiguousarray(values, np.float32) for name, values in found.items()}


def settings(trained: Trained) -> dict[str, object]:
    """Everything else, ready for JSON."""
    return {"quantiles": list(QUANTILES), "horizon_s": trained.horizon_s, "smoothing": asdict(trained.holt_winters.smoothing),
            "clock": asdict(trained.quantile_regression.clock), "lstm": asdict(trained.lstm.shape), "surge": asdict(trained.surge.shape)}


def restored(found: Mapping[str, Series], said: Mapping[str, object]) -> Trained:
    """The inverse of `arrays` and `settings`. KeyError or TypeError for what is not theirs; ValueError for other quantiles."""
    if said["quantiles"] != list(QUANTILES):
        raise ValueError(f"trained for the quantiles {said['quantiles']}, these are {list(QUANTILES)}; train again")
    horizon_s = float(said["horizon_s"])  # type: ignore[arg-type]
    values = {name: np.asarray(each, float) for name, each in found.items()}
    lstm, surge = (Weights(*(values[f"{of}.{name}"] for name in Weights.__slots__)) for of in ("lstm", "surge"))
    scores = {name.removeprefix("scores."): dict(zip(QUANTILES, each, strict=True)) for name, each in values.items() if name.startswith("scores.")}
    return Trained(HoltWinters(Smoothing(**said["smoothing"]), horizon_s),  # type: ignore[arg-type]
                   QuantileRegression(dict(zip(QUANTILES, values["quantile_regression.coefficients"], strict=True)), horizon_s,
                                      Clock(**said["clock"])),  # type: ignore[arg-type]
                   Lstm(lstm, Shape(**said["lstm"])), Surge(surge, Shape(**said["surge"])), scores)  # type: ignore[arg-type]
