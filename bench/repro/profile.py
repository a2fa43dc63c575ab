"""What planners know of the truth: a fit to samples of it, drawn with another seed, without its bias.

    l(o, b)    mean ms of the truth                                              (simulator.truth.Surface)
    y          samples, SAMPLES at every measured (variant, device, batch, units): l times log-normal noise of the level's cv
    m          mean by point; over sizes and batches an Amdahl surface fitted to it, where it has only some of them the mean itself
    w          ln(1 + v^2), v^2 = mean of (y / m - 1)^2: the spread as it was measured
    q-quantile of a batch   m exp(-w/2 + z(q) sqrt(w)),  as of a log-normal distribution

The product's own model of a stage takes the q-quantile as latency and 1000 b / m as throughput, as `sluice profile` and
`planner.catalogue` do of measured points. Papers take m in their own forms.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import exp, log, sqrt
from statistics import NormalDist

import numpy as np

from autoscaler.planner.latency import LatencyModel, Measurement, Table, fit_amdahl
from autoscaler.planner.model import Option, Problem
from autoscaler.planner.queueing import ServiceWait, stage_share
from bench.repro.level import Level
from simulator.truth import Surface

SAMPLES = 20
SLO_SHARE = 0.99
"""Of the events that the product's own planner is asked to keep to the SLO, in every study."""
LEAST_FOR_A_SURFACE = 6
"""Points; of fewer, or where only batches or only sizes differ, the means are the profile."""

Key = tuple[str, str, str]
"""Stage, variant, device."""
Fit = Callable[[Sequence[Measurement]], LatencyModel]


@dataclass(frozen=True, slots=True)
class Profile:
    """models: mean ms by batch and units. scv: squared coefficient of variation as measured, by stage."""

    models: Mapping[Key, LatencyModel]
    scv: Mapping[str, float]

    def mean_ms(self, stage: str, option: Option) -> float:
        return self.models[stage, option.variant, option.device].latency_ms(option.batch, option.units)


def surface_or_means(points: Sequence[Measurement]) -> LatencyModel:
    """An Amdahl surface where sizes and batches vary, else what was measured."""
    if len(points) >= LEAST_FOR_A_SURFACE and min(len({point.batch for point in points}), len({point.units for point in points})) > 1:
        return fit_amdahl(points)
    return means(points)


def means(points: Sequence[Measurement]) -> LatencyModel:
    """What was measured, for who plans with measured points only."""
    return Table(tuple(points))


def profiled(problem: Problem, surface: Surface, level: Level, seed: int, fit: Fit = surface_or_means) -> Profile:
    """Every option of the problem measured. seed: of the run; the samples have a stream of their own."""
    random = np.random.default_rng([seed, 0x5A3D])
    spread = log(1 + level.cv**2)
    models: dict[Key, LatencyModel] = {}
    scv: dict[str, float] = {}
    for stage in problem.stages:
        points: dict[Key, list[Measurement]] = {}
        squares = []
        for option in stage.options:
            samples = surface(stage.name, option, option.batch) * np.exp(random.normal(-spread / 2, sqrt(spread), SAMPLES))
            mean = float(samples.mean())
            squares.append(float(((samples / mean - 1) ** 2).sum() / (SAMPLES - 1)))
            points.setdefault((stage.name, option.variant, option.device), []).append(Measurement(option.batch, option.units, mean))
        models |= {key: fit(measured) for key, measured in points.items()}
        scv[stage.name] = float(np.mean(squares))
    return Profile(models, scv)


def ours(problem: Problem, profile: Profile, stages_on_a_way: int | None = None) -> Problem:
    """The problem as the product's planner gets it: options by the profile, its own sizing, deadlines as they are written.

    stages_on_a_way: of the longest; None = all, as in a chain.
    """
    share = stage_share(SLO_SHARE, stages_on_a_way or len(problem.stages))
    stages = []
    for stage in problem.stages:
        root = log(1 + profile.scv[stage.name])
        factor = exp(-root / 2 + NormalDist().inv_cdf(share) * sqrt(root))
        stages.append(replace(stage, options=tuple(_measured(option, profile.mean_ms(stage.name, option), factor) for option in stage.options)))
    return replace(problem, stages=tuple(stages), sizing=ServiceWait(share, service_scv=float(np.mean(list(profile.scv.values())))), strict=False)


def _measured(option: Option, mean_ms: float, factor: float) -> Option:
    return replace(option, latency_ms=mean_ms * factor, throughput=1000 * option.batch / mean_ms)
