"""A pipeline on a fixed cluster: hardware first, accuracy when that has run out.

    s        events/s: EWMA of the past seconds (as Proteus), times beta
    rate(v)  rows/s at a stage, by what the variants upstream make of it                                 (planner.model)
    L        SLO * slo_part; the rest of the SLO is left to queueing
    a*       the greatest accuracy end to end that any choice of variants has within L, whatever it takes

    hardware    least cost with accuracy a*, every way through the graph within L, devices as they are
    accuracy    if that is infeasible: the greatest accuracy within L and the devices, the cheapest of equals
    overload    if that is infeasible too: the same for the largest rate that can be served

Every 10 s. Where the problem lets a stage share its rows among variants (`share_step`), so does the plan. Accuracy is the end-to-end
table's where the problem has one (`accuracy_given`), not the product of isolated ones.

Source: Loki (HPDC 2024), sections 3 and 4; beta, the EWMA, the interval and the half of the SLO are those of Proteus, by the same group.
Loki's program is a MILP over paths, this one the planner's dynamic programming.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from autoscaler.planner.frontier import plan as solve
from autoscaler.planner.model import Infeasible, Plan, Problem
from autoscaler.planner.objectives import LeastCost, MostAccurate
from autoscaler.planner.queueing import NoWait
from autoscaler.policies.policy import Decision, Forecast, State, Target
from autoscaler.policies.proteus import ewma


@dataclass(frozen=True, slots=True)
class Loki:
    """com, past_s: of the EWMA, in seconds. least_rate: events/s planned for at least."""

    problem: Problem
    beta: float = 1.05
    com: float = 1.6
    past_s: int = 30
    slo_part: float = 0.5
    least_rate: float = 1.0
    interval_s: float = 10.0
    name: str = "loki"

    def decide(self, state: State, forecast: Forecast, memory: object = None) -> Decision:
        rate = max(ewma(state.rates[-self.past_s:], self.com), self.least_rate)
        found, how = self.plan(rate * self.beta)
        if found is None:
            return Decision({}, None, f"{how}: as it runs")
        reason = f"{how}, accuracy {found.totals.accuracy:.4f} for cost {found.totals.cost:g} at {rate:.1f} events/s"
        return Decision({stage.name: Target(stage.shares) for stage in found.stages}, None, reason, found)

    def plan(self, rate: float) -> tuple[Plan | None, str]:
        """The plan for `rate` events/s, and which of the steps gave it."""
        posed = replace(self.problem, rate=rate, slo_ms=self.problem.slo_ms * self.slo_part, sizing=NoWait(), switching=None)
        top = solve(replace(posed, devices={}, objective=MostAccurate()))
        if isinstance(top, Infeasible):
            return None, "no variants are fast enough"
        hardware = solve(replace(posed, objective=LeastCost(min_accuracy=top.totals.accuracy)))
        if isinstance(hardware, Plan):
            return hardware, "hardware scaling"
        scaled = solve(replace(posed, objective=MostAccurate()))
        if isinstance(scaled, Plan):
            return scaled, "accuracy scaling"
        if not scaled.largest_rate:
            return None, "the devices hold no plan"
        served = solve(replace(posed, rate=scaled.largest_rate * (1 - 1e-6), objective=MostAccurate()))
        return (served, "overload") if isinstance(served, Plan) else (None, "the devices hold no plan")
