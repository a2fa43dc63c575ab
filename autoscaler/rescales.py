"""The job's side of the loop: looks at Flink now and then, and rescales the proxies, last and alone, for that stalls the whole job."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import replace
from typing import Protocol

from autoscaler.actuator import ActuationError
from autoscaler.control.consumption import Consumption
from autoscaler.control.observation import VertexSeen
from autoscaler.control.records import StageOutcome
from autoscaler.control.restraint import Patience, aligned
from autoscaler.flink import JobSeen, Rescaled
from autoscaler.metrics import SidecarMetrics
from autoscaler.policies.policy import State, Target

LOOK_S = 5.0
"""Between looks at Flink."""

log = logging.getLogger("sluice.autoscaler")


class Job(Protocol):
    """Blocking; raises ActuationError."""

    def look(self) -> JobSeen: ...

    def rescale(self, wanted: Mapping[str, int]) -> Rescaled: ...


class Rescales:
    """job: None = Flink is left alone. partitions: of the source. stalled, noted: told when a rescale is over, how long it stalled the job and
    what became of each stage."""

    def __init__(self, job: Job | None, partitions: int, metrics: SidecarMetrics, stalled: Callable[[float], None],
                 noted: Callable[[str, StageOutcome], None]) -> None:
        self.vertices: Mapping[str, VertexSeen] = {}
        self.consumption = Consumption()
        self.stall_s: float | None = None
        """What a rescale takes, by those that were measured."""
        self._job, self._partitions, self._metrics = job, partitions, metrics
        self._stalled, self._noted = stalled, noted
        self._patience = Patience()
        self._looked_s: float | None = None
        self._rescaling = False
        self._tasks: set[asyncio.Task[None]] = set()

    def look(self, now_s: float) -> None:
        """Begins a look where one is due."""
        if self._job is None or self._rescaling or (self._looked_s is not None and now_s - self._looked_s < LOOK_S):
            return
        self._looked_s = now_s
        self._begin(self._look(self._job))

    def follow(self, targets: Mapping[str, Target], state: State) -> None:
        """Begins a rescale where one has been asked for long enough."""
        if self._job is None or self._rescaling:
            return
        asked = {}
        for name, target in targets.items():
            if target.parallelism is not None and name in self.vertices:
                count = aligned(target.parallelism, self._partitions)
                if count != self.vertices[name].parallelism:
                    asked[name] = count
        ready = {name: not any(pool.starting for pool in stage.pools) for name, stage in state.stages.items()}
        due = self._patience.due(asked, ready, state.now_s)
        if due:
            self._rescaling = True
            self._begin(self._rescaled(self._job, due))

    def under_way(self) -> tuple[asyncio.Task[None], ...]:
        """Calls of Flink's interface that have not come back."""
        return tuple(self._tasks)

    async def close(self) -> None:
        """Gives what is under way a moment; a call there ends within its own limits."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=1.0)

    async def _look(self, job: Job) -> None:
        try:
            seen = await asyncio.to_thread(job.look)
        except ActuationError as error:
            log.debug("the job cannot be looked at: %s", error)
            return
        self.vertices = seen.vertices
        if seen.progress is not None:
            self.consumption.observe(seen.progress)

    async def _rescaled(self, job: Job, wanted: Mapping[str, int]) -> None:
        try:
            done = await asyncio.to_thread(job.rescale, wanted)
        except ActuationError as error:
            log.warning("rescaling the job to %s failed: %s", dict(wanted), error)
            for name in wanted:
                self._metrics.actuation_failure(name)
                self._noted(name, StageOutcome(({"parallelism": wanted[name]},), f"failed: {error}"))
        else:
            if done.stall_s is not None:
                self.stall_s = done.stall_s if self.stall_s is None else (self.stall_s + done.stall_s) / 2
                self._stalled(self.stall_s)
                self._metrics.stalled(done.stall_s)
            log.info("parallelism %s after a stall of %s s", dict(done.parallelism), done.stall_s)
            self.vertices = {**self.vertices, **{name: replace(self.vertices[name], parallelism=count) for name, count in done.parallelism.items()}}
            for name, count in done.parallelism.items():
                self._noted(name, StageOutcome(({"parallelism": count},), "confirmed"))
        finally:
            self._rescaling = False
            self._looked_s = None

    def _begin(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
