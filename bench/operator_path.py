"""Events per second, Kafka to Kafka, of one operator on four paths: through the service, in a vectorised UDF inside Flink, in a PyFlink
`map`, in Python's `AsyncDataStream`. Same preloaded topic, same sink, same key, value and headers of the output, the runs interleaved on one
machine. `udf_bare` is the UDF that passes its input's headers on and says nothing of what it did.

The service runs as `make run` starts it: replica process, deadline queue, headers, telemetry, sidecar, a checkpoint every second. The UDF
is measured at each point of a grid of bundle sizes and parallelisms in a short run, then at the best one. After each run every record of
the output is read back: its id must be one of the input's and its value what the operator answers to that input.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench import topics
from bench.host import Stolen, undisturbed
from bench.report import progress, table
from bench.rig import Rig, cpu_between, rig
from jobs.embedded import paths

HERE = Path(__file__).parent
IN_FLINK = HERE / "contenders" / "in_flink.py"
KINDS = ("service", "udf", "udf_bare", "map", "async")
IN_TURNS = ("service", "udf")
"""Those that are compared; the others run once, at the end: what their jobs leave behind in the TaskManager slows down whatever runs after them."""
WARM = 2
IN_FLIGHT_MOST = 100_000
"""Rows that a path may hold: more than that behind the first unanswered row, and one was lost."""
GRID = [(bundle, parallelism) for bundle in (10_000, 100_000) for parallelism in (1, 2)]
"""Bundles of 1,000 rows carried half as many events as those of 10,000."""


@dataclass(frozen=True, slots=True)
class Work:
    """An operator and its input."""

    name: str
    pipeline: Path
    operator: str
    variant: str
    model: str
    value: Callable[[int], bytes]
    expected: Callable[[int], bytes | None]
    is_alike: Callable[[bytes, bytes], bool] = bytes.__eq__


@dataclass(frozen=True, slots=True)
class Lengths:
    """Of a run, in seconds: before counting, counted, and waited beforehand at most for a host that settles. warm_s: the same of the
    runs of the service before all that count, WARM of them, in which its JVM code is compiled, as that of the UDF is in its grid. repeats of
    each path. events: preloaded, more than the fastest path takes in a run."""

    warm_s: float
    ramp_s: float
    steady_s: float
    grid_s: float
    settle_s: float
    repeats: int
    events: int


FULL = Lengths(warm_s=60.0, ramp_s=20.0, steady_s=20.0, grid_s=8.0, settle_s=180.0, repeats=5, events=40_000_000)
QUICK = Lengths(warm_s=0.0, ramp_s=3.0, steady_s=4.0, grid_s=0.0, settle_s=0.0, repeats=1, events=700_000)


def run(quick: bool, seed: int) -> dict:
    lengths = QUICK if quick else FULL
    works = [trivial()] if quick else [trivial(), network(seed)]
    kinds = ("service", "udf") if quick else KINDS
    figures = {}
    with rig(slots=4) as machine:
        for work in works:
            figures[work.name] = _measure(machine, work, kinds, lengths)
    return figures


def trivial() -> Work:
    def value(number: int) -> bytes:
        return b"%099d" % number

    return Work("trivial", HERE / "pipelines" / "trivial.yaml", "bench.contenders.echo:Echo", "only", "", value,
                lambda number: value(number) + b"!")


def network(seed: int) -> Work:
    from bench.answers import digit_answers, is_alike
    from operators.datasets import digits
    from operators.repository import default_root

    rows = [digits()[1].row(index) for index in range(len(digits()[1]))]
    answers = digit_answers(rows, "mlp")
    return Work("network", HERE / "pipelines" / "network.yaml", "operators.digits:Classifier", "mlp",
                str(default_root() / "digits" / "mlp"), lambda number: rows[number % len(rows)], lambda number: answers[number % len(rows)], is_alike)


def _measure(machine: Rig, work: Work, kinds: tuple[str, ...], lengths: Lengths) -> dict:
    source = f"{work.name}-in"
    machine.topics(source, f"{work.name}-dead-letters")
    progress(f"{work.name}: preloading {lengths.events:,} events")
    topics.fill(machine.bootstrap, source, lengths.events, work.value)
    best = _best_udf(machine, work, lengths) if lengths.grid_s else (10_000, 1)
    for _ in range(WARM if lengths.warm_s else 0):
        _once(machine, work, "service", best, lengths.warm_s, lengths.steady_s, lengths.events)
    rates: dict[str, list[float]] = {kind: [] for kind in kinds}
    profile: dict[str, float] = {}
    for repeat in range(lengths.repeats):
        for kind in kinds if repeat == lengths.repeats - 1 else IN_TURNS:
            steady, cpu = _undisturbed(machine, work, kind, best, lengths.steady_s, lengths)
            rates[kind].append(steady.events_per_s)
            if kind == "service":
                profile = {name: round(spent / steady.events * 1e6, 2) for name, spent in cpu.items()}
    middle = {kind: statistics.median(found) for kind, found in rates.items()}
    ratio = statistics.median(service / udf for service, udf in zip(rates["service"], rates["udf"], strict=True))
    print(f"\n{work.name}: UDF at bundle {best[0]:,}, parallelism {best[1]}; service/UDF {ratio:.2f}, the median of the turns")
    print(table(["path", "events/s (median)", "runs"], [[kind, middle[kind], ", ".join(f"{r:,.0f}" for r in rates[kind])] for kind in kinds]))
    print("CPU of the service's path, microseconds per event: " + ", ".join(f"{name} {spent}" for name, spent in profile.items()))
    bare = {"ratio_udf_bare": round(middle["service"] / middle["udf_bare"], 3)} if "udf_bare" in kinds else {}
    return {**{f"{kind}_eps": round(middle[kind], 1) for kind in kinds}, "ratio_udf": round(ratio, 3), **bare,
            "udf_best": {"bundle": best[0], "parallelism": best[1]}, "service_cpu_us_per_event": profile}


def _best_udf(machine: Rig, work: Work, lengths: Lengths) -> tuple[int, int]:
    found = {}
    for point in GRID:
        steady, _ = _undisturbed(machine, work, "udf", point, lengths.grid_s, lengths)
        found[point] = steady.events_per_s
    print(f"\n{work.name}: the UDF's grid")
    print(table(["bundle", "parallelism", "events/s"], [[*point, rate] for point, rate in found.items()]))
    return max(found, key=lambda point: found[point])


def _undisturbed(machine: Rig, work: Work, kind: str, udf: tuple[int, int], steady_s: float, lengths: Lengths):
    def run(_attempt: int):
        steady, cpu, stolen = _once(machine, work, kind, udf, lengths.ramp_s, steady_s, lengths.events)
        return (steady, cpu), stolen

    return undisturbed(run, lengths.settle_s, lengths.settle_s)


def _once(machine: Rig, work: Work, kind: str, udf: tuple[int, int], ramp_s: float, steady_s: float, events: int):
    """One run: its steady rate, the CPU that each process spent meanwhile and what the host took; raises when any record of the output is
    wrong."""
    sink = f"{work.name}-out"
    machine.topics(sink)
    before: dict[str, float] = {}
    taken: list[Stolen] = []
    shares: list[float] = []

    def begin() -> None:
        before.update(machine.cpu_s())
        taken.append(Stolen())

    def watch() -> topics.Steady:
        steady = topics.watch(machine.bootstrap, sink, ramp_s=ramp_s, steady_s=steady_s, limit_s=120.0, total=events, on_steady=begin)
        shares.append(taken[0].share)
        return steady

    if kind == "service":
        with machine.service(work.pipeline) as address:
            arguments = ["--pipeline", str(work.pipeline), "--bootstrap-servers", machine.bootstrap, "--service", address]
            with machine.job(paths.JOB_FILE, arguments):
                steady = watch()
                cpu = cpu_between(before, machine.cpu_s())
    else:
        bundle, parallelism = udf if kind in ("udf", "udf_bare") else (1_000, 1)
        arguments = ["--kind", kind.removesuffix("_bare"), "--bootstrap", machine.bootstrap, "--source", f"{work.name}-in", "--sink", sink,
                     "--jar", str(paths.CONNECTOR_JAR), "--operator", work.operator, "--variant", work.variant,
                     "--bundle", str(bundle), "--parallelism", str(parallelism)]
        if work.model:
            arguments += ["--model-dir", newest_version(Path(work.model))]
        if kind == "udf_bare":
            arguments += ["--bare"]
        with machine.job(IN_FLINK, arguments):
            steady = watch()
            cpu = cpu_between(before, machine.cpu_s())
    checked = topics.verify(machine.bootstrap, sink, events, work.expected, work.is_alike)
    progress(f"{work.name} {kind}: {steady.events_per_s:,.0f} events/s over {steady.seconds:.0f} s; stolen {shares[0]:.1%}; "
             f"{checked['records']:,} records checked")
    wrong = {name: checked[name] for name in ("wrong_value", "unknown_id") if checked[name]}
    if checked["distinct"] - checked["contiguous"] > IN_FLIGHT_MOST:
        wrong["answered past a gap"] = checked["distinct"] - checked["contiguous"]
    if wrong:
        raise AssertionError(f"{work.name} {kind}: {wrong} in the output")
    machine.delete_topics(sink)
    return steady, cpu, shares[0]


def newest_version(folder: Path) -> str:
    """The highest version of a model's variant, as the service would choose."""
    versions = [int(found.name) for found in folder.iterdir() if found.name.isdigit()]
    return str(folder / str(int(np.max(versions))))
