"""Requests per second of the simulator on one core: two stages, 80 % load, batches up to 8, the product's own queue, rule and stage.

Each stage has 32 replicas of l(b) = 2 + b ms with noise of 15 %, so 25,600 rows/s at full batches; 20,480 events/s come as a Poisson
process with an SLO of 300 ms, gathered by proxies with the connector's own settings. Nothing is planned: decisions are counted apart, by the
controller's clock, when there are any. Each figure is the median of several runs of other seeds; a first run warms up, and runs from which the
host takes the cores are made again, a few times at most (bench/host.py).

What it costs depends on how many rows travel together, so a larger and two smaller pipelines are run beside it: 128 replicas each at 81,920
events/s, 8 at 5,120, and one each at 60 events/s, where every micro-batch is one row. `product_share` is the share of the time, in a
profile, that the product's own queue, rule and stage take: the limit for any simulator that runs them.
"""

from __future__ import annotations

import cProfile
import pstats
import resource
import statistics
import time
from collections.abc import Iterable
from functools import partial

from autoscaler.planner.model import Option, Problem, Share, StageModel
from autoscaler.planner.objectives import LeastCost
from autoscaler.planner.queueing import FillWait
from bench.host import TRIES, Stolen, undisturbed
from bench.report import progress, table
from simulator.arrivals import Arrivals, Poisson
from simulator.network import graph_of
from simulator.scenario import Scenario
from simulator.simulation import simulate
from simulator.truth import Truth

BATCH = 8
FIXED_MS, ROW_MS = 2.0, 1.0
LOAD = 0.8
SLO_S = 0.3
SETTLE_S = 60.0
"""Waited at most for the host before runs are made again."""


def run(quick: bool, seed: int) -> dict:
    seconds, repeats, tries = (2, 3, 1) if quick else (15, 5, TRIES)
    busy, larger, smaller, sparse = (_scenario(replicas, rate, length) for replicas, rate, length in (
        (32, LOAD * 32 * _full_rate(), seconds), (128, LOAD * 128 * _full_rate(), max(1, seconds // 4)),
        (8, LOAD * 8 * _full_rate(), 3 * seconds), (1, 60.0, 60 * seconds)))
    simulate(busy, seed=seed)

    def median(scenario: Scenario, what: str, records: bool = False) -> float:
        rates = undisturbed(partial(_rates, scenario, range(seed, seed + repeats), records), SETTLE_S, tries=tries)
        progress(f"{what}: {[round(one) for one in rates]} requests/s")
        return statistics.median(rates)

    without = median(busy, "records off")
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # before records are kept
    figures = {"requests_per_s": without, "with_records_per_s": median(busy, "records on", records=True), "peak_rss_mb": peak_mb,
               "many_replicas_per_s": median(larger, "128 replicas"), "eight_replicas_per_s": median(smaller, "8 replicas"),
               "single_rows_per_s": median(sparse, "single rows"), "product_share": _product_share(busy, seed)}
    print(table(["two stages, 80 % load, batch up to 8", "figure"], [[name, round(value, 2)] for name, value in figures.items()]))
    return figures


def _full_rate() -> float:
    return 1000 * BATCH / (FIXED_MS + ROW_MS * BATCH)


def _scenario(replicas: int, rate: float, seconds: int) -> Scenario:
    latency_ms = FIXED_MS + ROW_MS * BATCH
    option = Option("m", BATCH, 1.0, latency_ms, _full_rate(), 0.9, 1.0)
    stages = (StageModel("first", (option,)), StageModel("second", (option,), ("first",)))
    problem = Problem(stages, rate, 1000 * SLO_S, LeastCost(), FillWait())
    truth = Truth(lambda stage, option, rows: FIXED_MS + ROW_MS * rows, 0.15)
    return Scenario(problem, graph_of(problem), Arrivals(Poisson([rate] * seconds), SLO_S), truth,
                    {stage.name: (Share(option, replicas),) for stage in stages})


def _rates(scenario: Scenario, seeds: Iterable[int], records: bool, attempt: int) -> tuple[list[float], float]:
    """Requests/s of each run, and what was stolen meanwhile."""
    stolen = Stolen()
    rates: list[float] = []
    for seed in seeds:
        began = time.perf_counter()
        done = simulate(scenario, seed=seed, records=records, clock=time.perf_counter)
        rates.append(done.tally.events / (time.perf_counter() - began - done.decision_s))
    return rates, stolen.share


def _product_share(scenario: Scenario, seed: int) -> float:
    """Share of the profiled time inside `operators`, with what its functions call of Python and numpy."""
    profile = cProfile.Profile()
    profile.runcall(simulate, scenario, seed=seed, records=False)
    own = pstats.Stats(profile).stats
    total = sum(timing[2] for timing in own.values())
    inside = sum(timing[2] for (path, _, _), timing in own.items() if "/operators/" in path)
    inside += sum(caller[2] for (path, _, _), timing in own.items() if path == "~" for (calling, _, _), caller in timing[4].items() if "/operators/" in calling)
    return inside / total
