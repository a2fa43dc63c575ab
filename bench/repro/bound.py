"""What no policy can beat that keeps enough whole replicas for every second: an exact plan a second, with everything known.

    plan(t)   the best plan for the rate of second t with the true mean latencies, bias included: no queue, no noise, no forecast, no price of
              change, no cold start; rates rounded down to whole events/s
    cost      mean of its cost; accuracy likewise; it misses no event

It bounds the cost, and with an objective of accuracy against cost its value, of whoever runs in each second at least as many whole replicas
as that second's mean rate needs. Less is held only by who lets rows wait from a second to the next, so within an SLO of about a second this
is as near to a bound as there is; for longer SLOs `work` bounds in any case:

    work      for every stage the larger of its cheapest replica and mean rate * least cost of a row/s, whatever the latency
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import floor

from autoscaler.planner.frontier import attempt
from autoscaler.planner.model import Plan, Problem
from autoscaler.planner.queueing import NoWait
from bench.repro.level import Level
from simulator.truth import Surface


def known(problem: Problem, surface: Surface, level: Level) -> Problem:
    """The problem with the truth's means, bias included, and nothing that waits."""
    stages = []
    for stage in problem.stages:
        means = [surface(stage.name, option, option.batch) * (1 + level.bias) for option in stage.options]
        options = tuple(replace(option, latency_ms=mean, throughput=1000 * option.batch / mean) for option, mean in zip(stage.options, means, strict=True))
        stages.append(replace(stage, options=options))
    return replace(problem, stages=tuple(stages), sizing=NoWait(), switching=None, strict=False)


def per_second(problem: Problem, rates: Sequence[float], left_ms: Sequence[float] | None = None) -> Mapping[str, float]:
    """Means of `plan(t)` and `work`. left_ms: what is left of the SLO in each second; seconds without any plan are
    counted as `infeasible_share` and left out."""
    asked = [(float(floor(rate)), problem.slo_ms if left_ms is None else float(floor(left_ms[second]))) for second, rate in enumerate(rates)]
    best = {one: _best(problem, *one) for one in dict.fromkeys(asked)}
    found = [best[one] for one in asked]
    plans = [plan for plan in found if plan is not None]
    if not plans:
        return {"infeasible_share": 1.0}
    return {"violation_share": 0.0, "cost": sum(plan.totals.cost for plan in plans) / len(plans),
            "cores": sum(sum(plan.totals.used.values()) for plan in plans) / len(plans),
            "accuracy": sum(plan.totals.accuracy for plan in plans) / len(plans), "work_cost": work(problem, sum(rates) / len(rates)),
            "infeasible_share": 1 - len(plans) / len(found)}


def work(problem: Problem, rate: float) -> float:
    """Cost of the work alone, at stages whose rates do not depend on variants upstream by their least factors."""
    rates: dict[str, float] = {}
    total = 0.0
    for stage in problem.stages:
        rates[stage.name] = sum(term.factor * min(term.by_variant.values(), default=1.0)
                                * (rate if term.origin is None else rates[term.origin]) for term in stage.rate_terms())
        total += max(min(option.cost for option in stage.options), rates[stage.name] * min(option.cost / option.throughput for option in stage.options))
    return total


def _best(problem: Problem, rate: float, slo_ms: float) -> Plan | None:
    found = attempt(replace(problem, rate=max(1.0, rate), slo_ms=slo_ms))
    return found if isinstance(found, Plan) else None
