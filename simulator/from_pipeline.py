"""A pipeline file and its profile as what is simulated.

    graph      the stages as stations. Every row goes one way on, to the first stage whose `when` it meets (graph.routes):
                   p(s) = left * taken(s), left = 1 - the p of those before; `taken` from the profile. Where the profile does not know it,
                   what is left is split evenly among that way and those after it, and `assumed` says so
               A fan-out makes as many rows of one as the profile measured for its variant; where devices differ, their mean. Its rows choose
               their way one by one
    truth      mean of a batch of b rows: linear between the measured batches of the same variant, device and cores, beyond the last as
               between the last two. Noise: log-normal through p50 and p99, of each stage the median of its points:
                   s = ln(p99 / p50) / 2.326      cv = sqrt(exp(s^2) - 1)
    problem    the planner's (planner.catalogue): its options are the profile's points, so here planners know the truth but for its noise
    initial    what the file starts with (catalogue.starting)
    changes    cold start, load and resize times of the profile (policies.change_times)

An event's accuracy is the product over the stages that it passed, as the planner's; a stage that is passed by some rows only counts for
these. Stages that a foreign endpoint serves are replicas like others.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from math import exp, log, sqrt
from statistics import NormalDist, median

from autoscaler.graph.pipeline import SOURCE, Pipeline, Stage
from autoscaler.graph.routes import choices
from autoscaler.graph.shares import deadline_shares
from autoscaler.planner.catalogue import problem as problem_of
from autoscaler.planner.catalogue import starting
from autoscaler.planner.model import Option, Problem, Share
from autoscaler.planner.profile import Point, Profile, StageProfile
from autoscaler.policies.change_times import ChangeTimes, measured
from operators.batching import AdaptiveRule
from simulator.arrivals import Arrivals
from simulator.network import Branch, Children, FanOut, Graph, Station
from simulator.scenario import Scenario
from simulator.truth import Truth

P99 = NormalDist().inv_cdf(0.99)
Key = tuple[str, str, str, float]
"""Stage, variant, device, units."""


@dataclass(frozen=True, slots=True)
class Model:
    """assumed: what neither the file nor the profile says, a sentence each."""

    problem: Problem
    graph: Graph
    truth: Truth
    initial: Mapping[str, tuple[Share, ...]]
    changes: ChangeTimes
    assumed: tuple[str, ...] = ()

    def scenario(self, arrivals: Arrivals) -> Scenario:
        return Scenario(self.problem, self.graph, arrivals, self.truth, self.initial, self.changes, self.problem.devices)


def model(pipeline: Pipeline, profile: Profile, rate: float) -> Model:
    """rate: events/s that policies which plan once plan for. planner.catalogue.Unmeasured names what the profile lacks."""
    problem = problem_of(pipeline, profile, rate)
    ways = _Ways(pipeline, profile)
    graph = Graph(tuple(ways.station(stage) for stage in pipeline.stages), ways.source(), pipeline.join.horizon_ms / 1000, pipeline.join.incomplete)
    return Model(problem, graph, truth(profile), starting(pipeline, problem), measured(profile), tuple(ways.assumed))


def truth(profile: Profile) -> Truth:
    """What the profile measured."""
    lines: dict[Key, list[Point]] = {}
    for stage in profile.stages:
        for variant in stage.variants:
            for point in variant.points:
                lines.setdefault((stage.name, variant.name, variant.device, float(point.cores)), []).append(point)
    tables = {key: _table(points) for key, points in lines.items()}
    return Truth(partial(_latency_ms, tables), cvs={stage.name: _cv(stage) for stage in profile.stages})


Table = tuple[tuple[int, ...], tuple[float, ...]]


def _table(points: list[Point]) -> Table:
    ordered = sorted(points, key=lambda point: point.batch)
    return tuple(point.batch for point in ordered), tuple(point.mean_ms for point in ordered)


def _latency_ms(tables: Mapping[Key, Table], stage: str, option: Option, rows: int) -> float:
    batches, means = tables[stage, option.variant, option.device, option.units]
    if len(batches) == 1:
        return means[0]
    after = min(max(1, bisect_left(batches, rows)), len(batches) - 1)
    low, high = batches[after - 1], batches[after]
    slope = (means[after] - means[after - 1]) / (high - low)
    return max(means[after - 1] + slope * (rows - low), min(means) / 10)  # noise in the profile may slope down


def _cv(stage: StageProfile) -> float:
    spreads = [log(point.p99_ms / point.p50_ms) / P99 for variant in stage.variants for point in variant.points]
    return sqrt(exp(median(spreads) ** 2) - 1) if spreads else 0.0


class _Ways:
    """assumed: found on the way."""

    def __init__(self, pipeline: Pipeline, profile: Profile) -> None:
        self.assumed: list[str] = []
        self._pipeline, self._profile = pipeline, profile
        self._shares = deadline_shares(pipeline)

    def source(self) -> Branch:
        branch = self._branch(SOURCE)
        if any(name is None for name, _ in branch.ways):
            raise ValueError(f"pipeline {self._pipeline.name}: some events pass all stages by; give one of the first stages no `when`")
        return branch

    def station(self, stage: Stage) -> Station:
        after: Branch | FanOut = self._branch(stage.name)
        if stage.fan_out:
            widths = self._widths(stage)
            after = FanOut((Children(after, sum(widths.values()) / len(widths), widths),))
        return Station(stage.name, after, stage.join, stage.is_plain_join, AdaptiveRule, stage.on_late, self._shares[stage.name] or 1.0)

    def _branch(self, name: str) -> Branch:
        ways = choices(self._pipeline.stages, name)
        left, shares = 1.0, dict[str | None, float]()
        for at, way in enumerate(ways):
            taken = self._taken(name, way.to, way.when, len(ways) - at)
            shares[way.to] = shares.get(way.to, 0.0) + left * taken
            left *= 1 - taken
        return Branch(tuple((to, share) for to, share in shares.items() if share > 0))

    def _taken(self, name: str, to: str | None, when: str | None, ways: int) -> float:
        if when is None or to is None:
            return 1.0
        stage = self._profile.stage(to)
        if stage is not None and stage.taken is not None:
            return stage.taken
        self.assumed.append(f"1 of {ways} rows from {name} that get there meet the `when` of {to}: the profile does not know how many (taken)")
        return 1.0 / ways

    def _widths(self, stage: Stage) -> dict[str, float]:
        found: dict[str, list[float]] = {}
        of_stage = self._profile.stage(stage.name)
        for variant in of_stage.variants if of_stage is not None else ():
            if variant.fan_out is not None:
                found.setdefault(variant.name, []).append(variant.fan_out.mean)
        return {name: sum(means) / len(means) for name, means in found.items()}
