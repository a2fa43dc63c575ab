"""Static: decided once, never changed. Sponge compares with 8 and 16 cores that never move, the horizontal papers with enough for the peak.

    shares given       those
    peak_rate given    FA2's plan for it (fa2.py)
    neither            what runs; where nothing runs, FA2's plan for the problem's rate

Source: the `static` baselines of FA2 (RTAS 2022) and Sponge (arXiv 2404.00704).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from autoscaler.planner.model import Problem, Share, Sizing
from autoscaler.policies.bounds import within
from autoscaler.policies.fa2 import carried, fixed_sizes
from autoscaler.policies.horizontal_dp import PUBLISHED_SIZING
from autoscaler.policies.policy import Decision, Forecast, State, Target, running


@dataclass(frozen=True, slots=True)
class Static:
    """shares: by stage. peak_rate: events/s of the source."""

    problem: Problem
    interval_s: float = 60.0
    sizing: Sizing = PUBLISHED_SIZING
    shares: Mapping[str, tuple[Share, ...]] = field(default_factory=dict)
    peak_rate: float | None = None
    name: ClassVar[str] = "static"

    def decide(self, state: State, forecast: Forecast, memory: object = None) -> Decision:
        runs = {name: shares for name, shares in running(self.problem, state).items() if shares}
        planned: Mapping[str, tuple[Share, ...]] = {}
        if self.peak_rate is not None or set(runs) | set(self.shares) < {stage.name for stage in self.problem.stages}:
            rate = self.problem.rate if self.peak_rate is None else self.peak_rate
            plan, _ = carried(self.problem, rate, fixed_sizes(self.problem, {}), self.sizing)
            planned = {name: (share,) for name, share in plan.items()}
        wanted = {**planned, **({} if self.peak_rate is not None else runs), **self.shares}
        targets = within(self.problem, wanted, runs)
        return Decision({name: Target(shares) for name, shares in targets.items()}, None, "never changes")
