"""Themis' two released pipelines as problems: latency by its fitted surface with 10 % on top, whole ms and whole rows/s.

    l(b, c)  ms of a batch = ceil(M (alpha b / c + MB beta b + gamma / c + ceil(zeta'))), zeta' = zeta + (alpha + beta + gamma + zeta) / 10
    h(b, c)  rows/s of an instance = floor(1000 b / l)
    cost     of an instance = GB of memory + 18 c, 18 the price of a core in GB
    M = MB   1 for video, 1.1 for sentiment;   b, c in 1..4;   a rate is the window's divided by 1.5 * {video 1, sentiment 1.7}

Source: Themis (arXiv 2407.14843), experiment_parameters/*.json and starter.py of the released code.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass

from autoscaler.planner.model import Option, Problem, StageModel
from autoscaler.planner.objectives import LeastCost
from autoscaler.policies.horizontal_dp import PUBLISHED_SIZING
from bench.published import data_file
from bench.published.windows import window

CORE_GB = 18.0
MULTIPLIERS = {"video": 1.0, "sentiment": 1.1}
DIVIDERS = {"video": 1.5, "sentiment": 1.5 * 1.7}
BEGINS_S = 15 * 86400 + 84 * 60 + 450
"""First second of the Twitter run in the trace."""
LEAST_RATE = 1.0
"""Of the released workload: no second has fewer events."""


@dataclass(frozen=True, slots=True)
class Surface:
    """Fitted by Themis' authors. coefficients: alpha, beta, gamma, zeta, ms."""

    name: str
    coefficients: tuple[float, float, float, float]
    memory_gb: float
    most_batch: int = 4
    most_cores: int = 4


def surfaces(pipeline: str) -> tuple[tuple[Surface, ...], float]:
    """The stages of "video" or "sentiment", and the SLO in ms."""
    released = json.loads(data_file("themis", f"{pipeline}.json").read_text(encoding="utf-8"))
    stages = tuple(
        Surface(stage["stage_name"], tuple(stage["latency_model"]), float(stage["container_configs"]["request_mem"].removesuffix("G")),
                stage["max_batch_size"], stage["max_cores"]) for stage in released["stages"])
    return stages, float(released["SLO"])


def latency_ms(coefficients: Sequence[float], batch: int, cores: int, multiplier: float = 1.0) -> int:
    """l(b, c), with M = MB = multiplier."""
    alpha, beta, gamma, zeta = coefficients
    raised = math.ceil(zeta + (alpha + beta + gamma + zeta) / 10)
    return math.ceil(multiplier * (alpha * batch / cores + multiplier * beta * batch + gamma / cores + raised))


def problem(stages: Sequence[Surface], slo_ms: float, rate: float, multiplier: float = 1.0) -> Problem:
    """A chain of them; deadlines strict, as in the released solver."""
    models = []
    for stage in stages:
        options = []
        for cores in range(1, stage.most_cores + 1):
            for batch in range(1, stage.most_batch + 1):
                ms = latency_ms(stage.coefficients, batch, cores, multiplier)
                options.append(Option("released", batch, cores, ms, 1000 * batch // ms, 1.0, stage.memory_gb + CORE_GB * cores))
        models.append(StageModel(stage.name, tuple(options), after=(models[-1].name,) if models else ()))
    return Problem(tuple(models), rate, slo_ms, LeastCost(), PUBLISHED_SIZING, strict=True)


def released(pipeline: str, rate: float) -> Problem:
    """The pipeline as released, at a rate."""
    stages, slo_ms = surfaces(pipeline)
    return problem(stages, slo_ms, rate, MULTIPLIERS[pipeline])


def rates(pipeline: str) -> tuple[float, ...]:
    """Events/s in each of the 660 seconds of the Twitter run."""
    return tuple(max(LEAST_RATE, rate) for rate in window("themis_twitter", DIVIDERS[pipeline]))
