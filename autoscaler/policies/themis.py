"""Themis: in-place resizes while the load grows, replicas when it does not; one variant, chains (here any graph), CPU cores.

    rps      events/s = ceil(max of the last `window_s` one-second rates)
    tp       events/s that what runs carries = min over stages of n h(b, c) / (rows of the stage per event)
    growing  P(load within the horizon exceeds tp) > `surge_threshold`: forecast.surge; without one 1 - the share of the forecast's
             quantiles that tp reaches; without a forecast rps > tp
    Cmax     the largest size that a stage has

    horizontal  if (not growing and rps < tp) or some stage is at Cmax already
        plan    horizontal_dp with instances of the smallest size (by Amdahl's law they carry most per core), price sum of n cost
        scale-in (no stage grows, some shrinks): waits for `scale_in_steps` decisions in a row that ask for it
        a stage whose instances shrink gets one more of them, for stability; the actuator starts new ones before it shrinks the others
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

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import ClassVar

from autoscaler.planner.model import Option, Problem, Share, Sizing
from autoscaler.policies.bounds import within
from autoscaler.policies.fa2 import carried, fastest, fixed_sizes
from autoscaler.policies.horizontal_dp import PUBLISHED_SIZING
from autoscaler.policies.observed import at_work, recent_rate
from autoscaler.policies.policy import Decision, Forecast, State, Target, running
from autoscaler.policies.sizes import like, smallest
from autoscaler.policies.stabilization import counted, is_scale_in
from autoscaler.policies.stage_rates import gains
from autoscaler.policies.vertical_dp import Fixed, hybrid


@dataclass(frozen=True, slots=True)
class Themis:
    """memory: decisions in a row that asked for a scale-in. variants: by stage, an option of the variant and device it shall run where
    nothing runs yet; the cheapest option's for a stage it does not name."""

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
        steps = memory if isinstance(memory, int) else 0
        now = at_work(self.problem, state)
        rate = recent_rate(state, forecast, self.window_s)
        if len(now) < len(self.problem.stages):
            return self._horizontal(state, now, rate, 0)
        carries = throughput(self.problem, now)
        growing = exceeds(forecast, rate, carries) > self.surge_threshold
        at_most = any(share.option.units >= self._options(name, now)[-1].units for name, share in now.items())
        if (not growing and rate < carries) or at_most:
            return self._horizontal(state, now, rate, steps)
        return self._vertical(state, now, rate)

    def _horizontal(self, state: State, now: Mapping[str, Share], rate: int, steps: int) -> Decision:
        options = fixed_sizes(self.problem, {name: smallest(self._options(name, now)) for name in [*now, *self.variants]})
        plan, words = carried(self.problem, rate, options, self.sizing)
        wait, steps = counted(is_scale_in(plan, now), steps, self.scale_in_steps)
        if wait:
            return Decision({}, steps, f"horizontal: {words}; scale-in waits, step {steps} of {self.scale_in_steps}")
        plan = {name: replace(share, replicas=share.replicas + self.spare_instances)
                if name in now and share.option.units < now[name].option.units else share for name, share in plan.items()}
        return self._decision(state, plan, steps, f"horizontal: {words}")

    def _vertical(self, state: State, now: Mapping[str, Share], rate: int) -> Decision:
        fixed = {name: Fixed(share.replicas, self._options(name, now)) for name, share in now.items()}
        plan = hybrid(replace(self.problem, strict=False), rate, fixed, self.sizing)  # <=, where the horizontal program has <
        words = f"vertical: sizes for {rate:g} events/s"
        if plan is None:
            plan = fastest(self.problem, rate, {name: of_stage.options for name, of_stage in fixed.items()}, self.sizing)
            words = f"vertical: no sizes meet {self.problem.slo_ms:g} ms at any rate: the fastest options"
        never_down = {name: replace(share, option=self._no_smaller(name, share.option, now[name].option)) for name, share in plan.items()}
        return self._decision(state, never_down, 0, words)

    def _options(self, name: str, now: Mapping[str, Share]) -> tuple[Option, ...]:
        return like(self.problem.stage(name), now[name].option if name in now else self.variants[name])

    def _no_smaller(self, name: str, planned: Option, current: Option) -> Option:
        """The planned batch at the larger of both sizes; as planned where the profile has no such row."""
        same_batch = [option for option in like(self.problem.stage(name), planned) if option.batch == planned.batch]
        return next((option for option in same_batch if option.units == max(planned.units, current.units)), planned)

    def _decision(self, state: State, plan: Mapping[str, Share], steps: int, words: str) -> Decision:
        targets = within(self.problem, {name: (share,) for name, share in plan.items()}, running(self.problem, state))
        return Decision({name: Target(shares) for name, shares in targets.items()}, steps, words)


def throughput(problem: Problem, now: Mapping[str, Share]) -> float:
    """Events/s of the source that what runs carries."""
    at_each = gains(problem, {name: share.option.variant for name, share in now.items()})
    return min(share.replicas * share.option.throughput / at_each[name] if at_each[name] else float("inf") for name, share in now.items())


def exceeds(forecast: Forecast, rate: float, carries: float) -> float:
    """P(load within the horizon exceeds `carries`), as well as it is known."""
    if forecast.surge is not None:
        return forecast.surge
    if not forecast.quantiles:
        return float(rate > carries)
    reached = [quantile for quantile in forecast.quantiles if forecast.at(quantile) <= carries]
    return 1 - max(reached, default=0.0)
