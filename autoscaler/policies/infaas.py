"""Greedy accuracy scaling, INFaaS-like: each family looks at its own load and takes the next best step.

    s      rows/s of the family, the same EWMA as Proteus
    C      rows/s that its replicas carry
    up     while s > (1 - slack) * C: a further replica of the most accurate variant that a free device hosts; with none free, the replica
           whose exchange for a faster variant on its device loses least accuracy per row/s gained; slack 0.1
    down   when s < downscale * C: the replica whose exchange for a more accurate variant gains most, as long as s <= (1 - slack) * C
           holds after it; else one replica less on the same terms; downscale 0.7

Every 10 s, one family after the other, the fullest first; no search over all of them, which is what Proteus adds. Batches as in Proteus.

Source: Proteus (ASPLOS 2024), section 6.1, baseline INFaaS-Accuracy, with its simulator's defaults (its end-to-end configuration says 0.05
and 0.6); INFaaS (USENIX ATC 2021). The order of the greedy steps is ours: neither text fixes it.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from autoscaler.planner.model import Problem
from autoscaler.policies.policy import Decision, Forecast, State, running
from autoscaler.policies.proteus import demands, device_units, ewma, hosted_now, hostings, targets_of
from autoscaler.policies.proteus_milp import Fleet, Hosting, Placement


@dataclass(frozen=True, slots=True)
class Infaas:
    """slack: of capacity kept free. downscale: share of capacity below which accuracy or replicas are reconsidered."""

    problem: Problem
    slack: float = 0.1
    downscale: float = 0.7
    com: float = 1.6
    past_s: int = 30
    least_rate: float = 0.01
    interval_s: float = 10.0
    name: str = "infaas"

    @classmethod
    def of(cls, problem: Problem) -> Infaas:
        return cls(problem)

    def decide(self, state: State, forecast: Forecast, memory: object = None) -> Decision:
        now = running(self.problem, state)
        offered = hostings(self.problem)
        rates = demands(self.problem, ewma(state.rates[-self.past_s:], self.com), now)
        demand = {name: max(rate, self.least_rate) for name, rate in rates.items() if any(hosting.family == name for hosting in offered)}
        units = device_units(self.problem, offered, now)
        held = Counter({hosting: replicas for hosting, replicas in hosted_now(offered, now).items() if replicas})
        steps = 0
        for family in sorted(demand, key=lambda family: (-_load(demand[family], family, held), family)):
            steps += self._adapt([hosting for hosting in offered if hosting.family == family], demand[family], held, units)
        # rows go by what replicas carry, which targets_of does where no rates are given
        placement = Placement(tuple(held[hosting] for hosting in offered), (0.0,) * len(offered), 0.0, 0.0, 1.0)
        return Decision(targets_of(Fleet(offered, units, demand), placement), None, f"{steps} greedy steps")

    def _adapt(self, own: list[Hosting], demand: float, held: Counter[Hosting], units: Mapping[str, float]) -> int:
        """Changes `held`; the number of steps taken."""
        steps = 0
        while demand > (1 - self.slack) * _carried(own, held):
            step = self._up(own, held, units)
            if step is None:
                return steps
            held.update(step[0])
            held.subtract(step[1])
            steps += 1
        if steps == 0 and 0 < demand < self.downscale * _carried(own, held):
            step = self._down(own, demand, held, units)
            if step is not None:
                held.update(step[0])
                held.subtract(step[1])
                steps += 1
        return steps

    def _up(self, own: list[Hosting], held: Counter[Hosting], units: Mapping[str, float]) -> tuple[Counter, Counter] | None:
        """(to start, to stop) of the next step up."""
        free = [hosting for hosting in own if _fits(held + Counter([hosting]), units)]
        if free:
            return Counter([max(free, key=lambda hosting: (hosting.accuracy, hosting.throughput))]), Counter()
        faster = [(new, old) for old in own if held[old] for new in own
                  if new.throughput > old.throughput and _fits(held + Counter([new]) - Counter([old]), units)]
        if not faster:
            return None
        new, old = min(faster, key=lambda pair: ((pair[1].accuracy - pair[0].accuracy) / (pair[0].throughput - pair[1].throughput), -pair[0].throughput))
        return Counter([new]), Counter([old])

    def _down(self, own: list[Hosting], demand: float, held: Counter[Hosting], units: Mapping[str, float]) -> tuple[Counter, Counter] | None:
        """(to start, to stop) of one step towards accuracy or fewer replicas that still carries the demand."""
        def carries(after: Counter[Hosting]) -> bool:
            return demand <= (1 - self.slack) * _carried(own, after)

        better = [(new, old) for old in own if held[old] for new in own if new.accuracy > old.accuracy]
        better = [(new, old) for new, old in better
                  if _fits(after := held + Counter([new]) - Counter([old]), units) and carries(after)]
        if better:
            new, old = max(better, key=lambda pair: (pair[0].accuracy - pair[1].accuracy, pair[0].throughput))
            return Counter([new]), Counter([old])
        spare = [old for old in own if held[old] and sum(held[hosting] for hosting in own) > 1 and carries(held - Counter([old]))]
        return (Counter(), Counter([min(spare, key=lambda old: (old.accuracy, old.throughput))])) if spare else None


def _fits(held: Counter[Hosting], units: Mapping[str, float]) -> bool:
    variants: Counter[tuple[str, str]] = Counter()
    for hosting, number in held.items():
        variants[hosting.family, hosting.option.variant] += number
    return all(variants[hosting.family, hosting.option.variant] <= hosting.most for hosting in held) and all(
        sum(number * hosting.option.units for hosting, number in held.items() if hosting.option.device == kind) <= most + 1e-9
        for kind, most in units.items())


def _carried(own: list[Hosting], held: Counter[Hosting]) -> float:
    return sum(held[hosting] * hosting.throughput for hosting in own)


def _load(demand: float, family: str, held: Counter[Hosting]) -> float:
    carried = sum(number * hosting.throughput for hosting, number in held.items() if hosting.family == family)
    return demand / carried if carried else math.inf
