"""Measures the stages of a pipeline on this machine: each variant, batch and number of cores, in the replica process that serves it.

    for each variant    one process, started with one core: cold start = process to ready, load = that less the cold start of an empty operator
    for each cores      resized in place, 1 .. what this machine has, or those asked for; parts of a core as the service has them, by quota or
                        slot (docs/replicas.md): resize = change and one row, less a row's median time
    for each batch      powers of two up to batch.max, and batch.max: WARM batches unmeasured, then batches back to back for `seconds`,
                        at least `least` of them unless that takes `longest` seconds; ms from sending to answer, rows/s over the whole
                        time, memory resident afterwards
    that, `rounds` times over; of each batch size the round with the least mean counts. What other work on the machine disturbs is so
    measured again instead of being taken for the operator's; disturbances that last as long as all rounds are not seen through.

The rows are real ones: source events sent through the graph (operators/sampling.py), drawn with a fixed seed. One process works at a
time, so a measurement stands for a replica that has its cores to itself.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from autoscaler.graph.pipeline import Pipeline, Stage
from autoscaler.planner.profile import Point, Profile, StageProfile, VariantProfile, Width
from operators import quota, wire
from operators.actions import Cause
from operators.operator import RowError
from operators.processors import Processors
from operators.protocol import rows as bytes_rows
from operators.replicas import Replicas
from operators.sampling import Answers, rows_of_stages
from operators.serving import open_variant
from operators.turns import decode_answer, encode_turn
from operators.wire import AnswerFrame

WARM = 3
FEWEST = 5  # batches of a point, however long they take
SEED = 1
EMPTY = {"operator": "operators.echo:Echo", "name": "echo", "accuracy": 1.0, "options": {}, "version": None, "repository": "", "cores": 1}
READY_TIMEOUT_S = 120.0


class ProfilingError(Exception):
    """A stage cannot be measured; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class Effort:
    """seconds, least, longest: of each round of a point, time, batches and time at most. cores: of a replica, multiples of 1/8; () = 1 to all that
    this process may use."""

    seconds: float = 0.3
    least: int = 100
    longest: float = 2.0
    rounds: int = 5
    starts: int = 3
    cores: tuple[float, ...] = ()


QUICK = Effort(seconds=0.05, least=10, rounds=1, starts=1)


class Subject:
    """One replica process, asked one thing at a time."""

    def __init__(self, processors: Processors | None = None) -> None:
        self._replicas = Replicas(self, processors)
        self._loop = asyncio.get_running_loop()
        self._ready: asyncio.Future[Mapping[str, Any]] = self._loop.create_future()
        self._answer: asyncio.Future[AnswerFrame] = self._loop.create_future()

    async def start(self, wish: Mapping[str, Any]) -> float:
        """Seconds until it is ready."""
        began = time.perf_counter()
        self._replicas.start(0, wish, 0.0)
        try:
            async with asyncio.timeout(READY_TIMEOUT_S):
                await self._ready
        except TimeoutError as error:
            raise ProfilingError(f"it was not ready within {READY_TIMEOUT_S:.0f} s") from error
        return time.perf_counter() - began

    async def batch(self, encoded: bytes, rows: int) -> AnswerFrame:
        self._answer = self._loop.create_future()
        self._replicas.send(0, wire.pack_batch([rows], [encoded]))
        return await self._answer

    def resize(self, cores: float) -> None:
        self._replicas.resize(0, cores)

    def memory_mb(self) -> float:
        """Resident now."""
        status = Path(f"/proc/{self._replicas.pids()[0]}/status").read_text()
        kilobytes = next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS"))
        return int(kilobytes) * 1024 / 1e6

    async def close(self) -> None:
        await self._replicas.close()

    # what Replicas reports

    def replica_ready(self, number: int, facts: Mapping[str, Any]) -> None:
        self._ready.set_result(facts)

    def replica_answered(self, number: int, answer: AnswerFrame) -> None:
        self._answer.set_result(answer)

    def replica_died(self, number: int, cause: Cause, detail: str) -> None:
        for waited in (self._ready, self._answer):
            if not waited.done():
                waited.set_exception(ProfilingError(detail))
        self._answer.cancelled() or self._answer.exception()  # somebody may be waiting for the other one alone


async def measure(pipeline: Pipeline, source: Sequence[bytes], repository: Path, effort: Effort, say: Callable[[str], None]) -> Profile:
    """The pipeline's profile, without day, machine and versions. source: rows of the source topic."""
    rows, taken = await rows_of_stages(pipeline, source, lambda stage, asked: _answers(stage, asked, repository))
    empty_s = min([await _cold_start_s(EMPTY) for _ in range(effort.starts)])
    effort = effort if effort.cores else replace(effort, cores=tuple(range(1, cores_here() + 1)))
    processors = Processors(quotas=quota.probe())
    try:
        stages = await _stages(pipeline, rows, taken, _Bench(repository, effort, empty_s, len(source), processors, say))
    finally:
        processors.close()
    in_parts = any(cores % 1 for cores in effort.cores)
    return Profile(pipeline.name, stages, parts=processors.parts if in_parts else "")


@dataclass(frozen=True, slots=True)
class _Bench:
    """What every variant is measured with. empty_s: cold start of an empty operator. events: of the source."""

    repository: Path
    effort: Effort
    empty_s: float
    events: int
    processors: Processors
    say: Callable[[str], None]


async def _stages(
    pipeline: Pipeline, rows: Mapping[str, list[bytes]], taken: Mapping[str, float], bench: _Bench
) -> tuple[StageProfile, ...]:
    stages = []
    for stage in pipeline.stages:
        if not stage.is_ours:
            continue
        if not rows[stage.name]:
            raise ProfilingError(f"stage {stage.name} got no rows from {bench.events} events; give more of them, or others, with --inputs")
        variants = [await _variant(stage, variant.name, rows[stage.name], bench) for variant in stage.variants]
        stages.append(StageProfile(stage.name, tuple(variants), taken.get(stage.name) if stage.when else None))
    return tuple(stages)


def batches(most: int) -> list[int]:
    """1, 2, 4, ... and the largest."""
    return sorted({2**power for power in range(most.bit_length()) if 2**power <= most} | {most})


def cores_here() -> int:
    return len(os.sched_getaffinity(0))


def _wish(stage: Stage, name: str, repository: Path) -> dict[str, Any]:
    variant = open_variant(stage, name)
    return {"operator": stage.operator, "name": variant.name, "accuracy": variant.accuracy, "options": dict(variant.options), "version": None,
            "repository": str(repository), "cores": 1}


async def _answers(stage: Stage, asked: list[bytes], repository: Path) -> Answers:
    """The most accurate variant's answers, by its own process."""
    if not stage.is_ours:
        raise ProfilingError(f"stage {stage.name} is served elsewhere, so the stages after it get no rows; write its part of the profile by hand")
    if not asked:
        return []
    best = stage.most_accurate
    subject = Subject()
    try:
        await subject.start(_wish(stage, best.name, repository))
        found: list[bytes | list[bytes] | None] = []
        for first in range(0, len(asked), stage.batch_max):
            part = _sent(stage, asked[first : first + stage.batch_max])
            found += _decoded(await subject.batch(bytes_rows.encode(part), len(part)), len(part))
        return found if stage.state is None else [_of_turn(stage, turn) for turn in found]
    except ProfilingError as error:
        raise ProfilingError(f"stage {stage.name}, variant {best.name}: {error}") from error
    finally:
        await subject.close()


def _sent(stage: Stage, rows: list[bytes]) -> list[bytes]:
    """As the stage gets them: with state, each as the first event of a key."""
    return rows if stage.state is None else [encode_turn(b"", [row]) for row in rows]


def _of_turn(stage: Stage, turn: bytes | list[bytes] | None) -> bytes | list[bytes] | None:
    """The answer to its one event."""
    answer = decode_answer(turn, stage.fan_out)[1][0] if isinstance(turn, bytes) else None
    return None if isinstance(answer, RowError) else answer


def _decoded(answer: AnswerFrame, count: int) -> list[bytes | list[bytes] | None]:
    failed = answer.failed if answer.failed is not None else np.zeros(count, np.uint8)
    children = answer.children
    total = int(children.sum()) if children is not None else count - int(np.count_nonzero(failed))
    values = iter(bytes_rows.decode(bytes(answer.payload), total))
    if children is None:
        return [None if bad else next(values) for bad in failed]
    return [None if bad else [next(values) for _ in range(number)] for bad, number in zip(failed, children.tolist(), strict=True)]


async def _cold_start_s(wish: Mapping[str, Any]) -> float:
    subject = Subject()
    try:
        return await subject.start(wish)
    finally:
        await subject.close()


async def _variant(stage: Stage, name: str, rows: list[bytes], bench: _Bench) -> VariantProfile:
    if stage.state is not None and stage.fan_out:
        raise ProfilingError(f"stage {stage.name} keeps state and fans out, which depends on what came before; write its part of the profile by hand")
    wish, rows, effort = _wish(stage, name, bench.repository), _sent(stage, rows), bench.effort
    subject = Subject(bench.processors)
    try:
        starts = [await _cold_start_s(wish) for _ in range(effort.starts - 1)]
        starts.append(await subject.start(wish))
        cold_s = float(np.median(starts))
        width = await _width(subject, rows, stage.batch_max) if stage.fan_out else None
        points: list[Point] = []
        resizes: list[float] = []
        for cores in effort.cores:
            change_ms = await _resize_ms(subject, cores, rows)
            rounds = [[await _point(subject, batch, cores, rows, effort) for batch in batches(stage.batch_max)] for _ in range(effort.rounds)]
            found = [min(same, key=lambda point: point.mean_ms) for same in zip(*rounds, strict=True)]
            resizes.append(max(0.0, change_ms - found[0].p50_ms))
            points += found
            best = max(found, key=lambda point: point.rows_s)
            bench.say(f"{stage.name} {name}, {cores:g} cores: one row {found[0].p50_ms:.2f} ms, at most {best.rows_s:,.0f} rows/s (batches of {best.batch})")
        return VariantProfile(name, "cpu", tuple(points), cold_s, max(0.0, cold_s - bench.empty_s), float(np.median(resizes)), width)
    except ProfilingError as error:
        raise ProfilingError(f"stage {stage.name}, variant {name}: {error}") from error
    finally:
        await subject.close()


async def _width(subject: Subject, rows: list[bytes], most: int) -> Width:
    """Children per row, of every row once; those that were refused have none."""
    counts: list[int] = []
    for first in range(0, len(rows), most):
        part = rows[first : first + most]
        answer = await subject.batch(bytes_rows.encode(part), len(part))
        assert answer.children is not None
        counts += answer.children.tolist()
    return Width(float(np.mean(counts)), max(counts))


async def _resize_ms(subject: Subject, cores: float, rows: list[bytes]) -> float:
    """From the change to the answer of the first row after it."""
    encoded = bytes_rows.encode(rows[:1])
    began = time.perf_counter()
    subject.resize(cores)
    await subject.batch(encoded, 1)
    return (time.perf_counter() - began) * 1000


async def _point(subject: Subject, batch: int, cores: float, rows: list[bytes], effort: Effort) -> Point:
    rng = np.random.default_rng(SEED)
    drawn = [bytes_rows.encode([rows[index] for index in rng.integers(0, len(rows), batch)]) for _ in range(16)]
    for encoded in drawn[:WARM]:
        await subject.batch(encoded, batch)
    took_ms: list[float] = []
    began = time.perf_counter()
    while (elapsed_s := time.perf_counter() - began) < effort.seconds or len(took_ms) < effort.least:
        if elapsed_s > effort.longest and len(took_ms) >= FEWEST:
            break
        sent = time.perf_counter()
        await subject.batch(drawn[len(took_ms) % len(drawn)], batch)
        took_ms.append((time.perf_counter() - sent) * 1000)
    p50_ms, p99_ms = np.quantile(took_ms, [0.5, 0.99]).tolist()
    return Point(batch, cores, float(np.mean(took_ms)), p50_ms, p99_ms, batch * len(took_ms) / elapsed_s, subject.memory_mb())
