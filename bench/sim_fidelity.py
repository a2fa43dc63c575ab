"""What the simulator says of a load beside what the running system makes of it: Kafka, Flink, the operator service, real digits.

pipelines/digits.yaml with its heaviest network alone, over 25 shifted copies of each image (`contenders.shifted`), and one replica of one core,
no sidecar. The network as it is carries so many rows that Kafka, Flink and the load generator need more than the core that it leaves them, and
what is measured is how they starve it. What the simulator is given comes from runs that are not compared:

    batches    `sluice profile` of the variant, before anything else runs: means by batch, spread, cold start, load
    in place   at CALIBRATION of the profile's capacity, which is none of the compared loads: how long batches take beside Kafka, Flink and the
               load generator, by the line that the service learns itself (telemetry's `service_time`, each second's). The profile's times are
               multiplied by what that is of them, batch by batch
    path       in that same run: append time - intended send time - queue - compute, of each event. Kafka, Flink and the wire, which the
               simulator does not model, are drawn from these, as a delay before the stage
    capacity   rows/s of full batches in place

Compared are POINTS: steady loads, a burst above the capacity, a second replica ordered in mid-run (cold, no spare). Both get the same intended
send times, a Poisson process. Latency counts from the intended send; an event without an answer is infinitely late.

    p50_error, p95_error    simulated / real - 1; within 15 %
    violation               share of events past the SLO; within 1 point where the real one is below 5 %, else within 20 % of it

Each point is run REPEATS times, in an order drawn anew; the errors shown are the largest of the repeats, and a point passes if all of them do.
A run while the host takes the cores away is made again (bench/host.py). Full run: about 11 minutes.
"""

from __future__ import annotations

import contextlib
import random
import statistics
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import inf
from pathlib import Path

import numpy as np
import yaml
from aiokafka.structs import ConsumerRecord
from numpy.typing import NDArray

from autoscaler.graph.pipeline import Pipeline
from autoscaler.graph.reader import read_pipeline
from autoscaler.planner.model import Share
from autoscaler.planner.profile import Point as Measured
from autoscaler.planner.profile import Profile, read_profile
from autoscaler.policies.policy import Decision, Forecast, State, Target
from bench import open_loop
from bench.host import Stolen, settle, undisturbed
from bench.report import progress, table
from bench.resize import percentile
from bench.rig import SLUICE, Rig, asked, rig
from jobs.embedded import paths
from simulator.arrivals import Arrivals, Stamps
from simulator.from_pipeline import Model, model
from simulator.scenario import Control
from simulator.simulation import simulate

SHIPPED = paths.ROOT / "pipelines" / "digits.yaml"
STAGE, VARIANT = "classify", "ensemble"
OPERATOR, LARGEST = "bench.contenders.shifted:Shifted", 8
"""LARGEST: rows of a batch, which take about a quarter of the SLO."""
CALIBRATION = 0.4
WARM = 0.6
CLOSE = 0.15
FEW, CLOSE_SHARE, CLOSE_OF_MANY = 0.05, 0.01, 0.2
SETTLE_S = 120.0
BEGIN_S = 2.0
"""Of a run, not compared: from idle to its pace."""


@dataclass(frozen=True, slots=True)
class Point:
    """loads: of the capacity, each for its share of the run. change_at: of the run, when a second replica is ordered."""

    name: str
    loads: tuple[tuple[float, float], ...]
    change_at: float | None = None

    def times_s(self, capacity: float, seconds: float, seed: int) -> list[float]:
        """Intended send times from 0."""
        times: list[float] = []
        begun_s = 0.0
        for number, (load, share) in enumerate(self.loads):
            times += [begun_s + at for at in open_loop.poisson(load * capacity, share * seconds, seed * 10 + number)]
            begun_s += share * seconds
        return times


POINTS = (Point("30", ((0.3, 1.0),)), Point("60", ((0.6, 1.0),)), Point("85", ((0.85, 1.0),)),
          Point("burst", ((0.3, 0.4), (1.5, 0.1), (0.3, 0.5))), Point("replica", ((0.7, 1.0),), change_at=0.3))


@dataclass(frozen=True, slots=True)
class Lengths:
    """seconds: warm-up, calibration, one run."""

    warm_s: float
    calibration_s: float
    seconds: float
    repeats: int
    points: tuple[Point, ...]


FULL = Lengths(90.0, 20.0, 25.0, 3, POINTS)
QUICK = Lengths(4.0, 3.0, 4.0, 1, POINTS[:1])


@dataclass(frozen=True, slots=True)
class Figures:
    p50_ms: float
    p95_ms: float
    violation: float

    @classmethod
    def of(cls, ms: list[float], slo_ms: float) -> Figures:
        return cls(percentile(ms, 50), percentile(ms, 95), sum(one > slo_ms for one in ms) / len(ms))


@dataclass(frozen=True, slots=True)
class Compared:
    real: Figures
    simulated: Figures

    @property
    def p50_error(self) -> float:
        return _error(self.real.p50_ms, self.simulated.p50_ms)

    @property
    def p95_error(self) -> float:
        return _error(self.real.p95_ms, self.simulated.p95_ms)

    @property
    def passes(self) -> bool:
        off = abs(self.simulated.violation - self.real.violation)
        alike = off <= CLOSE_SHARE if self.real.violation < FEW else off <= CLOSE_OF_MANY * self.real.violation
        return alike and abs(self.p50_error) <= CLOSE and abs(self.p95_error) <= CLOSE


class PathDelay:
    """Delays of events, drawn from those of a calibration: `simulator.arrivals.Network`'s form. seconds: shape (samples,)."""

    def __init__(self, seconds: NDArray[np.float64], seed: int) -> None:
        self._seconds, self._random = seconds, np.random.default_rng(seed)

    def delay_s(self, sent: NDArray[np.float64]) -> NDArray[np.float64]:
        return self._random.choice(self._seconds, len(sent))


class OneMore:
    """A policy that orders a second replica at one time, and changes nothing else."""

    name = "one_more"

    def __init__(self, share: Share, at_s: float) -> None:
        self.interval_s = at_s
        self._target = Target((Share(share.option, 2),))

    def decide(self, state: State, forecast: Forecast, memory: object = None) -> Decision:
        return Decision({STAGE: self._target}, None, "one replica more")


def run(quick: bool, seed: int) -> dict:
    lengths = QUICK if quick else FULL
    with tempfile.TemporaryDirectory(prefix="sluice-fidelity-") as folder:
        file = Path(folder) / "digits.yaml"
        file.write_text(yaml.safe_dump(reduced(yaml.safe_load(SHIPPED.read_text(encoding="utf-8")))), encoding="utf-8")
        settle(0 if quick else SETTLE_S)
        progress("measuring the profile")
        profile = _profile(file, Path(folder) / "profile.yaml", quick)
        progress(f"by its profile one replica carries {capacity_rows_s(profile):,.0f} rows/s in batches of {LARGEST}")
        pipeline = read_pipeline(file)
        with rig(slots=4) as machine:
            return _compare(machine, file, pipeline, profile, lengths, seed)


def reduced(shipped: dict) -> dict:
    """The shipped pipeline with its heaviest network alone, over shifted images, at first one replica, and no spare: the simulator has none."""
    stage = shipped["stages"][STAGE]
    stage["operator"] = OPERATOR
    stage["batch"] = {"max": LARGEST}
    stage["variants"] = {VARIANT: stage["variants"][VARIANT]}
    stage["variant"] = VARIANT
    stage["replicas"] = {"initial": 1, "min": 1, "max": 2, "spares": 0}
    return shipped


def capacity_rows_s(profile: Profile) -> float:
    """What one core carries in the largest batches."""
    stage = profile.stage(STAGE)
    assert stage is not None
    return max((point for variant in stage.variants for point in variant.points if point.cores == 1), key=lambda point: point.batch).rows_s


def in_place(profile: Profile, learned: Sequence[tuple[float, float]]) -> Profile:
    """With one core's times as they are in place. learned: fixed ms and ms a row of a batch, of each second; ValueError where there is none."""
    if not learned:
        raise ValueError("the service told no batch times; let the calibration run for longer")
    fixed_ms, row_ms = (statistics.fmean(part) for part in zip(*learned, strict=True))

    def slowed(point: Measured) -> Measured:
        if point.cores != 1:
            return point
        factor = (fixed_ms + row_ms * point.batch) / point.mean_ms
        return replace(point, mean_ms=point.mean_ms * factor, p50_ms=point.p50_ms * factor, p99_ms=point.p99_ms * factor, rows_s=point.rows_s / factor)

    return replace(profile, stages=tuple(
        replace(stage, variants=tuple(replace(variant, points=tuple(map(slowed, variant.points))) for variant in stage.variants))
        for stage in profile.stages))


def _profile(file: Path, out: Path, quick: bool) -> Profile:
    subprocess.run([*SLUICE, "profile", str(file), "--out", str(out), *(["--quick"] if quick else [])], check=True, cwd=paths.ROOT,
                   stdout=sys.stderr)
    return read_profile(out)


def _compare(machine: Rig, file: Path, pipeline: Pipeline, profile: Profile, lengths: Lengths, seed: int) -> dict:
    machine.topics(pipeline.source.name, pipeline.sink.name, pipeline.dead_letters.name)
    found: dict[str, list[Compared]] = {point.name: [] for point in lengths.points}
    with machine.operators(file) as service:
        arguments = ["--pipeline", str(file), "--bootstrap-servers", machine.bootstrap, "--service", service.grpc, "--starting-offsets", "latest"]
        with machine.job(paths.JOB_FILE, arguments):
            live = _Live(machine, pipeline, service.http)
            alone = capacity_rows_s(profile)
            live.latencies("warm", open_loop.poisson(WARM * alone, lengths.warm_s, seed))
            with live.batch_times() as learned:
                path_s = live.path_s("calibration", open_loop.poisson(CALIBRATION * alone, lengths.calibration_s, seed + 1))
            profile = in_place(profile, learned)
            capacity = capacity_rows_s(profile)
            progress(f"in place {capacity:,.0f} rows/s, {alone / capacity:.2f} times as slow")
            path_ms = {name: 1000 * float(np.quantile(path_s, share)) for name, share in (("p50", 0.5), ("p95", 0.95))}
            progress(f"path: p50 {path_ms['p50']:.1f} ms, p95 {path_ms['p95']:.1f} ms")
            made = model(pipeline, profile, capacity)
            order = random.Random(seed)
            for repeat in range(lengths.repeats):
                for point in order.sample(lengths.points, len(lengths.points)):
                    one = _run(live, point, made, path_s, capacity, lengths.seconds, 100 * seed + repeat)
                    found[point.name].append(one)
                    progress(f"{point.name}, run {repeat + 1}: p50 {one.real.p50_ms:.1f} ms, simulated {one.simulated.p50_ms:.1f}; p95 "
                             f"{one.real.p95_ms:.1f}, {one.simulated.p95_ms:.1f}; late {one.real.violation:.2%}, {one.simulated.violation:.2%}")
    figures = {name: _figures(runs) for name, runs in found.items()}
    print(f"\ncapacity {capacity:,.0f} rows/s, by the profile {alone:,.0f}; loads in % of it; the largest errors of {lengths.repeats} runs")
    print(table(["load", "p50 error", "p95 error", "violations, simulated", "real", "passes"],
                [[name, f"{one['p50_error']:+.1%}", f"{one['p95_error']:+.1%}", f"{one['violation_sim']:.2%}", f"{one['violation_real']:.2%}",
                  "yes" if one["pass"] else "FAILS"] for name, one in figures.items()]))
    return {**figures, "capacity_rows_s": round(capacity, 1), "profile_rows_s": round(alone, 1),
            "path_ms": {name: round(ms, 2) for name, ms in path_ms.items()}}


def _run(live: _Live, point: Point, made: Model, path_s: NDArray[np.float64], capacity: float, seconds: float, seed: int) -> Compared:
    times = point.times_s(capacity, seconds, seed)
    change_s = None if point.change_at is None else point.change_at * seconds

    def real(attempt: int) -> tuple[list[float], float]:
        stolen = Stolen()
        return live.latencies(f"{point.name}-{seed}-{attempt}", times, change_s), stolen.share

    counted = [ms for ms, at in zip(undisturbed(real, SETTLE_S), times, strict=True) if at >= BEGIN_S]
    return Compared(Figures.of(counted, live.slo_ms), _simulated(made, times, live.slo_ms, path_s, change_s, seed))


def _simulated(made: Model, times: list[float], slo_ms: float, path_s: NDArray[np.float64], change_s: float | None, seed: int) -> Figures:
    stage = made.problem.stage(STAGE)
    largest = max((option for option in stage.options if option.units == 1), key=lambda option: option.batch)
    share = Share(largest, 1)
    arrivals = Arrivals(Stamps(np.array(times)), slo_ms / 1000, PathDelay(path_s, seed))
    scenario = replace(made, initial={STAGE: (share,)}).scenario(arrivals)
    done = simulate(scenario, None if change_s is None else Control(OneMore(share, change_s)), seed)
    assert done.records is not None
    events = done.records.events(1)
    kept = events.sent_s >= BEGIN_S
    latency = np.where(events.outcome[kept] <= 1, 1000 * (events.finish_s - events.sent_s)[kept], inf).tolist()
    return Figures.of(latency, slo_ms)


class _Live:
    """The running system under its load."""

    def __init__(self, machine: Rig, pipeline: Pipeline, http: str) -> None:
        self.slo_ms = pipeline.slo_ms
        self._bootstrap, self._source, self._sink = machine.bootstrap, pipeline.source.name, pipeline.sink.name
        self._http = http

    def latencies(self, prefix: str, times: list[float], change_s: float | None = None) -> list[float]:
        """ms of each event, in the order of their times. change_s: when a second replica is ordered; it is taken back afterwards."""
        timer = threading.Timer(change_s or 0.0, self._replicas, (2,))
        if change_s is not None:
            timer.start()
        try:
            sent, appended = self._load(prefix, times, lambda record: record.timestamp)
        finally:
            timer.cancel()
            if change_s is not None:
                timer.join()
                self._replicas(1)
        return [appended[one] - due if one in appended else inf for one, due in sent.items()]

    @contextlib.contextmanager
    def batch_times(self) -> Iterator[list[tuple[float, float]]]:
        """Once a second for the block, what the service has learned of its batches: fixed ms, ms a row."""
        found: list[tuple[float, float]] = []
        over = threading.Event()

        def look() -> None:
            while not over.wait(1.0):
                learned = asked(self._http, STAGE)["service_time"]
                if learned is not None:
                    found.append((learned["fixed_ms"], learned["per_row_ms"]))

        looking = threading.Thread(target=look, daemon=True)
        looking.start()
        try:
            yield found
        finally:
            over.set()
            looking.join()

    def path_s(self, prefix: str, times: list[float]) -> NDArray[np.float64]:
        """Of each event, what was neither queue nor compute, s."""
        sent, spent = self._load(prefix, times, lambda record: record.timestamp - in_service_ms(dict(record.headers)["stage"]))
        return np.array([max(0.0, spent[one] - due) / 1000 for one, due in sent.items() if one in spent])

    def _load(self, prefix: str, times: list[float], take: Callable[[ConsumerRecord], float]) -> tuple[dict[bytes, int], dict[bytes, float]]:
        sent = open_loop.send(self._bootstrap, self._source, prefix, times)
        return sent, open_loop.answers(self._bootstrap, self._sink, prefix, len(sent), take)

    def _replicas(self, number: int) -> None:
        asked(self._http, STAGE, {"replicas": number})


def in_service_ms(header: bytes) -> float:
    """Queue and compute of a `stage` header."""
    fields = dict(part.split("=", 1) for part in header.decode().split(";"))
    return (int(fields["queue_us"]) + int(fields["compute_us"])) / 1000


def _error(real: float, simulated: float) -> float:
    return 0.0 if real == simulated else simulated / real - 1 if real < inf else -1.0


def _figures(runs: list[Compared]) -> Mapping[str, object]:
    worst = max(runs, key=lambda one: abs(one.simulated.violation - one.real.violation))
    return {"p50_error": round(max((one.p50_error for one in runs), key=abs), 4), "p95_error": round(max((one.p95_error for one in runs), key=abs), 4),
            "violation_sim": round(worst.simulated.violation, 5), "violation_real": round(worst.real.violation, 5),
            "pass": all(one.passes for one in runs),
            "runs": [{"p50_ms": [round(one.real.p50_ms, 2), round(one.simulated.p50_ms, 2)],
                      "p95_ms": [round(one.real.p95_ms, 2), round(one.simulated.p95_ms, 2)],
                      "violation": [round(one.real.violation, 5), round(one.simulated.violation, 5)]} for one in runs]}
