"""How long a batch takes at a number of cores: fitted surfaces and measured tables, behind one interface.

    b  rows per batch            c  cores (or GPU slots) of a replica            l  ms of the batch

Amdahl      l(b,c) = alpha b/c + beta b + gamma/c + zeta      work that the cores share, per row and per batch, and work that they do not
            fitted by least squares over measured l, coefficients >= 0; columns that the points cannot tell apart are left out (one core
            count: alpha = gamma = 0; one batch size: alpha = beta = 0)
            robust: the same with Huber weights min(1, 1.345 s / |r|), s = 1.4826 median |r|, ROUNDS times
Themis      zeta' = zeta + (alpha + beta + gamma + zeta) / 10;  l = ceil(M (alpha b/c + MB beta b + gamma/c + ceil(zeta')))
Quadratic   l(b) = c2 b^2 + c1 b + c0 at one number of cores; negative predictions are the linear fit's
Table       l as measured; between two measured batches at a measured number of cores on the straight line

Every fit tells its error: R2 = 1 - sum r^2 / sum (l - mean l)^2, MAE = mean |r|, worst = largest |r| / l. The pure form says that
cores always help, which measured models contradict (no gain beyond 8 cores at b = 1 in Sponge's surface): look at `worst`.

No model answers beyond the batches and cores it was measured on: OutsideMeasured, unless it was made with extrapolate=True.

Sources: Themis (arXiv 2407.14843) and its released controller; Sponge (EuroMLSys 2024) eq. 2, the same form; IPA (JSys 2024), profile
fits. A published fit may have negative coefficients (Themis' sentiment stage): Amdahl takes them, `fit_amdahl` does not make them.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from math import ceil, inf
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

HUBER = 1.345  # standard deviations; 95 % efficient where errors are normal
NORMAL = 1.4826  # standard deviations in a median absolute error
ROUNDS = 20


class OutsideMeasured(ValueError):
    """Asked for a batch or a number of cores beyond what was measured; the text names the range."""


class LatencyModel(Protocol):
    def latency_ms(self, batch: int, units: float) -> float:
        """Of one batch of that many rows. OutsideMeasured where nobody knows."""


@dataclass(frozen=True, slots=True)
class Measurement:
    batch: int
    units: float
    latency_ms: float


@dataclass(frozen=True, slots=True)
class Span:
    """What was measured: least and most batch and units."""

    batches: tuple[int, int]
    units: tuple[float, float]

    def check(self, batch: int, units: float) -> None:
        (least, most), (fewest, largest) = self.batches, self.units
        if not (least <= batch <= most and fewest <= units <= largest):
            raise OutsideMeasured(
                f"batch {batch} on {units:g} cores was not measured: batches {least} to {most} on {fewest:g} to {largest:g} cores were; "
                "measure it, or ask for extrapolation"
            )


EVERYWHERE = Span((1, 1_000_000), (0.0, inf))


@dataclass(frozen=True, slots=True)
class FitError:
    """r2: 1 = all explained. mae_ms: mean absolute error. worst: largest error, as a share of the measured value."""

    r2: float
    mae_ms: float
    worst: float


@dataclass(frozen=True, slots=True)
class Amdahl:
    alpha: float
    beta: float
    gamma: float
    zeta: float
    span: Span = EVERYWHERE

    def latency_ms(self, batch: int, units: float) -> float:
        self.span.check(batch, units)
        return self.alpha * batch / units + self.beta * batch + self.gamma / units + self.zeta


@dataclass(frozen=True, slots=True)
class Themis:
    """An Amdahl surface with Themis' safety of a tenth of the latency at b = c = 1, in whole ms. M, MB: factors of its controller."""

    surface: Amdahl
    m: float = 1.0
    mb: float = 1.0

    def latency_ms(self, batch: int, units: float) -> float:
        s = self.surface
        s.span.check(batch, units)
        zeta = s.zeta + (s.alpha + s.beta + s.gamma + s.zeta) / 10
        return float(ceil(self.m * (s.alpha * batch / units + self.mb * s.beta * batch + s.gamma / units + ceil(zeta))))


@dataclass(frozen=True, slots=True)
class Quadratic:
    """square: c2, c1, c0. line: c1, c0 of the linear fit, for negative predictions."""

    square: tuple[float, float, float]
    line: tuple[float, float]
    span: Span = EVERYWHERE

    def latency_ms(self, batch: int, units: float) -> float:
        self.span.check(batch, units)
        c2, c1, c0 = self.square
        latency_ms = c2 * batch * batch + c1 * batch + c0
        return latency_ms if latency_ms >= 0 else self.line[0] * batch + self.line[1]


@dataclass(frozen=True, slots=True)
class Table:
    """points: measured, each batch and number of units once. Only between batches may it guess, never between numbers of units."""

    points: tuple[Measurement, ...]
    _rows: dict[float, tuple[list[int], list[float]]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        rows: dict[float, tuple[list[int], list[float]]] = {}
        for point in sorted(self.points, key=lambda point: (point.units, point.batch)):
            batches, latencies = rows.setdefault(point.units, ([], []))
            if batches and batches[-1] == point.batch:
                raise ValueError(f"batch {point.batch} on {point.units:g} cores is there twice")
            batches.append(point.batch)
            latencies.append(point.latency_ms)
        if not rows:
            raise ValueError("a table without points")
        object.__setattr__(self, "_rows", rows)

    def latency_ms(self, batch: int, units: float) -> float:
        if units not in self._rows:
            known = ", ".join(f"{one:g}" for one in self._rows)
            raise OutsideMeasured(f"{units:g} cores were not measured: {known} were; measure it, or fit a surface")
        batches, latencies = self._rows[units]
        Span((batches[0], batches[-1]), (units, units)).check(batch, units)
        at = bisect_left(batches, batch)
        if batches[at] == batch:
            return latencies[at]
        part = (batch - batches[at - 1]) / (batches[at] - batches[at - 1])
        return latencies[at - 1] + part * (latencies[at] - latencies[at - 1])


def fit_amdahl(points: Sequence[Measurement], *, extrapolate: bool = False) -> Amdahl:
    """Least squares with coefficients >= 0. ValueError for fewer points than coefficients."""
    return _amdahl(points, np.ones(len(points)), extrapolate)


def fit_amdahl_robust(points: Sequence[Measurement], *, extrapolate: bool = False) -> Amdahl:
    """The same, where single points far off (a pause of the machine) count for little."""
    latencies = np.array([point.latency_ms for point in points])
    fitted = fit_amdahl(points, extrapolate=True)
    for _ in range(ROUNDS):
        off = np.abs(latencies - _predicted(fitted, points))
        scale = NORMAL * float(np.median(off))
        if scale <= 1e-9 * float(latencies.max()):  # more than half of the points lie on it
            break
        weights = np.minimum(1.0, HUBER * scale / np.maximum(off, 1e-300))
        fitted = _amdahl(points, weights, True)
    return Amdahl(fitted.alpha, fitted.beta, fitted.gamma, fitted.zeta, EVERYWHERE if extrapolate else span_of(points))


def fit_quadratic(points: Sequence[Measurement], *, extrapolate: bool = False) -> Quadratic:
    """IPA's. points: at one number of units. ValueError for fewer than three batch sizes, or several numbers of units."""
    batches, latencies = np.array([float(p.batch) for p in points]), np.array([p.latency_ms for p in points])
    if len({point.units for point in points}) != 1 or len(set(batches)) < 3:
        raise ValueError("a quadratic fit needs at least three batch sizes at one number of cores")
    c2, c1, c0 = np.polyfit(batches, latencies, 2).tolist()
    slope, offset = np.polyfit(batches, latencies, 1).tolist()
    return Quadratic((c2, c1, c0), (slope, offset), EVERYWHERE if extrapolate else span_of(points))


def fit_error(model: LatencyModel, points: Sequence[Measurement]) -> FitError:
    """Of the model at measured points, those of the fit or others. Where all are equal, R2 is 1 for no error and 0 otherwise."""
    latencies = np.array([point.latency_ms for point in points])
    off = latencies - _predicted(model, points)
    spread = float(((latencies - latencies.mean()) ** 2).sum())
    unexplained = float((off**2).sum())
    least = 1e-24 * float((latencies**2).sum())  # rounding
    r2 = 1 - unexplained / spread if spread > least else float(unexplained <= least)
    return FitError(r2, float(np.abs(off).mean()), float((np.abs(off) / latencies).max()))


def span_of(points: Iterable[Measurement]) -> Span:
    points = tuple(points)
    batches, units = [point.batch for point in points], [point.units for point in points]
    return Span((min(batches), max(batches)), (min(units), max(units)))


def _amdahl(points: Sequence[Measurement], weights: NDArray[np.float64], extrapolate: bool) -> Amdahl:
    b, c = np.array([float(point.batch) for point in points]), np.array([float(point.units) for point in points])
    columns = np.stack([b / c, b, 1 / c, np.ones(len(points))], axis=1)  # (points, 4)
    used = np.array([True] * 4)
    if len(set(c)) < 2:
        used &= [False, True, False, True]
    if len(set(b)) < 2:
        used &= [False, False, True, True]
    if len(points) < used.sum():
        raise ValueError(f"{len(points)} points are too few to fit {used.sum()} coefficients")
    latencies = np.array([point.latency_ms for point in points])
    root = np.sqrt(weights)
    found = np.zeros(4)
    found[used], _ = nnls(columns[:, used] * root[:, None], latencies * root)
    return Amdahl(*found.tolist(), EVERYWHERE if extrapolate else span_of(points))


def _predicted(model: LatencyModel, points: Sequence[Measurement]) -> NDArray[np.float64]:
    return np.array([model.latency_ms(point.batch, point.units) for point in points])
