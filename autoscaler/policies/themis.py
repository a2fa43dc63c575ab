"""Themis: in-place resizes while the load grows, replicas when it does not; one variant, chains (here any graph), CPU cores.

    rps      events/s = ceil(max of the last `window_s` one-second rates)
    tp       events/s that what runs carries = min over stages of n h(b, c) / (rows of the stage per event)
    growing  P(load within the horizon exceeds tp) > `surge_threshold`: forecast.surge; without one from the forecast's quantiles, linear
             between them, 0 above and 1 below all; without a forecast rps > tp
    Cmax     the largest size that a stage has

    horizontal  if (not growing and rps < tp) or some stage is at Cmax already
        plan    horizontal_dp with instances of the smallest size (by Amdahl's law they carry most per core), price sum of n cost
        scale-in (no stage grows, some shrinks): waits for `scale_in_steps` decisions in a row that ask for it
        a stage whose instances shrink gets one more of them, for stability; where it gets more than it has, the new ones start at
        the small size beside the others, which shrink when those are ready (or grow, when the load turns out to grow: vertical)
    vertical    otherwise
        plan    vertical_dp with the instances there are, sum of cores least; too little: its hybrid step
        c       max(c of the plan, c now): sizes never fall here; the batch is the plan's, at that size
    nothing runs: horizontal
    no plan: the fastest options, as fa2.py                                                     (ours: the released code has no answer)
    more than there is: cut as bounds.py says                                                   (ours)

Not taken over: the released 'constant' wait, seconds taken for milliseconds. Queues there are FIFO, and a resize that the node refuses
becomes a new pod; both are the service's and the actuator's affair.
Source: Themis (arXiv 2407.14843), `adapt()` of the released code, mode `hv`.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import ClassVar

from autoscaler.planner.model import Option, Problem, Share, Sizing
from autoscaler.policies.bounds import no_room, within
from autoscaler.policies.fa2 import carried, fastest, fixed_sizes
from autoscaler.policies.horizontal_dp import PUBLISHED_SIZING
from autoscaler.policies.observed import at_work, recent_rate
from autoscaler.policies.policy import Decision, Forecast, StageState, State, Target, running
from autoscaler.policies.sizes import like, smallest
from autoscaler.policies.stabilization import counted, is_scale_in
from autoscaler.policies.stage_rates import gains
from autoscaler.policies.vertical_dp import Fixed, hybrid


@dataclass(frozen=True, slots=True)
class ThemisMemory:
    """steps: decisions in a row that asked for a scale-in. coming: by stage, the new instances that the others wait for."""

    steps: int = 0
    coming: Mapping[str, Coming] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Coming:
    """new: small instances, started or not. then: what runs once they are ready."""

    new: int
    then: Share

    def is_ready(self, stage: StageState) -> bool:
        return sum(pool.ready for pool in stage.pools if pool.option.units == self.then.option.units) >= self.new


@dataclass(frozen=True, slots=True)
class Themis:
    """variants: by stage, an option of the variant and device it shall run where nothing runs yet; the cheapest option's for a stage it
    does not name. memory: a ThemisMemory."""

    problem: Problem
    interval_s: float = 0.5
    window_s: int = 5
    sizing: Sizing = PUBLISHED_SIZING
    surge_threshold: float = 0.2
    scale_in_steps: int = 20
    spare_instances: int = 1
    variants: Mapping[str, Option] = field(default_factory=dict)
    name: ClassVar[str] = "themis"

    def decide(self, state: State, forecast: Forecast, memory: object = None) -> Decision:
        known = memory if isinstance(memory, ThemisMemory) else ThemisMemory()
        now = instances_now(self.problem, state)
        rate = recent_rate(state, forecast, self.window_s)
        if len(now) < len(self.problem.stages):
            return self._horizontal(state, now, rate, 0)
        carries = throughput(self.problem, running(self.problem, state))
        settled = exceeds(forecast, rate, carries) <= self.surge_threshold and rate < carries
        if settled and known.coming:
            return self._shrunk(state, known)
        if settled or any(share.option.units >= self._options(name, now)[-1].units for name, share in now.items()):
            return self._horizontal(state, now, rate, known.steps)
        return self._vertical(state, now, rate)

    def _horizontal(self, state: State, now: Mapping[str, Share], rate: int, steps: int) -> Decision:
        options = fixed_sizes(self.problem, {name: smallest(self._options(name, now)) for name in [*now, *self.variants]})
        plan, words = carried(self.problem, rate, options, self.sizing)
        wait, steps = counted(is_scale_in(plan, now), steps, self.scale_in_steps)
        if wait:
            return Decision({}, ThemisMemory(steps), f"horizontal: {words}; scale-in waits, step {steps} of {self.scale_in_steps}")
        targets, coming = {}, {}
        for name, share in plan.items():
            large = tuple(Share(pool.option, pool.replicas) for pool in state.stages[name].pools
                          if pool.replicas and pool.option.units > share.option.units)
            then = replace(share, replicas=share.replicas + self.spare_instances) if large else share
            coming[name] = Coming(then.replicas - sum(each.replicas for each in large), then)
            targets[name] = (then,) if coming[name].is_ready(state.stages[name]) else beside(*large, replace(then, replicas=coming[name].new))
        if no_room(self.problem, targets):  # for both sizes side by side
            targets = {name: (each.then,) for name, each in coming.items()}
        coming = {name: each for name, each in coming.items() if len(targets[name]) > 1}
        return self._decision(state, targets, ThemisMemory(steps, coming), f"horizontal: {words}")

    def _shrunk(self, state: State, known: ThemisMemory) -> Decision:
        """The others shrink when all new instances are ready."""
        waits = [f"{name} for {coming.new}" for name, coming in known.coming.items() if not coming.is_ready(state.stages[name])]
        if waits:
            return Decision({}, known, f"horizontal: waits for new instances, {', '.join(waits)}")
        return self._decision(state, {name: (coming.then,) for name, coming in known.coming.items()}, ThemisMemory(known.steps),
                              f"horizontal: new instances are ready, {', '.join(known.coming)} shrinks")

    def _vertical(self, state: State, now: Mapping[str, Share], rate: int) -> Decision:
        fixed = {name: Fixed(share.replicas, self._options(name, now)) for name, share in now.items()}
        plan = hybrid(replace(self.problem, strict=False), rate, fixed, self.sizing)  # <=, where the horizontal program has <
        words = f"vertical: sizes for {rate:g} events/s"
        if plan is None:
            plan = fastest(self.problem, rate, {name: of_stage.options for name, of_stage in fixed.items()}, self.sizing)
            words = f"vertical: no sizes meet {self.problem.slo_ms:g} ms at any rate: the fastest options"
        never_down = {name: (replace(share, option=self._no_smaller(name, share.option, now[name].option)),) for name, share in plan.items()}
        return self._decision(state, never_down, ThemisMemory(), words)

    def _options(self, name: str, now: Mapping[str, Share]) -> tuple[Option, ...]:
        return like(self.problem.stage(name), now[name].option if name in now else self.variants[name])

    def _no_smaller(self, name: str, planned: Option, current: Option) -> Option:
        """The planned batch at the larger of both sizes; as planned where the profile has no such row."""
        same_batch = [option for option in like(self.problem.stage(name), planned) if option.batch == planned.batch]
        return next((option for option in same_batch if option.units == max(planned.units, current.units)), planned)

    def _decision(self, state: State, wanted: Mapping[str, tuple[Share, ...]], memory: ThemisMemory, words: str) -> Decision:
        targets = within(self.problem, wanted, running(self.problem, state))
        return Decision({name: Target(shares) for name, shares in targets.items()}, memory, words)


def instances_now(problem: Problem, state: State) -> dict[str, Share]:
    """By stage the largest size that its main variant runs at, and all its instances; no entry where nothing runs."""
    found = {}
    for name, share in at_work(problem, state).items():
        pools = [pool for pool in state.stages[name].pools if (pool.option.variant, pool.option.device) == (share.option.variant, share.option.device)]
        found[name] = Share(max((pool.option for pool in pools if pool.replicas), key=lambda option: option.units),
                            sum(pool.replicas for pool in pools))
    return found


def beside(*shares: Share) -> tuple[Share, ...]:
    """Each with the part of the rows that it can carry."""
    capacity = sum(share.replicas * share.option.throughput for share in shares)
    return tuple(replace(share, share=share.replicas * share.option.throughput / capacity) for share in shares)


def throughput(problem: Problem, runs: Mapping[str, tuple[Share, ...]]) -> float:
    """Events/s of the source that what runs carries."""
    at_each = gains(problem, {name: shares[0].option.variant for name, shares in runs.items()})
    return min(sum(share.replicas * share.option.throughput for share in shares) / at_each[name] if at_each[name] else float("inf")
               for name, shares in runs.items())


def exceeds(forecast: Forecast, rate: float, carries: float) -> float:
    """P(load within the horizon exceeds `carries`), as well as it is known; the inverse of Forecast.at."""
    if forecast.surge is not None:
        return forecast.surge
    if not forecast.quantiles:
        return float(rate > carries)
    points = sorted(forecast.quantiles.items())
    if carries >= points[-1][1]:
        return 0.0
    for (low, before), (high, after) in itertools.pairwise(points):
        if before <= carries < after:
            return 1 - (low + (high - low) * (carries - before) / (after - before))
    return 1.0
