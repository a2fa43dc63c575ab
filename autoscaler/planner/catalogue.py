"""A planning problem from a pipeline file and its profile.

    p(a->s)   share of the rows that leave a for s: over choices(a) in order, taken(s) of what the choices before have left. Where the
              profile does not know it, all are taken and all are left: 1, conservative
    w(a, v)   rows that variant v of a fan-out makes of one; 1 where a does not fan out
    rate(s)   sum over a of p(a->s) w(a, v) rate(a); of a join the rate at its fan-out, each parent once
    after(s)  the stages whose value may arrive, but those that another of them comes after
    weight(s) share of the events that get there, at most 1
    q         quantile that every stage keeps to: 1 - (1 - slo_share) / most stages on a way, at most 0.9999     bound (union)
    latency   of an option: ceil(W/b) batches at its q-quantile, W the most rows of one event at the stage; children of a join at q^(1/W)
    h         rows/s measured back to back

An option is a measured point: variant, batch and cores. Nothing is interpolated. Budgets: cores and GPU slots are devices `cpu` and
`gpu`; replicas bound each stage by what is left when all others have their least. A replica costs its cores or slots at `prices`.
A join without operator takes no time and is left out. A stage that a foreign endpoint serves is planned if the profile has its points
(device `foreign`, variant `default` where the file names none), and costs nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil

from autoscaler.graph.draw import fan_outs_within
from autoscaler.graph.pipeline import SOURCE, Objective, Pipeline, Stage, VariantSpec
from autoscaler.graph.routes import choices, feeders
from autoscaler.graph.shares import deadline_shares
from autoscaler.planner.model import CPU, Option, Problem, RateTerm, Share, Sizing, StageModel
from autoscaler.planner.model import Objective as Aim
from autoscaler.planner.objectives import LeastCost, MostAccurate, Weighted
from autoscaler.planner.profile import Point, Profile, StageProfile, VariantProfile, Width
from autoscaler.planner.queueing import ServiceWait, join_share, stage_share

GPU = "gpu"
FOREIGN = "foreign"
PRICES = {CPU: 1.0, GPU: 10.0, FOREIGN: 0.0}
"""Of a unit, in cores. The GPU's is a guess; say what yours costs."""

AIMS: dict[Objective, Aim] = {
    Objective.ACCURACY: MostAccurate(),
    Objective.COST: LeastCost(),
    Objective.BALANCED: Weighted(alpha=100.0, beta=1.0),  # a core for a hundredth of accuracy
}
GRID_CELLS = 1000
"""Of the latency axis, at least; a cell is never longer than 1 ms."""
MOST_SHARE = 0.9999
"""Of a stage's rows: no queue keeps all of them to a time."""
SHARE_OF_BATCH = 0.5
"""Of a stage's share of the SLO, for one batch of what a pipeline starts with."""


class Unmeasured(ValueError):
    """The profile lacks what the pipeline needs; the text says what and how to measure it."""


def problem(
    pipeline: Pipeline,
    profile: Profile,
    rate: float,
    *,
    path_ms: float = 0.0,
    sizing: Sizing | None = None,
    prices: Mapping[str, float] = PRICES,
) -> Problem:
    """What to plan at `rate` events/s. path_ms: part of the SLO that goes to what is no stage: broker, Flink, network.

    sizing: by default the operator service's own, at q. Unmeasured names what the profile lacks.
    """
    if profile.pipeline != pipeline.name:
        raise Unmeasured(f"the profile is of pipeline {profile.pipeline}, not {pipeline.name}; {_mend()}")
    if not 0 <= path_ms < pipeline.slo_ms:
        raise ValueError(f"path_ms is {path_ms:g}; use 0 to less than the SLO, {pipeline.slo_ms:g} ms")
    share = min(stage_share(pipeline.slo_share, most_on_a_way(pipeline)), MOST_SHARE)
    catalogue = _Catalogue(pipeline, profile, share, prices)
    budget = pipeline.budget
    devices = {kind: float(units) for kind, units in ((CPU, budget.cores), (GPU, budget.gpu_slots)) if units is not None}
    slo_ms = pipeline.slo_ms - path_ms
    return Problem(
        stages=tuple(catalogue.stage(stage) for stage in pipeline.stages if not stage.is_plain_join),
        rate=rate,
        slo_ms=slo_ms,
        objective=AIMS[pipeline.objective],
        sizing=sizing or ServiceWait(share),
        devices=devices,
        grid_ms=min(1.0, slo_ms / GRID_CELLS),
    )


def most_on_a_way(pipeline: Pipeline) -> int:
    """Stages that compute, on the way that has most of them; at least 1."""
    ahead: dict[str | None, int] = {None: 0}
    for stage in reversed(pipeline.stages):
        ahead[stage.name] = (not stage.is_plain_join) + max(ahead[way.to] for way in choices(pipeline.stages, stage.name))
    return max(1, max(ahead[way.to] for way in choices(pipeline.stages, SOURCE)))


def starting(pipeline: Pipeline, problem: Problem) -> dict[str, tuple[Share, ...]]:
    """What the pipeline file starts with, of what the profile has measured: its variant, its cores, its initial replicas.

    The batch is the largest that takes at most half of the stage's share of the SLO, as the reactive rule has it.
    """
    shares = deadline_shares(pipeline)
    found = {}
    for model in problem.stages:
        stage = pipeline.stage(model.name)
        own = [option for option in model.options if option.variant == stage.variant] or list(model.options)
        nearest = min(abs(option.units - stage.cores) for option in own)
        own = sorted((option for option in own if abs(option.units - stage.cores) == nearest), key=lambda option: option.batch)
        short = [option for option in own if option.latency_ms <= problem.slo_ms * shares[stage.name] * SHARE_OF_BATCH]
        found[model.name] = (Share(short[-1] if short else own[0], max(model.least, min(stage.replicas.initial, model.most))),)
    return found


def passing(stages: Sequence[Stage], name: str, taken: Mapping[str, float | None]) -> dict[str | None, float]:
    """p(a->s): of the rows that leave `name`, the share for each stage, None the sink. taken: of a stage's `when`, None = not known."""
    left, shares = 1.0, dict[str | None, float]()
    for way in choices(tuple(stages), name):
        known = taken.get(way.to or "") if way.when is not None else None
        shares[way.to] = min(1.0, shares.get(way.to, 0.0) + (left if known is None else left * known))
        left *= 1.0 if known is None else 1.0 - known
    return shares


class _Catalogue:
    """One pass over the pipeline's stages, in the file's order."""

    def __init__(self, pipeline: Pipeline, profile: Profile, share: float, prices: Mapping[str, float]) -> None:
        self._pipeline, self._profile, self._share, self._prices = pipeline, profile, share, prices
        self._frames = fan_outs_within(pipeline)
        self._joined = {stage.join for stage in pipeline.stages}
        taken = {stage.name: measured.taken for stage in pipeline.stages if (measured := profile.stage(stage.name))}
        names = (SOURCE, *(stage.name for stage in pipeline.stages))
        self._passing = {name: passing(pipeline.stages, name, taken) for name in names}
        self._feeders = feeders(pipeline.stages)
        self._before: dict[str, set[str]] = {}  # of each stage, all that an event may have passed
        for stage in pipeline.stages:
            real = [name for name in self._feeders[stage.name] if name != SOURCE]
            self._before[stage.name] = set(real).union(*(self._before[name] for name in real))
        self._reached: dict[str, float] = {SOURCE: 1.0}
        for stage in pipeline.stages:
            arriving = sum(self._reached[name] * self._passing[name][stage.name] for name in self._feeders[stage.name])
            self._reached[stage.name] = self._reached[stage.join] if stage.join else min(1.0, arriving)

    def stage(self, stage: Stage) -> StageModel:
        return StageModel(
            stage.name,
            self._options(stage),
            after=self._after(stage.name),
            rates=self._terms(stage),
            weight=self._reached[stage.name],
            least=stage.replicas.min if stage.is_ours else 1,
            most=self._most(stage),
        )

    def _after(self, name: str) -> tuple[str, ...]:
        feeding = self._feeding(name)
        last = [one for one in feeding if not any(one in self._before[other] for other in feeding)]
        return tuple(stage.name for stage in self._pipeline.stages if stage.name in last)

    def _feeding(self, name: str) -> set[str]:
        """Stages that compute, whose value arrives; a join without operator stands for those before it."""
        found: set[str] = set()
        for feeder in self._feeders[name]:
            if feeder != SOURCE:
                found |= self._feeding(feeder) if self._pipeline.stage(feeder).is_plain_join else {feeder}
        return found

    def _terms(self, stage: Stage) -> tuple[RateTerm, ...]:
        if stage.join is not None:
            return (RateTerm(stage.join),)
        terms = []
        for feeder in self._feeders[stage.name]:
            factor = self._passing[feeder][stage.name]
            if feeder == SOURCE:
                terms.append(RateTerm(None, factor))
            elif self._pipeline.stage(feeder).is_plain_join:
                terms.append(RateTerm(self._pipeline.stage(feeder).join, factor))
            elif self._pipeline.stage(feeder).fan_out:
                terms.append(RateTerm(feeder, factor, self._widths(self._pipeline.stage(feeder))))
            else:
                terms.append(RateTerm(feeder, factor))
        return tuple(terms)

    def _widths(self, stage: Stage) -> dict[str, float]:
        """w(a, v): the mean; the larger one where devices differ."""
        return {variant.name: max(self._width(stage, one).mean for one in self._measured(stage, variant)) for variant in _variants(stage)}

    def _width(self, stage: Stage, measured: VariantProfile) -> Width:
        if measured.fan_out is None:
            raise Unmeasured(f"stage {stage.name}, variant {measured.name}: the profile does not say into how many rows it fans out; {_mend()}")
        return measured.fan_out

    def _rows(self, stage: Stage) -> int:
        """W: most rows of one event at the stage, of those that a join waits for."""
        rows = 1
        for frame in self._frames[stage.name]:
            if frame in self._joined:
                outer = self._pipeline.stage(frame)
                rows *= max(1, *(self._width(outer, one).most for variant in _variants(outer) for one in self._measured(outer, variant)))
        return rows

    def _options(self, stage: Stage) -> tuple[Option, ...]:
        rows = self._rows(stage)
        share = join_share(self._share, rows)
        options = [
            self._option(variant, measured, point, rows, share)
            for variant in _variants(stage)
            for measured in self._measured(stage, variant)
            for point in measured.points
            if point.batch <= stage.batch_max
        ]
        lacking = {variant.name for variant in _variants(stage)} - {option.variant for option in options}
        if lacking:
            raise Unmeasured(f"stage {stage.name}, variant {min(lacking)}: the profile has no batch of up to {stage.batch_max} rows; {_mend()}")
        return tuple(options)

    def _option(self, variant: VariantSpec, measured: VariantProfile, point: Point, rows: int, share: float) -> Option:
        return Option(
            variant=variant.name,
            batch=point.batch,
            units=float(point.cores),
            latency_ms=ceil(rows / point.batch) * point.quantile_ms(share),
            throughput=point.rows_s,
            accuracy=variant.accuracy,
            cost=point.cores * self._prices.get(measured.device, 1.0),
            device=measured.device,
            memory_gb=point.memory_mb / 1000,
        )

    def _measured(self, stage: Stage, variant: VariantSpec) -> tuple[VariantProfile, ...]:
        of_stage: StageProfile | None = self._profile.stage(stage.name)
        found = of_stage.of(variant.name) if of_stage is not None else ()
        if not found:
            raise Unmeasured(f"stage {stage.name}, variant {variant.name} is not in the profile; {_mend()}")
        return found

    def _most(self, stage: Stage) -> int:
        if not stage.is_ours:
            return 1
        if self._pipeline.budget.replicas is None:
            return stage.replicas.max
        others = sum(other.replicas.min for other in self._pipeline.stages if other.is_ours and other is not stage)
        return max(stage.replicas.min, min(stage.replicas.max, self._pipeline.budget.replicas - others))


def _variants(stage: Stage) -> tuple[VariantSpec, ...]:
    return stage.variants or (VariantSpec("default", 1.0),)


def _mend() -> str:
    return "measure it with `sluice profile PIPELINE`"
