"""What no policy can beat on a fixed cluster that several families of queries share: linear programs a second, with everything known.

    s[k]   requests/s of family k in the second          D[t]   devices of kind t
    j      a variant on a kind of device, of family k    A[j]   its accuracy
    p[j]   rows/s of one device, the most over the batches that alone keep to the SLO; the true means, bias included
    u[j]   rows/s that j answers, >= 0

        subject to  sum over j of k of u[j] <= s[k];  sum over j on t of u[j] / p[j] <= D[t]
        most        greatest sum of A[j] u[j]             accuracy_all = sum over the seconds / requests; accuracy = the same / answered ones
        served      greatest sum of u[j]                  violation_share = 1 - sum over the seconds / requests

No queue, no noise, no forecast, no whole replicas, no loading. Rows may wait from one second to the next by the SLO at most, which is not in it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linprog

from autoscaler.planner.model import Problem
from bench.repro.level import Level
from simulator.truth import Surface

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Fluid:
    """families: index of each way's family. accuracy, rows_s: of each way. use: shape (kinds, ways), devices per row/s. devices: by kind."""

    families: NDArray[np.int64]
    accuracy: Floats
    use: Floats
    devices: Floats

    def answered(self, gain: Floats, demand: Floats) -> Floats:
        """rows/s of each way with the greatest sum of gain."""
        count = len(demand)
        limits = np.vstack([(self.families[None, :] == np.arange(count)[:, None]).astype(float), self.use])
        found = linprog(-gain, A_ub=limits, b_ub=np.concatenate([demand, self.devices]), method="highs")
        assert found.status == 0, found.message
        return found.x


def fluid(problem: Problem, surface: Surface, level: Level) -> Fluid:
    """Of the problem's families, which share its devices."""
    best: dict[tuple[int, str, str], tuple[float, float]] = {}
    for family, stage in enumerate(problem.stages):
        for option in stage.options:
            mean_ms = surface(stage.name, option, option.batch) * (1 + level.bias)
            key = (family, option.variant, option.device)
            if mean_ms <= problem.slo_ms and option.device in problem.devices:
                best[key] = max(best.get(key, (0.0, 0.0)), (1000 * option.batch / mean_ms, option.accuracy))
    kinds = list(problem.devices)
    use = np.zeros((len(kinds), len(best)))
    for way, ((_, _, kind), (rows_s, _)) in enumerate(best.items()):
        use[kinds.index(kind), way] = 1 / rows_s
    return Fluid(np.array([family for family, _, _ in best], np.int64), np.array([accuracy for _, accuracy in best.values()]), use,
                 np.array([problem.devices[kind] for kind in kinds], float))


def bounded(one: Fluid, demands: Sequence[Sequence[float]]) -> Mapping[str, float]:
    """demands: requests/s by family, of each second."""
    right = told = served = 0.0
    asked = sum(sum(demand) for demand in demands)
    for demand in demands:
        wanted = np.asarray(demand, float)
        most = one.answered(one.accuracy, wanted)
        right += float(one.accuracy @ most)
        told += float(most.sum())
        whole = most.sum() >= wanted.sum() * (1 - 1e-9)
        served += float(wanted.sum() if whole else one.answered(np.ones_like(one.accuracy), wanted).sum())
    return {"violation_share": max(0.0, 1 - served / asked), "accuracy": right / told, "accuracy_all": right / asked} if asked else {}
