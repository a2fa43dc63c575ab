"""What a policy sees, what it answers, and the one interface of them all.

A policy is a pure function: the same state, forecast and memory give the same decision, and nothing else is read. What it must remember
between decisions (a stabilisation counter, the last scale-in) is a value it hands back and is given again. The simulator and the
control loop call the same objects.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from autoscaler.planner.model import Option, Plan, Problem, Share


@dataclass(frozen=True, slots=True)
class Pool:
    """Replicas of one option of one stage, as they run. ready: serve now. starting: load. share: of the stage's rows."""

    option: Option
    ready: int
    starting: int = 0
    share: float = 1.0

    @property
    def replicas(self) -> int:
        return self.ready + self.starting


@dataclass(frozen=True, slots=True)
class StageState:
    """pools: what runs. parallelism: of the proxy in Flink.

    rate         rows/s that arrived in the last second
    true_rate    rows/s one subtask of the proxy takes when it never waits (DS2's true processing rate); None = not known
    queue        rows waiting, in the proxy and the service
    lag          records behind the end of the source topic; 0 for later stages
    busy         0..1, share of the replicas' time in batches
    utilization  0..1, CPU use of what is allotted (what HPA reads); None = not measured
    violations   0..1, share of the last window's rows past their deadline, those that wait and will be late among them
    slowness     measured over profiled batch time, at least 1, as it is to be planned with                        (`slowness.Slowness`)
    """

    pools: tuple[Pool, ...]
    parallelism: int = 1
    rate: float = 0.0
    true_rate: float | None = None
    queue: int = 0
    lag: int = 0
    busy: float = 0.0
    utilization: float | None = None
    violations: float = 0.0
    slowness: float = 1.0


@dataclass(frozen=True, slots=True)
class State:
    """now_s: since any fixed start. rates: events/s of the source in each past second, newest last.

    spent_ms    what the rows of the last window had already used of their SLO when they arrived (Sponge's communication latency), newest last
    dispersion  of the source's arrivals, as measured: 1 at random, 0 even                              (`dispersion`)
    """

    now_s: float
    rates: tuple[float, ...]
    stages: Mapping[str, StageState]
    spent_ms: tuple[float, ...] = ()
    dispersion: float = 1.0


@dataclass(frozen=True, slots=True)
class Forecast:
    """Source rate, events/s, at its highest within the horizon: quantile (0..1) to rate. surge: P(load exceeds what runs), where known."""

    horizon_s: float
    quantiles: Mapping[float, float]
    surge: float | None = None

    def at(self, quantile: float) -> float:
        """Linear between the quantiles given, the outermost beyond them. ValueError when there are none."""
        points = sorted(self.quantiles.items())
        if not points:
            raise ValueError("a forecast without quantiles")
        if quantile <= points[0][0]:
            return points[0][1]
        for (low, before), (high, after) in itertools.pairwise(points):
            if quantile <= high:
                return before + (after - before) * (quantile - low) / (high - low)
        return points[-1][1]


@dataclass(frozen=True, slots=True)
class Target:
    """What a stage is to run. parallelism: of the proxy; None = leave it."""

    shares: tuple[Share, ...]
    parallelism: int | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """targets: by stage; a stage it does not name stays as it is. plan: where a solver was asked. reason: one line for people. feasible: whether all
    that is asked can be had; None = the policy does not say."""

    targets: Mapping[str, Target]
    memory: object
    reason: str
    plan: Plan | None = None
    feasible: bool | None = None


@dataclass(frozen=True, slots=True)
class Levers:
    """What a policy may change. What it may not stays as it runs, or as it started."""

    variants: bool = True
    shares: bool = True
    batch: bool = True
    vertical: bool = True
    horizontal: bool = True
    devices: bool = True
    parallelism: bool = True


class Policy(Protocol):
    """problem: the model with any rate; a policy replaces rate and devices by what it sees. interval_s: between decisions."""

    name: str
    interval_s: float

    def decide(self, state: State, forecast: Forecast, memory: object = None) -> Decision:
        """memory: what the last decision handed back; None the first time."""


@dataclass(frozen=True, slots=True)
class PolicySpec:
    """How `sluice plan --policy NAME` finds and describes one. build: from the model to the policy."""

    name: str
    describe: str
    build: type | object
    levers: Levers = field(default_factory=Levers)


def running(problem: Problem, state: State) -> dict[str, tuple[Share, ...]]:
    """What runs, as a plan would say it."""
    return {stage.name: tuple(Share(pool.option, pool.replicas, pool.share) for pool in state.stages[stage.name].pools)
            for stage in problem.stages}
