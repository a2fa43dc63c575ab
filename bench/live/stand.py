"""One run of one contender: service, job and sidecar started for it, the load sent, what came of it told.

    reset        a pipeline name, topics and a consumer group that nobody had before; processes that were not there; the sidecar's forecaster
                 as stored. Broker and Flink's cluster go on, their JVMs warm
    warm-up      the load's first rate for `warm_s`; not counted, nor the path that it is measured for          (`predicted`)
    counted      events due, records written and cores used from then until the load ends
    wait         for the last answers, WAIT_S at most; what has none by then is unanswered
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoscaler.planner.catalogue import problem as problem_of
from bench import open_loop
from bench.live import account, events, predicted, validity
from bench.live.files import Files
from bench.live.load import Punctual
from bench.live.plans import UNIT, UNITS
from bench.live.setting import Setting
from bench.live.store import Planned
from bench.live.watch import Watch
from bench.rig import READY_S, Rig, asked, cpu_between, until
from bench.sim_fidelity import in_service_ms
from jobs.consumer import Record, TopicReader
from jobs.embedded import broker, paths
from jobs.embedded.run import DECISIONS_TOPIC, TELEMETRY_TOPIC, topics_of
from operators.datasets import digits

LOOK_S = 0.2
WAIT_S = 30.0


@dataclass(frozen=True, slots=True)
class _Times:
    """Of the load. first: number of the first event that is counted. begin_s, end_s: of the counted time, Unix."""

    sent: Mapping[bytes, int]
    first: int
    begin_s: float
    end_s: float
    late_s: list[float]


def live(machine: Rig, setting: Setting, planned: Planned, number: int, seed: int) -> dict[str, Any]:
    """Ready for JSON. number: of the run on this rig, which makes its name."""
    contender = planned.contender
    files = setting.files(machine.directory / "live", f"live-{number}-{contender.name}", contender)
    broker.create_topics(machine.bootstrap, topics_of(files.pipeline))
    times_s = setting.times_s(planned.repeat, seed)
    with _running(machine, files, planned) as service:
        before = machine.cpu_s()
        with Watch(service) as watch:
            times = _sent(machine, files, times_s, setting)
        cpu_s = cpu_between(before, machine.cpu_s())
        records = _answers(machine, files, len(times.sent))
    told = _told(files, times, records)
    samples = [one for one in watch.samples if times.begin_s <= one.at_s <= times.end_s]
    seen = validity.machine(samples, times.late_s, files.pipeline.slo_ms, os.cpu_count() or 1, UNIT * UNITS)
    held, done, parts = _accounted(machine, files, times)
    path_s = _path_s(times, records)
    expected = predicted.predicted(files, contender, times_s, setting.warm_s, path_s, 1000 * seed + planned.repeat)
    return {
        "contender": contender.data(), "repeat": planned.repeat, "attempt": planned.attempt, "parts": parts,
        "invalid": [*seen.reasons(), *_other_parts(parts, setting)],
        **told.data(), "unit_s": held.unit_s(times.begin_s, times.end_s), "cpu_s": samples[-1].used_s - samples[0].used_s, **asdict(done),
        "machine": asdict(seen), "cpu_s_by_process": {name: round(spent, 1) for name, spent in cpu_s.items()},
        "path_ms": {f"p{share}": round(1000 * float(np.quantile(path_s, share / 100)), 2) for share in (50, 95, 99)},
        "predicted": asdict(expected), "first": {"replicas": files.pipeline.stages[0].replicas.initial, "cores": files.pipeline.stages[0].cores},
        "units_by_second": held.by_second(held.units, times.begin_s, setting.load.seconds),
        "capacity_by_second": held.by_second(held.capacity, times.begin_s, setting.load.seconds),
    }


@contextlib.contextmanager
def _running(machine: Rig, files: Files, planned: Planned) -> Iterator[int]:
    """Service, job and sidecar; the service's process id."""
    (stage,) = files.pipeline.stages
    contender = planned.contender
    starts = (sys.executable, "-m", "bench.live.sidecar", json.dumps(contender.data()))
    with machine.operators(files.path) as service:
        until(lambda: asked(service.http, stage.name)["replicas_ready"] == stage.replicas.initial, READY_S, LOOK_S, "the first replicas")
        arguments = ["--pipeline", str(files.path), "--bootstrap-servers", machine.bootstrap, "--service", service.grpc]
        with (machine.job(paths.JOB_FILE, arguments),
              machine.sidecar(files.path, service.http, "--policy", contender.name, "--flink", machine.rest.url, command=starts)):
            process = machine.supervisor.pid("service")
            assert process is not None
            yield process


def _sent(machine: Rig, files: Files, times_s: tuple[float, ...], setting: Setting) -> _Times:
    times = Punctual(times_s, time.monotonic)
    sent = open_loop.send(machine.bootstrap, files.pipeline.source.name, "e", times)
    begun_s = next(iter(sent.values())) / 1000 - times_s[0]
    first, begin_s = int(np.searchsorted(times_s, setting.warm_s)), begun_s + setting.warm_s
    return _Times(sent, first, begin_s, begin_s + setting.load.seconds, times.late_s[first:])


def _answers(machine: Rig, files: Files, count: int) -> list[Record]:
    """Of the output and the dead letters: as many as there are events, or as came in time."""
    names = [files.pipeline.sink.name, files.pipeline.dead_letters.name]
    until_s, found, ended = time.monotonic() + WAIT_S, list[Record](), set[str]()
    with TopicReader(names, {"bootstrap_servers": machine.bootstrap}) as reader:
        for record in reader.follow(lambda: len(ended) >= count or time.monotonic() > until_s):
            found.append(record)
            ended.add(record.event_id)
    return found


def _told(files: Files, times: _Times, records: list[Record]) -> events.Told:
    held_out = digits()[1].labels
    sent = {event.decode(): events.Source(due_ms, int(held_out[number % len(held_out)]))
            for number, (event, due_ms) in enumerate(times.sent.items()) if number >= times.first}
    answers = {one.event_id: events.Answer(one.timestamp_ms, int(json.loads(one.value or b"{}")["label"]))
               for one in records if one.topic == files.pipeline.sink.name}
    dead = {one.event_id: one.header("dead-letter-reason") or "" for one in records if one.topic == files.pipeline.dead_letters.name}
    return events.told(sent, answers, dead, files.pipeline.slo_ms, round(1000 * times.begin_s))


def _path_s(times: _Times, records: list[Record]) -> NDArray[np.float64]:
    """Of the answered events in the second half of the warm-up, what was neither queue nor compute; a zero where there are none."""
    numbers = range(times.first // 2, times.first)
    wanted = {event.decode(): due_ms for number, (event, due_ms) in enumerate(times.sent.items()) if number in numbers}
    found = [max(0.0, one.timestamp_ms - wanted[one.event_id] - in_service_ms(stage.encode())) / 1000
             for one in records if one.event_id in wanted and (stage := one.header("stage")) is not None]
    return np.array(found or [0.0])


def _accounted(machine: Rig, files: Files, times: _Times) -> tuple[account.Held, account.Done, str]:
    """What was held, what was done, and how parts of a core were kept to."""
    told: dict[str, list[dict[str, Any]]] = {TELEMETRY_TOPIC: [], DECISIONS_TOPIC: []}
    with TopicReader(list(told), {"bootstrap_servers": machine.bootstrap}) as reader:
        for record in reader.to_end():
            one = json.loads(record.value or b"{}")
            if one.get("pipeline") == files.pipeline.name:
                told[record.topic].append(one)
    if not told[DECISIONS_TOPIC]:
        raise AssertionError(f"the sidecar has written no record; its log: {machine.supervisor.log('sidecar')}")
    (model,) = problem_of(files.pipeline, files.profile, 1.0).stages
    held = account.held(told[TELEMETRY_TOPIC], model)
    parts = {one["processes"]["parts"] for one in told[TELEMETRY_TOPIC] if "processes" in one}
    return held, account.done(told[DECISIONS_TOPIC], times.begin_s, times.end_s), ", ".join(sorted(parts))


def _other_parts(parts: str, setting: Setting) -> tuple[str, ...]:
    """Why the run is not what was profiled, if it is not."""
    return () if parts == setting.profile.parts else (f"parts of a core were kept to by {parts}, in the profile by {setting.profile.parts}",)
