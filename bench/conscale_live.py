"""The window of rows in flight, tuned by the scatter of concurrency and throughput, against fixed windows while replicas change.

Kafka, Flink with the connector's proxies and the service run as `make run` starts them; one job, one service. The stage sleeps
(bench/contenders/elastic.py), so that four replicas are four times one on two cores and the figures are the window's, not the cores'.

    round    LOW_RPS, from a quarter on HIGH_RPS, from three quarters on LOW_RPS again, at Poisson times; MOST_REPLICAS instead of one from
             LATE_S after the load rose until LATE_S after it fell
    tuned    the sidecar's own `Windows`, fed with the service's telemetry; before the first measured round it has seen one round
    default  the window that the service starts with
    best     the fixed window of GRID with the least p99 in a round each, beforehand, of another seed
    p99_ms   of a round's events, output append time minus intended send time, an unanswered one infinitely late; median of the rounds
    p99_variation  standard deviation of the p99 of each second's events, by their mean
    violation_share  events that took longer than the SLO

Windows take turns, in another order each time; the same seed's rounds have the same events. The control fields of answers carry a new window to
the proxies, so nothing is restarted in between. Full run: about eight minutes.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import random
import statistics
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kafka import KafkaConsumer, KafkaProducer, TopicPartition

from autoscaler.actuator import ServiceActuator
from autoscaler.control.records import StageOutcome
from autoscaler.graph.pipeline import Pipeline
from autoscaler.graph.reader import read_pipeline
from autoscaler.metrics import SidecarMetrics
from autoscaler.telemetry import StageTelemetry, parse_record
from autoscaler.windows import Windows
from bench.host import Stolen
from bench.report import progress, table
from bench.resize import percentile
from bench.rig import Rig, asked, rig, until
from jobs.embedded import paths
from operators.hosted import WINDOW_ROWS

PIPELINE = Path(__file__).parent / "pipelines" / "conscale.yaml"
STAGE = "work"
LOW_RPS, HIGH_RPS = 300.0, 1300.0
MOST_REPLICAS = 4
LATE_S = 1.0
GRID = (32, 64, 128, 256, 1024)
"""Rows of one proxy; the default is in the comparison anyway."""
LOOK_S = 0.2
LIMIT_S = 60.0
SECOND_MS = 1000
FEWEST = 20
"""Events of a second whose p99 counts."""


@dataclass(frozen=True, slots=True)
class Lengths:
    """round_s: of a round. repeats: of each window. grid: windows tried beforehand."""

    round_s: float
    repeats: int
    grid: tuple[int, ...]


FULL = Lengths(round_s=24.0, repeats=3, grid=GRID)
QUICK = Lengths(round_s=3.0, repeats=1, grid=(64,))


@dataclass(frozen=True, slots=True)
class Round:
    """by_second: p99 in ms of the events meant for each second. stolen: share of the cores' time, by the host."""

    ms: tuple[float, ...]
    by_second: tuple[float, ...]
    windows: tuple[int, ...]
    stolen: float

    @property
    def p99_ms(self) -> float:
        return percentile(self.ms, 99)

    @property
    def variation(self) -> float:
        finite = [ms for ms in self.by_second if math.isfinite(ms)]
        return statistics.pstdev(finite) / statistics.mean(finite) if len(finite) == len(self.by_second) else math.inf

    def violation_share(self, slo_ms: float) -> float:
        return sum(ms > slo_ms for ms in self.ms) / len(self.ms)


def run(quick: bool, seed: int) -> dict:
    lengths = QUICK if quick else FULL
    pipeline = read_pipeline(PIPELINE)
    with rig(slots=4) as machine, _running(machine) as http, Output(machine.bootstrap, pipeline.sink.name) as output:
        stage = Stand(pipeline, http, machine.bootstrap, output)
        with Tuner(pipeline, http) as tuner:
            stage.round(lengths.round_s, seed + 1000, "warm", tuner)
            tried = {rows: stage.round(lengths.round_s, seed + 1001, f"{rows} rows", rows) for rows in lengths.grid}
            best = min(tried, key=lambda rows: tried[rows].p99_ms)
            contenders: dict[str, Tuner | int] = {"tuned": tuner, "best": best, "default": WINDOW_ROWS}
            rounds: dict[str, list[Round]] = {name: [] for name in contenders}
            for repeat in range(lengths.repeats):
                names = sorted(contenders)
                random.Random(seed + repeat).shuffle(names)
                for name in names:
                    rounds[name].append(stage.round(lengths.round_s, seed + repeat, name, contenders[name]))
            scatter = tuner.told()
    return _figures(pipeline, rounds, tried, best, scatter)


def _figures(pipeline: Pipeline, rounds: Mapping[str, list[Round]], tried: Mapping[int, Round], best: int, scatter: Mapping[str, Any]) -> dict:
    figures: dict[str, Any] = {}
    for name, found in rounds.items():
        figures[name] = {
            "p99_ms": _finite(statistics.median(one.p99_ms for one in found)), "p99_variation": _finite(statistics.median(one.variation for one in found)),
            "p50_ms": _finite(statistics.median(percentile(one.ms, 50) for one in found)),
            "violation_share": round(statistics.mean(one.violation_share(pipeline.slo_ms) for one in found), 5),
            "p99_ms_of_rounds": [_finite(one.p99_ms) for one in found], "windows": sorted({rows for one in found for rows in one.windows}),
            "stolen_most": round(max(one.stolen for one in found), 4)}
    print(table(["window", "p50 ms", "p99 ms", "p99 of each round", "variation", "over the SLO %", "rows a proxy"],
                [[name, one["p50_ms"], one["p99_ms"], ", ".join(f"{ms:.0f}" if ms else "-" for ms in one["p99_ms_of_rounds"]), one["p99_variation"],
                  100 * one["violation_share"], f"{one['windows'][0]} .. {one['windows'][-1]}"] for name, one in figures.items()]))
    print("tried beforehand, p99 in ms by rows: " + ", ".join(f"{rows} {one.p99_ms:.0f}" for rows, one in tried.items()))
    return {**figures, "best_rows": best, "tried_p99_ms": {str(rows): _finite(one.p99_ms) for rows, one in tried.items()}, "scatter": scatter,
            "slo_ms": pipeline.slo_ms}


def _finite(value: float) -> float | None:
    return round(value, 4) if math.isfinite(value) else None


class Stand:
    """The stage under load: makes a round and says what came of it."""

    def __init__(self, pipeline: Pipeline, http: str, bootstrap: str, output: Output) -> None:
        self._pipeline, self._http, self._output = pipeline, http, output
        self._producer = KafkaProducer(bootstrap_servers=bootstrap, linger_ms=0, acks=1)
        self._rounds = 0

    def round(self, seconds: float, seed: int, name: str, window: Tuner | int) -> Round:
        """window: a fixed one, or who sets it."""
        self._rounds += 1
        self._change({"replicas": 1, "window": WINDOW_ROWS if isinstance(window, Tuner) else window})
        until(lambda: self._setting()["replicas"] == 1 and self._look()["replicas_ready"] == 1, LIMIT_S, LOOK_S, "one replica")
        prefix, stolen, windows = f"{self._rounds}-", Stolen(), set[int]()
        with window.tuning() if isinstance(window, Tuner) else contextlib.nullcontext():
            sent = self._send(seconds, seed, prefix, windows)
            appended = self._output.of(prefix, len(sent))
        ms = {event: appended.get(event, math.inf) - due for event, due in sent.items()}
        first, seconds_of = min(sent.values()), dict[int, list[float]]()
        for event, due in sent.items():
            seconds_of.setdefault((due - first) // SECOND_MS, []).append(ms[event])
        found = Round(tuple(ms.values()), tuple(percentile(each, 99) for _, each in sorted(seconds_of.items()) if len(each) >= FEWEST),
                      tuple(sorted(windows)), stolen.share)
        progress(f"{name}: p50 {percentile(found.ms, 50):.0f} ms, p99 {found.p99_ms:.0f} ms of {len(sent):,}, variation {found.variation:.2f}, "
                 f"over the SLO {found.violation_share(self._pipeline.slo_ms):.1%}, windows {found.windows}; stolen {found.stolen:.1%}")
        return found

    def _send(self, seconds: float, seed: int, prefix: str, windows: set[int]) -> dict[bytes, int]:
        """Sends and changes replicas when they are due; the intended send time in ms by event id. A late sender does not shift the times."""
        draw = random.Random(seed)
        rises_s, falls_s = seconds / 4, 3 * seconds / 4
        changes = [(rises_s + LATE_S, MOST_REPLICAS), (falls_s + LATE_S, 1)]
        sent: dict[bytes, int] = {}
        begun, at_s, looked_s = time.time(), 0.0, -math.inf
        while at_s < seconds:
            ahead_s = begun + at_s - time.time()
            if ahead_s > 0:
                time.sleep(min(ahead_s, LOOK_S))  # the open loop's own pace
            now_s = time.time() - begun
            if changes and now_s >= changes[0][0]:
                _in_thread(self._change, {"replicas": changes.pop(0)[1]})
            if now_s - looked_s >= 1.0:
                looked_s = now_s
                _in_thread(lambda: windows.add(self._setting()["window"]))
            if now_s < at_s:
                continue
            event = f"{prefix}{len(sent)}".encode()
            sent[event] = round((begun + at_s) * 1000)
            self._producer.send(self._pipeline.source.name, b"row", key=event, headers=[("event-id", event)], timestamp_ms=sent[event])
            at_s += draw.expovariate(HIGH_RPS if rises_s <= at_s < falls_s else LOW_RPS)
        self._producer.flush()
        return sent

    def _look(self) -> dict[str, Any]:
        return asked(self._http, STAGE)

    def _setting(self) -> dict[str, Any]:
        return self._look()["setting"]

    def _change(self, wanted: Mapping[str, int]) -> None:
        asked(self._http, STAGE, wanted)


class Tuner:
    """The sidecar's windows in a thread of their own, while `tuning`; what they learned stays."""

    def __init__(self, pipeline: Pipeline, http: str) -> None:
        self._pipeline, self._http = pipeline, http
        self._on, self._stop = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)
        self._told: dict[str, Any] = {}

    def __enter__(self) -> Tuner:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        self._thread.join(LIMIT_S)

    @contextlib.contextmanager
    def tuning(self) -> Iterator[None]:
        self._on.set()
        try:
            yield
        finally:
            self._on.clear()

    def told(self) -> dict[str, Any]:
        """The last range that was known of each number of replicas."""
        return dict(self._told)

    async def _run(self) -> None:
        def note(stage: str, outcome: StageOutcome) -> None:
            progress(f"  {outcome.data()}")

        async with ServiceActuator(f"http://{self._http}") as service:
            windows = Windows(self._pipeline, service, SidecarMetrics(self._pipeline.name), note)
            before = -1
            while not self._stop.is_set():
                record = await asyncio.to_thread(self._record)
                if record is not None and record.sequence != before and self._on.is_set():
                    before = record.sequence
                    windows.take(record)
                    await windows.follow({STAGE: record.lanes}, True, time.time())
                    if STAGE in windows.chosen and windows.chosen[STAGE].known is not None:
                        self._told[str(record.replicas_ready)] = windows.chosen[STAGE].data()
                await asyncio.sleep(LOOK_S)

    def _record(self) -> StageTelemetry | None:
        found = asked(self._http, STAGE)
        return parse_record(found) if "sequence" in found else None


class Output:
    """Reads the output on and on."""

    def __init__(self, bootstrap: str, topic: str) -> None:
        self._consumer = KafkaConsumer(bootstrap_servers=bootstrap, auto_offset_reset="earliest", enable_auto_commit=False)
        self._consumer.assign([TopicPartition(topic, number) for number in (0, 1)])

    def __enter__(self) -> Output:
        return self

    def __exit__(self, *error: object) -> None:
        self._consumer.close()

    def of(self, prefix: str, count: int) -> dict[bytes, int]:
        """Append times in ms of so many events whose ids begin so, or of those that came in time."""
        found: dict[bytes, int] = {}
        until_s = time.monotonic() + LIMIT_S
        while len(found) < count and time.monotonic() < until_s:
            for records in self._consumer.poll(timeout_ms=500, max_records=10_000).values():
                found.update((record.key, record.timestamp) for record in records if record.key.startswith(prefix.encode()))
        return found


@contextlib.contextmanager
def _running(machine: Rig) -> Iterator[str]:
    """Service and job, no sidecar: the bench changes replicas itself. The service's HTTP address."""
    pipeline = read_pipeline(PIPELINE)
    machine.topics(pipeline.source.name, pipeline.sink.name, pipeline.dead_letters.name)
    with machine.operators(PIPELINE) as service:
        arguments = ["--pipeline", str(PIPELINE), "--bootstrap-servers", machine.bootstrap, "--service", service.grpc]
        with machine.job(paths.JOB_FILE, arguments):
            yield service.http


def _in_thread(work: Callable[..., object], *arguments: object) -> None:
    """So that the open loop does not wait for it."""
    threading.Thread(target=work, args=arguments, daemon=True).start()
