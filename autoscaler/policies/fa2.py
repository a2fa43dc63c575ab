"""FA2: batches and instances of every stage for the load, least cost, one fixed size of instance.

    lam      events/s = ceil(max of the last `window_s` one-second rates)
    size     1 core in the released code; here of each stage's cheapest option, its variant and device with it, or those of `options`
    k        standard deviations of headroom, in `sizing`: demand = round(lam + k sqrt(lam)), k = 1 in the experiments
    q(b)     wait for the batch to fill, in `sizing`: ceil((b-1) (-ln 0.01) 1000 / lam), the form of the published experiments

    plan     horizontal_dp: minimise sum n cost, subject to every way's sum of l + q < SLO and n h >= demand
    none     no batches meet the SLO: the fastest option of each stage, n = ceil(demand / h)                   (ours: no paper says)
    more than there is: cut as bounds.py says                                                                   (ours)

Interval 1 s and the last second's rate, as the released configuration of the Sponge authors runs FA2. No stabilisation, no forecast.
Source: FA2 (RTAS 2022), whose code is not public; its restatements by the same authors in Themis (arXiv 2407.14843) and Sponge (2404.00704).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import ClassVar

from autoscaler.planner.model import Option, Problem, Share, Sizing
from autoscaler.policies.bounds import within
from autoscaler.policies.horizontal_dp import PUBLISHED_SIZING, Price, horizontal, instances, total_cost
from autoscaler.policies.observed import recent_rate
from autoscaler.policies.policy import Decision, Forecast, State, Target, running
from autoscaler.policies.sizes import lightest, like, sized
from autoscaler.policies.stage_rates import gains


@dataclass(frozen=True, slots=True)
class Fa2:
    """options: by stage, those of one variant and size it may run; the cheapest option's for a stage it does not name."""

    problem: Problem
    interval_s: float = 1.0
    window_s: int = 1
    sizing: Sizing = PUBLISHED_SIZING
    options: Mapping[str, tuple[Option, ...]] = field(default_factory=dict)
    name: ClassVar[str] = "fa2"

    def decide(self, state: State, forecast: Forecast, memory: object = None) -> Decision:
        rate = recent_rate(state, forecast, self.window_s)
        plan, words = carried(self.problem, rate, fixed_sizes(self.problem, self.options), self.sizing)
        targets = within(self.problem, {name: (share,) for name, share in plan.items()}, running(self.problem, state))
        return Decision({name: Target(shares) for name, shares in targets.items()}, None, words)


def fixed_sizes(problem: Problem, given: Mapping[str, tuple[Option, ...]]) -> dict[str, tuple[Option, ...]]:
    """By stage, the given options, or all batches of the cheapest option's variant, device and size."""
    cheapest = {stage.name: lightest(stage) for stage in problem.stages}
    return {stage.name: given.get(stage.name) or sized(like(stage, cheapest[stage.name]), cheapest[stage.name].units)
            for stage in problem.stages}


def carried(problem: Problem, rate: float, options: Mapping[str, tuple[Option, ...]], sizing: Sizing,
            price: Price = total_cost) -> tuple[dict[str, Share], str]:
    """The horizontal plan and how it came about; the fastest options where there is none. Deadlines are strict, as in the released code."""
    plan = horizontal(replace(problem, strict=True), rate, options, sizing, price)
    if plan is not None:
        return plan, f"cheapest instances for {rate:g} events/s"
    return fastest(problem, rate, options, sizing), f"no batches meet {problem.slo_ms:g} ms at {rate:g} events/s: the fastest options"


def fastest(problem: Problem, rate: float, options: Mapping[str, tuple[Option, ...]], sizing: Sizing) -> dict[str, Share]:
    """Of each stage the option that takes least time, wait included, and the instances that carry the load; may be more than `most`."""
    at_each = gains(problem, {name: of_stage[0].variant for name, of_stage in options.items()})
    found = {}
    for stage in problem.stages:
        stage_rate = rate * at_each[stage.name]
        shares = [Share(option, instances(option, sizing.demand(stage_rate), stage)) for option in options[stage.name]]
        found[stage.name] = min(
            shares, key=lambda share: share.option.latency_ms + sizing.wait_ms(share.option, stage_rate, share.replicas))
    return found
