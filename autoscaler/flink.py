"""The job through Flink's REST interface: what its vertices do, and another parallelism of a stage's proxy.

    true rate   of a subtask = rows/s in / busy share, of the busiest measure there is; not known while it is hardly busy (DS2)
    stall       from the change until every vertex runs again, measured each time: the adaptive scheduler restarts the job for it

Blocking calls: the loop makes them in a thread. A stage's vertex is named `stage NAME`, the source's `source TOPIC`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from autoscaler.actuator import ActuationError
from autoscaler.control.consumption import Progress
from autoscaler.control.observation import VertexSeen
from autoscaler.graph.pipeline import Pipeline
from jobs.embedded.rest import FlinkRest, RestError, Vertex

TIMEOUT_S = 3.0
RESCALE_TIMEOUT_S = 120.0
POLL_S = 0.05
NOTICE_S = 5.0
"""A rescale that has not begun by then is not coming: the scheduler has no slots for it."""
LEAST_BUSY = 0.05


@dataclass(frozen=True, slots=True)
class JobSeen:
    """vertices: by stage. progress: of the source; None where Flink does not say."""

    vertices: Mapping[str, VertexSeen]
    progress: Progress | None = None


@dataclass(frozen=True, slots=True)
class Rescaled:
    """parallelism: by stage, what Flink then had. stall_s: None where nothing restarted."""

    parallelism: Mapping[str, int]
    stall_s: float | None


@dataclass(slots=True)
class FlinkJob:
    """The running job of a pipeline. clock: seconds that only grow; now: Unix seconds."""

    pipeline: Pipeline
    rest: FlinkRest
    clock: Callable[[], float] = time.monotonic
    now: Callable[[], float] = time.time
    wait: Callable[[float], None] = time.sleep
    _metrics: dict[str, tuple[str, ...]] = field(init=False, default_factory=dict)

    def look(self) -> JobSeen:
        """ActuationError where Flink or the job is away."""
        try:
            job_id = self._job()
            vertices = self.rest.vertices(job_id)
            seen = {stage: self._vertex(job_id, vertex) for stage, vertex in self._stages(vertices).items()}
            return JobSeen(seen, self._progress(job_id, vertices))
        except RestError as error:
            raise ActuationError(str(error)) from error

    def rescale(self, wanted: Mapping[str, int]) -> Rescaled:
        """Asks for that parallelism of each stage, at least what it has, and waits until every vertex runs again. ActuationError where it does
        not, or where Flink gave less than asked for: it is then asked for what it had."""
        try:
            job_id = self._job()
            before = self._stages(self.rest.vertices(job_id))
            unknown = wanted.keys() - before.keys()
            if unknown:
                raise ActuationError(f"the job has no vertex of stage {min(unknown)}")
            begun_s = self.clock()
            self.rest.require(job_id, {before[stage].id: (1, count) for stage, count in wanted.items()})
            moved = self._wait_until_it_runs(job_id, wanted, begun_s)
            has = {stage: vertex.parallelism for stage, vertex in self._stages(self.rest.vertices(job_id)).items() if stage in wanted}
            if has != dict(wanted):
                self.rest.require(job_id, {before[stage].id: (1, before[stage].parallelism) for stage in wanted})
                raise ActuationError(f"asked for parallelism {dict(wanted)}, Flink gave {has}; taken back")
        except RestError as error:
            raise ActuationError(str(error)) from error
        return Rescaled(has, self.clock() - begun_s if moved else None)

    def _wait_until_it_runs(self, job_id: str, wanted: Mapping[str, int], begun_s: float) -> bool:
        """Whether the job restarted for it."""
        moved = False
        while self.clock() - begun_s < RESCALE_TIMEOUT_S:
            running = self.rest.is_running(job_id)
            has = {stage: vertex.parallelism for stage, vertex in self._stages(self.rest.vertices(job_id)).items()}
            moved = moved or not running or any(has.get(stage) == count for stage, count in wanted.items())
            if running and moved and all(has.get(stage) == count for stage, count in wanted.items()):
                return True
            if running and not moved and self.clock() - begun_s > NOTICE_S:
                return False
            if running and moved and self.clock() - begun_s > NOTICE_S:
                return True  # it runs again, with less than asked for
            self.wait(POLL_S)
        raise ActuationError(f"job {job_id} does not run again after {RESCALE_TIMEOUT_S:.0f} s")

    def _job(self) -> str:
        running = [job.id for job in self.rest.jobs() if job.name == f"sluice-{self.pipeline.name}" and job.state in ("RUNNING", "RESTARTING")]
        if len(running) != 1:
            raise ActuationError(f"{len(running)} jobs called sluice-{self.pipeline.name} run at {self.rest.url}")
        return running[0]

    def _stages(self, vertices: list[Vertex]) -> dict[str, Vertex]:
        found = {}
        for stage in self.pipeline.stages:
            names = (f"stage {stage.name}", f"join {stage.name}")
            own = [vertex for vertex in vertices if vertex.name.split(" -> ")[0] in names]
            if own:
                found[stage.name] = own[-1]
        return found

    def _vertex(self, job_id: str, vertex: Vertex) -> VertexSeen:
        seen = self.rest.metrics(job_id, vertex.id, "numRecordsInPerSecond", "busyTimeMsPerSecond")
        busy = _number(seen.get("busyTimeMsPerSecond")) / 1000.0 / max(1, vertex.parallelism)
        rate = _number(seen.get("numRecordsInPerSecond")) / max(1, vertex.parallelism)
        return VertexSeen(vertex.parallelism, rate / busy if busy >= LEAST_BUSY and rate > 0 else None)

    def _progress(self, job_id: str, vertices: list[Vertex]) -> Progress | None:
        source = next((vertex for vertex in vertices if f"source {self.pipeline.source.name}" in vertex.name), None)
        if source is None:
            return None
        names = self._source_metrics(job_id, source.id)
        if not names:
            return None
        found = self.rest.metrics(job_id, source.id, *names)
        offsets = sum(round(value) for name, value in found.items() if name.endswith(".currentOffset") and value >= 0)
        emitted = [value for name, value in found.items() if name.endswith("numRecordsOut")]
        behind = [value for name, value in found.items() if name.endswith(".pendingRecords")]
        if not emitted or not offsets:
            return None
        return Progress(self.now(), round(max(emitted)), offsets, round(behind[0]) if behind and behind[0] >= 0 else None)

    def _source_metrics(self, job_id: str, vertex: str) -> tuple[str, ...]:
        """Names of the source's own, asked for until they are all there: the connector registers them with its first record."""
        known = self._metrics.get(f"{job_id}/{vertex}", ())
        if sum(name.endswith(".currentOffset") for name in known) < self.pipeline.source.partitions:
            listed: list[Mapping[str, Any]] = self.rest.get(f"/jobs/{job_id}/vertices/{vertex}/subtasks/metrics")
            topic = f".topic.{self.pipeline.source.name}.partition."
            known = tuple(one["id"] for one in listed if (topic in one["id"] and one["id"].endswith(".currentOffset"))
                          or one["id"] == "numRecordsOut" or one["id"].endswith(".pendingRecords"))
            self._metrics = {f"{job_id}/{vertex}": known}
        return known


def _number(value: float | None) -> float:
    """0 for what is absent or NaN, which Flink says of tasks that have just started."""
    return value if value is not None and value == value else 0.0
