"""Frontiers of labels (ticks, values) where one price is not enough: accuracy, a budget, or the devices of a kind count too.

    series    ticks add, values add
    beside    ticks are the later of the two, values add
    either    all labels of the parts
    later     ticks + a number
    plus      values + those of one label of another part

after which labels are dropped that are late, that use more of a kind than there is, or that another beats in ticks and every value
(`pareto`). All values are minimised: an accuracy is kept as -w * a, or as -w * log(a) where accuracies multiply (inf for 0).

A series or beside of m and n labels costs O(m n log(m n)), in pieces of 2^19. There is no bound on the labels but the number of different
totals; `thin` says what to do above a number of them: nothing (and so the work ends at its limit), keep a choice of them (plans that can be
had), or put neighbours together as if one had the best of each (a bound that no plan can beat).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from autoscaler.planner.candidates import TOLERANCE, Ways
from autoscaler.planner.pareto import nondominated
from autoscaler.planner.thinning import Thinning
from autoscaler.planner.work import Work

PIECE = 2 ** 19


@dataclass(slots=True, eq=False)
class Labels:
    """ticks: shape (labels,). values: shape (labels, components). back: for each label, where in each part it comes from."""

    ticks: np.ndarray
    values: np.ndarray
    made: str
    parts: tuple = ()
    back: tuple[np.ndarray, ...] = field(default=())


class LabelAlgebra:
    """Makes frontiers up to `last` ticks. caps: by component, what the whole graph may reach; inf = any. logs: the component whose
    accuracies multiply, or None."""

    def __init__(self, last: int, caps: np.ndarray, logs: int | None, work: Work, thin: Thinning | None = None) -> None:
        self.last, self.caps, self.logs, self.work, self.thin = last, caps + TOLERANCE, logs, work, thin
        self.capped = np.flatnonzero(np.isfinite(caps)).tolist()

    def leaf(self, ways: Ways, values: np.ndarray) -> Labels:
        return self._kept(ways.ticks, values, "leaf", (ways,), (np.arange(len(ways.ticks)),))

    def nothing(self) -> Labels:
        return Labels(np.zeros(1, dtype=np.int64), np.zeros((1, len(self.caps))), "nothing")

    def series(self, first: Labels, second: Labels) -> Labels:
        return self._pairs(first, second, np.add, "series")

    def beside(self, first: Labels, second: Labels) -> Labels:
        return self._pairs(first, second, np.maximum, "beside")

    def either(self, parts: Sequence[Labels]) -> Labels:
        if len(parts) == 1:
            return parts[0]
        if not parts:
            return Labels(np.zeros(0, dtype=np.int64), np.zeros((0, len(self.caps))), "either")
        sizes = [len(part.ticks) for part in parts]
        return self._kept(np.concatenate([part.ticks for part in parts]), np.concatenate([part.values for part in parts]), "either", tuple(parts),
                          (np.repeat(np.arange(len(parts)), sizes), np.concatenate([np.arange(size) for size in sizes])))

    def later(self, part: Labels, ticks: int) -> Labels:
        if ticks == 0:
            return part
        return self._kept(part.ticks + ticks, part.values, "later", (part,), (np.arange(len(part.ticks)),))

    def plus(self, part: Labels, other: Labels, at: int) -> Labels:
        return self._kept(part.ticks, part.values + other.values[at], "plus", (part, other, at), (np.arange(len(part.ticks)),))

    def mapped(self, part: Labels, weight: float) -> Labels:
        """From -(mean accuracy of a stage) to -weight * log of it, where accuracies multiply."""
        if self.logs is None:
            return part
        values = part.values.copy()
        accuracy = np.maximum(-values[:, self.logs], 0.0)
        with np.errstate(divide="ignore"):
            values[:, self.logs] = -weight * np.log(accuracy) if weight else 0.0
        return Labels(part.ticks, values, "mapped", (part,), (np.arange(len(part.ticks)),))

    def labels(self, part: Labels, thin: Thinning | None = None) -> list[tuple[tuple[Labels, int], int]]:
        """((frontier, where in it), ticks) of every label, or of those that stand for them."""
        if thin is not None:
            places, ticks, values = thin.thinned(part.ticks, part.values)
            part = Labels(ticks, values, part.made, part.parts, tuple(side[places] for side in part.back))
        return [((part, at), ticks) for at, ticks in enumerate(part.ticks.tolist())]

    def ends(self, part: Labels) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return np.arange(len(part.ticks)), part.ticks, part.values

    def chosen(self, part: Labels, at: int) -> list[tuple[Ways, int]]:
        found: list[tuple[Ways, int]] = []
        open_parts = [(part, at)]
        while open_parts:
            step, place = open_parts.pop()
            match step.made:
                case "leaf":
                    found.append((step.parts[0], int(step.back[0][place])))
                case "series" | "beside":
                    open_parts += [(inner, int(back[place])) for inner, back in zip(step.parts, step.back, strict=True)]
                case "either":
                    open_parts.append((step.parts[step.back[0][place]], int(step.back[1][place])))
                case "later" | "mapped":
                    open_parts.append((step.parts[0], int(step.back[0][place])))
                case "plus":
                    rest, other, where = step.parts
                    open_parts += [(rest, int(step.back[0][place])), (other, where)]
        return found

    def _pairs(self, first: Labels, second: Labels, joined: np.ufunc, made: str) -> Labels:
        if len(first.ticks) < len(second.ticks):
            first, second = second, first
        rows = max(1, PIECE // max(1, len(second.ticks)))
        pieces = [self._piece(first, second, start, start + rows, joined, made) for start in range(0, len(first.ticks), rows)]
        if len(pieces) == 1:
            return pieces[0]
        if not pieces:
            return Labels(np.zeros(0, dtype=np.int64), np.zeros((0, len(self.caps))), made, (first, second), (np.zeros(0, dtype=np.int64),) * 2)
        return self._kept(np.concatenate([piece.ticks for piece in pieces]), np.concatenate([piece.values for piece in pieces]), made,
                          (first, second), tuple(np.concatenate([piece.back[side] for piece in pieces]) for side in range(2)))

    def _piece(self, first: Labels, second: Labels, start: int, end: int, joined: np.ufunc, made: str) -> Labels:
        ticks = joined(first.ticks[start:end, None], second.ticks[None, :])
        mine, theirs = np.nonzero(ticks <= self.last)
        values = first.values[start:end][mine] + second.values[theirs]
        self.work.spend(ticks.size)
        return self._kept(ticks[mine, theirs], values, made, (first, second), (mine + start, theirs))

    def _kept(self, ticks: np.ndarray, values: np.ndarray, made: str, parts: tuple, back: tuple[np.ndarray, ...]) -> Labels:
        fits = ticks <= self.last
        for component in self.capped:
            fits &= values[:, component] <= self.caps[component]
        places = np.flatnonzero(fits)
        places = places[nondominated(ticks[places], values[places])]
        self.work.spend(30.0 * len(ticks) * max(1.0, math.log2(len(ticks) + 1)) + (0 if values.shape[1] < 3 else 3.0 * len(ticks) * len(places)))
        ticks, values = ticks[places], values[places]
        if self.thin is not None:
            chosen, ticks, values = self.thin.thinned(ticks, values)
            places = places[chosen]
        return Labels(ticks, values, made, parts, tuple(side[places] for side in back))
