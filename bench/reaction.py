"""How soon a step of load is answered: Kafka, Flink, the service and the sidecar as they run, the policy `sluice` at its own interval.

An open loop of events stands at LOW; at a random phase of the second it steps to HIGH, which two cores for the replica that runs and a further
replica carry, and back once it has been met and a while has passed. The stage sleeps (bench/contenders/elastic.py), so that the figures are
those of the control path, not of two cores that compute.

    in_place_s     from the step until the service's setting shows more cores for the replica that serves, looked at every LOOK_S
    horizontal_s   from the step until all replicas that were then wanted are ready: median. A spare is kept ready, as shipped
    decision       of each record of the sidecar: from what is known to the plan; p99
    cpu_share      of one core, the sidecar's process with Faust, over all steps; rss_mb at the end

The forecast is the last second's rate: a trained forecaster remembers the steps before, and provides for the next one. A step that is answered
before it came would be no measurement: the run fails where a step does not find one core. Full run: 30 steps, about 15 minutes.
"""

from __future__ import annotations

import contextlib
import json
import random
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from kafka import KafkaProducer

from bench.report import progress, table
from bench.resize import percentile
from bench.rig import READY_S, Rig, asked, rig, until
from jobs.consumer import TopicReader
from jobs.embedded import broker, paths
from jobs.embedded.run import DECISIONS_TOPIC

PIPELINE = Path(__file__).parent / "pipelines" / "reaction.yaml"
STAGE = "work"
LOW, HIGH = 60.0, 600.0
LOOK_S = 0.02
MET_S = 30.0
"""Within which a step must be met in both ways."""
CALM_S = 90.0
"""Within which it must be taken back."""
HELD_S = 2.0
WARM_S, QUICK_WARM_S = 15.0, 4.0
STEPS = 30


@dataclass
class Load:
    """An open loop whose rate may be changed while it runs; a late sender catches up."""

    bootstrap: str
    topic: str
    rate: float = LOW
    _stop: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        producer = KafkaProducer(bootstrap_servers=self.bootstrap, linger_ms=0, acks=1)
        due = time.monotonic()
        while not self._stop.is_set():
            ahead_s = due - time.monotonic()
            if ahead_s > 0:
                time.sleep(min(ahead_s, 0.02))  # so that a step is not slept over
                continue
            producer.send(self.topic, b"row")
            due += 1 / self.rate
        producer.close()

    @contextlib.contextmanager
    def running(self) -> Iterator[Load]:
        thread = threading.Thread(target=self.run, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._stop.set()
            thread.join(timeout=10)


@dataclass(frozen=True, slots=True)
class Seen:
    cores: float
    replicas: int
    ready: int


@dataclass(frozen=True, slots=True)
class Answer:
    """Seconds from the step."""

    in_place_s: float
    horizontal_s: float


def run(quick: bool, seed: int) -> dict:
    steps, warm_s = (1, QUICK_WARM_S) if quick else (STEPS, WARM_S)
    phase = random.Random(seed)
    with rig(slots=4) as machine, _running(machine) as (http, sidecar):
        process = psutil.Process(sidecar)
        with Load(machine.bootstrap, "reaction-in").running() as load:
            until(lambda: bool(_took_ms(machine)), READY_S, LOOK_S, "a first decision")
            time.sleep(warm_s)  # windows fill
            cpu_s, begun_s = _cpu_s(process), time.monotonic()
            answers = []
            for number in range(steps):
                answers.append(_step(load, http, phase.random()))
                progress(f"step {number + 1}: in place {answers[-1].in_place_s:.2f} s, horizontal {answers[-1].horizontal_s:.2f} s")
            share = (_cpu_s(process) - cpu_s) / (time.monotonic() - begun_s)
            rss_mb = process.memory_info().rss / 2**20
        took_ms = _took_ms(machine)
    in_place = [one.in_place_s for one in answers]
    horizontal = [one.horizontal_s for one in answers]
    figures = {
        "decision_p99_ms": round(percentile(took_ms, 99), 2), "decision_p50_ms": round(percentile(took_ms, 50), 2), "decisions": len(took_ms),
        "in_place_s": {"p50": round(percentile(in_place, 50), 3), "p99": round(percentile(in_place, 99), 3)},
        "horizontal_s": round(percentile(horizontal, 50), 3), "horizontal_p99_s": round(percentile(horizontal, 99), 3),
        "cpu_share": round(share, 4), "rss_mb": round(rss_mb, 1), "steps": steps,
    }
    print(table(["", "p50", "p99", "to reach"], [
        ["in place, s", f"{percentile(in_place, 50):.2f}", f"{percentile(in_place, 99):.2f}", "1.5 and 2.5"],
        ["horizontal, s", f"{percentile(horizontal, 50):.2f}", f"{percentile(horizontal, 99):.2f}", "as it is"],
        ["decision, ms", f"{percentile(took_ms, 50):.1f}", f"{percentile(took_ms, 99):.1f}", "50 (p99)"],
        ["sidecar", f"{share:.1%} of a core", f"{rss_mb:.0f} MB", "10 %, 400 MB"]]))
    return figures


def _step(load: Load, http: str, phase: float) -> Answer:
    until(lambda: _is_low(_seen(http)), CALM_S, LOOK_S, "the stage is small again")
    time.sleep(HELD_S + phase)
    if not _is_low(_seen(http)):
        raise AssertionError("the stage grew before the step")
    begun_s = time.monotonic()
    load.rate = HIGH
    until(lambda: _seen(http).cores > 1, MET_S, LOOK_S, "more cores")
    in_place_s = time.monotonic() - begun_s
    until(lambda: (seen := _seen(http)).replicas > 1 and seen.ready == seen.replicas, MET_S, LOOK_S, "more replicas")
    horizontal_s = time.monotonic() - begun_s
    time.sleep(HELD_S)
    load.rate = LOW
    return Answer(in_place_s, horizontal_s)


def _is_low(seen: Seen) -> bool:
    return (seen.cores, seen.replicas, seen.ready) == (1, 1, 1)


@contextlib.contextmanager
def _running(machine: Rig) -> Iterator[tuple[str, int]]:
    """Service, job and sidecar; the service's HTTP address and the sidecar's process id."""
    machine.topics("reaction-in", "reaction-out", "reaction-dead-letters")
    broker.create_topics(machine.bootstrap, [broker.NewTopic(DECISIONS_TOPIC, 1)])
    with machine.operators(PIPELINE) as service:
        arguments = ["--pipeline", str(PIPELINE), "--bootstrap-servers", machine.bootstrap, "--service", service.grpc]
        with (machine.job(paths.JOB_FILE, arguments),
              machine.sidecar(PIPELINE, service.http, "--flink", machine.rest.url, "--forecast", "last")):
            until(lambda: machine.supervisor.pid("sidecar") is not None, READY_S, LOOK_S, "the sidecar")
            sidecar = machine.supervisor.pid("sidecar")
            assert sidecar is not None
            yield service.http, sidecar


def _seen(http: str) -> Seen:
    found = asked(http, STAGE)
    setting = found["setting"]
    return Seen(setting["cores"], setting["replicas"], found["replicas_ready"])


def _took_ms(machine: Rig) -> list[float]:
    with TopicReader([DECISIONS_TOPIC], {"bootstrap_servers": machine.bootstrap}) as reader:
        found = [json.loads(one.value or b"{}") for one in reader.to_end()]
    return [one["took_ms"] for one in found if one.get("kind") == "decision"]


def _cpu_s(process: psutil.Process) -> float:
    spent = process.cpu_times()
    return spent.user + spent.system
