"""Which of two plans is better. Each objective is monotone in price and accuracy, so dominated labels can be dropped.

Values are tuples, greater is better, compared in order.
"""

from __future__ import annotations

from dataclasses import dataclass

from autoscaler.planner.model import Totals


@dataclass(frozen=True, slots=True)
class LeastCost:
    """Least cost + change, with at least that accuracy (FA2, Themis; None = any)."""

    min_accuracy: float | None = None

    def value(self, totals: Totals) -> tuple[float, ...]:
        return (-(totals.cost + totals.change),)

    def allows(self, totals: Totals) -> bool:
        return self.min_accuracy is None or totals.accuracy >= self.min_accuracy - 1e-12

    def needs_accuracy(self) -> bool:
        return self.min_accuracy is not None


@dataclass(frozen=True, slots=True)
class Weighted:
    """Greatest alpha * accuracy - beta * (cost + change) - gamma * sum of batch sizes (IPA; InfAdapter with gamma 0)."""

    alpha: float
    beta: float
    gamma: float = 0.0

    def value(self, totals: Totals) -> tuple[float, ...]:
        return (self.alpha * totals.accuracy - self.beta * (totals.cost + totals.change) - self.gamma * totals.batches,)

    def allows(self, totals: Totals) -> bool:
        return True

    def needs_accuracy(self) -> bool:
        return self.alpha != 0


@dataclass(frozen=True, slots=True)
class MostAccurate:
    """Greatest accuracy within a budget of cost (None = what the devices hold), the cheapest of equals."""

    budget: float | None = None

    def value(self, totals: Totals) -> tuple[float, ...]:
        return (totals.accuracy, -(totals.cost + totals.change))

    def allows(self, totals: Totals) -> bool:
        return self.budget is None or totals.cost <= self.budget + 1e-9

    def needs_accuracy(self) -> bool:
        return True


@dataclass(frozen=True, slots=True)
class CheapestOfAccurate:
    """Lexicographic with a tolerance: accuracy counts in whole steps of `step`, then the least cost, then the rest of the accuracy."""

    step: float = 0.01

    def value(self, totals: Totals) -> tuple[float, ...]:
        return ((totals.accuracy / self.step + 1e-9) // 1, -(totals.cost + totals.change), totals.accuracy)

    def allows(self, totals: Totals) -> bool:
        return True

    def needs_accuracy(self) -> bool:
        return True
