"""What a paper's figure shows step by step, beside what a simulated run had in the same steps.

    step      of `step_s` seconds, counted from the window's start
    mean      over the steps that both have
    apart     mean of |run's - published| over these steps

A run is that of the first seed: published series are of one run each, too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.repro.series import Series


@dataclass(frozen=True, slots=True)
class Steps:
    """values: by contender and panel (of `series`' names), one of each step; what there was before the first decision left out by `first`."""

    step_s: int
    values: Mapping[str, Mapping[str, tuple[float, ...]]]
    first: int = 0

    def by_second(self, contender: str, panel: str) -> NDArray[np.float64]:
        """For a figure over time. Shape (steps * step_s,)."""
        return np.repeat(np.array(self.values[contender][panel], float), self.step_s)

    def apart(self, contender: str, series: Series) -> dict[str, dict[str, float]]:
        """By panel: both means, and how far the steps are apart; nothing of a contender that the figure does not show."""
        found = {}
        for panel, published in self.values.get(contender, {}).items():
            own = means_of(series[panel], self.step_s)
            count = min(len(own), len(published))
            mine, theirs = own[self.first : count], np.array(published[self.first : count], float)
            there = ~np.isnan(mine)
            if there.any():
                mine, theirs = mine[there], theirs[there]
                found[panel] = {"published": float(theirs.mean()), "reproduced": float(mine.mean()), "apart": float(np.abs(mine - theirs).mean()),
                                "steps": int(there.sum())}
        return found


def means_of(values: NDArray[np.float64], step_s: int) -> NDArray[np.float64]:
    """Of each whole step. Shape (seconds,) to (seconds // step_s,)."""
    whole = len(values) // step_s * step_s
    return values[:whole].reshape(-1, step_s).mean(axis=1)
