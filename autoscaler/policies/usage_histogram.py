"""CPU use of the past, newer samples counting for more: what the VerticalPodAutoscaler's recommender keeps of each container.

    bucket i   cores from first * (g^i - 1) / (g - 1), each g = 1.05 times as wide as the one before, the first 0.01 cores wide
    weight     of a sample t s old: w * 2^(-t / half_life); w = cores allotted, at least 0.1, times the replicas it stands for
    percentile p   the end of the first bucket up to which a share of p of all weight lies
    confidence     days = min(between first and last sample, samples / 1440), as one sample a minute would give

Values are handed back and forth, so `add` returns a new one. Weights below 1e-4 of the least sample's are dropped.
Source: kubernetes/autoscaler, vertical-pod-autoscaler, recommender (decaying exponential histogram; flags of release 1.5).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

FIRST_CORES = 0.01
GROWTH = 1.05
LEAST_WEIGHT = 0.1
DROPPED = 0.001 * LEAST_WEIGHT
DAY_S = 86400.0
SAMPLES_PER_DAY = 1440.0


@dataclass(frozen=True, slots=True)
class UsageHistogram:
    """weights: (bucket, weight as of last_s), by bucket. first_s, last_s: None before the first sample."""

    weights: tuple[tuple[int, float], ...] = ()
    samples: int = 0
    first_s: float | None = None
    last_s: float | None = None

    def add(self, cores: float, allotted: float, replicas: int, at_s: float, half_life_s: float) -> UsageHistogram:
        """With `replicas` samples of that use."""
        decay = 2.0 ** -((at_s - self.last_s) / half_life_s) if self.last_s is not None else 1.0
        weights = {bucket: weight * decay for bucket, weight in self.weights}
        bucket = bucket_of(cores)
        weights[bucket] = weights.get(bucket, 0.0) + replicas * max(LEAST_WEIGHT, allotted)
        kept = tuple(sorted((index, weight) for index, weight in weights.items() if weight > DROPPED))
        return UsageHistogram(kept, self.samples + replicas, at_s if self.first_s is None else self.first_s, at_s)

    def percentile(self, share: float) -> float:
        """Cores; 0 without a sample."""
        total, below = sum(weight for _, weight in self.weights), 0.0
        for bucket, weight in self.weights:
            below += weight
            if below >= share * total:
                return start_of(bucket + 1)
        return 0.0

    def confidence_days(self) -> float:
        if self.first_s is None or self.last_s is None:
            return 0.0
        return min((self.last_s - self.first_s) / DAY_S, self.samples / SAMPLES_PER_DAY)


def bucket_of(cores: float) -> int:
    """The bucket that holds it."""
    return max(0, math.floor(math.log(max(0.0, cores) * (GROWTH - 1) / FIRST_CORES + 1, GROWTH) + 1e-9))


def start_of(bucket: int) -> float:
    """Cores at which it begins."""
    return FIRST_CORES * (GROWTH ** bucket - 1) / (GROWTH - 1)
