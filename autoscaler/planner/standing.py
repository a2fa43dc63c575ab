"""The plan that a given assignment amounts to - what runs, or what any policy wants - and what it breaks, by the same `evaluate` as reports use.

An assignment need not be one that a solver could have made: options that the profile no longer has, shares off the grid, several variants
where the problem wants one. Those are no faults here; everything that the events would feel is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from autoscaler.planner.evaluate import Violation, evaluate
from autoscaler.planner.model import Plan, Problem, Share, StageModel, StagePlan, Totals

OF_FORM = ("share", "shares", "claimed")
"""Violations that say something about how a plan is written down, not about what it does."""


@dataclass(frozen=True, slots=True)
class Standing:
    """plan: with true figures; latency_ms is inf where a queue grows for ever. broken: empty when it does all that the problem asks.

    slowest_way: stages of the longest way, source first.
    """

    plan: Plan
    broken: tuple[Violation, ...]
    slowest_way: tuple[str, ...]

    @property
    def holds(self) -> bool:
        return not self.broken

    @property
    def serves(self) -> bool:
        """Carries the load in time with what there is; budget, least accuracy and the file's least replicas aside."""
        return not any(violation.constraint in ("demand", "deadline", "capacity") for violation in self.broken)


def stand(problem: Problem, shares: Mapping[str, tuple[Share, ...]]) -> Standing:
    """shares: of every stage of the problem, none empty."""
    widened = replace(problem, stages=tuple(_widened(stage, shares[stage.name]) for stage in problem.stages))
    bare = Plan(tuple(StagePlan(stage.name, shares[stage.name], 0.0, 0.0) for stage in problem.stages), Totals(0.0, 0.0), 0.0, (), exact=False)
    found = evaluate(widened, bare)
    stages = tuple(StagePlan(stage.name, stage.shares, found.rates[stage.name], found.times_ms[stage.name]) for stage in bare.stages)
    broken = tuple(violation for violation in found.violations if not violation.constraint.startswith(OF_FORM))
    return Standing(Plan(stages, found.totals, found.latency_ms, found.value, exact=False), broken, found.slowest_way)


def _widened(stage: StageModel, shares: tuple[Share, ...]) -> StageModel:
    missing = tuple(share.option for share in shares if share.option not in stage.options)
    step = stage.share_step or (1.0 if len(shares) > 1 else None)
    return replace(stage, options=stage.options + missing, share_step=step)
