"""What a plan really is: every figure computed again from the problem and the plan's options and replicas, and what does not hold.

Knows no solver and shares no code with one; a solver's own figures are only compared with what is found here.

    rate(v)      as the model says, the by_variant factors as the mean over the origin's shares
    demand       of each share: n * throughput + 1e-9 >= demand(share * rate), least <= n <= most
    time(v)      grid * ceil(longest of the shares' latency + wait / grid - 1e-9)
    longest(v)   ms from v's start to the end of the last way on from it = time(v) + max of longest(w) over the stages w after v
    deadline     max of longest(v) over the stages that come right after the source <= slo (strict: <)
    capacity     for every kind: sum of n * uses <= devices
    objective    allows(totals): budget, least accuracy
    claims       rates, times, latency, totals and value as the plan says them, to 1e-9 relative

Infinite where a queue grows for ever. O(stages + edges + shares).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from autoscaler.planner.model import AccuracyRule, Plan, Problem, RateTerm, StageModel, StagePlan, Totals

NEAR = 1e-9


@dataclass(frozen=True, slots=True)
class Violation:
    """constraint: of the list above. stage: or the kind of device, or "" for the whole. found and limit: the two figures, in its unit."""

    constraint: str
    stage: str
    found: float
    limit: float

    def __str__(self) -> str:
        where = f" of {self.stage}" if self.stage else ""
        return f"{self.constraint}{where}: {self.found:g}, should be {self.limit:g}"


@dataclass(frozen=True, slots=True)
class Evaluation:
    """rates, times_ms: by stage. slowest_way: the stages on it, source first. value: the objective's. violations: empty when the plan
    does all the problem asks and all it claims."""

    rates: Mapping[str, float]
    times_ms: Mapping[str, float]
    slowest_way: tuple[str, ...]
    latency_ms: float
    totals: Totals
    value: tuple[float, ...]
    violations: tuple[Violation, ...]


def evaluate(problem: Problem, plan: Plan) -> Evaluation:
    """ValueError for a plan of other stages than the problem's, and for options that a stage does not have."""
    planned = {stage.name: stage for stage in plan.stages}
    if set(planned) != {stage.name for stage in problem.stages} or len(planned) != len(plan.stages):
        raise ValueError(f"the plan is for {', '.join(planned)}; the problem has {', '.join(stage.name for stage in problem.stages)}")
    for stage in problem.stages:
        _check_shares(stage, planned[stage.name])
    rates = _rates(problem, planned)
    times = {stage.name: _time_ms(problem, planned[stage.name], rates[stage.name]) for stage in problem.stages}
    way, latency_ms = slowest_way(problem, times)
    totals, impossible = _totals(problem, planned)
    value = problem.objective.value(totals)
    broken = [*impossible, *_demand(problem, planned, rates), *_deadline(problem, latency_ms), *_capacity(problem, totals)]
    if not problem.objective.allows(totals):
        broken.append(Violation("objective", "", totals.cost, totals.accuracy))
    broken += _claims(plan, rates, times, latency_ms, totals, value)
    return Evaluation(rates, times, way, latency_ms, totals, value, tuple(broken))


def _check_shares(stage: StageModel, planned: StagePlan) -> None:
    variants = [share.option.variant for share in planned.shares]
    if not variants or len(set(variants)) != len(variants):
        raise ValueError(f"stage {stage.name} runs {variants}; each variant once")
    for share in planned.shares:
        if share.option not in stage.options:
            raise ValueError(f"stage {stage.name} has no such option: {share.option}")
    if stage.share_step is None and len(variants) > 1:
        raise ValueError(f"stage {stage.name} may run one variant, not {variants}")


def _rates(problem: Problem, planned: Mapping[str, StagePlan]) -> dict[str, float]:
    """Again and again through the stages whose origins are known, until there is none left. ValueError for a circle."""
    rates: dict[str, float] = {}
    left = list(problem.stages)
    while left:
        known = len(rates)
        for stage in left:
            if all(term.origin is None or term.origin in rates for term in stage.rate_terms()):
                rates[stage.name] = sum(_rows(problem, planned, term, rates) for term in stage.rate_terms())
        left = [stage for stage in left if stage.name not in rates]
        if len(rates) == known:
            raise ValueError(f"the rates of {', '.join(stage.name for stage in left)} depend on each other")
    return rates


def _rows(problem: Problem, planned: Mapping[str, StagePlan], term: RateTerm, rates: Mapping[str, float]) -> float:
    if term.origin is None:
        return problem.rate * term.factor
    per_row = sum(share.share * term.by_variant.get(share.option.variant, 1.0) for share in planned[term.origin].shares) if term.by_variant else 1.0
    return rates[term.origin] * term.factor * per_row


def _time_ms(problem: Problem, planned: StagePlan, rate: float) -> float:
    longest = 0.0
    for share in planned.shares:
        longest = max(longest, share.option.latency_ms + problem.sizing.wait_ms(share.option, rate * share.share, share.replicas))
    return longest if math.isinf(longest) else problem.grid_ms * math.ceil(longest / problem.grid_ms - NEAR)


def slowest_way(problem: Problem, times: Mapping[str, float]) -> tuple[tuple[str, ...], float]:
    """The stages on the longest way, source first, and its ms. times: ms by stage. ValueError for a circle."""
    behind: dict[str, list[str]] = {stage.name: [] for stage in problem.stages}
    ahead = {stage.name: len(stage.after) for stage in problem.stages}
    for stage in problem.stages:
        for before in stage.after:
            behind[before].append(stage.name)
    order = [name for name, count in ahead.items() if count == 0]
    for name in order:
        for after in behind[name]:
            ahead[after] -= 1
            if ahead[after] == 0:
                order.append(after)
    if len(order) < len(ahead):
        raise ValueError("the stages come after each other in a circle")
    # backwards from the sinks: what is left from the start of each stage, and where the longest of it goes
    left: dict[str, float] = {}
    onward: dict[str, str | None] = {}
    for name in reversed(order):
        onward[name] = max(behind[name], key=lambda after: left[after], default=None)
        left[name] = times[name] + (left[onward[name]] if onward[name] is not None else 0.0)
    start: str | None = max((stage.name for stage in problem.stages if not stage.after), key=lambda name: left[name])
    latency_ms, way = left[start], []
    while start is not None:
        way.append(start)
        start = onward[start]
    return tuple(way), latency_ms


def _totals(problem: Problem, planned: Mapping[str, StagePlan]) -> tuple[Totals, list[Violation]]:
    """The totals, and pairs of variants that a table of accuracies does not have (they count as accuracy 0)."""
    cost = change = batches = 0.0
    used: dict[str, float] = {}
    accuracies, impossible = [], []
    for stage in problem.stages:
        shares = planned[stage.name].shares
        for share in shares:
            cost += share.option.cost * share.replicas
            batches += share.option.batch
            for kind, units in share.option.uses().items():
                used[kind] = used.get(kind, 0.0) + units * share.replicas
        if problem.switching is not None:
            change += problem.switching.price(stage.name, shares)
        accuracy, unknown = _accuracy(stage, planned)
        accuracies.append((accuracy, stage.weight))
        if unknown:
            impossible.append(Violation("pair", stage.name, unknown, 0.0))
    return Totals(cost, _combined(problem.accuracy, accuracies), batches, change, used), impossible


def _accuracy(stage: StageModel, planned: Mapping[str, StagePlan]) -> tuple[float, int]:
    """Of the stage, and how many pairs of variants its table does not name."""
    shares = planned[stage.name].shares
    given = stage.accuracy_given
    if given is None:
        return sum(share.share * share.option.accuracy for share in shares), 0
    pairs = [((first.option.variant, share.option.variant), first.share * share.share) for first in planned[given.origin].shares for share in shares]
    return sum(part * given.table.get(pair, 0.0) for pair, part in pairs), sum(pair not in given.table for pair, _ in pairs)


def _combined(rule: AccuracyRule, accuracies: list[tuple[float, float]]) -> float:
    if rule is AccuracyRule.PRODUCT:
        product = 1.0
        for accuracy, weight in accuracies:
            product *= accuracy ** weight
        return product
    total = sum(weight * accuracy for accuracy, weight in accuracies)
    if rule is AccuracyRule.SUM:
        return total
    weights = sum(weight for _, weight in accuracies)
    return total / weights if weights else 0.0


def _demand(problem: Problem, planned: Mapping[str, StagePlan], rates: Mapping[str, float]) -> list[Violation]:
    broken = []
    for stage in problem.stages:
        shares = planned[stage.name].shares
        if abs(sum(share.share for share in shares) - 1) > NEAR:
            broken.append(Violation("shares", stage.name, sum(share.share for share in shares), 1.0))
        for share in shares:
            if share.share <= 0 or (stage.share_step is not None and abs(share.share / stage.share_step - round(share.share / stage.share_step)) > NEAR):
                broken.append(Violation("share", stage.name, share.share, stage.share_step or 1.0))
            if share.replicas != int(share.replicas) or share.replicas < stage.least:
                broken.append(Violation("least", stage.name, share.replicas, stage.least))
            if share.replicas > stage.most:
                broken.append(Violation("most", stage.name, share.replicas, stage.most))
            demand = problem.sizing.demand(rates[stage.name] * share.share)
            if share.replicas * share.option.throughput + NEAR < demand:
                broken.append(Violation("demand", stage.name, share.replicas * share.option.throughput, demand))
    return broken


def _deadline(problem: Problem, latency_ms: float) -> list[Violation]:
    late = latency_ms > problem.slo_ms - NEAR if problem.strict else latency_ms > problem.slo_ms + NEAR
    return [Violation("deadline", "", latency_ms, problem.slo_ms)] if late else []


def _capacity(problem: Problem, totals: Totals) -> list[Violation]:
    return [Violation("capacity", kind, totals.used.get(kind, 0.0), units) for kind, units in problem.devices.items()
            if totals.used.get(kind, 0.0) > units + NEAR]


def _claims(plan: Plan, rates: Mapping[str, float], times: Mapping[str, float], latency_ms: float, totals: Totals,
            value: tuple[float, ...]) -> list[Violation]:
    claims = [("claimed latency", "", plan.latency_ms, latency_ms)]
    for stage in plan.stages:
        claims += [("claimed rate", stage.name, stage.rate, rates[stage.name]), ("claimed time", stage.name, stage.time_ms, times[stage.name])]
    claims += [(f"claimed {name}", "", getattr(plan.totals, name), getattr(totals, name)) for name in ("cost", "accuracy", "batches", "change")]
    claims += [("claimed use", kind, plan.totals.used.get(kind, 0.0), totals.used.get(kind, 0.0))
               for kind in sorted(set(plan.totals.used) | set(totals.used))]
    claims += [("claimed components", "", len(plan.value), len(value))]
    claims += [("claimed value", str(place), claimed, found) for place, (claimed, found) in enumerate(zip(plan.value, value, strict=False))]
    return [Violation(*claim) for claim in claims if not same(claim[2], claim[3])]


def same(first: float, second: float, relative: float = NEAR) -> bool:
    """Equal but for rounding: relative to the greater, and absolutely below 1."""
    return first == second or abs(first - second) <= relative * max(1.0, abs(first), abs(second))


def same_value(first: tuple[float, ...], second: tuple[float, ...]) -> bool:
    """Two plans' values are the same, in every component."""
    return len(first) == len(second) and all(same(mine, theirs) for mine, theirs in zip(first, second, strict=True))
