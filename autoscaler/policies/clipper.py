"""Clipper as Proteus measured against it: one placement for good, of the most or the least accurate variants.

Of each family one variant only: the most accurate (HA) or the fastest with the least accuracy (HT) that some device can host within half
of the SLO. The placement is the one that serves most of `problem.rate`, which is therefore the rate to provide for, and it never changes;
Clipper adapts batches alone (additive increase, multiplicative decrease), which the service does for itself.

Source: Proteus (ASPLOS 2024), section 6.1, baselines Clipper-HA and Clipper-HT; Clipper (NSDI 2017).
"""

from __future__ import annotations

from dataclasses import dataclass

from autoscaler.planner.model import Problem
from autoscaler.policies.policy import Decision, Forecast, State, running
from autoscaler.policies.proteus import demands, device_units, hostings, targets_of
from autoscaler.policies.proteus_milp import Fleet, Hosting, most_served


@dataclass(frozen=True, slots=True)
class Clipper:
    problem: Problem
    most_accurate: bool = True
    interval_s: float = 10.0
    name: str = "clipper_ha"

    def decide(self, state: State, forecast: Forecast, memory: object = None) -> Decision:
        now = running(self.problem, state)
        hosted = self.hosted()
        families = {hosting.family for hosting in hosted}
        demand = {name: rate for name, rate in demands(self.problem, self.problem.rate, {}).items() if name in families}
        fleet = Fleet(hosted, device_units(self.problem, hosted, now), demand)
        placement = most_served(fleet)
        if placement is None:
            return Decision({}, None, "nothing can be hosted: as it runs")
        return Decision(targets_of(fleet, placement), None, f"fixed; serves {100 * placement.beta:.0f} % of {self.problem.rate:g} events/s")

    def hosted(self) -> tuple[Hosting, ...]:
        """Each family's one variant, wherever it can be hosted."""
        found = hostings(self.problem)
        wanted: dict[str, str] = {}
        for family in {hosting.family for hosting in found}:
            own = [hosting for hosting in found if hosting.family == family]
            best = max(own, key=lambda hosting: (hosting.accuracy if self.most_accurate else -hosting.accuracy, hosting.throughput))
            wanted[family] = best.option.variant
        return tuple(hosting for hosting in found if hosting.option.variant == wanted[hosting.family])


def clipper_ha(problem: Problem) -> Clipper:
    """Always the most accurate."""
    return Clipper(problem)


def clipper_ht(problem: Problem) -> Clipper:
    """Always the least accurate, for throughput."""
    return Clipper(problem, most_accurate=False, name="clipper_ht")
