"""Means over seeds, how sure they are, and whether two paired systems differ.

    x_i      figure of seed i                                    d_i   difference of two systems with seed i
    mean     sum x_i / n            interval   mean +- t(0.975, n - 1) s / sqrt(n), s^2 = sum (x_i - mean)^2 / (n - 1)
    differ   the interval of d excludes 0; with one seed nothing is known
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite, sqrt

from scipy.special import stdtrit

CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class Spread:
    """half: of the interval; None with one value, or where some are infinite."""

    mean: float
    half: float | None

    @property
    def sign(self) -> int:
        """+1, -1 where the interval excludes 0, else 0."""
        if self.half is None or abs(self.mean) <= self.half:
            return 0
        return 1 if self.mean > 0 else -1


def spread(values: Sequence[float]) -> Spread:
    """ValueError without values."""
    if not values:
        raise ValueError("no values to take the mean of")
    mean = sum(values) / len(values)
    if len(values) < 2 or not all(isfinite(value) for value in values):
        return Spread(mean, None)
    variance = sum((value - mean) ** 2 for value in values) / (len(values) - 1)
    return Spread(mean, float(stdtrit(len(values) - 1, (1 + CONFIDENCE) / 2)) * sqrt(variance / len(values)))


def difference(mine: Sequence[float], theirs: Sequence[float]) -> Spread:
    """Of paired figures, mine - theirs."""
    return spread([one - other if one != other else 0.0 for one, other in zip(mine, theirs, strict=True)])
