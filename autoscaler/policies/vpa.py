"""The Kubernetes VerticalPodAutoscaler: sizes from the CPU use of the past; replicas, batch and variant stay as they run.

    use      cores a replica uses = CPU use of what it is allotted * its cores        (not measured: share of time in batches)
    target   percentile 0.9 of use * (1 + margin)
    lower    percentile 0.5 of use * (1 + margin) * (1 + 0.001 / confidence)^-2       usage_histogram.py has percentile and confidence
    upper    percentile 0.95 of use * (1 + margin) * (1 + 1 / confidence)
    size     the smallest there is with at least `target` cores, the largest otherwise
    change   if the size that runs is below lower or above upper; or the last change is `lifetime_s` ago and it is off by `update_share`
    fewer than `least_replicas`: no change

A use can only reach what is allotted, so an overload shows as at most (1 + margin) of the size, one step at a time.

Vpa replaces replicas as the updater does (evict, then start; or in place, where the actuator can). create_before_delete is VPA+ of
InfAdapter: the new size starts beside the old and the old goes when as many are ready; at once where both do not fit on the devices.

Defaults as documented (flags of release 1.5): target-cpu-percentile 0.9, recommendation-lower-bound-cpu-percentile 0.5, -upper- 0.95,
recommendation-margin-fraction 0.15, cpu-histogram-decay-half-life 24 h, recommender-interval and updater-interval 1 min,
in-recommendation-bounds-eviction-lifetime-threshold 12 h, pod-update-threshold 0.1. The updater's min-replicas is 2, with which a
single instance never changes; the papers that compare with it run one, so 1 here.
Source: kubernetes/autoscaler, vertical-pod-autoscaler, flags and recommender; VPA+ as in InfAdapter (EuroMLSys'23, arXiv 2304.10892).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

from autoscaler.planner.model import Option, Problem, Share, StageModel
from autoscaler.policies.bounds import no_room, within
from autoscaler.policies.policy import Decision, Forecast, Pool, State, Target, running
from autoscaler.policies.sizes import lightest, with_units
from autoscaler.policies.usage_histogram import UsageHistogram

LOWER_CONFIDENCE = 0.001
UPPER_CONFIDENCE = 1.0


@dataclass(frozen=True, slots=True)
class Recommendation:
    """Cores of a replica."""

    lower: float
    target: float
    upper: float


@dataclass(frozen=True, slots=True)
class StagePast:
    """coming: the size that starts beside what runs, to take its place (VPA+)."""

    changed_s: float
    usage: UsageHistogram
    coming: Option | None = None


@dataclass(frozen=True, slots=True)
class Vpa:
    """Shares and seconds, by the symbols of the module. memory: StagePast of every stage."""

    problem: Problem
    interval_s: float = 60.0
    target_percentile: float = 0.9
    lower_percentile: float = 0.5
    upper_percentile: float = 0.95
    margin: float = 0.15
    half_life_s: float = 86400.0
    lifetime_s: float = 43200.0
    update_share: float = 0.1
    least_replicas: int = 1
    create_before_delete: bool = False
    name: ClassVar[str] = "vpa"

    def decide(self, state: State, forecast: Forecast, memory: object = None) -> Decision:
        past: Mapping[str, StagePast] = memory if isinstance(memory, Mapping) else {}
        runs = running(self.problem, state)
        wanted: dict[str, tuple[Share, ...]] = {}
        kept, words = {}, []
        for stage in self.problem.stages:
            pools = tuple(pool for pool in state.stages[stage.name].pools if pool.replicas)
            known = past.get(stage.name, StagePast(state.now_s, UsageHistogram()))
            known = replace(known, usage=self._seen(state, stage, pools, known.usage))
            wanted[stage.name], kept[stage.name], reason = self._size(stage, pools, known, state.now_s)
            words.append(reason)
        if self.create_before_delete and no_room(self.problem, wanted):  # for old and new side by side
            for name, known in kept.items():
                if known.coming is not None:
                    wanted[name] = tuple(share for share in wanted[name] if share.option == known.coming)
                    kept[name] = replace(known, coming=None)
        targets = within(self.problem, wanted, runs)
        return Decision({name: Target(shares) for name, shares in targets.items()}, kept, "; ".join(words))

    def recommendation(self, usage: UsageHistogram) -> Recommendation:
        """Without a day of samples the bounds are wide; without any, nothing is outside them."""
        days, more = usage.confidence_days(), 1 + self.margin
        if days <= 0:
            return Recommendation(0.0, usage.percentile(self.target_percentile) * more, float("inf"))
        return Recommendation(
            usage.percentile(self.lower_percentile) * more * (1 + LOWER_CONFIDENCE / days) ** -2,
            usage.percentile(self.target_percentile) * more,
            usage.percentile(self.upper_percentile) * more * (1 + UPPER_CONFIDENCE / days))

    def _seen(self, state: State, stage: StageModel, pools: tuple[Pool, ...], usage: UsageHistogram) -> UsageHistogram:
        seen = state.stages[stage.name]
        share = seen.busy if seen.utilization is None else seen.utilization
        for pool in pools:
            if pool.ready:
                usage = usage.add(share * pool.option.units, pool.option.units, pool.ready, state.now_s, self.half_life_s)
        return usage

    def _size(self, stage: StageModel, pools: tuple[Pool, ...], known: StagePast,
              now_s: float) -> tuple[tuple[Share, ...], StagePast, str]:
        """What shall run, what to remember, and why."""
        if not pools:
            return (Share(lightest(stage), stage.least),), replace(known, coming=None), f"{stage.name} starts"
        if known.coming is not None:
            return self._handed_over(stage, pools, known)
        pool = max(pools, key=lambda pool: pool.share)
        current, as_is = pool.option, tuple(Share(pool.option, pool.replicas, pool.share) for pool in pools)
        advice = self.recommendation(known.usage)
        size = with_units(stage, current, advice.target)
        words = f"{stage.name} has {current.units:g} cores of {advice.lower:.2f}..{advice.upper:.2f}, target {advice.target:.2f}"
        if size == current or pool.replicas < self.least_replicas or not self._due(current, advice, known, now_s):
            return as_is, known, words
        words = f"{words}: {size.units:g}"
        if self.create_before_delete:
            halves = (Share(current, pool.replicas, pool.share / 2), Share(size, pool.replicas, pool.share / 2))
            others = tuple(share for share in as_is if share.option != current)
            return (*others, *halves), replace(known, changed_s=now_s, coming=size), words
        resized = tuple(replace(share, option=size) if share.option == current else share for share in as_is)
        return resized, replace(known, changed_s=now_s), words

    def _handed_over(self, stage: StageModel, pools: tuple[Pool, ...], known: StagePast) -> tuple[tuple[Share, ...], StagePast, str]:
        """The old size goes when as many of the new one are ready; both stay until then."""
        assert known.coming is not None
        replicas = max(pool.replicas for pool in pools)
        ready = sum(pool.ready for pool in pools if pool.option == known.coming)
        if ready >= replicas:
            return (Share(known.coming, replicas),), replace(known, coming=None), f"{stage.name}: {known.coming.units:g} cores are ready"
        old = tuple(Share(pool.option, pool.replicas, pool.share) for pool in pools if pool.option != known.coming)
        new = Share(known.coming, replicas, max((pool.share for pool in pools if pool.option == known.coming), default=0.5))
        return (*old, new), known, f"{stage.name}: {known.coming.units:g} cores start, {ready} of {replicas} are ready"

    def _due(self, current: Option, advice: Recommendation, known: StagePast, now_s: float) -> bool:
        if not advice.lower <= current.units <= advice.upper:
            return True
        return now_s - known.changed_s >= self.lifetime_s and abs(advice.target - current.units) >= self.update_share * current.units


@dataclass(frozen=True, slots=True)
class VpaPlus(Vpa):
    """VPA+ of InfAdapter."""

    create_before_delete: bool = True
    name: ClassVar[str] = "vpa_plus"
