"""IPA's two audio pipelines: speech-to-text as it was measured, the second stage calibrated on the published costs. It proves nothing there.

There is no profile row for the second stages, but published costs are whole cores, and a replica of the second stage has one of them (RIM's
27 and 6 replicas cost 33), so they pin its rows/s:

    C(lam)    cores = R ceil(lam / h1) + ceil(lam / h2)       R, h1 of the first stage's variant, measured; h2 of the second's, with IPA's margin
    heavy     FA2-high runs it behind s2t-medium (R = 2): h2 = r h1 with the r at which most published costs are some C(lam) at all, whatever
              lam; the middle of the widest stretch of such r
    light     FA2-low runs it behind s2t-small (R = 1) in the same steps in which IPA runs the heavy one behind it: lam is the middle of those that
              make IPA's cost; h2 is where C(lam) is nearest to FA2-low's cost on average
    rows/s    of a replica = h2 / (1 + margin), as all throughputs are planned with

The other variants of the sentiment stage run in no published step and are left out. The p99 of a batch is not known either: its mean
stands for it, which no published SLO comes near to.

Source: figures 9 and 10 of IPA (JSys 2024) as read back, series 18 (shared data, SOURCES.md).
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor

import numpy as np

from autoscaler.planner.model import Option, Problem, StageModel
from autoscaler.planner.objectives import Weighted
from autoscaler.planner.queueing import Fill, FillWait
from bench.published import accuracy, ipa

SERIES = "18"
MARGIN = -0.5
"""Of the throughput, in all audio runs."""
SMALL, MEDIUM = "facebook-s2t-small-librispeech-asr", "facebook-s2t-medium-librispeech-asr"
SECOND = {"audio-qa": ("deepset-xlm-roberta-base-squad2", "deepset-roberta-base-squad2"),
          "audio-sent": ("Souvikcmsa-SentimentAnalysisDistillBERT", "distilbert-base-uncased-finetuned-sst-2-english")}
"""Light and heavy variant of the second stage: what FA2-low and FA2-high run."""
MEDIUM_CORES = 2
STARTS = 3
"""Steps that are still the start's."""
READ = 0.05
"""Of a PAS of a figure, in %."""


@dataclass(frozen=True, slots=True)
class Calibrated:
    """rows_s: of one core. residual: share of the published costs that it cannot make (heavy), cores a step it is off (light). steps: used."""

    rows_s: float
    residual: float
    steps: int


def problem(pipeline: str, rate: float = 10.0) -> Problem:
    """A chain of the two tasks: measured rows of the first, one core of the calibrated two of the second; batches of one, as they ran."""
    (first, heard), (second, table) = accuracy.ipa(pipeline).items()
    speech = tuple(Option(row.variant, 1, float(row.cores), row.latency_ms, row.throughput, heard[row.variant], float(row.cores))
                   for row in ipa.rows() if row.variant in heard and row.batch == 1)
    texts = tuple(Option(variant, 1, 1.0, 1000 / found.rows_s, found.rows_s, table[variant], 1.0)
                  for variant, found in zip(SECOND[pipeline], (light(pipeline), heavy(pipeline)), strict=True))
    return Problem((StageModel(first, speech), StageModel(second, texts, after=(first,))), rate, ipa.SLO_MS[pipeline], Weighted(10.0, 0.5, 1e-6),
                   FillWait(Fill.MEAN))


@functools.cache
def heavy(pipeline: str) -> Calibrated:
    h1 = planned(MEDIUM, MEDIUM_CORES)
    costs = [cost for workload in ipa.WINDOWS for cost in _costs(pipeline, workload, "FA2-high")]
    ratio, made = pinned(costs, MEDIUM_CORES)
    return Calibrated(ratio * h1 / (1 + MARGIN), 1 - made, len(costs))


@functools.cache
def light(pipeline: str) -> Calibrated:
    h1, other = planned(SMALL, 1), heavy(pipeline).rows_s * (1 + MARGIN)
    pairs = [pair for workload in ipa.WINDOWS for pair in _pairs(pipeline, workload)]
    rates = {cost: rate for cost in {cost for cost, _ in pairs} if (rate := _middle(cost, h1, other)) is not None}
    known = [(rates[cost], target) for cost, target in pairs if cost in rates]
    off = {h2: float(np.mean([abs(ceil(rate / h1) + ceil(rate / h2) - target) for rate, target in known])) for h2 in np.arange(1.0, 16.0, 0.02)}
    least = min(off.values())
    best = [h2 for h2, apart in off.items() if apart <= least + 1e-9]
    return Calibrated(float(best[len(best) // 2]) / (1 + MARGIN), least, len(known))


def planned(variant: str, cores: int) -> float:
    """rows/s that IPA plans with for a replica, margin included."""
    return (1 + MARGIN) * next(row.throughput for row in ipa.rows() if (row.variant, row.cores, row.batch) == (variant, cores, 1))


def pinned(costs: Sequence[int], units: int, step: float = 0.005) -> tuple[float, float]:
    """r, and the share of the costs that it makes. units: R."""
    ratios = np.arange(1.5, 12.0, step)
    shares = np.array([sum(cost in reach for cost in costs) / len(costs) for reach in (reachable(ratio, units, max(costs)) for ratio in ratios)])
    best = np.flatnonzero(shares >= shares.max() - 1e-9)
    stretches = np.split(best, np.flatnonzero(np.diff(best) > 1) + 1)
    widest = max(stretches, key=len)
    return float(ratios[widest].mean()), float(shares.max())


def reachable(ratio: float, units: int, most: int) -> set[int]:
    """Every C(lam) up to `most`, lam in units of h1: n replicas serve the lam in (n - 1, n]."""
    return {units * count + other for count in range(1, most // units + 1)
            for other in range(floor((count - 1) / ratio + 1e-9) + 1, ceil(count / ratio - 1e-9) + 1)}


def _middle(cost: int, h1: float, h2: float) -> float | None:
    """Of the rates that cost so much behind one-core replicas of the first stage."""
    rates = [rate for rate in np.arange(0.1, 100.0, 0.05) if ceil(rate / h1) + ceil(rate / h2) == cost]
    return float(np.mean(rates)) if rates else None


def _pairs(pipeline: str, workload: str) -> list[tuple[int, int]]:
    """Costs of IPA and FA2-low in the steps in which IPA runs the heavy variant behind the small one."""
    first, second = accuracy.ipa(pipeline).values()
    shown = 100 * first[SMALL] * second[SECOND[pipeline][1]]
    values = ipa.column(pipeline, SERIES, workload, "PAS", "IPA")[STARTS:]
    costs = zip(values, _costs(pipeline, workload, "IPA"), _costs(pipeline, workload, "FA2-low"), strict=False)
    return [(one, other) for value, one, other in costs if abs(value - shown) <= READ]


def _costs(pipeline: str, workload: str, system: str) -> list[int]:
    return [round(cost) for cost in ipa.column(pipeline, SERIES, workload, "cost", system)[STARTS:]]
