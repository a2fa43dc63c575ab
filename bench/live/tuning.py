"""What users run today at its best: parameters tried in the simulator on another slice of the trace.

Taken are the fewest violations among those that cost no more than what is asked of `sluice` too, SAVED less than the plan for the peak; where
none keeps to that, the cheapest. Without that bound the best autoscaler would be the one that never lets go of anything.
"""

from __future__ import annotations

import multiprocessing
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from bench.live.contender import Contender, grid
from bench.live.plans import units
from bench.live.predicted import predicted
from bench.live.setting import Setting

SAVED = 0.30
PATH_S = 0.010
"""Of an event through Kafka and Flink, on two cores: about the median that `bench latency` finds."""
PROCESSES = 2


@dataclass(frozen=True, slots=True)
class Tried:
    contender: Contender
    violation_share: float
    unit_s: float


def best(tried: Sequence[Tried], most_unit_s: float) -> Tried:
    """ValueError where nothing was tried. Of equals the cheapest, then the first."""
    least = min(one.unit_s for one in tried)
    allowed = [one for one in tried if one.unit_s <= max(most_unit_s, least)]
    return min(allowed, key=lambda one: (one.violation_share, one.unit_s))


def tune(setting: Setting, static_peak: Contender, policies: Sequence[str], seed: int, tell: Callable[[str], None]) -> dict[str, list[Tried]]:
    """By policy, all of its grid. setting: on the slice to tune on."""
    most = most_unit_s(setting, static_peak)
    found: dict[str, list[Tried]] = {}
    with multiprocessing.get_context("fork").Pool(PROCESSES) as pool:
        for policy in policies:
            found[policy] = pool.map(partial(_tried, setting, seed), list(grid(policy)), chunksize=1)
            taken = best(found[policy], most)
            tell(f"{policy}: of {len(found[policy])}, {taken.violation_share:.2%} violations for {taken.unit_s:,.0f} unit-s (at most {most:,.0f}): "
                 + ", ".join(f"{name} {value:g}" for name, value in taken.contender.parameters.items()))
    return found


def most_unit_s(setting: Setting, static_peak: Contender) -> float:
    """What a tuned policy may cost on the setting's load."""
    return (1 - SAVED) * units(setting.first(static_peak)) * setting.load.seconds


def _tried(setting: Setting, seed: int, contender: Contender) -> Tried:
    with tempfile.TemporaryDirectory(prefix="sluice-live-") as folder:
        files = setting.files(Path(folder), "tuned", contender)
        told = predicted(files, contender, setting.times_s(0, seed), setting.warm_s, np.array([PATH_S]), seed)
    return Tried(contender, told.violation_share, told.unit_s)
