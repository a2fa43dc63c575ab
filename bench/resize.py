"""How soon a change of replicas is felt: cores of a running replica, both ways between one and two, and a replica more, with and without a
warm spare.

The service's own stage (queue, batch rule, replica processes, spares) runs in this process, as `sluice operator serve` runs it, without its
front ends. A closed loop keeps REQUESTS requests of one full batch each before it, so that every replica is always busy; the network is
torch, seeded, and a batch takes a few milliseconds. The call is the service's `change`, which `PATCH /sluice/v1/stages/{stage}` makes.

    shows the new cores   service time t(batch) = answered - sent to the replica. From SAMPLES batches at each number of cores, in this run,
                          taken before and after the changes: the threshold between the two is the time at which the share of one-core
                          batches below it plus that of two-core batches above it is least; both shares are printed. The first batch that was
                          sent after the replica acknowledged the change and whose t is on the new side ends the measurement
    cores_ms              from the call to the end of that batch
    replica_ms            from the call to the first row answered by the new replica, taken from the spares
    cold_replica_ms       the same with no spare: a process starts, imports torch, loads and is warmed
    failed_rows           rows of the whole run that were answered with an error or not at all; answers must equal those of the first batch

Between the changes of replicas the loop pauses until there is a spare again, which is not part of the figures. Times of the changes are in
seconds since the epoch of the monotonic clock of this process; percentiles are nearest rank. Full run: about four minutes.
"""

from __future__ import annotations

import asyncio
import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from autoscaler.graph.reader import parse_pipeline
from bench.report import progress, table
from operators.actions import Answer, Status
from operators.protocol.rows import RowTable, decode, encode
from operators.requests import Request
from operators.serving import Serving

BATCH = 32
REQUESTS = 4
STAGE = "work"
LIMIT_S = 60.0
SPARE_LIMIT_S = 300.0
UNCLEAR = 0.5  # sum of the two shares on the wrong side of the threshold

PIPELINE = """
pipeline: resize
slo: 1000 ms
source: {{topic: in, format: raw, partitions: 1}}
sink: {{topic: out, format: raw, partitions: 1}}
dead_letters: {{topic: dead}}
stages:
  work:
    operator: bench.contenders.upscaled:Upscaled
    variants: {{seeded: {{accuracy: 1.0, width: 16, seed: {seed}}}}}
    batch: {{max: {batch}}}
    replicas: {{initial: 1, min: 1, max: 2, spares: 1}}
    cores: 1
"""


@dataclass(frozen=True, slots=True)
class Lengths:
    """samples: batches at each number of cores, half before and half after the changes; resizes: in each direction."""

    samples: int
    resizes: int
    warm: int
    cold: int


FULL = Lengths(samples=400, resizes=100, warm=20, cold=5)
QUICK = Lengths(samples=60, resizes=8, warm=2, cold=1)


@dataclass(frozen=True, slots=True)
class Batch:
    """Seconds of the loop's clock."""

    sent_at: float
    answered_at: float

    @property
    def seconds(self) -> float:
        return self.answered_at - self.sent_at


@dataclass(frozen=True, slots=True)
class Threshold:
    """wrong_one, wrong_two: shares of the batches with one and two cores on the other's side."""

    seconds: float
    wrong_one: float
    wrong_two: float


class Load:
    """Closed loop; the owner of its requests."""

    def __init__(self, serving: Serving, seed: int) -> None:
        self.hosted = serving.stages[STAGE]
        self.batches: list[Batch] = []
        self.failed = self.wrong = self.waiting = 0
        rows = np.random.default_rng(seed).integers(0, 17, (BATCH, 64), dtype=np.uint8)
        self._raw = encode([row.tobytes() for row in rows])
        self._expected: list[bytes] | None = None
        self._loop = asyncio.get_running_loop()
        self._on = False
        self._news = asyncio.Event()

    def go(self) -> None:
        self._on = True
        while self.waiting < REQUESTS:
            self._send()

    async def pause(self) -> None:
        """Returns when all is answered."""
        self._on = False
        await self.until(lambda: not self.waiting, "every request to be answered")

    async def until(self, condition: Callable[[], object], what: str) -> None:
        """Asks after every answer."""
        try:
            async with asyncio.timeout(LIMIT_S):
                while not condition():
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError as error:
            raise AssertionError(f"not within {LIMIT_S:.0f} s: {what}") from error

    async def take(self, count: int) -> list[Batch]:
        """The next so many."""
        first = len(self.batches)
        await self.until(lambda: len(self.batches) >= first + count, f"{count} batches")
        return self.batches[first:]

    def answered(self, request: Request, answer: Answer) -> None:
        self.waiting -= len(answer.run) == BATCH
        self.failed += int(np.count_nonzero(answer.status >= Status.FAILED))
        self.batches.append(Batch(answer.run.arrived + answer.queue_s, self._loop.time()))
        self._check(answer)
        self._news.set()
        if self._on:
            self._loop.call_soon(self._send)

    def _send(self) -> None:
        self.waiting += 1
        deadlines = np.full(BATCH, self._loop.time() + LIMIT_S)
        self.hosted.submit(Request(STAGE, str(len(self.batches)), RowTable(self._raw, BATCH), deadlines, None, self, BATCH))

    def _check(self, answer: Answer) -> None:
        """Every request is a batch by itself, so its answer is the whole result."""
        if len(answer.run) != BATCH or answer.result is None or answer.result.failed is not None:
            self.wrong += len(answer.run)
            return
        got = decode(bytes(answer.result.payload.payload), BATCH)
        if self._expected is None:
            self._expected = got
        self.wrong += sum(one != other for one, other in zip(got, self._expected, strict=True))


def run(quick: bool, seed: int) -> dict:
    return asyncio.run(_run(QUICK if quick else FULL, seed))


async def _run(lengths: Lengths, seed: int) -> dict:
    serving = Serving(parse_pipeline(PIPELINE.format(seed=seed, batch=BATCH), "resize"), Path())
    try:
        await serving.start()
        load = Load(serving, seed)
        load.go()
        cores = await _cores(serving, load, lengths)
        warm = [await _replica(serving, load, 1) for _ in range(lengths.warm)]
        spare = await _spare(serving, load)
        cold = [await _replica(serving, load, 0) for _ in range(lengths.cold)]
        await load.pause()
        return _figures(cores, warm, cold, spare, load)
    finally:
        await serving.close()


async def _cores(serving: Serving, load: Load, lengths: Lengths) -> dict[str, Any]:
    """Milliseconds of each resize by direction, and the threshold."""
    samples: dict[int, list[float]] = {1: [], 2: []}

    async def sample() -> None:
        for count in (1, 2):
            serving.change(STAGE, {"cores": count})
            await load.take(10)
            samples[count] += [batch.seconds for batch in await load.take(lengths.samples // 2)]

    await sample()
    calls: list[tuple[int, float, float, int, int]] = []
    for number in range(2 * lengths.resizes):
        count = 1 + number % 2
        await load.take(3 + number % 5)  # at another moment of a batch each time
        await asyncio.sleep((number * 0.37 % 1) * statistics.median(samples[3 - count]))
        first, changes, called = len(load.batches), load.hosted.replicas.changed["resized"], time.monotonic()
        serving.change(STAGE, {"cores": count})
        await load.until(lambda had=changes: load.hosted.replicas.changed["resized"] > had, "the change to take effect")
        await load.take(10)
        effective = load.hosted.replicas.changes[-1].effective_at
        assert effective is not None
        calls.append((count, called, effective, first, len(load.batches)))
    await sample()
    threshold = best_threshold(samples[1], samples[2])
    clear = separates(threshold)
    took: dict[int, list[float]] = {1: [], 2: []}
    acknowledged = []
    for count, called, effective, first, last in calls:
        after = [batch for batch in load.batches[first:last] if batch.sent_at >= effective]
        shown = next((batch for batch in after if (batch.seconds < threshold.seconds) == (count == 2)), None)
        took[count].append(1e3 * (shown.answered_at - called) if clear and shown is not None else math.inf)
        acknowledged.append(1e3 * (effective - called))
    progress(f"cores: {len(calls)} changes, p99 {percentile([*took[1], *took[2]], 99):.1f} ms")
    return {"took": took, "threshold": threshold, "samples": samples, "acknowledged": acknowledged}


async def _replica(serving: Serving, load: Load, spares: int) -> float:
    """Milliseconds to the first row of a second replica; the stage has one again afterwards."""
    replicas = load.hosted.replicas
    await load.pause()
    serving.change(STAGE, {"spares": spares})
    await _poll(lambda: replicas.report()["spares"] == spares and not replicas.report()["spares_loading"], "the spares", SPARE_LIMIT_S)
    load.go()
    await load.take(10)
    kind = "started_warm" if spares else "started"
    had, called = replicas.changed[kind], time.monotonic()
    serving.change(STAGE, {"replicas": 2})
    await load.until(lambda: replicas.changed[kind] > had, f"a replica {kind}")
    answered = replicas.changes[-1].answered_at
    assert answered is not None
    await load.take(10)
    serving.change(STAGE, {"replicas": 1})
    await _poll(lambda: len(replicas.pids()) == 1, "one replica")
    progress(f"{kind}: {1e3 * (answered - called):.1f} ms")
    return 1e3 * (answered - called)


async def _spare(serving: Serving, load: Load) -> dict[str, float]:
    """Count and megabytes of the spares; pss_mb counts what they share with the replica by half."""
    replicas = load.hosted.replicas
    await load.pause()
    await _poll(lambda: replicas.report()["spares"] == 1, "a spare", SPARE_LIMIT_S)
    report = replicas.report()
    return {"spares": report["spares"], "spare_mb": report["spare_mb"], "spare_pss_mb": round(sum(map(_pss_mb, replicas.spare_pids())), 1)}


async def _poll(condition: Callable[[], object], what: str, limit_s: float = LIMIT_S) -> None:
    try:
        async with asyncio.timeout(limit_s):
            while not condition():
                await asyncio.sleep(0.02)
    except TimeoutError as error:
        raise AssertionError(f"not within {limit_s:.0f} s: {what}") from error


def _pss_mb(pid: int) -> float:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1e3


def best_threshold(one: Sequence[float], two: Sequence[float]) -> Threshold:
    """Between service times with one core and the shorter ones with two."""
    slow, fast = np.sort(one), np.sort(two)
    points = np.unique(np.concatenate([slow, fast]))
    wrong_one = np.searchsorted(slow, points, "left") / len(slow)
    wrong_two = 1 - np.searchsorted(fast, points, "left") / len(fast)
    at = int(np.argmin(wrong_one + wrong_two))
    return Threshold(float(points[at]), float(wrong_one[at]), float(wrong_two[at]))


def separates(threshold: Threshold) -> bool:
    """Whether a batch tells by its time how many cores it had; on a machine that is busy with something else it may not."""
    return threshold.wrong_one + threshold.wrong_two <= UNCLEAR


def percentile(values: Sequence[float], rank: float) -> float:
    """Nearest rank."""
    return sorted(values)[max(0, math.ceil(rank / 100 * len(values)) - 1)]


def _figures(cores: dict[str, Any], warm: list[float], cold: list[float], spare: dict[str, float], load: Load) -> dict:
    if load.wrong:
        raise AssertionError(f"{load.wrong} rows were not answered as in the first batch, {load.failed} of them with an error")
    threshold, took = cores["threshold"], cores["took"]
    both = [*took[1], *took[2]]
    times = {count: 1e3 * statistics.median(seconds) for count, seconds in cores["samples"].items()}
    print(f"\na batch of {BATCH}: {times[1]:.1f} ms with one core, {times[2]:.1f} ms with two; threshold {1e3 * threshold.seconds:.1f} ms, "
          f"on the wrong side {threshold.wrong_one:.1%} of those with one and {threshold.wrong_two:.1%} of those with two")
    rows = {"1 to 2 cores": took[2], "2 to 1 cores": took[1], "acknowledged": cores["acknowledged"], "replica, warm spare": warm, "replica, cold": cold}
    if not separates(threshold):
        print("the times do not tell one core from two here, so nothing is said of cores: is something else running?")
    print(table(["ms from the call", "p50", "p99", "worst", "changes"],
                [[name, percentile(found, 50), percentile(found, 99), max(found), len(found)] for name, found in rows.items()]))
    return {
        "cores_ms": _rounded(percentile(both, 99)),
        "cores_p50_ms": _rounded(percentile(both, 50)),
        "grow_ms": {"p50": _rounded(percentile(took[2], 50)), "p99": _rounded(percentile(took[2], 99))},
        "shrink_ms": {"p50": _rounded(percentile(took[1], 50)), "p99": _rounded(percentile(took[1], 99))},
        "replica_ms": _rounded(percentile(warm, 99)),
        "replica_p50_ms": _rounded(percentile(warm, 50)),
        "cold_replica_ms": _rounded(percentile(cold, 50)),
        **spare,
        "failed_rows": load.failed,
        "rows": BATCH * len(load.batches),
        "batch_ms": {str(count): round(found, 2) for count, found in times.items()},
        "threshold_ms": round(1e3 * threshold.seconds, 2),
        "wrong_side": {"1": round(threshold.wrong_one, 4), "2": round(threshold.wrong_two, 4)},
    }


def _rounded(milliseconds: float) -> float | None:
    """None = a change that never showed."""
    return round(milliseconds, 1) if math.isfinite(milliseconds) else None
