"""The load that the shipped forecasters are trained on: stated by a formula, made from a seed, nobody's data.

    B          base rate, events/s, log-uniform in 2 .. 2000, one for each hour-long piece
    day(t)     1 + a sin(2 pi t / T + p) + a/2 sin(4 pi t / T + p'), a uniform in 0 .. 0.4, T = 86400 s, phases uniform: no clock to learn
    drift(t)   exp(w), w an Ornstein-Uhlenbeck process of time constant 300 s and standard deviation uniform in 0 .. 0.15
    bursts     beginnings are a Poisson process of one in 600 s; each adds B H shape((t - t0) / D) with H = 0.3 + 1.7 E (E exponential),
               rising in a straight line within a tenth of D or within all of it (a jump, or a ramp), level for D, then exp(-(t - t0 - D) / (D / 2)),
               D log-uniform in 10 .. 300 s
    rate       lambda(t) = B day drift + bursts
    counts     N(t) ~ Poisson(lambda(t))
"""

from __future__ import annotations

import numpy as np

from autoscaler.forecast.examples import Load
from autoscaler.forecast.forecaster import Series

PIECE_S = 3600
DAY_S = 86400
BURST_EVERY_S = 600
DRIFT_S = 300


def generated(pieces: int, random: np.random.Generator) -> list[Load]:
    """That many hours, each of a load of its own."""
    return [_piece(random) for _ in range(pieces)]


def _piece(random: np.random.Generator) -> Load:
    start_s = float(random.integers(DAY_S))
    base = float(np.exp(random.uniform(np.log(2), np.log(2000))))
    rate = base * (_day(start_s, random) * _drift(random) + _bursts(random))
    return Load(random.poisson(rate).astype(float), start_s)


def _day(start_s: float, random: np.random.Generator) -> Series:
    angle = 2 * np.pi * (start_s + np.arange(PIECE_S)) / DAY_S
    high, first, second = random.uniform(0, 0.4), random.uniform(0, 2 * np.pi), random.uniform(0, 2 * np.pi)
    return 1 + high * np.sin(angle + first) + high / 2 * np.sin(2 * angle + second)


def _drift(random: np.random.Generator) -> Series:
    """Ornstein-Uhlenbeck, exact at whole seconds: w' = k w + sqrt(1 - k^2) sigma z, k = exp(-1 / DRIFT_S)."""
    sigma, keep = random.uniform(0, 0.15), np.exp(-1 / DRIFT_S)
    shocks = sigma * np.sqrt(1 - keep**2) * random.standard_normal(PIECE_S)
    w = np.empty(PIECE_S)
    w[0] = sigma * random.standard_normal()
    for second in range(1, PIECE_S):
        w[second] = keep * w[second - 1] + shocks[second]
    return np.exp(w)


def _bursts(random: np.random.Generator) -> Series:
    """Sum of the shapes, in shares of the base."""
    t, total = np.arange(PIECE_S), np.zeros(PIECE_S)
    for begins in random.uniform(0, PIECE_S, random.poisson(PIECE_S / BURST_EVERY_S)):
        lasts = float(np.exp(random.uniform(np.log(10), np.log(300))))
        rises = lasts if random.random() < 0.5 else lasts / 10
        since = t - begins
        shape = np.clip(since / rises, 0.0, 1.0) * np.exp(-2 * np.maximum(0.0, since - lasts) / lasts)
        total += (0.3 + 1.7 * random.exponential()) * shape
    return total
