"""End-to-end latency of pipelines/digits.yaml as shipped at 200 and 2,000 events/s, beside the same network in a vectorised UDF inside Flink.

Open loop: each event has an intended send time, and latency is the output's append time minus that (one clock, whole milliseconds). An
event that is not in the output counts as infinitely late; `missed` is the share over the SLO. The two paths take turns at each rate.
The JVMs compile for the first minutes of their lives, and live through the whole bench: each path's first run warms up for longer.
A run while the host takes the cores away is made again, a few times at most (bench/host.py); one that stays disturbed is printed and left
out of the medians, unless all are.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field
from functools import partial

from autoscaler.graph.reader import read_pipeline
from bench import open_loop
from bench.host import DISTURBED, Stolen, undisturbed
from bench.operator_path import IN_FLINK, newest_version
from bench.report import progress, table
from bench.rig import Rig, rig
from jobs.embedded import paths
from operators.repository import default_root

PIPELINE = paths.ROOT / "pipelines" / "digits.yaml"
RATES = (200, 2_000)
UDF_BUNDLE = 1_000
UDF_BUNDLE_MS = 10
INFINITE_MS = float("inf")
TRIES = 4
"""Of one run, while the host disturbs it."""
SETTLE_S = 120.0
"""Waited at most for the host before another try."""


@dataclass(frozen=True, slots=True)
class Lengths:
    """seconds: warm-up of a path's first run and of its later ones, measured part of a run; repeats of each path and rate."""

    first_warm_s: float
    warm_s: float
    steady_s: float
    repeats: int


FULL = Lengths(first_warm_s=90.0, warm_s=30.0, steady_s=30.0, repeats=3)
QUICK = Lengths(first_warm_s=6.0, warm_s=6.0, steady_s=6.0, repeats=1)


@dataclass
class Latencies:
    """ms of each measured event, sorted when asked; those without an answer are infinite. stolen: share of the cores' time, by the host."""

    ms: list[float] = field(default_factory=list)
    stolen: float = 0.0

    def quantile(self, share: float) -> float:
        ordered = sorted(self.ms)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]

    def missed(self, slo_ms: float) -> float:
        return sum(ms > slo_ms for ms in self.ms) / len(self.ms)


def run(quick: bool, seed: int) -> dict:
    lengths = QUICK if quick else FULL
    pipeline = read_pipeline(PIPELINE)
    found: dict[tuple[str, int], list[Latencies]] = {}
    rss: dict[str, float] = {}
    with rig(slots=4) as machine:
        machine.topics(pipeline.source.name, pipeline.sink.name, pipeline.dead_letters.name)
        for repeat in range(lengths.repeats):
            for path in ("service", "udf"):
                warm_s = lengths.warm_s if repeat else lengths.first_warm_s
                for rate, latencies in _path(machine, pipeline, path, warm_s, lengths.steady_s, seed + repeat, rss).items():
                    found.setdefault((path, rate), []).append(latencies)
    figures: dict = {"slo_ms": pipeline.slo_ms, "rss_mb": rss}
    rows = []
    for rate in RATES:
        kept = {path: [one for one in found[path, rate] if one.stolen <= DISTURBED] or found[path, rate] for path in ("service", "udf")}
        middle = {path: {name: statistics.median(one.quantile(share) for one in kept[path])
                         for name, share in (("p50_ms", 0.5), ("p99_ms", 0.99))} for path in ("service", "udf")}
        missed = statistics.median(one.missed(pipeline.slo_ms) for one in kept["service"])
        stolen = max(one.stolen for runs in kept.values() for one in runs)
        figures[str(rate)] = {**middle["service"], **{f"udf_{name}": value for name, value in middle["udf"].items()}, "missed": round(missed, 5),
                              "stolen_most": round(stolen, 4)}
        rows += [[f"{rate:,}/s", path, middle[path]["p50_ms"], middle[path]["p99_ms"],
                  ", ".join(f"{one.quantile(0.5):.0f}/{one.quantile(0.99):.0f}" for one in found[path, rate])] for path in ("service", "udf")]
    print(table(["rate", "path", "p50 ms", "p99 ms", "p50/p99 of each run"], rows))
    print("resident MB: " + ", ".join(f"{name} {size:,.0f}" for name, size in rss.items()))
    return figures


def _path(machine: Rig, pipeline, path: str, warm_s: float, steady_s: float, seed: int, rss: dict[str, float]) -> dict[int, Latencies]:
    if path == "udf":
        sink = f"{pipeline.sink.name}-udf-{seed}"
        machine.topics(sink)
        start = pipeline.stage("classify").variant
        arguments = ["--kind", "udf", "--bootstrap", machine.bootstrap, "--source", pipeline.source.name, "--sink", sink,
                     "--jar", str(paths.CONNECTOR_JAR), "--operator", "operators.digits:Classifier", "--variant", start,
                     "--model-dir", newest_version(default_root() / "digits" / start), "--startup", "latest-offset",
                     "--bundle", str(UDF_BUNDLE), "--bundle-ms", str(UDF_BUNDLE_MS)]
        with machine.job(IN_FLINK, arguments):
            return _rates(machine, pipeline.source.name, sink, warm_s, steady_s, seed, path)
    with machine.service(PIPELINE) as address:
        arguments = ["--pipeline", str(PIPELINE), "--bootstrap-servers", machine.bootstrap, "--service", address, "--starting-offsets", "latest"]
        with machine.job(paths.JOB_FILE, arguments):
            measured = _rates(machine, pipeline.source.name, pipeline.sink.name, warm_s, steady_s, seed, path)
            rss.update(machine.rss_mb())
            return measured


def _rates(machine: Rig, source: str, sink: str, warm_s: float, steady_s: float, seed: int, path: str) -> dict[int, Latencies]:
    """Warms at the higher rate, then measures each."""
    open_loop.send(machine.bootstrap, source, f"warm-{path}-{seed}", open_loop.poisson(max(RATES), warm_s, seed))
    measured = {}
    for rate in RATES:
        measured[rate] = undisturbed(partial(_once, machine, source, sink, rate, steady_s, seed, path), SETTLE_S, tries=TRIES)
    return measured


def _once(machine: Rig, source: str, sink: str, rate: int, steady_s: float, seed: int, path: str, attempt: int) -> tuple[Latencies, float]:
    prefix = f"{path}-{seed}-{rate}-{attempt}"
    stolen = Stolen()
    sent = open_loop.send(machine.bootstrap, source, prefix, open_loop.poisson(rate, steady_s, seed))
    share = stolen.share
    appended = open_loop.answers(machine.bootstrap, sink, prefix, len(sent), lambda record: record.timestamp)
    found = Latencies([appended[one] - due if one in appended else INFINITE_MS for one, due in sent.items()], share)
    progress(f"{path} at {rate:,}/s: p50 {found.quantile(0.5):.0f} ms, p99 {found.quantile(0.99):.0f} ms of {len(sent):,}; stolen {share:.1%}")
    return found, share
