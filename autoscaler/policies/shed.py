"""What to run when not all that is asked can be had: the first of these that is possible.

    1  accuracy      the most accurate plan in time for all, least accuracy aside
    2  what runs     when it carries the largest rate that can be carried: nothing is gained by a change under overload
    3  load          the best plan for the largest rate that can be carried in time; the rest is late, expired or shed
    4  lateness      the best plan for the least SLO that can be met
    5  what runs, or when nothing runs one replica of each stage's option of the greatest throughput
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from autoscaler.planner.frontier import plan
from autoscaler.planner.model import Infeasible, Plan, Problem, Share
from autoscaler.planner.objectives import LeastCost, MostAccurate
from autoscaler.planner.standing import stand

WITHIN = (1.0, 1 - 1e-6, 0.999, 0.99)
"""Largest rates are found by halving, so the last bit may be missing."""


def shed(problem: Problem, why: Infeasible, running: Mapping[str, tuple[Share, ...]]) -> tuple[Plan, str]:
    """A plan all the same, and in a few words what it gives up."""
    lighter = replace(problem, objective=MostAccurate()) if isinstance(problem.objective, LeastCost) and problem.objective.min_accuracy is not None else problem
    if lighter is not problem:
        best = plan(lighter)
        if isinstance(best, Plan):
            return best, "accuracy is shed"
        why = best
    runs = all(running.values())
    if why.largest_rate:
        if runs:
            now = stand(replace(lighter, rate=WITHIN[-1] * why.largest_rate), running)
            if now.serves:
                return now.plan, f"as it runs; {problem.rate - why.largest_rate:.0f} events/s too many"
        for share in WITHIN:
            best = plan(replace(lighter, rate=share * why.largest_rate))
            if isinstance(best, Plan):
                return best, f"load is shed, {problem.rate - share * why.largest_rate:.0f} events/s too many"
    if why.least_slo_ms:
        best = plan(replace(lighter, slo_ms=why.least_slo_ms))
        if isinstance(best, Plan):
            return best, f"late by {best.latency_ms - problem.slo_ms:.0f} ms"
    return stand(problem, running if runs else _smallest(problem)).plan, f"no plan: {', '.join(why.binding) or 'nothing is possible'}"


def _smallest(problem: Problem) -> dict[str, tuple[Share, ...]]:
    return {stage.name: (Share(max(stage.options, key=lambda option: option.throughput / max(option.units, 1e-9)), max(1, stage.least)),)
            for stage in problem.stages}
