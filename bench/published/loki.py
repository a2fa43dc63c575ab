"""Loki's traffic analysis: a detector, cars to a classifier, persons to a second one; rates and accuracy that hang on the detector.

    rate(cars) = rate * objects per frame [detector] * part of cars [detector];   persons alike
    accuracy   of a (detector, classifier) pair end to end, as measured; the pairs that were not measured may not be chosen

The second classifier has latencies and no accuracies: its stage counts as right (1.0). Latency: the 95th percentile of the simulator's table, at
batches that are powers of two. The data's licence allows comparison only, so no figure of it stands here.

Source: src/simulator/profiling, profiling/profiled and traces/apps of the released simulator.
"""

from __future__ import annotations

import csv

from autoscaler.planner.model import GivenVariant, Option, Problem, RateTerm, StageModel
from autoscaler.planner.objectives import MostAccurate
from autoscaler.planner.queueing import NoWait
from bench.published import data_file

DETECTION, CARS, PERSONS = "object_detection", "car_classification", "facial_recognition"
DETECTORS = ("yolov5n", "yolov5s", "yolov5m", "yolov5l", "yolov5x")
CLASSIFIERS = tuple(f"eb{number}" for number in range(7))
PERSONS_VARIANT = "genderNet_11"
BATCHES = (1, 2, 4, 8, 16, 32, 64)
SLO_MS = 500.0
DEVICES = {"gpu_pascal": 20.0}


def problem(rate: float = 20.0, devices: dict[str, float] | None = None, slo_ms: float = SLO_MS) -> Problem:
    """The three tasks on the kinds of device named (20 GTX 1080 Ti)."""
    kinds = devices if devices is not None else DEVICES
    detectors, cars = options(DETECTORS, kinds), options(tuple(f"efficientnet-b{number}" for number in range(7)), kinds)
    cars = tuple(_renamed(option, option.variant.replace("efficientnet-b", "eb")) for option in cars)
    found, part_cars, part_persons = branching()
    stages = (
        StageModel(DETECTION, detectors),
        StageModel(CARS, cars, after=(DETECTION,), accuracy_given=GivenVariant(DETECTION, end_to_end()),
                   rates=(RateTerm(DETECTION, 1.0, {name: found[name] * part_cars[name] for name in DETECTORS}),)),
        StageModel(PERSONS, options((PERSONS_VARIANT,), kinds), after=(DETECTION,),
                   rates=(RateTerm(DETECTION, 1.0, {name: found[name] * part_persons[name] for name in DETECTORS}),)),
    )
    return Problem(stages, rate, slo_ms, MostAccurate(), NoWait(), kinds)


def options(variants: tuple[str, ...], kinds: dict[str, float]) -> tuple[Option, ...]:
    """Every batch of the variants on the kinds; accuracy 1.0, which the end-to-end table replaces."""
    found = []
    with data_file("loki", "src_simulator_profiling_simulator_runtimes.csv").open(encoding="utf-8", newline="") as lines:
        for line in csv.DictReader(lines):
            kind, batch = line["Accel"].removeprefix("onnxruntime_"), int(line["batchsize"])
            if line["Model"] in variants and kind in kinds and batch in BATCHES:
                latency = float(line["95th_pct"])
                found.append(Option(line["Model"], batch, 1.0, latency, 1000 * batch / latency, 1.0, 1.0, kind))
    return tuple(found)


def end_to_end() -> dict[tuple[str, str], float]:
    """Accuracy by (detector, classifier)."""
    table = {}
    with data_file("loki", "profiling_profiled_accuracy_all.csv").open(encoding="utf-8", newline="") as lines:
        for line in csv.DictReader(lines):
            name = line[""]
            table[name.rsplit("_", 1)[1], name.split("_", 1)[0]] = float(line["e2e_acc"])
    return table


def branching() -> tuple[dict[str, float], dict[str, float], dict[str, float]]:
    """Objects per frame, the part of cars and the part of persons, by detector."""
    with data_file("loki", "profiling_profiled_branching_all.csv").open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    return tuple({row["model"]: float(row[column]) for row in rows}
                 for column in ("avg_mult_factor", "avg_car_branch_prob", "avg_face_branch_prob"))


def _renamed(option: Option, variant: str) -> Option:
    return Option(variant, option.batch, option.units, option.latency_ms, option.throughput, option.accuracy, option.cost, option.device)
