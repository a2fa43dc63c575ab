"""Events per second, Kafka to Kafka, of a stage with state: a sliding count per key over 10,000 keys drawn by Zipf's law, and of the same operator
without state beside it, the runs interleaved on one machine.

Event i has key k[i], drawn with probability in proportion to 1 / rank, and the time i / RATE_PER_S; a key's events are in one partition. The service
runs as `make run` starts it, with a checkpoint every second. The rate is that of the events between two shares of the topic, the first of which leaves
out what the JVM needs to compile.

Every run is let to its end and every record of the output compared with a plain reference that counts event by event: each event is there, each key's
in order, each with the count in its window and the total so far, so that the last of a key is the key's final state. Delivery is at least once: a
restart of the job, which the run reports, may repeat records, with the same counts.
"""

from __future__ import annotations

import statistics
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench import topics
from bench.contenders.counts import COUNTED, EVENT, SLICE_MS, SLICES
from bench.host import Stolen, undisturbed
from bench.report import progress, table
from bench.rig import Rig, cpu_between, rig
from jobs.embedded import paths

PIPELINES = Path(__file__).parent / "pipelines"
KINDS = {"stateful": PIPELINES / "counts.yaml", "stateless": PIPELINES / "slices.yaml"}
SOURCE, SINK, DEAD = "counts-in", "counts-out", "counts-dead-letters"
KEYS = 10_000
RATE_PER_S = 100_000.0
BEGINS_MS = 1_700_000_000_000
STALLED_S = 60.0


@dataclass(frozen=True, slots=True)
class Lengths:
    """measured: between which shares of the events; repeats of each kind. settle_s: waited beforehand at most for a host that settles."""

    events: int
    measured: tuple[float, float]
    repeats: int
    settle_s: float


FULL = Lengths(6_000_000, (0.55, 0.95), 2, 120.0)
QUICK = Lengths(150_000, (0.3, 0.9), 1, 0.0)


@dataclass(frozen=True, slots=True)
class Stream:
    """key and at_ms of each event; what must come out: recent and total."""

    key: NDArray[np.int64]
    at_ms: NDArray[np.int64]
    recent: NDArray[np.int64]
    total: NDArray[np.int64]


def run(quick: bool, seed: int) -> dict:
    lengths = QUICK if quick else FULL
    stream = drawn(lengths.events, seed)
    keys = len(np.unique(stream.key))
    rates: dict[str, list[float]] = {kind: [] for kind in KINDS}
    spent: dict[str, dict[str, float]] = {}
    with rig(slots=4) as machine:
        machine.topics(SOURCE, DEAD)
        progress(f"preloading {lengths.events:,} events of {keys:,} keys")
        fill(machine.bootstrap, stream)
        for _ in range(lengths.repeats):
            for kind in KINDS:
                rate, cpu = undisturbed(lambda _, kind=kind: _once(machine, kind, stream, lengths), lengths.settle_s, lengths.settle_s)
                rates[kind].append(rate)
                spent[kind] = cpu
    middle = {kind: statistics.median(found) for kind, found in rates.items()}
    ratio = middle["stateful"] / middle["stateless"]
    print(table(["operator", "events/s (median)", "runs"], [[kind, middle[kind], ", ".join(f"{r:,.0f}" for r in rates[kind])] for kind in KINDS]))
    for kind in KINDS:
        print(f"CPU of the {kind} path, microseconds per event: " + ", ".join(f"{name} {value}" for name, value in spent[kind].items()))
    print(f"ratio {ratio:.2f}; {keys:,} keys; every record equal to the reference")
    return {**{f"{kind}_eps": round(middle[kind], 1) for kind in KINDS}, "ratio": round(ratio, 3), "keys": keys, "events": lengths.events,
            "cpu_us_per_event": spent}


def drawn(count: int, seed: int) -> Stream:
    weights = 1 / np.arange(1, KEYS + 1)
    key = np.random.default_rng(seed).choice(KEYS, count, p=weights / weights.sum())
    at_ms = BEGINS_MS + (np.arange(count) * 1000 / RATE_PER_S).astype(np.int64)
    recent, total = reference(key.tolist(), (at_ms // SLICE_MS).tolist())
    return Stream(key, at_ms, np.array(recent), np.array(total))


def reference(keys: list[int], slices: list[int]) -> tuple[list[int], list[int]]:
    """(events of its key in the last SLICES slices, in all) as of each event, one after the other."""
    windows: dict[int, deque[int]] = {}
    totals: dict[int, int] = {}
    recent, total = [], []
    for key, at in zip(keys, slices, strict=True):
        window = windows.setdefault(key, deque())
        window.append(at)
        while window[0] <= at - SLICES:
            window.popleft()
        totals[key] = totals.get(key, 0) + 1
        recent.append(len(window))
        total.append(totals[key])
    return recent, total


def fill(bootstrap: str, stream: Stream) -> None:
    rows = np.zeros(len(stream.key), EVENT)
    rows["number"], rows["at_ms"] = np.arange(len(rows)), stream.at_ms
    blob, size, names = rows.tobytes(), EVENT.itemsize, [b"k%d" % key for key in range(KEYS)]
    keys = stream.key.tolist()
    topics.fill(bootstrap, SOURCE, len(rows), lambda number: blob[number * size : (number + 1) * size], lambda number: names[keys[number]],
                [np.flatnonzero(stream.key % 2 == parity).tolist() for parity in (0, 1)])


def _once(machine: Rig, kind: str, stream: Stream, lengths: Lengths) -> tuple[tuple[float, dict[str, float]], float]:
    """(events/s, CPU per event) of one run, and the share of the cores' time that the host took; raises where the output is not the reference's."""
    machine.topics(SINK)
    pipeline = KINDS[kind]
    with machine.service(pipeline) as address:
        arguments = ["--pipeline", str(pipeline), "--bootstrap-servers", machine.bootstrap, "--service", address]
        with machine.job(paths.JOB_FILE, arguments) as job:
            rate, cpu, stolen = _measured(machine, lengths)
            restarts = machine.rest.checkpoints(job)["counts"]["restored"]  # counts what another leader of the JobManager took up, too
    records = verify(machine.bootstrap, stream, kind == "stateful")
    repeated = records - len(stream.key)
    assert restarts or not repeated, f"{repeated:,} records are there twice, although the job never restarted"
    progress(f"{kind}: {rate:,.0f} events/s; {records:,} records checked, {repeated:,} repeated by {restarts} restarts; stolen {stolen:.1%}")
    machine.delete_topics(SINK)
    return (rate, cpu), stolen


def _measured(machine: Rig, lengths: Lengths) -> tuple[float, dict[str, float], float]:
    """Waits until all events are out; rate, CPU and what was stolen between the two shares."""
    from kafka import KafkaConsumer

    first, last = (int(share * lengths.events) for share in lengths.measured)
    consumer = KafkaConsumer(bootstrap_servers=machine.bootstrap)
    try:
        def until(reached: Callable[[int], bool]) -> tuple[int, float]:
            out, moved = topics.end_offsets(consumer, SINK), time.monotonic()
            while not reached(out):
                time.sleep(topics.POLL_S / 5)
                now = topics.end_offsets(consumer, SINK)
                if now != out:
                    out, moved = now, time.monotonic()
                elif time.monotonic() - moved > STALLED_S:
                    raise TimeoutError(f"{out:,} of {lengths.events:,} events are out, and none came for {STALLED_S:.0f} s")
            return out, time.monotonic()

        begun, at = until(lambda out: out >= first)
        before, taken = machine.cpu_s(), Stolen()
        ended, until_s = until(lambda out: out >= last)
        cpu = {name: round(used / (ended - begun) * 1e6, 2) for name, used in cpu_between(before, machine.cpu_s()).items()}
        stolen = taken.share
        until(lambda out: out >= lengths.events)
    finally:
        consumer.close()
    return (ended - begun) / (until_s - at), cpu, stolen


def verify(bootstrap: str, stream: Stream, stateful: bool) -> int:
    """Records of the output, each compared with the reference; AssertionError where one differs or an event is missing."""
    by_partition: dict[int, list[NDArray]] = {}

    def take(records: list) -> None:
        by_partition.setdefault(records[0].partition, []).append(np.frombuffer(b"".join(record.value for record in records), COUNTED))

    topics.read(bootstrap, SINK, take)
    parts = [np.concatenate(chunks) for chunks in by_partition.values()]
    found = np.concatenate(parts)
    number = found["number"]
    missing = int((np.bincount(number, minlength=len(stream.key)) == 0).sum())
    assert not missing, f"{missing:,} events are missing"
    assert (found["slice"] == stream.at_ms[number] // SLICE_MS).all()
    if stateful:
        for name, wanted in (("recent", stream.recent), ("total", stream.total)):
            wrong = found[name] != wanted[number]
            assert not wrong.any(), f"{int(wrong.sum()):,} records with another {name} than the reference, first of event {number[wrong][0]}"
        for part in parts:
            first = part["number"][np.sort(np.unique(part["number"], return_index=True)[1])]  # of repeats the first
            order = np.argsort(stream.key[first], kind="stable")
            numbers, keys = first[order], stream.key[first][order]
            assert (np.diff(numbers)[np.diff(keys) == 0] > 0).all(), "a key's events are out of order"
    return len(found)
