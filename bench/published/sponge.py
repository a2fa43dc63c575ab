"""Sponge's published run: one stage, a fitted latency surface, and the SLO that is left of each second's events after a 4G network.

    l(b, c)  ms of a batch = scale (32.252 b / c + 2.662 b + 3.122 / c + 6.121): eq. 2 fitted to the digitised figure, b <= 8, c <= 16
             (R2 .998, MAE 2 ms); scale 1 like YOLOv5n, 2 like YOLOv5s
    spent    ms of the SLO used on the way, each second, payload 100, 200 or 500 KB = SLO - remaining SLO as released (slas.csv)

Source: Sponge (EuroMLSys'24, arXiv 2404.00704), released configurations: 20 events/s, SLO 1000 ms, b <= 8, c <= 16, 600 s.
"""

from __future__ import annotations

import csv

from autoscaler.planner.model import Option, Problem, StageModel
from autoscaler.planner.objectives import LeastCost
from autoscaler.planner.queueing import NoWait
from bench.published import data_file

FIT = (32.252, 2.662, 3.122, 6.121)
SLO_MS = 1000.0
RATE = 20.0
MOST_BATCH = 8
MOST_CORES = 16


def latency_ms(batch: int, cores: int, scale: float = 1.0) -> float:
    gamma, delta, epsilon, eta = FIT
    return scale * (gamma * batch / cores + delta * batch + epsilon / cores + eta)


def problem(scale: float = 1.0, rate: float = RATE) -> Problem:
    """One stage, one instance; cost is cores."""
    options = tuple(
        Option("yolov5", batch, cores, ms := latency_ms(batch, cores, scale), 1000 * batch / ms, 1.0, float(cores))
        for cores in range(1, MOST_CORES + 1) for batch in range(1, MOST_BATCH + 1))
    return Problem((StageModel("detect", options),), rate, SLO_MS, LeastCost(), NoWait())


def spent_ms(payload_kb: int) -> tuple[float, ...]:
    """Of each of the 600 seconds. ValueError for a payload that was not published."""
    with data_file("sponge", "slas.csv").open(encoding="utf-8", newline="") as lines:
        for row in csv.reader(lines):
            if row[0] == str(payload_kb):
                return tuple(SLO_MS - 1000 * float(remaining_s) for remaining_s in row[1:])
    raise ValueError(f"no payload of {payload_kb} KB was published")


def measured_ms() -> dict[tuple[int, int], float]:
    """(batch, cores) to ms, as digitised; beyond the fit's range too."""
    with data_file("sponge", "latency_vs_cpu_batch_digitised.csv").open(encoding="utf-8", newline="") as lines:
        return {(int(row["batch"]), int(row["cores"])): float(row["latency_ms"]) for row in csv.DictReader(lines)}
