"""What is simulated, as values: the graph, its truth, what comes, what runs at first, and what changes cost."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from autoscaler.forecast.forecaster import Forecaster
from autoscaler.forecast.plain import Persistence
from autoscaler.planner.model import Option, Problem, Share
from autoscaler.policies.change_times import ChangeTimes
from autoscaler.policies.policy import Policy
from simulator.arrivals import Arrivals
from simulator.network import Graph
from simulator.proxy import Gathering
from simulator.truth import Truth


@dataclass(frozen=True, slots=True)
class Failure:
    """A replica that serves dies at that time; the stage starts another by itself."""

    at_s: float
    station: str
    replicas: int = 1


@dataclass(frozen=True, slots=True)
class Control:
    """policy: None = what runs at first stays. delay_s: from the end of a second to when its figures can be read. keep_s: of past rates.
    windows: from a station and its replicas to rows that a proxy of it may have in flight, each second; None = as they are gathered.

    forecaster: a copy of it runs, since some remember."""

    policy: Policy | None = None
    forecaster: Forecaster = field(default_factory=Persistence)
    delay_s: float = 0.0
    keep_s: int = 600
    past: tuple[float, ...] = ()
    windows: Callable[[str, int], int] | None = None


@dataclass(frozen=True, slots=True)
class Scenario:
    """problem: options, accuracies and accuracy rule of the stages, of the same names as the graph's stations.

    initial    what runs at second 0, ready
    devices    units there are of each kind; a kind it does not name is unlimited
    gpu_slots  slots of one GPU by kind of device, where replicas share them
    drain_s    how long after the last arrival the run goes on at most; what is left then is unfinished
    gathering  of all proxies
    """

    problem: Problem
    graph: Graph
    arrivals: Arrivals
    truth: Truth
    initial: Mapping[str, tuple[Share, ...]]
    changes: ChangeTimes = ChangeTimes()
    devices: Mapping[str, float] = field(default_factory=dict)
    gpu_slots: Mapping[str, float] = field(default_factory=dict)
    failures: tuple[Failure, ...] = ()
    gathering: Gathering = Gathering()
    drain_s: float = 60.0

    def __post_init__(self) -> None:
        worked = {station.name for station in self.graph.stations if not station.plain}
        if worked != {stage.name for stage in self.problem.stages}:
            raise ValueError(f"the graph's stations {sorted(worked)} are not the problem's stages {sorted(s.name for s in self.problem.stages)}")
        for name in worked:
            if not any(share.replicas for share in self.initial.get(name, ())):
                raise ValueError(f"nothing runs at stage {name} at first; give it a replica")

    def variants(self) -> dict[str, tuple[str, ...]]:
        """By station, in the order of the problem's options and then of what runs; none of plain joins."""
        return {station.name: tuple(dict.fromkeys(option.variant for option in self._options(station.name))) for station in self.graph.stations}

    def accuracies(self) -> dict[str, dict[str, float]]:
        return {station.name: {option.variant: option.accuracy for option in reversed(self._options(station.name))}
                for station in self.graph.stations}

    def _options(self, name: str) -> list[Option]:
        if self.graph.station(name).plain:
            return []
        return [*self.problem.stage(name).options, *(share.option for share in self.initial[name])]
