"""What follows from the profile before anything runs: the SLO, what a rate needs, how far the load is scaled, what runs at first.

    unit       1/8 of a core
    SLO        SLO_FACTOR * p99 of a single row of the most accurate variant on one unit, in whole ms, up
    need(r)    units of the cheapest plan of the most accurate variant for r events/s, as the sidecar's planner has it
    peak       the greatest whole rate that needs at most PEAK_UNITS; the load is scaled so that its greatest second has it
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import ceil

from autoscaler.choice import PATH_MOST, PATH_MS
from autoscaler.graph.pipeline import Pipeline
from autoscaler.planner.catalogue import problem as problem_of
from autoscaler.planner.frontier import attempt
from autoscaler.planner.model import Plan, Problem, Share
from autoscaler.planner.objectives import LeastCost
from autoscaler.planner.profile import Profile
from bench.live.contender import Contender, Start
from bench.live.load import WARM_OF_S, Load

UNIT = 0.125
UNITS = 8
SIZES = tuple(eighths / 8 for eighths in range(1, 9))
"""Cores of a replica that are measured."""
SLO_FACTOR = 4.0
PEAK_UNITS, PEAK_UNITS_LEAST = 7, 6
MOST_RATE = 100_000


class TooSmall(ValueError):
    """The profile does not allow what the bench needs; the text says what."""


def slo_ms(pipeline: Pipeline, profile: Profile) -> float:
    """TooSmall where the point was not measured."""
    own = pipeline.stages[0]
    stage, accurate = profile.stage(own.name), own.most_accurate.name
    for variant in stage.of(accurate) if stage is not None else ():
        for point in variant.points:
            if (point.batch, point.cores) == (1, UNIT):
                return float(ceil(SLO_FACTOR * point.p99_ms))
    raise TooSmall(f"the profile has no single row of {accurate} on {UNIT} cores; measure it with `sluice profile --cores {UNIT}`")


@dataclass(frozen=True, slots=True)
class Planner:
    """pipeline: with the SLO of the runs and one stage."""

    pipeline: Pipeline
    profile: Profile

    def problem(self, rate: float, sizes: Callable[[float], bool] = lambda units: True) -> Problem:
        """The most accurate variant at least cost, of those sizes."""
        path_ms = min(PATH_MS, PATH_MOST * self.pipeline.slo_ms)
        found = problem_of(self.pipeline, self.profile, rate, path_ms=path_ms)
        accurate = self.pipeline.stages[0].most_accurate.name
        (stage,) = found.stages
        options = tuple(option for option in stage.options if option.variant == accurate and sizes(option.units))
        return replace(found, stages=(replace(stage, options=options),), objective=LeastCost())

    def plan(self, rate: float, one_unit: bool = False) -> Share | None:
        """What runs, of one size; None where the budget does not hold what it needs."""
        found = attempt(self.problem(rate, (lambda units: units == UNIT) if one_unit else (lambda units: True)))
        return found.stages[0].shares[0] if isinstance(found, Plan) else None

    def need(self, rate: float) -> float | None:
        """Units; None where the budget does not hold them."""
        share = self.plan(rate)
        return None if share is None else units(share)

    def peak(self) -> int:
        """Events/s. TooSmall where not even one event/s can be carried, or where the rate found needs fewer units than it should."""
        low, high = 0, MOST_RATE
        while low + 1 < high:
            middle = (low + high) // 2
            needed = self.need(float(middle))
            low, high = (middle, high) if needed is not None and needed <= PEAK_UNITS else (low, middle)
        needed = self.need(float(low)) if low else None
        if needed is None or needed < PEAK_UNITS_LEAST:
            raise TooSmall(f"the greatest rate within {PEAK_UNITS} units is {low} events/s, which needs {needed}; {PEAK_UNITS_LEAST} are wanted")
        return low

    def first(self, contender: Contender, load: Load) -> Share:
        """What a contender starts with: as planned, or as many replicas of one unit as carry the rate, at most all units."""
        rate = {Start.FIRST: load.start(WARM_OF_S), Start.PEAK: load.peak, Start.MEAN: load.mean}[contender.start]
        share = self.plan(rate, contender.one_unit)
        if share is not None:
            return share
        (stage,) = self.problem(rate, lambda units: units == UNIT).stages
        return Share(max(stage.options, key=lambda option: option.throughput), UNITS)


def units(share: Share) -> float:
    return share.replicas * share.option.units / UNIT
