"""InfAdapter's capacity table as a problem: what a ResNet carries on a number of cores within a p99.

The table's capacity is the highest rate whose p99 keeps the SLA, without batching. Some rows have a capacity and no p99 (their latency is
then bounded by the SLA alone); the released fit uses them too.

Source: capacity_result_Feb_21.csv and starter.py of the released code.
"""

from __future__ import annotations

import csv
from dataclasses import replace

from autoscaler.planner.model import CPU, Option, Problem, StageModel
from autoscaler.planner.objectives import Weighted
from autoscaler.planner.queueing import NoWait
from autoscaler.policies.infadapter import InfAdapter
from bench.published import data_file
from bench.published.accuracy import INFADAPTER
from bench.published.windows import window

LOAD_S = {"18": 6.44, "34": 6.79, "50": 6.82, "101": 7.77, "152": 8.52}
MEMORY_GB = {"18": 1.25, "34": 1.5, "50": 1.75, "101": 2.25, "152": 2.5}
FIT_CORES = (1, 2, 4, 8, 16)
CORES = 20
SLO_MS = 750


def problem(rate: float = 100.0, slo_ms: int = SLO_MS) -> Problem:
    """One stage, five variants, 1..20 cores. slo_ms: 500, 750, 1000 or 1500, as measured."""
    options = []
    with data_file("infadapter", "capacity_result_Feb_21.csv").open(encoding="utf-8", newline="") as lines:
        for line in csv.DictReader(lines):
            if int(line["SLA"]) == slo_ms and float(line["capacity"]) > 0:
                variant, cores = line["ARCH"], float(line["CPU"])
                options.append(Option(variant, 1, cores, min(float(line["p99_latency"] or slo_ms), slo_ms), float(line["capacity"]),
                                      INFADAPTER[variant], cores, memory_gb=MEMORY_GB[variant]))
    return Problem((StageModel("resnet", tuple(options)),), rate, slo_ms, Weighted(1.0, 0.05 / CORES), NoWait(), {CPU: float(CORES)})


def policy(rate: float = 100.0, slo_ms: int = SLO_MS) -> InfAdapter:
    """As released: the load times, the sizes of the fit."""
    return replace(InfAdapter.of(problem(rate, slo_ms)), load_s=LOAD_S, fit_cores=FIT_CORES)


def rates() -> tuple[float, ...]:
    """Events/s in each of the 1,260 seconds of the run."""
    return window("infadapter_eval")
