"""What a run held and did, from the service's telemetry and the sidecar's records.

    units(t)     8 * (cores of all replicas that load or serve + cores of the spares, ready or not), at each telemetry record; linear between
                 two, as before the first and after the last
    unit_s       its integral over the counted time
    capacity(t)  events/s of the ready replicas of the variants that take rows, by the nearest measured option     (`control.lanes.nearest`)
    decisions    of the policy;   changes: those of them whose calls of the service were confirmed, windows of rows in flight aside
    stalls       rescales of the job that were made
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from autoscaler.control.lanes import nearest
from autoscaler.control.records import is_decision
from autoscaler.planner.model import StageModel
from autoscaler.telemetry import parse_lanes
from bench.live.plans import UNIT

Record = Mapping[str, Any]
OF_THE_SERVICE = {"replicas", "cores", "batch", "variants", "variant"}


@dataclass(frozen=True, slots=True)
class Held:
    """at_s: Unix, ascending. units, capacity: then."""

    at_s: tuple[float, ...]
    units: tuple[float, ...]
    capacity: tuple[float, ...]

    def unit_s(self, begin_s: float, end_s: float) -> float:
        """ValueError where nothing is known."""
        return float(np.trapezoid(*self._between(self.units, begin_s, end_s)))

    def by_second(self, values: Sequence[float], begin_s: float, seconds: int) -> list[float]:
        """At the middle of each."""
        return np.interp(begin_s + 0.5 + np.arange(seconds), self.at_s, values).tolist()

    def _between(self, values: Sequence[float], begin_s: float, end_s: float) -> tuple[np.ndarray, np.ndarray]:
        if not self.at_s:
            raise ValueError("no telemetry of the run")
        inside = [at for at in self.at_s if begin_s < at < end_s]
        at = np.array([begin_s, *inside, end_s])
        return np.interp(at, self.at_s, values), at


def held(records: Iterable[Record], model: StageModel) -> Held:
    """records: of the one stage, in any order; those of a service that is not up yet lack `processes` and are left out."""
    known = sorted((one for one in records if "processes" in one), key=lambda one: one["at_ms"])
    return Held(tuple(one["at_ms"] / 1000 for one in known), tuple(units(one) for one in known), tuple(capacity(one, model) for one in known))


def units(record: Record) -> float:
    processes = record["processes"]
    spares = processes["spares"] + processes["spares_loading"]
    return float((processes["cores"] + spares * record["setting"]["cores"]) / UNIT)


def capacity(record: Record, model: StageModel) -> float:
    carried = 0.0
    for lane in parse_lanes(record):
        option = nearest(model, lane) if lane.state == "serving" and lane.share > 0 else None
        carried += 0.0 if option is None else lane.ready * option.throughput
    return carried


@dataclass(frozen=True, slots=True)
class Done:
    """changes, stalls: what was carried out. fallbacks: times that telemetry was stale. stall_s: of a rescale, as last known."""

    decisions: int
    changes: int
    stalls: int
    stall_s: float | None
    fallbacks: int


def done(records: Iterable[Record], begin_s: float, end_s: float) -> Done:
    """Of that time."""
    inside = [one for one in records if begin_s <= one["at_ms"] / 1000 < end_s]
    own = [one for one in inside if is_decision(one)]
    stages = [stage for one in own for stage in one["stages"].values()]
    confirmed = [stage["actions"] for stage in stages if stage["outcome"] == "confirmed"]
    stalls = [one["stall_s"] for one in own if one["stall_s"] is not None]
    return Done(len(own), sum(bool(OF_THE_SERVICE & actions.keys()) for actions in confirmed), sum("parallelism" in actions for actions in confirmed),
                stalls[-1] if stalls else None, len(inside) - len(own))
