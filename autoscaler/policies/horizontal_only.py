"""Horizontal only, the baseline `ho` of Themis: FA2's plan, and scale-in only after it was asked for long enough.

    lam      events/s = ceil(max of the last 5 one-second rates)
    plan     as fa2.py, instances of one core
    scale-in no stage grows and some shrinks: waits for `scale_in_steps` decisions in a row, 10 s / 0.5 s = 20

Source: Themis (arXiv 2407.14843), mode `ho` of the released code.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from autoscaler.planner.model import Option, Problem, Sizing
from autoscaler.policies.bounds import within
from autoscaler.policies.fa2 import carried, fixed_sizes
from autoscaler.policies.horizontal_dp import PUBLISHED_SIZING
from autoscaler.policies.observed import at_work, recent_rate
from autoscaler.policies.policy import Decision, Forecast, State, Target, running
from autoscaler.policies.stabilization import counted, is_scale_in


@dataclass(frozen=True, slots=True)
class HorizontalOnly:
    """memory: decisions in a row that asked for a scale-in. options: as of Fa2."""

    problem: Problem
    interval_s: float = 0.5
    window_s: int = 5
    sizing: Sizing = PUBLISHED_SIZING
    scale_in_steps: int = 20
    options: Mapping[str, tuple[Option, ...]] = field(default_factory=dict)
    name: ClassVar[str] = "horizontal_only"

    def decide(self, state: State, forecast: Forecast, memory: object = None) -> Decision:
        steps = memory if isinstance(memory, int) else 0
        rate = recent_rate(state, forecast, self.window_s)
        plan, words = carried(self.problem, rate, fixed_sizes(self.problem, self.options), self.sizing)
        wait, steps = counted(is_scale_in(plan, at_work(self.problem, state)), steps, self.scale_in_steps)
        if wait:
            return Decision({}, steps, f"{words}; scale-in waits, step {steps} of {self.scale_in_steps}")
        targets = within(self.problem, {name: (share,) for name, share in plan.items()}, running(self.problem, state))
        return Decision({name: Target(shares) for name, shares in targets.items()}, steps, words)
