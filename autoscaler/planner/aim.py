"""What a label must carry so that the best plan can be told from the final frontier.

    price       LeastCost, MostAccurate, CheapestOfAccurate: cost + change
                Weighted: beta * (cost + change) + gamma * batches, and - alpha * accuracy with it where accuracies add
    accuracy    where the objective asks for it and it is not in the price: sum of -w * a, or of -w * log(a) where accuracies multiply
    cost        by itself, where a budget is on the cost and changes have a price too
    a kind      units used, only for kinds whose capacity was seen to bind

All are sums over the stages, and the objective is monotone in each, so a beaten label can be dropped. An objective this module does not
know is taken to be monotone in cost, change, batches and accuracy, each carried by itself.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from autoscaler.planner.candidates import Ways
from autoscaler.planner.model import AccuracyRule, Objective, Problem, Totals
from autoscaler.planner.objectives import CheapestOfAccurate, LeastCost, MostAccurate, Weighted


@dataclass(frozen=True, slots=True)
class Component:
    """A number to minimise, linear in what a way brings; `kind`: units used of it."""

    cost: float = 0.0
    change: float = 0.0
    batches: float = 0.0
    accuracy: float = 0.0
    kind: str | None = None

    def of(self, ways: Ways, weight: float) -> np.ndarray:
        """Shape (ways,). weight: of the stage in the accuracy of the whole."""
        if self.kind is not None:
            return ways.used.get(self.kind, np.zeros(len(ways.ticks)))
        found = self.cost * ways.cost
        if self.change:
            found = found + self.change * ways.change
        if self.batches:
            found = found + self.batches * ways.batches
        if self.accuracy:
            found = found + self.accuracy * weight * ways.share * ways.accuracy
        return found


PRICE = Component(cost=1.0, change=1.0)
COST = Component(cost=1.0)
ACCURACY = Component(accuracy=-1.0)


@dataclass(frozen=True, slots=True)
class Aim:
    """components: of a label. objective: in terms of what a label says. places: which component is the cost, the price, the accuracy."""

    problem: Problem
    components: tuple[Component, ...]
    objective: Objective
    cost: int = 0
    change: int | None = None
    batches: int | None = None
    accuracy: int | None = None
    price: int | None = None
    weights: dict[str, float] = field(default_factory=dict)

    @property
    def logs(self) -> int | None:
        """The component that is a sum of logarithms."""
        return self.accuracy if self.problem.accuracy is AccuracyRule.PRODUCT else None

    @property
    def caps(self) -> np.ndarray:
        return np.array([np.inf if component.kind is None else self.problem.devices.get(component.kind, np.inf) for component in self.components])

    def with_kinds(self, kinds: tuple[str, ...]) -> Aim:
        return replace(self, components=(*self.components, *(Component(kind=kind) for kind in kinds)))

    def values(self, ways: Ways) -> np.ndarray:
        """Shape (ways, components); accuracy not yet as a logarithm."""
        weight = 1.0 if self.logs is not None else self.weights[ways.stage.name]
        return np.stack([component.of(ways, weight) for component in self.components], axis=1)

    def alone(self, ways: Ways) -> np.ndarray:
        return self.components[0].of(ways, 1.0 if self.logs is not None else self.weights[ways.stage.name])

    def totals(self, label: list[float]) -> Totals:
        """What the objective is to judge; not the plan's own totals where the price has put several of them together."""
        accuracy = 0.0
        if self.accuracy is not None:
            accuracy = float(np.exp(-label[self.accuracy])) if self.logs is not None else -label[self.accuracy]
        cost = label[self.cost]
        change = 0.0 if self.price is None else label[self.price] - cost
        if self.change is not None:
            change = label[self.change]
        return Totals(cost=cost, accuracy=accuracy, batches=0.0 if self.batches is None else label[self.batches], change=change)


def aim_of(problem: Problem) -> Aim:
    """Without kinds."""
    weights = accuracy_weights(problem)
    match problem.objective:
        case LeastCost(min_accuracy):
            if min_accuracy is None:
                return Aim(problem, (PRICE,), problem.objective, weights=weights)
            return Aim(problem, (PRICE, ACCURACY), problem.objective, accuracy=1, weights=weights)
        case Weighted(alpha, beta, gamma) if alpha >= 0 and beta >= 0:
            price = Component(cost=beta, change=beta, batches=gamma)
            if alpha == 0:
                return Aim(problem, (price,), LeastCost(), weights=weights)
            if problem.accuracy is AccuracyRule.PRODUCT:
                return Aim(problem, (price, ACCURACY), Weighted(alpha, 1.0), accuracy=1, weights=weights)
            return Aim(problem, (replace(price, accuracy=-alpha),), LeastCost(), weights=weights)
        case MostAccurate(budget) if budget is not None and problem.switching is not None:
            return Aim(problem, (PRICE, ACCURACY, COST), problem.objective, cost=2, price=0, accuracy=1, weights=weights)
        case MostAccurate() | CheapestOfAccurate():
            return Aim(problem, (PRICE, ACCURACY), problem.objective, accuracy=1, weights=weights)
    return _unknown(problem, weights)


def _unknown(problem: Problem, weights: dict[str, float]) -> Aim:
    components = [COST, Component(batches=1.0)]
    change = accuracy = None
    if problem.switching is not None:
        change = len(components)
        components.append(Component(change=1.0))
    if problem.objective.needs_accuracy():
        accuracy = len(components)
        components.append(ACCURACY)
    return Aim(problem, tuple(components), problem.objective, batches=1, change=change, accuracy=accuracy, weights=weights)


def accuracy_weights(problem: Problem) -> dict[str, float]:
    """What each stage's accuracy counts in the sum; where accuracies multiply, the exponent."""
    total = sum(stage.weight for stage in problem.stages) if problem.accuracy is AccuracyRule.MEAN else 1.0
    return {stage.name: stage.weight / total if total else 0.0 for stage in problem.stages}


def combined(problem: Problem, accuracies: dict[str, float]) -> float:
    """Of the whole graph, from the stages' own."""
    weights = accuracy_weights(problem)
    if problem.accuracy is not AccuracyRule.PRODUCT:
        return sum(weights[name] * accuracy for name, accuracy in accuracies.items())
    product = 1.0
    for name, accuracy in accuracies.items():
        product *= accuracy ** weights[name]
    return product


