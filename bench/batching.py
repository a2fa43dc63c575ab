"""The batch rules side by side in real processes, on a published trace: who is late least often.

Stage     `classify` of pipelines/digits.yaml as shipped (batches of up to 64, one replica, one core), with its dearest variant, the ensemble of
          five trained convolutional networks, for every rule. It runs as in the service: HostedStage and replica process; the client is in the
          service's own process, and each row is a request of its own.
Trace     Proteus' zipf_exponential, all nine families together, with the trace's own SLO: 300 ms of every request. MEASURED are its seconds
          around the peak; in every tenth of a second rows come as a Poisson process of the trace's rate times a printed factor, drawn from a
          seed. Open loop: latency counts from the time a row was meant to be sent.
Bound     `unavoidable_share`: what a rule violates at least that always runs at the speed of the largest batches and knows what comes: a fluid queue
          that holds an SLO of work. No ratio can be below ratio_possible, this share by the best other rule's: where batches are short beside
          the SLO, as here, early drop leaves next to nothing to be gained, and half of its violations is out of reach of any rule.
Violation a row answered late, dropped, expired or failed. rows_per_s: rows answered in time.
Rules     fixed, AIMD (Clipper) and early drop (Nexus, with its released code's windows and latencies) at the best of a printed grid, in the
          simulator, which runs the same objects, on other seconds of the trace (TUNED) with a factor that makes their mean rate the same;
          tuned anew for every load. Adaptive has nothing to tune.
Loads     `load` is where the best other rule violates about AIM: searched in the simulator, then corrected by pilot runs of that rule in real
          processes, with arrivals of other seeds. The other two are LOADS times that. The simulator's service times are the replica's own,
          measured at first.

Rules take turns, every repeat with a seed of its own. The full run takes about 12 minutes, a minute more for each later pilot.
"""

from __future__ import annotations

import asyncio
import contextlib
import statistics
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from itertools import cycle

import numpy as np
from numpy.typing import NDArray

from autoscaler.graph.pipeline import Stage as StageSpec
from autoscaler.graph.reader import read_pipeline
from autoscaler.planner.model import Option, Problem, Share, StageModel
from autoscaler.planner.objectives import LeastCost
from autoscaler.planner.queueing import FillWait
from bench.published import data_file
from bench.published.proteus import FAMILIES, SLO_MS
from bench.report import progress, table
from jobs.embedded import paths
from operators.actions import Answer, Setting, Status
from operators.batching import AdaptiveRule, AimdRule, EarlyDropRule, FixedRule, Rule
from operators.datasets import digits
from operators.hosted import HostedStage
from operators.lanes import Lanes, LaneSetting
from operators.protocol.rows import RowTable, encode
from operators.repository import default_root
from operators.requests import Request
from operators.serving import open_variant
from operators.stage import Stage
from operators.telemetry import StageTelemetry
from simulator.arrivals import Arrivals, Stamps
from simulator.network import Station, chain
from simulator.outcome import Outcome
from simulator.proxy import Gathering
from simulator.scenario import Scenario
from simulator.simulation import simulate
from simulator.truth import Truth

Times = NDArray[np.float64]
Make = Callable[[], Rule]

PIPELINE = paths.ROOT / "pipelines" / "digits.yaml"
VARIANT = "ensemble"
TRACE = "zipf_exponential"
MEASURED, TUNED = (88, 108), (64, 84)  # seconds of the trace
BIN_S = 0.1
SLO_S = SLO_MS / 1000
AIM = 0.03  # violations of the best other rule, and what counts as hit
HIT = (0.022, 0.06)
LOADS = (0.85, 1.0, 1.15)
FEWEST = 20  # violations of the best other rule; with fewer no ratio is given
PILOTS = 5
LATE_S = 0.05
SIZES = (1, 2, 4, 8, 16, 32, 64)
GRIDS: Mapping[str, Mapping[str, Make]] = {
    "fixed": {f"{size} rows, {wait_ms} ms": partial(FixedRule, size, wait_ms / 1000) for size in (16, 32, 64) for wait_ms in (5, 20)},
    "aimd": {f"step {step}": partial(AimdRule, step) for step in (1, 2, 4, 8)},
    "early_drop": {f"target {target}": partial(EarlyDropRule, target) for target in (16, 32, 48, 64)},
}
RULES = ("adaptive", *GRIDS)


@dataclass(frozen=True, slots=True)
class Figures:
    """Of one run."""

    rows: int
    violations: int
    rows_per_s: float

    @property
    def share(self) -> float:
        return self.violations / self.rows


@dataclass(frozen=True, slots=True)
class Tuned:
    """Of each rule: what was chosen, and the violations it had in the simulator."""

    makes: dict[str, Make]
    names: dict[str, str]
    shares: dict[str, float]

    @property
    def best_other(self) -> str:
        return min(GRIDS, key=lambda rule: self.shares[rule])


def run(quick: bool, seed: int) -> dict:
    return asyncio.run(_run(quick, seed))


async def _run(quick: bool, seed: int) -> dict:
    times_ms = await calibrate(4 if quick else 40)
    fastest = max(1000 * rows / statistics.median(times_ms[rows]) for rows in SIZES)
    progress(f"ms by rows: { {rows: round(statistics.median(found), 2) for rows, found in times_ms.items()} }; at most {fastest:.0f} rows/s")
    loads, repeats, cut_s = ((1.0,), (1,), 2) if quick else (LOADS, (1, 3, 1), 20)
    truth = truth_of(times_ms)
    found = search(truth, fastest, cut_s, seed)
    tuned = tune(truth, found, cut_s, seed)
    factor = found if quick else await corrected(tuned, found, seed)
    sides = []
    for load, times in zip(loads, repeats, strict=True):
        chosen = tuned if load == 1.0 else tune(truth, load * factor, cut_s, seed)
        sides.append(await side_by_side(chosen, load * factor, times, fastest, cut_s, seed))
    decisive = sides[loads.index(1.0)]
    return {**decisive, "simulated_load": found, "loads": sides, "service_ms": {rows: statistics.median(each) for rows, each in times_ms.items()},
            "slo_ms": SLO_MS, "trace": TRACE, "measured_s": MEASURED, "tuned_s": TUNED}


# arrivals


def stamps(seconds: tuple[int, int], factor: float, seed: int, cut_s: float = 1000) -> Times:
    """When rows are meant to be sent, s from the beginning of those seconds of the trace."""
    first, last = seconds[0], min(seconds[1], seconds[0] + cut_s)
    counts = np.histogram(_trace(), np.arange(first, last + BIN_S / 2, BIN_S))[0]
    random = np.random.default_rng(seed)
    return np.sort(np.concatenate([BIN_S * (at + random.random(random.poisson(factor * count))) for at, count in enumerate(counts)]))


def elsewhere(factor: float, cut_s: float = 1000) -> float:
    """The factor that gives TUNED the mean rate which `factor` gives MEASURED."""
    here, there = (np.histogram(_trace(), (first, min(last, first + cut_s)))[0][0] for first, last in (MEASURED, TUNED))
    return factor * float(here / there)


@cache
def _trace() -> Times:
    """Seconds of all families' requests."""
    lines = [line for family in FAMILIES for line in data_file("proteus", "traces", TRACE, "300", f"{family}.txt").read_text().splitlines() if line]
    return np.array([float(line.split(",")[0]) / 1000 for line in lines])


# the simulator


def truth_of(times_ms: Mapping[int, Sequence[float]]) -> Truth:
    """Medians of the measured times, straight in between; their spread from the largest batches."""
    means = [statistics.median(times_ms[rows]) for rows in SIZES]
    spread = float(np.subtract(*np.percentile(times_ms[SIZES[-1]], [84, 16]))) / 2 / means[-1]
    return Truth(lambda stage, option, rows: float(np.interp(rows, SIZES, means)), min(0.5, spread))


def simulated(truth: Truth, make: Make, times: Times, seed: int) -> float:
    """Share of violations."""
    option = Option(VARIANT, SIZES[-1], 1.0, 1.0, 1.0, 1.0, 1.0)
    problem = Problem((StageModel("classify", (option,)),), 1.0, SLO_MS, LeastCost(), FillWait())
    arrivals = Arrivals(Stamps(times), SLO_S)
    at_once = Gathering(max_rows=1, linger_s=0.0, window=10**9)
    scenario = Scenario(problem, chain(Station("classify", rule=make)), arrivals, truth, {"classify": (Share(option, 1),)}, gathering=at_once)
    tally = simulate(scenario, seed=seed, records=False).tally
    return 1 - float(tally.outcomes[Outcome.IN_TIME]) / tally.events


def tune(truth: Truth, factor: float, cut_s: float, seed: int) -> Tuned:
    times = stamps(TUNED, elsewhere(factor, cut_s), seed + 500, cut_s)
    makes, names, shares = {"adaptive": AdaptiveRule}, {"adaptive": "as it is"}, {"adaptive": simulated(truth, AdaptiveRule, times, seed)}
    for rule, grid in GRIDS.items():
        found = {name: simulated(truth, make, times, seed) for name, make in grid.items()}
        names[rule] = min(found, key=found.__getitem__)
        makes[rule], shares[rule] = grid[names[rule]], found[names[rule]]
        progress(f"{rule} at factor {factor:.3f}, simulated: {', '.join(f'{name} {100 * share:.2f} %' for name, share in found.items())}")
    return Tuned(makes, names, shares)


def search(truth: Truth, fastest: float, cut_s: float, seed: int) -> float:
    """The factor at which the simulated early drop, of full batches, violates AIM: from half of the rows that the replica can do to 1.2 of them."""
    mean = len(stamps(MEASURED, 1.0, seed, cut_s)) / min(cut_s, MEASURED[1] - MEASURED[0])
    low, high = 0.5 * fastest / mean, 1.2 * fastest / mean
    for _ in range(6):
        middle = (low + high) / 2
        times = stamps(MEASURED, middle, seed + 500, cut_s)
        least = simulated(truth, EarlyDropRule, times, seed)
        low, high = (middle, high) if least < AIM else (low, middle)
    return low


# real processes


class Client:
    """Sends rows at their times and hears what becomes of them."""

    def __init__(self, hosted: HostedStage) -> None:
        self._hosted = hosted
        self._loop = asyncio.get_running_loop()
        self._images = cycle([RowTable(encode([image.tobytes()]), 1) for image in digits()[1].images.astype(np.uint8)])
        self._left = 0
        self._done = asyncio.Event()
        self.in_time = 0

    async def send(self, times: Times) -> Figures:
        """Returns when every row has its answer or is late."""
        self._left, self.in_time = len(times), 0
        self._done.clear()
        began = self._loop.time() + 0.1
        due = began + times
        sent = 0
        while sent < len(due):
            ready = int(np.searchsorted(due, self._loop.time(), "right"))
            for at in range(sent, ready):
                self._hosted.submit(Request("classify", "", next(self._images), due[at : at + 1] + SLO_S, None, self, 1))
            sent = max(sent, ready)
            if sent < len(due):
                await asyncio.sleep(max(0.0, float(due[sent]) - self._loop.time()))
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._done.wait(), SLO_S + LATE_S)
        self._hosted.forget(self)  # what is late by now counts as that, whenever it is answered
        while not self._hosted.stage.idle:
            await asyncio.sleep(LATE_S)
        return Figures(len(times), len(times) - self.in_time, self.in_time / float(times[-1]))

    def answered(self, request: Request, answer: Answer) -> None:
        self.in_time += bool(answer.status[0] < Status.FAILED and self._loop.time() <= request.deadlines[0])
        self._left -= 1
        if not self._left:
            self._done.set()


@contextlib.asynccontextmanager
async def serving(*rules: Rule) -> AsyncIterator[list[HostedStage]]:
    """A stage with a replica of its own for each rule."""
    pipeline = read_pipeline(PIPELINE)
    spec: StageSpec = replace(pipeline.stages[0], variant=VARIANT)
    setting = Setting(open_variant(spec, VARIANT), 1, spec.batch_max, spec.cores)
    stages = [HostedStage(spec, Lanes([LaneSetting(setting)], partial(Stage, on_late=spec.on_late, rule=rule)),
                          StageTelemetry(pipeline.name, spec.name, SLO_MS), default_root()) for rule in rules]
    try:
        for hosted in stages:
            hosted.start()
        for hosted in stages:
            while not hosted.stage.ready:
                hosted.changed.clear()
                await hosted.changed.wait()
        yield stages
    finally:
        for hosted in stages:
            await hosted.close()


async def calibrate(repeats: int) -> dict[int, list[float]]:
    """ms from sending to the answer of batches of each size, alone, sizes in turns; the first of each warms up."""
    found: dict[int, list[float]] = {rows: [] for rows in SIZES}
    image = digits()[1].images[0].astype(np.uint8).tobytes()
    loop = asyncio.get_running_loop()
    async with serving(FixedRule(1 << 20, 0.0)) as (hosted,):
        for number in range(repeats + 1):
            for rows in SIZES:
                heard = _Heard()
                began = loop.time()
                hosted.submit(Request("classify", "", RowTable(encode([image] * rows), rows), np.full(rows, began + SLO_S), None, heard, rows))
                await heard.done
                if number:
                    found[rows].append(1000 * (loop.time() - began))
    return found


class _Heard:
    """Owner of one request that runs as one batch."""

    def __init__(self) -> None:
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def answered(self, request: Request, answer: Answer) -> None:
        self.done.set_result(None)


async def corrected(tuned: Tuned, factor: float, seed: int) -> float:
    """The factor at which the best other rule violates what is AIMed at, in real processes, as near as PILOTS runs get."""
    async with serving(tuned.makes[tuned.best_other]()) as (hosted,):
        client = Client(hosted)
        for number in range(PILOTS):
            share = (await client.send(stamps(MEASURED, factor, seed + 1000 + number))).share
            progress(f"pilot: {tuned.best_other} ({tuned.names[tuned.best_other]}) violates {100 * share:.2f} % at factor {factor:.3f}")
            if HIT[0] <= share <= HIT[1]:
                break
            factor *= 1 + max(-0.1, min(0.05, AIM - share))  # a percent more load makes about as much more late
    return factor


def unavoidable(times: Times, fastest: float) -> float:
    """Share of rows that no rule can answer in time with so many rows/s at most: the overflow of a fluid queue that holds SLO_S of work."""
    left, lost, before = 0.0, 0, 0.0
    for at in times.tolist():
        left, before = max(0.0, left - (at - before)), at
        if left + 1 / fastest > SLO_S:
            lost += 1
        else:
            left += 1 / fastest
    return lost / len(times)


async def side_by_side(tuned: Tuned, factor: float, repeats: int, fastest: float, cut_s: float, seed: int) -> dict:
    """All rules in turns on MEASURED."""
    runs: dict[str, list[Figures]] = {rule: [] for rule in RULES}
    async with serving(*(tuned.makes[rule]() for rule in RULES)) as stages:
        clients = {rule: Client(hosted) for rule, hosted in zip(RULES, stages, strict=True)}
        bounds = [unavoidable(stamps(MEASURED, factor, seed + number, cut_s), fastest) for number in range(repeats)]
        for number in range(repeats):
            times = stamps(MEASURED, factor, seed + number, cut_s)
            for rule in RULES[number % len(RULES) :] + RULES[: number % len(RULES)]:
                runs[rule].append(await clients[rule].send(times))
                progress(f"factor {factor:.3f}, {len(times) / times[-1]:.0f} rows/s, seed {seed + number}: {rule} ({tuned.names[rule]}) "
                         f"violates {100 * runs[rule][-1].share:.2f} %")
        batches = {rule: hosted.telemetry.tally for rule, hosted in zip(RULES, stages, strict=True)}
    found: dict = {"load": factor, "rows_per_s": statistics.mean(one.rows for one in runs["adaptive"]) / (min(cut_s, MEASURED[1] - MEASURED[0]))}
    for rule, each in runs.items():
        rows = sum(one.rows for one in each)
        tally = batches[rule]
        found[rule] = {"violation_share": sum(one.violations for one in each) / rows, "rows_per_s": statistics.mean(one.rows_per_s for one in each),
                       "violations": sum(one.violations for one in each), "rows": rows, "shares": [one.share for one in each],
                       "setting": tuned.names[rule], "simulated_share": tuned.shares[rule],
                       "rows_per_batch": tally.batch_rows / tally.batches, "released": dict(tally.released)}
    found["unavoidable_share"] = statistics.mean(bounds)
    found["best_other"] = min(GRIDS, key=lambda rule: found[rule]["violation_share"])
    best = found[found["best_other"]]
    enough = best["violations"] >= FEWEST
    found["ratio_best_other"] = found["adaptive"]["violation_share"] / best["violation_share"] if enough else None
    found["ratio_possible"] = found["unavoidable_share"] / best["violation_share"] if enough else None
    print(f"no rule could violate less than {100 * found['unavoidable_share']:.2f} %; ratio to {found['best_other']}: "
          f"{found['ratio_best_other']}, at least {found['ratio_possible']}")
    print(table([f"factor {factor:.3f}, {found['rows_per_s']:.0f} rows/s", "setting", "violations, %", "in time, rows/s", "rows a batch"],
                [[rule, tuned.names[rule], 100 * found[rule]["violation_share"], found[rule]["rows_per_s"], found[rule]["rows_per_batch"]] for rule in RULES]))
    return found
