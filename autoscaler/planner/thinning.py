"""Fewer labels where there are too many to go through: some of them, or what none of them can beat.

Labels are laid into about `most` cells, sqrt(most) bands of ticks and in each as many runs of the first value, equally full.

    keep    of each cell the label with the least first value, and of all the least of every component: each is a plan that can be had;
            down to one, the one with the least ticks
    merge   one label per cell with the least of every component: no plan of the cell is better, so the best of them bounds all plans
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Thinning:
    """most: labels above which it begins. merge: the bound; otherwise the choice."""

    most: int
    merge: bool

    def thinned(self, ticks: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Which labels stand for all, with the ticks and values that they are to have from now on."""
        if len(ticks) <= self.most:
            return np.arange(len(ticks)), ticks, values
        side = max(1, math.isqrt(self.most))
        order = np.lexsort((values[:, 0], ticks))
        band = np.arange(len(order)) * side // len(order)
        order = order[np.lexsort((values[order, 0], band))]
        starts = np.unique(np.arange(side * side) * len(order) // (side * side))
        if self.merge:
            return order[starts], np.minimum.reduceat(ticks[order], starts), np.minimum.reduceat(values[order], starts, axis=0)
        if self.most == 1:
            fastest = np.lexsort((values[:, 0], ticks))[:1]
            return fastest, ticks[fastest], values[fastest]
        least = [int(np.argmin(ticks)), *(int(place) for place in np.argmin(values, axis=0))]
        places = np.unique(np.concatenate([order[starts], np.array(least)]))
        return places, ticks[places], values[places]
