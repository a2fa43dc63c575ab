"""A stage that a load runs through, second by second, and a service and a job in memory: what the control loop is tested on."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from autoscaler.actuator import ActuationError
from autoscaler.control.observation import VertexSeen
from autoscaler.control.restraint import Mode
from autoscaler.flink import JobSeen, Rescaled
from autoscaler.forecast.plain import WindowMax
from autoscaler.graph.pipeline import Pipeline
from autoscaler.graph.reader import parse_pipeline
from autoscaler.metrics import SidecarMetrics
from autoscaler.planned import Plant, PolicyLoop
from autoscaler.planner.catalogue import problem as problem_of
from autoscaler.planner.model import Problem
from autoscaler.planner.profile import parse_profile
from autoscaler.policies.change_times import measured
from autoscaler.policies.policy import Policy
from autoscaler.policies.registry import policy as policy_named
from autoscaler.policies.sluice import Sluice
from autoscaler.telemetry import Lane
from tests.autoscaler.builders import record

PIPELINE = """
pipeline: digits
slo: 500 ms
objective: cost
budget: {cores: 4}
source: {topic: in, partitions: 4}
sink: {topic: out}
dead_letters: {topic: dead}
stages:
  classify:
    operator: operators.digits:Classifier
    variants: {cnn: {accuracy: 0.98}}
    batch: {max: 8}
    replicas: {initial: 1, min: 1, max: 4}
"""

PROFILE = """
profile: digits
stages:
  classify:
    variants:
      cnn:
        cpu:
          cold_start_s: 4
          load_s: 3
          resize_ms: 1
          points:
            - {batch: 1, cores: 1, mean_ms: 10, p50_ms: 10, p99_ms: 10, rows_s: 100}
            - {batch: 8, cores: 1, mean_ms: 40, p50_ms: 40, p99_ms: 40, rows_s: 200}
            - {batch: 1, cores: 2, mean_ms: 6, p50_ms: 6, p99_ms: 6, rows_s: 166}
            - {batch: 8, cores: 2, mean_ms: 22, p50_ms: 22, p99_ms: 22, rows_s: 360}
"""

START_S = 1_000_000.0


def pipeline(more: str = "") -> Pipeline:
    return parse_pipeline(PIPELINE + more, "digits.yaml")


def problem(described: Pipeline | None = None) -> Problem:
    return problem_of(described or pipeline(), parse_profile(PROFILE, "digits.profile.yaml"), 1.0)


def decides(name: str, described: Pipeline) -> Policy:
    made = policy_named(name, problem(described))
    return replace(made, times=measured(parse_profile(PROFILE, "p"))) if isinstance(made, Sluice) else made


@dataclass
class MemoryService:
    """A service of one stage, on a clock moved by hand. loads_s: until a new replica is ready; None = never. refuses: every change."""

    now_s: float = START_S
    loads_s: float | None = 2.0
    refuses: bool = False
    away: bool = False
    wanted: dict[str, dict[str, Any]] = field(default_factory=lambda: {"cnn": {"replicas": 1, "batch": 8, "cores": 1, "share": 1.0}})
    ready: dict[str, int] = field(default_factory=lambda: {"cnn": 1})
    coming: list[tuple[float, str]] = field(default_factory=list)
    calls: list[dict[str, Any]] = field(default_factory=list)

    async def lanes(self, stage: str) -> tuple[Lane, ...]:
        if stage != "classify" or self.away:
            raise ActuationError(f"GET {stage}: it is away")
        self._arrived()
        return tuple(Lane(name, "1", one["batch"], one["cores"], one["replicas"], one["share"],
                          "serving" if self.ready.get(name) else "loading", self.ready.get(name, 0)) for name, one in self.wanted.items())

    async def set(self, stage: str, body: Mapping[str, Any]) -> tuple[Lane, ...]:
        if stage != "classify" or self.refuses or self.away:
            raise ActuationError(f"PATCH {stage}: refused")
        self._arrived()
        self.calls.append(dict(body))
        if "variants" in body:
            self.wanted = {name: dict(one) for name, one in body["variants"].items()}
        else:
            next(iter(self.wanted.values())).update(body)
        for name, one in self.wanted.items():
            ready = min(self.ready.get(name, 0), one["replicas"])
            self.ready[name] = ready
            self.coming = [each for each in self.coming if each[1] != name]
            if self.loads_s is not None:
                self.coming += [(self.now_s + self.loads_s, name)] * (one["replicas"] - ready)
        return await self.lanes(stage)

    def _arrived(self) -> None:
        for at_s, name in self.coming:
            if at_s <= self.now_s and name in self.wanted:
                self.ready[name] = min(self.ready[name] + 1, self.wanted[name]["replicas"])
        self.coming = [each for each in self.coming if each[0] > self.now_s]

    @property
    def running(self) -> tuple[int, float]:
        """Replicas wanted, and cores of each, of the first variant."""
        one = next(iter(self.wanted.values()))
        return one["replicas"], one["cores"]


@dataclass
class MemoryJob:
    """A job whose rescale takes that long. most: subtasks that there are slots for."""

    stall_s: float = 3.5
    most: int = 8
    parallelism: int = 1
    true_rate: float | None = None
    asked: list[dict[str, int]] = field(default_factory=list)

    def look(self) -> JobSeen:
        return JobSeen({"classify": VertexSeen(self.parallelism, self.true_rate)})

    def rescale(self, wanted: Mapping[str, int]) -> Rescaled:
        self.asked.append(dict(wanted))
        if wanted["classify"] > self.most:
            raise ActuationError("asked for more than there are slots")
        self.parallelism = wanted["classify"]
        return Rescaled(dict(wanted), self.stall_s)


@dataclass
class World:
    """One stage under a load. helps: whether more of it carries more, or something else is in the way, which carries 150 rows/s."""

    loop: PolicyLoop
    service: MemoryService
    helps: bool = True
    now_s: float = START_S
    events: int = 0
    queued: float = 0.0
    sequence: int = 0
    records: list[dict[str, Any]] = field(default_factory=list)
    silent: bool = False
    spent_ms: float = 5.0

    def run(self, seconds: int, rate: float) -> list[dict[str, Any]]:
        """Records of that time."""
        return asyncio.run(self._run(seconds, rate))

    def skip(self, seconds: int, rate: float) -> None:
        """Time in which nobody looks."""
        self.now_s += seconds
        self.events += round(rate * seconds)

    async def _run(self, seconds: int, rate: float) -> list[dict[str, Any]]:
        found = []
        for _ in range(seconds):
            self.now_s += 1.0
            self.service.now_s = self.now_s
            self.events += round(rate)
            if not self.silent:
                self.loop.offsets(self.now_s - 0.01, {0: self.events // 2, 1: self.events - self.events // 2})
                self.loop.take(await self._telemetry(rate), self.now_s)
            found.append(await self.loop.step(self.now_s))
            await asyncio.gather(*self.loop.under_way())
        made = [json.loads(json.dumps(one)) for one in found if one is not None]
        self.records += made
        return made

    async def _telemetry(self, rate: float) -> bytes:
        lanes = await self.service.lanes("classify") if not self.service.away else ()
        each = {1: 200.0, 2: 360.0}  # rows/s of a replica with batches of 8, by its cores; parts of one in proportion
        capacity = sum(lane.ready * each.get(int(lane.cores), 200.0 * lane.cores) for lane in lanes) if self.helps else 150.0
        answered = min(rate + self.queued, capacity)
        self.queued = max(0.0, self.queued + rate - capacity)
        late = round(answered) if self.queued > capacity * 0.3 else 0
        self.sequence += 1
        shown = [{"variant": lane.variant, "version": lane.version, "batch": lane.batch, "cores": lane.cores, "replicas": lane.replicas,
                  "share": lane.share, "state": lane.state, "ready": lane.ready} for lane in lanes]
        replicas, cores = self.service.running
        return json.dumps(record(
            sequence=self.sequence, at_ms=round((self.now_s - 0.01) * 1000), arrivals=round(rate), answered=round(answered), late=late,
            slo_ms=500.0, spent_ms=dict.fromkeys(("p50", "p95", "p99"), self.spent_ms),
            queued=round(self.queued), replicas=replicas, cores=cores, replicas_ready=sum(lane.ready for lane in lanes), lanes=shown,
            service_time={"fixed_ms": 5.0, "per_row_ms": 4.4} if cores == 1 else {"fixed_ms": 4.0, "per_row_ms": 2.2})).encode()

    @property
    def decided(self) -> list[dict[str, Any]]:
        """Records of decisions, without those of a fallback."""
        return [one for one in self.records if one["kind"] == "decision"]

    @property
    def outcomes(self) -> list[tuple[dict[str, Any], str]]:
        """Actions and outcomes of the decisions that did something, or tried."""
        stages = [one["stages"]["classify"] for one in self.decided]
        return [(stage["actions"], stage["outcome"]) for stage in stages if stage["actions"]]


def world(policy: str = "sluice", more: str = "", job: MemoryJob | None = None, mode: Mode | None = None, service: MemoryService | None = None,
          helps: bool = True) -> World:
    """more: of the pipeline file."""
    described, actuator = pipeline(more), service or MemoryService()
    plant = Plant(described, problem(described), decides(policy, described), WindowMax(30), actuator, job)
    loop = PolicyLoop(plant, SidecarMetrics("digits"), lambda: 0.0, mode)
    return World(loop, actuator, helps)
