"""Forecasters of every kind, small and seeded, and loads to try them on."""

from dataclasses import replace
from functools import cache

import numpy as np

from autoscaler.forecast.chooser import Chooser
from autoscaler.forecast.conformal import Conformal
from autoscaler.forecast.examples import examples
from autoscaler.forecast.generated import generated
from autoscaler.forecast.holt_winters import HoltWinters, Smoothing
from autoscaler.forecast.lstm import IPA, UNITS, Lstm, Weights
from autoscaler.forecast.plain import Persistence, WindowMax
from autoscaler.forecast.quantile_regression import fit
from autoscaler.forecast.surge import Surge
from autoscaler.forecast.trained import SCORES, Trained


def weights(seed=1, beside=0, slope=-5.0):
    """Random, of any size that training could give; with a rate beside, its coefficient is `slope`."""
    random = np.random.default_rng(seed)
    made = [random.uniform(-0.5, 0.5, size) for size in ((4 * UNITS, 1), (4 * UNITS, UNITS), (4 * UNITS,), (1, UNITS + beside), (1,))]
    made[4][:] = 1.0  # above 0, as a load is
    if beside:
        made[3][0, -1] = slope
    return Weights(*made)


@cache
def regression(horizon_s=10.0):
    return fit(examples(generated(2, np.random.default_rng(3)), 120, horizon_s, 10), horizon_s)


BASES = {
    "persistence": Persistence(),
    "window_max": WindowMax(60),
    "holt_winters": HoltWinters(),
    "seasonal": HoltWinters(Smoothing(season=6)),
    "quantile_regression": regression(),
    "lstm": Lstm(weights(), replace(IPA, horizon_s=10.0)),
    "surge": Surge(weights(2, beside=1)),
}
"""Functions of the rates."""
MAKE = {name: (lambda base=base: base) for name, base in BASES.items()}
MAKE |= {f"conformal {name}": (lambda base=base: Conformal(base, keep=50)) for name, base in BASES.items()}
MAKE["chooser"] = lambda: Chooser({name: Conformal(base, keep=50) for name, base in BASES.items()})
"""By name, a new one of each kind."""


def trained():
    """Of random weights, with scores that are all alike."""
    bases = {name: BASES[name] for name in ("holt_winters", "quantile_regression", "lstm", "surge")}
    scores = {quantile: np.full(SCORES, quantile) for quantile in bases["quantile_regression"].coefficients}
    return Trained(**bases, scores=dict.fromkeys(("persistence", "window_max", *bases), scores))


def poisson(rate, seconds, seed=1):
    return np.random.default_rng(seed).poisson(rate, seconds).astype(float)


def followed(forecaster, load, every=10, first=10, keep=600):
    """What it says at every so many seconds, knowing what came before."""
    return [forecaster.forecast(float(now), load[max(0, now - keep) : now]) for now in range(first, len(load) + 1, every)]
