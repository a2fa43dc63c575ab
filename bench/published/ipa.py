"""IPA's published runs: the pipelines from the profile rows that there are, and the (accuracy, cost) steps of its figures.

    profile row   complete when it has both the p99 of a batch and the greatest throughput, of a variant at a size and a batch
    step          what ran after one decision of 10 s: accuracy, and cost in the figure's unit
    unit          cost of a core in a figure = its first step's cost / cores of the run's initial configuration; 2 in the video figures (both of
                  the start's two cores count twice, RIM's six replicas of one core count 12; figures 14 and 16 give half), 1 in the audio ones

Accuracies of the figures: series 14 and 20 are the first version's, the sum of ranks; 18 and 21 the revised one's, the product in %.
The video pipeline's task names are IPA's, crop and classification.

Source: IPA's repository, read back from its notebooks and vector figures (shared data, SOURCES.md).
"""

from __future__ import annotations

import csv
import functools
from dataclasses import dataclass

from autoscaler.planner.model import AccuracyRule, Option, Problem, StageModel
from autoscaler.planner.objectives import Weighted
from autoscaler.planner.queueing import Fill, FillWait
from autoscaler.policies.ipa import Ipa
from bench.published import accuracy, data_file
from bench.published.windows import window

SLO_MS = {"video": 6897.0, "audio-qa": 9236.0, "audio-sent": 10132.0}
SERIES = {"video": ("14", "18", "20", "21"), "audio-qa": ("14", "18"), "audio-sent": ("14", "18")}
RANKED = ("14", "20")
SYSTEMS = ("IPA", "FA2-low", "FA2-high", "RIM")
WINDOWS = {"Bursty": "ipa_bursty", "Steady_Low": "ipa_steady_low", "Steady_High": "ipa_steady_high", "Fluctuating": "ipa_fluctuating"}
INITIAL_CORES = {"video": {"RIM": 6}, "audio-qa": {}, "audio-sent": {}}
"""Of the start, as the runs' configurations say: a core for each of two stages, three replicas each in RIM's video runs."""
FA2_HIGH = {"crop": "yolov5s", "classification": "resnet101"}


@dataclass(frozen=True, slots=True)
class Row:
    """latency_ms: p99 of a batch."""

    variant: str
    cores: int
    batch: int
    latency_ms: float
    throughput: float


@dataclass(frozen=True, slots=True, order=True)
class Step:
    """accuracy: in the figure's terms, to 0.01. cost: in cores."""

    pipeline: str
    series: str
    workload: str
    system: str
    accuracy: float
    cost: float


@functools.cache
def rows() -> tuple[Row, ...]:
    """The complete rows, one for each variant, size and batch: the greatest throughput, at which the pipeline was driven hardest."""
    found: dict[tuple[str, int, int], Row] = {}
    with data_file("ipa", "notebook_profile_rows.csv").open(encoding="utf-8", newline="") as lines:
        for line in csv.DictReader(lines):
            if line["latency_p99_s"] and line["throughput_max_rps"]:
                row = Row(line["variant"], int(line["cpu"]), int(line["batch"]), 1000 * float(line["latency_p99_s"]), float(line["throughput_max_rps"]))
                key = (row.variant, row.cores, row.batch)
                if key not in found or row.throughput > found[key].throughput:
                    found[key] = row
    return tuple(found.values())


def measured_gain() -> float:
    """The most that batching raised the throughput of any variant at any size, over its batch of one."""
    alone = {(row.variant, row.cores): row.throughput for row in rows() if row.batch == 1}
    return max(row.throughput / alone[row.variant, row.cores] for row in rows() if (row.variant, row.cores) in alone)


def problem(pipeline: str = "video", rate: float = 10.0) -> Problem:
    """A chain of the pipeline's tasks with the options of the complete rows. ValueError when a task has none."""
    stages: list[StageModel] = []
    for task, table in accuracy.ipa(pipeline).items():
        options = tuple(Option(row.variant, row.batch, float(row.cores), row.latency_ms, row.throughput, table[row.variant], float(row.cores))
                        for row in rows() if row.variant in table)
        if not options:
            raise ValueError(f"no complete profile row for any variant of {task}")
        stages.append(StageModel(task, options, after=(stages[-1].name,) if stages else ()))
    return Problem(tuple(stages), rate, SLO_MS[pipeline], Weighted(2.0, 1.0, 1e-6), FillWait(Fill.MEAN))


def system(name: str, given: Problem, ranked: bool) -> Ipa:
    """One of the four as its runs of the video pipeline were configured."""
    free = Ipa(given, ranked=ranked, accuracy=AccuracyRule.SUM if ranked else AccuracyRule.PRODUCT)
    match name:
        case "FA2-low":
            return Ipa(given, ranked=ranked, accuracy=free.accuracy, variants={"crop": "yolov5n", "classification": "resnet18"})
        case "FA2-high":
            return Ipa(given, ranked=ranked, accuracy=free.accuracy, variants=FA2_HIGH)
        case "RIM":
            return Ipa(given, ranked=ranked, accuracy=free.accuracy, replicas={stage.name: 3 for stage in given.stages})
        case _:
            return free


def rates(workload: str) -> tuple[float, ...]:
    """Events/s in each second of the window."""
    return window(WINDOWS[workload])


def unit(pipeline: str, series: str, workload: str, name: str) -> float:
    """What a core costs in a figure: from its first step and the run's initial configuration."""
    return round(column(pipeline, series, workload, "cost", name)[0] / INITIAL_CORES[pipeline].get(name, 2))


def steps(pipeline: str) -> list[Step]:
    """The different steps of every figure, without each run's first, which is given and not decided."""
    found: set[Step] = set()
    for series in SERIES[pipeline]:
        for workload in WINDOWS:
            for name in SYSTEMS:
                core = unit(pipeline, series, workload, name) if pipeline == "video" else 1.0
                pairs = zip(column(pipeline, series, workload, "PAS", name), column(pipeline, series, workload, "cost", name), strict=True)
                found |= {Step(pipeline, series, workload, name, round(value, 2) + 0.0, round(cost / core, 1)) for value, cost in list(pairs)[1:]}
    return sorted(found)


def column(pipeline: str, series: str, workload: str, what: str, name: str) -> list[float]:
    """A run of a figure as it was read back, one value for each step, the start first. what: "PAS", "cost"."""
    path = data_file("ipa", "figure_series", f"metaseries-{series}-{pipeline}__{workload}__{what}__{name}.csv")
    with path.open(encoding="utf-8", newline="") as lines:
        return [float(line["value"]) for line in csv.DictReader(lines)]
