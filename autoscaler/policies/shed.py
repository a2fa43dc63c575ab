"""What to run when not all that is asked can be had: the first of these that is possible.

    1  accuracy      the most accurate plan in time for all, least accuracy aside
    2  what runs     when it carries the largest rate that can be carried: nothing is gained by a change under overload
    3  load          the best plan for the largest rate that can be carried in time; the rest is late, expired or shed
    4  lateness      the best plan for the least SLO that can be met
    5  what runs, or when nothing runs one replica of each stage's option of the greatest throughput for its units
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from autoscaler.planner import infeasible
from autoscaler.planner.frontier import attempt
from autoscaler.planner.model import Plan, Problem, Share
from autoscaler.planner.objectives import LeastCost, MostAccurate
from autoscaler.planner.standing import stand
from autoscaler.planner.work import TooMuch, Work

WITHIN = 0.99
"""Of the largest rate; what runs and carries so much of it stays."""
WORK = 1e9
"""Counted steps of each search for what can be had; about a second."""


def shed(problem: Problem, running: Mapping[str, tuple[Share, ...]]) -> tuple[Plan, str]:
    """A plan all the same, and in a few words what it gives up. For a problem without a plan."""
    runs = all(running.values())
    match problem.objective:
        case LeastCost(min_accuracy=float()):
            problem = replace(problem, objective=MostAccurate())
            best = attempt(problem)
            if isinstance(best, Plan):
                return best, "accuracy is shed"
    most = _asked(infeasible.largest_rate, problem)
    if most:
        if runs:
            now = stand(replace(problem, rate=WITHIN * most), running)
            if now.serves:
                return now.plan, f"as it runs, {problem.rate - most:.0f} events/s too many"
        best = attempt(replace(problem, rate=most))
        if isinstance(best, Plan):
            return best, f"load is shed, {problem.rate - most:.0f} events/s too many"
    least_ms = _asked(infeasible.least_slo_ms, problem)
    if least_ms:
        best = attempt(replace(problem, slo_ms=least_ms))
        if isinstance(best, Plan):
            return best, f"late by {best.latency_ms - problem.slo_ms:.0f} ms"
    return stand(problem, running if runs else _smallest(problem)).plan, "nothing that may run carries this"


def _asked(question: Callable[[Problem, Work], float | None], problem: Problem) -> float | None:
    try:
        return question(problem, Work(WORK))
    except TooMuch:
        return None


def _smallest(problem: Problem) -> dict[str, tuple[Share, ...]]:
    return {stage.name: (Share(max(stage.options, key=lambda option: option.throughput / max(option.units, 1e-9)), max(1, stage.least)),)
            for stage in problem.stages}
