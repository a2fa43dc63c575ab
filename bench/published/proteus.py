"""Proteus' nine families on its three kinds of device, and the requests of its traces.

A family is a stage right behind the source with its part of the requests. Batches 1, 2, 4, 8, latency the table's average. The cluster
of the paper's text is 20 cores, 10 GTX 1080 Ti and 10 V100 (from memory), the simulator's default 10 of each kind: `PAPER`, `SIMULATOR`.

The table is kept as it is: four BERTs take exactly 1 ms on a core, and yolov5m is below yolov5s (their columns are swapped). The data's
licence allows comparison only, so no figure of it stands here.

Source: profiling/aggregate_profiled.csv, traces/model_variants, traces/twitter/asplos of the released simulator.
"""

from __future__ import annotations

import csv
from collections import Counter, defaultdict

import numpy as np
from numpy.typing import NDArray

from autoscaler.planner.model import Option, Problem, RateTerm, StageModel
from autoscaler.planner.objectives import MostAccurate
from autoscaler.planner.queueing import NoWait
from bench.published import data_file

FAMILIES = ("bert", "densenet", "efficientnet", "gpt2", "mobilenet", "resnest", "resnet", "t5", "yolo")
BATCHES = (1, 2, 4, 8)
SLO_MS = 300.0
PAPER = {"cpu": 20.0, "gpu_pascal": 10.0, "gpu_ampere": 10.0}
SIMULATOR = {"cpu": 10.0, "gpu_pascal": 10.0, "gpu_ampere": 10.0}
TRACES = ("zipf_exponential", "medium-normal_load", "zipf_uniform")


def problem(trace: str = "zipf_exponential", devices: dict[str, float] | None = None, slo_ms: float = SLO_MS) -> Problem:
    """All families, each with its part of the trace's requests; rate: the trace's mean."""
    seconds = requests(trace)
    parts = {family: sum(counts) for family, counts in seconds.items()}
    total = sum(parts.values())
    found = profile()
    stages = tuple(StageModel(family, tuple(option for variant in variants(family) for option in found.get(variant, ())),
                              rates=(RateTerm(None, parts[family] / total),)) for family in FAMILIES)
    length = max(len(counts) for counts in seconds.values())
    return Problem(stages, total / length, slo_ms, MostAccurate(), NoWait(), devices if devices is not None else PAPER)


def variants(family: str) -> tuple[str, ...]:
    """Names of the family's variants, as the simulator offers them."""
    lines = data_file("proteus", "model_variants", family).read_text(encoding="utf-8").splitlines()
    return tuple(line.split(",")[0] for line in lines if line)


def profile() -> dict[str, tuple[Option, ...]]:
    """Options by variant. A row that stands twice counts once, the first."""
    found: dict[str, dict[tuple[str, int], Option]] = defaultdict(dict)
    with data_file("proteus", "aggregate_profiled.csv").open(encoding="utf-8", newline="") as lines:
        for line in csv.DictReader(lines):
            batch, kind, latency = int(line["batchsize"]), line["Accel"].removeprefix("onnxruntime_"), float(line["avg_latency(ms)"])
            if batch in BATCHES and latency > 0:
                option = Option(line["Model"], batch, 1.0, latency, 1000 * batch / latency, float(line["Normalized_Accuracy"]) / 100, 1.0, kind)
                found[line["Model"]].setdefault((kind, batch), option)
    return {variant: tuple(options.values()) for variant, options in found.items()}


def requests(trace: str) -> dict[str, list[int]]:
    """Requests in each second by family."""
    found: dict[str, list[int]] = {}
    for family in FAMILIES:
        with data_file("proteus", "traces", trace, "300", f"{family}.txt").open(encoding="utf-8") as lines:
            seconds = Counter(int(float(line.split(",")[0])) // 1000 for line in lines if line.strip())
        found[family] = [seconds.get(second, 0) for second in range(max(seconds, default=-1) + 1)]
    return found


def stamps(trace: str) -> NDArray[np.float64]:
    """Times of all families' requests, s, ascending."""
    lines = (line for family in FAMILIES for line in data_file("proteus", "traces", trace, "300", f"{family}.txt").read_text(encoding="utf-8").splitlines())
    return np.sort(np.array([float(line.split(",")[0]) / 1000 for line in lines if line.strip()]))


def rates(trace: str) -> tuple[float, ...]:
    """Requests/s of all families in each second."""
    seconds = requests(trace)
    length = max(len(counts) for counts in seconds.values())
    return tuple(float(sum(counts[second] for counts in seconds.values() if second < len(counts))) for second in range(length))
