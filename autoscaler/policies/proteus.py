"""Accuracy scaling on a fixed, mixed cluster: which variant each device hosts, from the demand of every family of queries.

    stage k   a family of queries; the problem's stages are families, each on its own rows; one variant per device
    Bmax[j]   largest profiled batch of a variant on a kind with latency < (the stage's part of the SLO) / 2; none = it is not hosted there
    p[j]      floor(1000 * Bmax / latency)
    A[j]      accuracy in % of the family's best variant
    s[k]      demand: mean of the past seconds with weights (1 - a)^age, a = 1 / (1 + com), com = 1.6     (EWMA)
    beta      1.05; while infeasible less by 0.05 (0.1 above 1.5), down to 0.2; below that the most that can be served

Every 10 s the program of `proteus_milp`, aggregated by kind. Load times are ignored as released; `load_s` counts them as capacity that a new
replica lacks in the interval. gap 0.5 is as released, 0 is exact.

One stage with several families' rows, or stages behind each other, are beyond the paper: of a graph, each stage is a family of its own,
with an even part of the SLO along the longest way, and its rate is taken with the variants that run.

Source: Proteus (ASPLOS 2024), sections 4 and 5, and its released configuration (beta 1.05, decay 1.6, 10 s).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from autoscaler.planner.model import Option, Problem, Share
from autoscaler.policies.arrivals import in_order, longest_way, rows_per_second
from autoscaler.policies.policy import Decision, Forecast, State, Target, running
from autoscaler.policies.proteus_milp import Fleet, Hosting, Placement, aggregated, most_served


@dataclass(frozen=True, slots=True)
class Proteus:
    """com: centre of mass of the EWMA, in seconds. past_s: seconds it looks at. load_s: of any variant; 0 = ignored, as released.
    least_rate: rows/s of a family to provide for at least, so that each stays hosted."""

    problem: Problem
    beta: float = 1.05
    least_beta: float = 0.2
    com: float = 1.6
    past_s: int = 30
    gap: float = 0.0
    load_s: float = 0.0
    time_limit_s: float | None = 8.0
    fixed_families: bool = False
    least_rate: float = 0.01
    interval_s: float = 10.0
    name: str = "proteus"

    def decide(self, state: State, forecast: Forecast, memory: object = None) -> Decision:
        now = running(self.problem, state)
        held = (memory if isinstance(memory, dict) else None) or units_held(now)
        fleet = self.fleet(demands(self.problem, ewma(state.rates[-self.past_s:], self.com), now), now, held)
        kept = held if self.fixed_families else None
        placement = self.place(fleet)
        if placement is None:
            return Decision({}, kept, "the devices do not hold a replica of each: as it runs")
        return Decision(targets_of(fleet, placement), kept, f"accuracy {100 * placement.value:.2f} % at beta {placement.beta:.2f}, gap {gap_of(placement):.3f}")

    def fleet(self, demand: Mapping[str, float], now: Mapping[str, tuple[Share, ...]], held: Mapping[tuple[str, str], float] | None = None) -> Fleet:
        """The families' demand on the problem's devices. held: units by (kind, family) that each has for good, where they keep them; None = what
        it runs on now."""
        placed = units_held(now) if held is None else held
        offered = hostings(self.problem, min(self.load_s / self.interval_s, 1.0))
        wanted = {family: max(rate, self.least_rate) for family, rate in demand.items() if any(hosting.family == family for hosting in offered)}
        return Fleet(offered, device_units(self.problem, offered, now), wanted, placed if self.fixed_families and placed else None, hosted_now(offered, now))

    def place(self, fleet: Fleet) -> Placement | None:
        """The best placement at the greatest beta that can be had."""
        for beta in betas(self.beta, self.least_beta):
            placement = aggregated(fleet, beta, self.gap, self.time_limit_s)
            if placement is not None:
                return without_idle(fleet, placement)
        return most_served(fleet) or most_served(replace(fleet, placed=None))


def proteus(problem: Problem) -> Proteus:
    return Proteus(problem)


def sommelier(problem: Problem) -> Proteus:
    """Sommelier-like: the variants are switched, each device keeps its family; beta 1.5 as in Proteus' configuration of it."""
    return Proteus(problem, beta=1.5, fixed_families=True, name="sommelier")


def betas(first: float, least: float) -> Iterator[float]:
    """The over-provisions to try, in Proteus' steps."""
    beta = first
    while beta >= least - 1e-9:
        yield beta
        beta = round(beta - (0.1 if beta > 1.5 + 1e-9 else 0.05), 10)


def ewma(rates: tuple[float, ...], com: float) -> float:
    """Mean of the rates, newest last, with weights (com / (1 + com))^age; 0 without any."""
    if not rates:
        return 0.0
    decay = com / (1 + com)
    weights = [decay ** age for age in reversed(range(len(rates)))]
    return math.fsum(weight * rate for weight, rate in zip(weights, rates, strict=True)) / math.fsum(weights)


def demands(problem: Problem, source: float, now: Mapping[str, tuple[Share, ...]]) -> dict[str, float]:
    """rows/s by stage, with the variants that run."""
    rates: dict[str, float] = {}
    for stage in in_order(problem):
        rates[stage.name] = rows_per_second(stage, source, rates, now)
    return rates


def hostings(problem: Problem, loading: float = 0.0) -> tuple[Hosting, ...]:
    """Each stage's variants on each kind and size, at the largest batch within half of the stage's part of the SLO."""
    limit = problem.slo_ms / longest_way(problem) / 2
    found = []
    for stage in problem.stages:
        best = max(option.accuracy for option in stage.options)
        largest: dict[tuple[str, str, float], Option] = {}
        for option in stage.options:
            key = (option.variant, option.device, option.units)
            if option.latency_ms < limit and (key not in largest or option.batch > largest[key].batch):
                largest[key] = option
        found += [Hosting(stage.name, option, float(rows), _percent(option, best), loading, stage.most) for option in largest.values()
                  if (rows := math.floor(1000 * option.batch / option.latency_ms)) > 0]
    return tuple(found)


def hosted_now(offered: tuple[Hosting, ...], now: Mapping[str, tuple[Share, ...]]) -> dict[Hosting, int]:
    """Replicas that run of each hosting, whatever their batch: another batch is no other model."""
    found = dict.fromkeys(offered, 0)
    for hosting in offered:
        found[hosting] = sum(share.replicas for share in now.get(hosting.family, ()) if _model(share.option) == _model(hosting.option))
    return found


def units_held(now: Mapping[str, tuple[Share, ...]]) -> dict[tuple[str, str], float]:
    """By (kind, family)."""
    held: dict[tuple[str, str], float] = {}
    for name, shares in now.items():
        for share in shares:
            key = (share.option.device, name)
            held[key] = held.get(key, 0.0) + share.replicas * share.option.units
    return held


def device_units(problem: Problem, offered: tuple[Hosting, ...], now: Mapping[str, tuple[Share, ...]]) -> dict[str, float]:
    """Units by kind, less what stages hold that can be hosted nowhere and so stay as they run. A kind the problem does not limit has as
    many as all its replicas could take."""
    units = {hosting.option.device: 0.0 for hosting in offered}
    for hosting in offered:
        units[hosting.option.device] += hosting.option.units * hosting.most
    units |= {kind: problem.devices[kind] for kind in units if kind in problem.devices}
    hosted = {hosting.family for hosting in offered}
    for name, shares in now.items():
        for share in shares:
            if name not in hosted and share.option.device in units:
                units[share.option.device] -= share.option.units * share.replicas
    return {kind: max(number, 0.0) for kind, number in units.items()}


def targets_of(fleet: Fleet, placement: Placement) -> dict[str, Target]:
    """The placement as targets; a family that it gives no replica stays as it runs. Rows follow the rates, or what replicas carry."""
    targets: dict[str, Target] = {}
    for family in fleet.demand:
        own = [(hosting, replicas, rate) for hosting, replicas, rate in zip(fleet.hostings, placement.replicas, placement.rates, strict=True)
               if hosting.family == family and replicas]
        sent = [part for part in own if part[2] > 1e-6] or [(hosting, replicas, replicas * hosting.throughput) for hosting, replicas, _ in own]
        total = math.fsum(rate for _, _, rate in sent)
        if sent:
            targets[family] = Target(tuple(Share(hosting.option, replicas, rate / total) for hosting, replicas, rate in sent))
    return targets


def without_idle(fleet: Fleet, placement: Placement) -> Placement:
    """The same without replicas that would have nothing to do: the program leaves open what the rest of the devices host."""
    needed = (math.ceil(max(placement.beta, 1.0) * rate / hosting.throughput - 1e-6) for hosting, rate in zip(fleet.hostings, placement.rates, strict=True))
    return replace(placement, replicas=tuple(min(replicas, least) for replicas, least in zip(placement.replicas, needed, strict=True)))


def gap_of(placement: Placement) -> float:
    """How much better, relative to the value, the best may be."""
    return max(placement.bound / placement.value - 1, 0.0) if placement.value > 0 else 0.0


def _model(option: Option) -> tuple[str, str, float]:
    return option.variant, option.device, option.units


def _percent(option: Option, best: float) -> float:
    return 100 * option.accuracy / best if best > 0 else 100.0

