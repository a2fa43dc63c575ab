"""Vertical only, the baseline `vo` of Themis: instances for the peak once, sizes and batches for the load.

    n[s]     fewest instances of the largest size that carry the peak rate within the SLO      (horizontal_dp, every instance priced alike)
    lam      events/s = ceil(max of the last 5 one-second rates)
    plan     vertical_dp with n; too little: the sizes for the largest rate n carries
    scale-down  no stage's instances grow and some shrink: waits for `scale_down_steps` decisions in a row, 10 s / 0.5 s = 20
    no plan  the fastest options                                                                (ours)

The released code takes n[s] = ceil((max + sqrt(max)) / h[s](Cmax, b)) with the largest feasible b; fewest instances is what that is for.
Source: Themis (arXiv 2407.14843), mode `vo` of the released code.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

from autoscaler.planner.model import Problem, Share, Sizing
from autoscaler.policies.bounds import within
from autoscaler.policies.fa2 import carried, fastest
from autoscaler.policies.horizontal_dp import PUBLISHED_SIZING, count
from autoscaler.policies.observed import at_work, recent_rate
from autoscaler.policies.policy import Decision, Forecast, State, Target, running
from autoscaler.policies.sizes import largest, lightest, like
from autoscaler.policies.stabilization import counted, is_scale_down
from autoscaler.policies.vertical_dp import Fixed, largest_vertical, vertical


@dataclass(frozen=True, slots=True)
class VerticalOnly:
    """peak_rate: events/s the instances are for; None = the problem's rate. memory: decisions in a row that asked for a scale-down."""

    problem: Problem
    interval_s: float = 0.5
    window_s: int = 5
    sizing: Sizing = PUBLISHED_SIZING
    scale_down_steps: int = 20
    peak_rate: float | None = None
    name: ClassVar[str] = "vertical_only"

    def decide(self, state: State, forecast: Forecast, memory: object = None) -> Decision:
        steps = memory if isinstance(memory, int) else 0
        now = at_work(self.problem, state)
        rate = recent_rate(state, forecast, self.window_s)
        plan, words = self._sizes(self._fixed(now), rate)
        same_instances = all(name in now and now[name].replicas == share.replicas for name, share in plan.items())
        wait, steps = counted(same_instances and is_scale_down(plan, now), steps, self.scale_down_steps)
        if wait:
            return Decision({}, steps, f"{words}; scale-down waits, step {steps} of {self.scale_down_steps}")
        targets = within(self.problem, {name: (share,) for name, share in plan.items()}, running(self.problem, state))
        return Decision({name: Target(shares) for name, shares in targets.items()}, steps, words)

    def _fixed(self, now: Mapping[str, Share]) -> dict[str, Fixed]:
        """The instances for the peak, as many as the devices hold at the largest size."""
        options = {stage.name: like(stage, now[stage.name].option if stage.name in now else lightest(stage)) for stage in self.problem.stages}
        peak = self.problem.rate if self.peak_rate is None else self.peak_rate
        plan, _ = carried(self.problem, peak, {name: largest(of_stage) for name, of_stage in options.items()}, self.sizing, count)
        held = within(self.problem, {name: (share,) for name, share in plan.items()}, {})
        return {name: Fixed(held[name][0].replicas, of_stage) for name, of_stage in options.items()}

    def _sizes(self, fixed: Mapping[str, Fixed], rate: int) -> tuple[dict[str, Share], str]:
        loose = replace(self.problem, strict=False)  # <=, where the horizontal program has <
        plan = vertical(loose, rate, fixed, self.sizing)
        if plan is not None:
            return plan, f"sizes for {rate:g} events/s"
        found = largest_vertical(loose, rate, fixed, self.sizing)
        if found is not None:
            return found[1], f"{rate:g} events/s is more than these instances carry: the sizes for {found[0]}"
        plan = fastest(self.problem, rate, {name: of_stage.options for name, of_stage in fixed.items()}, self.sizing)
        return ({name: replace(share, replicas=fixed[name].replicas) for name, share in plan.items()},
                f"no sizes meet {self.problem.slo_ms:g} ms at any rate: the fastest options")
