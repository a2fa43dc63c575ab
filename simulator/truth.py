"""How long batches really take: what planners do not see, only fit.

    l(o, b)    mean seconds of a batch of b rows on a replica of option o                      (Surface; the bias is in it)
    s          l * X * I,   E X = 1
    X          noise of coefficient of variation v: log-normal, exp(N(-w/2, w)), w = ln(1 + v^2); 1 where v = 0; exponential for M/M/c
    I          interference of what shares the GPU: product over the other replicas on it of factor(variant, other); 1 until measured

Planners get a fit to samples of l with other noise; `bias` multiplies l only here (+0.2: batches really take 20 % longer).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from math import log, sqrt

import numpy as np
from numpy.typing import NDArray

from autoscaler.planner.model import Option

Surface = Callable[[str, Option, int], float]
"""(stage, option, rows of the batch) to mean ms; the option's own batch and latency_ms are the planner's belief and not read."""

DRAWN = 4096
"""Factors drawn at a time."""


class Noise(StrEnum):
    LOG_NORMAL = "log-normal"
    EXPONENTIAL = "exponential"


@dataclass(frozen=True, slots=True)
class Truth:
    """latency_ms: the mean by stage, option and rows. cv: 0 = none; cvs: of stages that have their own. factors: of variants that share a
    GPU, by (own, other)."""

    latency_ms: Surface
    cv: float = 0.0
    bias: float = 0.0
    noise: Noise = Noise.LOG_NORMAL
    factors: Mapping[tuple[str, str], float] = field(default_factory=dict)
    cvs: Mapping[str, float] = field(default_factory=dict)

    def of(self, stage: str) -> Truth:
        """With that stage's noise."""
        return replace(self, cv=self.cvs.get(stage, self.cv))

    def mean_s(self, stage: str, option: Option, rows: int) -> float:
        return self.latency_ms(stage, option, rows) * (1 + self.bias) / 1000


def believed(stage: str, option: Option, rows: int) -> float:
    """The planner's own belief: of smaller batches the part above a tenth of the latency in proportion (a truth for examples and tests)."""
    return option.latency_ms * (0.1 + 0.9 * rows / option.batch)


class Factors:
    """The noise of one stage's batches, one factor a batch, from one stream."""

    def __init__(self, truth: Truth, random: np.random.Generator) -> None:
        self._random = random
        self._noise = truth.noise
        self._w = log(1 + truth.cv * truth.cv)
        self._drawn: list[float] = []

    def next(self) -> float:
        if not self._drawn:
            if self._noise is Noise.LOG_NORMAL and self._w == 0:
                return 1.0
            self._drawn = self._draw().tolist()
            self._drawn.reverse()
        return self._drawn.pop()

    def _draw(self) -> NDArray[np.float64]:
        if self._noise is Noise.EXPONENTIAL:
            return self._random.exponential(1.0, DRAWN)
        return np.exp(self._random.normal(-self._w / 2, sqrt(self._w), DRAWN))
