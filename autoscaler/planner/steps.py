"""Frontiers of (time, price) as arrays over the latency grid: what a part of the graph costs at the least within each time.

    best[t]   least price of the part when it may take t ticks; inf = impossible                     shape (T + 1,), never rising
    series    best[t] = min over s of first[t - s] + second[s], s where `second` falls
    beside    best[t] = first[t] + second[t]
    either    best[t] = min over the parts of part[t]
    later     best[t] = part[t - ticks], inf before
    plus      best[t] = part[t] + price of one label of another part
    mapped    best[t] = -w log(-part[t])

Series costs O(T * corners), the others O(T). A choice is found again by looking for the term that gives the very same number, so
nothing is kept beside the arrays.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property

import numpy as np

from autoscaler.planner.candidates import Ways
from autoscaler.planner.thinning import Thinning
from autoscaler.planner.work import Work


class Steps:
    """One frontier, and which step made it from which others."""

    def __init__(self, best: np.ndarray, made: str, parts: tuple = ()) -> None:
        self.best, self.made, self.parts = best, made, parts

    @cached_property
    def corners(self) -> tuple[list[int], list[float]]:
        """Where it falls: ticks and prices."""
        falls = np.empty(len(self.best), dtype=bool)
        falls[0] = self.best[0] < math.inf
        np.less(self.best[1:], self.best[:-1], out=falls[1:])
        ticks = np.flatnonzero(falls)
        return ticks.tolist(), self.best[ticks].tolist()


class StepAlgebra:
    """Makes frontiers up to `last` ticks. logs: whether the price is that of accuracies which multiply; 0 of them is then impossible."""

    def __init__(self, last: int, work: Work, *, logs: bool = False) -> None:
        self.last, self.work, self.logs = last, work, logs

    def leaf(self, ways: Ways, values: np.ndarray) -> Steps:
        """values: shape (ways, 1)."""
        best = np.full(self.last + 1, math.inf)
        fits = ways.ticks <= self.last
        np.minimum.at(best, ways.ticks[fits], values[fits, 0])
        np.minimum.accumulate(best, out=best)
        return Steps(best, "leaf", (ways, values))

    def nothing(self) -> Steps:
        return Steps(np.zeros(self.last + 1), "nothing")

    def series(self, first: Steps, second: Steps) -> Steps:
        if len(second.corners[0]) > len(first.corners[0]):
            first, second = second, first
        best = np.full(self.last + 1, math.inf)
        ticks, prices = second.corners
        self.work.spend(len(ticks) * (len(best) + 500))
        if first.corners[0]:
            start = first.corners[0][0]
            source = first.best[start:]
            for tick, price in zip(ticks, prices, strict=True):
                room = len(source) - tick
                if room <= 0:
                    break
                target = best[start + tick:]
                np.minimum(target, source[:room] + price, out=target)
        return Steps(best, "series", (first, second))

    def beside(self, first: Steps, second: Steps) -> Steps:
        self.work.spend(len(first.best))
        return Steps(first.best + second.best, "beside", (first, second))

    def either(self, parts: Sequence[Steps]) -> Steps:
        if len(parts) == 1:
            return parts[0]
        self.work.spend(len(parts) * (self.last + 1))
        best = parts[0].best.copy() if parts else np.full(self.last + 1, math.inf)
        for part in parts[1:]:
            np.minimum(best, part.best, out=best)
        return Steps(best, "either", tuple(parts))

    def later(self, part: Steps, ticks: int) -> Steps:
        if ticks == 0:
            return part
        best = np.full(self.last + 1, math.inf)
        best[ticks:] = part.best[:self.last + 1 - ticks]
        return Steps(best, "later", (part, ticks))

    def plus(self, part: Steps, other: Steps, at: int) -> Steps:
        return Steps(part.best + other.best[at], "plus", (part, other, at))

    def mapped(self, part: Steps, weight: float) -> Steps:
        """From -(mean accuracy of a stage) to -weight * log of it, where the price is that."""
        if not self.logs:
            return part
        if weight == 0:
            return Steps(np.where(part.best < math.inf, 0.0, math.inf), "mapped", (part,))
        accuracy = np.where(part.best < math.inf, -part.best, 0.0)
        best = np.full(self.last + 1, math.inf)
        np.log(accuracy, out=best, where=accuracy > 0)
        return Steps(np.where(accuracy > 0, -weight * best, math.inf), "mapped", (part,))

    def labels(self, part: Steps, thin: Thinning | None = None) -> list[tuple[tuple[Steps, int], int]]:
        """((frontier, where in it), ticks) of every label, or of those that stand for them."""
        ticks, prices = part.corners
        if thin is None:
            return [((part, tick), tick) for tick in ticks]
        places, early, _ = thin.thinned(np.array(ticks, dtype=np.int64), np.array(prices).reshape(-1, 1))
        ends = [*places[1:].tolist(), len(ticks)] if thin.merge and len(places) < len(ticks) else [place + 1 for place in places.tolist()]
        return [((part, ticks[end - 1]), first) for end, first in zip(ends, early.tolist(), strict=True)]

    def ends(self, part: Steps) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Where each label is, its ticks and its values (labels, 1)."""
        ticks, prices = part.corners
        return np.array(ticks, dtype=np.int64), np.array(ticks, dtype=np.int64), np.array(prices).reshape(-1, 1)

    def chosen(self, part: Steps, at: int) -> list[tuple[Ways, int]]:
        """The ways of which the label is made."""
        found: list[tuple[Ways, int]] = []
        open_parts = [(part, at)]
        while open_parts:
            step, tick = open_parts.pop()
            match step.made:
                case "leaf":
                    ways, values = step.parts
                    found.append((ways, int(np.flatnonzero((ways.ticks <= tick) & (values[:, 0] == step.best[tick]))[0])))
                case "series":
                    first, second = step.parts
                    open_parts += next(((first, tick - moved), (second, moved)) for moved, price in zip(*second.corners, strict=True)
                                       if moved <= tick and first.best[tick - moved] + price == step.best[tick])
                case "beside":
                    open_parts += [(inner, tick) for inner in step.parts]
                case "either":
                    open_parts.append((next(inner for inner in step.parts if inner.best[tick] == step.best[tick]), tick))
                case "mapped":
                    open_parts.append((step.parts[0], tick))
                case "later":
                    open_parts.append((step.parts[0], tick - step.parts[1]))
                case "plus":
                    rest, other, where = step.parts
                    open_parts += [(rest, tick), (other, where)]
        return found
