"""InferLine-like: a planner once, for a base rate, and a tuner that adds and takes away replicas of what it planned.

    base     events/s planned for; b, c, n: batch, cores, replicas of a stage; h(b, c) rows/s of one
    planner  start: largest size, smallest batch, n = ceil(base / h). Then, as long as one of these keeps the plan feasible and makes
             sum of n c smaller, the one that makes it smallest:
                 IB  the next batch, n = ceil(base / h)      RR  one replica less      DH  the next smaller size, n = ceil(base / h)
             feasible: n h >= base, every way's sum of l + q < SLO, q the wait for the batch to fill at `planner_share` (p90)
    tuner    rho = base / (n h) as planned; n = max(1, ceil(rps / (h rho))), rps = most of the last `window_s` (30) one-second rates
             fewer: with the least rho of all stages in place of the stage's, and only when asked for `scale_in_steps` (20) times in a row
    infeasible at base even at first: the fastest options (fa2.py)                              (ours)

A batch alone changes no cost, so IB takes the replicas it saves with it. The released code's base is the trace's; here the rate of the
first decision unless given, kept in the memory. Least, most and devices: bounds.py.
Source: InferLine (SoCC 2020) as Themis (arXiv 2407.14843) compares with it, mode `il` of the released code.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import ClassVar

from autoscaler.planner.model import Option, Problem, Share, Sizing
from autoscaler.planner.queueing import Fill, FillWait
from autoscaler.policies.bounds import within
from autoscaler.policies.fa2 import fastest
from autoscaler.policies.horizontal_dp import instances
from autoscaler.policies.latency_dp import NEAR, Way, cheapest, limit_of, steps_of, transform
from autoscaler.policies.observed import recent_rate
from autoscaler.policies.policy import Decision, Forecast, State, Target, running
from autoscaler.policies.sizes import lightest, like
from autoscaler.policies.stabilization import counted
from autoscaler.policies.stage_rates import gains

PLANNER_SIZING = FillWait(Fill.GAMMA, headroom_sigmas=0.0, share=0.9)


@dataclass(frozen=True, slots=True)
class InferLineMemory:
    """base: events/s. plan: by stage. steps: decisions in a row that asked for a scale-in."""

    base: float
    plan: Mapping[str, Share]
    steps: int = 0


@dataclass(frozen=True, slots=True)
class InferLine:
    """base_rate: events/s; None = that of the first decision. sizing: of the planner."""

    problem: Problem
    interval_s: float = 0.5
    window_s: int = 30
    sizing: Sizing = PLANNER_SIZING
    scale_in_steps: int = 20
    base_rate: float | None = None
    variants: Mapping[str, Option] = field(default_factory=dict)
    name: ClassVar[str] = "inferline"

    def decide(self, state: State, forecast: Forecast, memory: object = None) -> Decision:
        rate = recent_rate(state, forecast, self.window_s)
        known = memory if isinstance(memory, InferLineMemory) else self._planned(max(1.0, float(rate)))
        at_each = gains(self.problem, {name: share.option.variant for name, share in known.plan.items()})
        rho = {name: known.base * at_each[name] / (share.replicas * share.option.throughput) for name, share in known.plan.items()}
        runs = running(self.problem, state)
        tuned, fewer = {}, False
        for name, share in known.plan.items():
            now = sum(other.replicas for other in runs.get(name, ()))
            wished = _tuned(share, rate * at_each[name], rho[name])
            if wished < now:
                wished = min(now, _tuned(share, rate * at_each[name], min((value for value in rho.values() if value > 0), default=1.0)))
            fewer |= wished < now
            tuned[name] = replace(share, replicas=wished)
        wait, steps = counted(fewer, known.steps, self.scale_in_steps)
        if wait:
            tuned = {name: replace(share, replicas=max(share.replicas, sum(other.replicas for other in runs.get(name, ()))))
                     for name, share in tuned.items()}
        targets = within(self.problem, {name: (share,) for name, share in tuned.items()}, runs)
        words = f"tuned to {rate:g} events/s from a plan for {known.base:g}" + ("; scale-in waits" if wait else "")
        return Decision({name: Target(shares) for name, shares in targets.items()}, replace(known, steps=steps), words)

    def _planned(self, rate: float) -> InferLineMemory:
        base = rate if self.base_rate is None else self.base_rate
        return InferLineMemory(base, planned(self.problem, base, self.sizing, self.variants))


def planned(problem: Problem, base: float, sizing: Sizing, variants: Mapping[str, Option]) -> dict[str, Share]:
    """The planner's greedy descent. variants: an option of the variant and device to run; the cheapest option's where it names none."""
    options = {stage.name: like(stage, variants.get(stage.name) or lightest(stage)) for stage in problem.stages}
    descent = _Descent(problem, base, sizing, options)
    plan = {name: descent.carrying(name, min((option for option in of_stage if option.units == of_stage[-1].units),
                                             key=lambda option: option.batch)) for name, of_stage in options.items()}
    if not descent.feasible(plan):
        return fastest(problem, base, options, sizing)
    while True:
        steps = [plan | {name: share} for name in plan for share in descent.moves(name, plan[name])]
        better = [step for step in steps if descent.cores(step) < descent.cores(plan) - NEAR and descent.feasible(step)]
        if not better:
            return plan
        plan = min(better, key=descent.cores)


@dataclass(frozen=True, slots=True)
class _Descent:
    problem: Problem
    base: float
    sizing: Sizing
    options: Mapping[str, tuple[Option, ...]]

    def rate(self, name: str) -> float:
        return self.base * gains(self.problem, {stage: of_stage[0].variant for stage, of_stage in self.options.items()})[name]

    def carrying(self, name: str, option: Option) -> Share:
        return Share(option, instances(option, self.sizing.demand(self.rate(name)), self.problem.stage(name)))

    def moves(self, name: str, share: Share) -> Iterator[Share]:
        """IB, RR, DH."""
        option = share.option
        same_size = [other for other in self.options[name] if other.units == option.units and other.batch > option.batch]
        if same_size:
            yield self.carrying(name, min(same_size, key=lambda other: other.batch))
        if share.replicas > max(1, self.problem.stage(name).least):
            yield replace(share, replicas=share.replicas - 1)
        same_batch = [other for other in self.options[name] if other.batch == option.batch and other.units < option.units]
        if same_batch:
            yield self.carrying(name, max(same_batch, key=lambda other: other.units))

    def feasible(self, plan: Mapping[str, Share]) -> bool:
        if any(share.replicas * share.option.throughput < self.sizing.demand(self.rate(name)) - NEAR
               or share.replicas > self.problem.stage(name).most for name, share in plan.items()):
            return False
        steps = {name: steps_of(share.option.latency_ms + self.sizing.wait_ms(share.option, self.rate(name), share.replicas),
                                self.problem.grid_ms) for name, share in plan.items()}
        ways = {name: (Way(share, int(steps[name]), 0.0),) if math.isfinite(steps[name]) else () for name, share in plan.items()}
        part = transform({stage.name: stage.after for stage in self.problem.stages})
        return cheapest(part, ways, limit_of(replace(self.problem, strict=True))) is not None

    @staticmethod
    def cores(plan: Mapping[str, Share]) -> float:
        return sum(share.replicas * share.option.units for share in plan.values())


def _tuned(share: Share, rate: float, rho: float) -> int:
    return max(1, math.ceil(rate / (share.option.throughput * rho) - NEAR)) if rho > 0 else 1
