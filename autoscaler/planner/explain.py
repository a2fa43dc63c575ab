"""Why a plan is as it is: what binds, what each stage takes, what the next best plan would be, and what a little more would buy.

    binds      a limit whose removal would give a better plan (the SLO: its doubling); slack = limit - what the plan takes
    part       of a stage: ms of latency and of wait, share of the slowest way, cost
    next best  the best plan that differs in the option of at least one stage: the best over every option of the plan, that option forbidden
    buys       the best plan with one unit more of a kind, with 10 ms more SLO, against this one
    infeasible what stands in the way, and each relaxation that alone would do

Every answer is a plan solved anew, so what is said of it holds; O(kinds + options of the plan) solves.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

from autoscaler.planner.evaluate import same
from autoscaler.planner.frontier import attempt
from autoscaler.planner.model import Infeasible, Option, Plan, Problem, Totals
from autoscaler.planner.objectives import LeastCost, MostAccurate
from autoscaler.planner.standing import stand

MORE_SLO_MS = 10.0
Solver = Callable[[Problem], Plan | Infeasible]


@dataclass(frozen=True, slots=True)
class Limit:
    """name: "slo", a kind, "budget" or "accuracy". taken: by the plan, of `limit`. binds: without it there would be a better plan."""

    name: str
    taken: float
    limit: float
    binds: bool

    @property
    def slack(self) -> float:
        """What is left; negative for the accuracy, of which there must be at least the limit."""
        return self.limit - self.taken


@dataclass(frozen=True, slots=True)
class Part:
    """What a stage does and takes. share: variant's part of the rows. wait_ms: the time in the stage beside the batch itself.

    of_way: share of the slowest way's time, 0..1; None off that way. cost: of all replicas of the variant.
    """

    stage: str
    variant: str
    share: float
    batch: int
    device: str
    units: float
    replicas: int
    rate: float
    latency_ms: float
    wait_ms: float
    of_way: float | None
    cost: float


@dataclass(frozen=True, slots=True)
class Difference:
    """Another plan against the one explained. what: in a few words. cost, accuracy, latency_ms: the other's less this one's.

    better: by the objective. choices: the other's stages, in a line each; empty where there is no such plan.
    """

    what: str
    better: bool
    cost: float = 0.0
    accuracy: float = 0.0
    latency_ms: float = 0.0
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Explanation:
    """totals, parts: None and empty when there is no plan; then the relaxations say what would help, each by itself."""

    rate: float
    slo_ms: float
    exact: bool
    gap: float
    latency_ms: float | None
    totals: Totals | None
    parts: tuple[Part, ...]
    limits: tuple[Limit, ...]
    next_best: Difference | None
    buys: tuple[Difference, ...]
    infeasible: Infeasible | None = None

    def data(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        plain = asdict(self)
        plain["limits"] = [{**asdict(limit), "slack": limit.slack} for limit in self.limits]
        return plain


def explain(problem: Problem, plan: Plan | Infeasible, solver: Solver = attempt) -> Explanation:
    """plan: the best one for the problem, or any other: what would be better than it is then said too."""
    if isinstance(plan, Infeasible):
        return Explanation(problem.rate, problem.slo_ms, plan.proven, 0.0, None, None, (), (), None, (), plan)
    return Explanation(problem.rate, problem.slo_ms, plan.exact, plan.gap, plan.latency_ms, plan.totals, _parts(problem, plan),
                       tuple(_limits(problem, plan, solver)), next_best(problem, plan, solver), tuple(_buys(problem, plan, solver)))


def next_best(problem: Problem, plan: Plan, solver: Solver = attempt) -> Difference | None:
    """None when every other plan breaks the problem."""
    found: tuple[str, Plan] | None = None
    for stage in plan.stages:
        for share in stage.shares:
            other = solver(_without(problem, stage.name, share.option))
            if isinstance(other, Plan) and (found is None or _better(other.value, found[1].value)):
                found = f"without {_option(share.option)} at {stage.name}", other
    return _difference(plan, found[1], found[0]) if found else None


def text(explanation: Explanation) -> str:
    """For people: lines of at most about 120 columns."""
    if explanation.infeasible is not None:
        return "\n".join(refusal(explanation.infeasible, explanation.rate, explanation.slo_ms))
    lines = ["what each stage takes"]
    for part in explanation.parts:
        way = "beside the slowest way" if part.of_way is None else f"{part.of_way:.0%} of the slowest way"
        lines.append(f"  {part.stage}: {part.replicas} x {part.variant}, {part.units:g} {part.device}, batch {part.batch}, {part.rate:.4g} rows/s: "
                     f"{part.latency_ms:.4g} ms + {part.wait_ms:.4g} ms wait, {way}; cost {part.cost:.4g}")
    lines.append("what binds")
    lines += [f"  {_limit(limit)}" for limit in explanation.limits] or ["  nothing is limited"]
    if not any(limit.binds for limit in explanation.limits):
        lines.append("  none of them: there is no better plan at this rate")
    lines.append("the next best plan")
    lines += _other(explanation.next_best) if explanation.next_best else ["  there is none: every other choice breaks a limit"]
    lines.append("what a little more would buy")
    for buy in explanation.buys:
        lines += _other(buy) if buy.better else [f"  {buy.what}: nothing"]
    lines.append("proven the best" if explanation.exact else f"not proven the best: another may be better by {explanation.gap:.4g} at most")
    return "\n".join(lines)


def refusal(infeasible: Infeasible, rate: float, slo_ms: float) -> list[str]:
    """Why there is no plan, and each single mend, a line each."""
    lines = [f"no plan carries {rate:g} events/s within {slo_ms:g} ms: {', '.join(infeasible.binding) or 'no reason known'} stand(s) in the way",
             "each of these alone would do:"]
    if infeasible.largest_rate:
        lines.append(f"  a rate of at most {infeasible.largest_rate:.4g} events/s")
    if infeasible.least_slo_ms is not None:
        lines.append(f"  an SLO of at least {infeasible.least_slo_ms:g} ms")
    lines += [f"  {units:g} more {kind}" for kind, units in infeasible.added.items()]
    if len(lines) == 2:
        lines[1] = "no single relaxation of rate, SLO or capacity would do"
    if not infeasible.proven:
        lines.append("not proven: the search ended before it was sure")
    return lines


def _parts(problem: Problem, plan: Plan) -> tuple[Part, ...]:
    standing = stand(problem, {stage.name: stage.shares for stage in plan.stages})
    parts = []
    for stage in plan.stages:
        of_way = stage.time_ms / plan.latency_ms if stage.name in standing.slowest_way and plan.latency_ms else None
        for share in stage.shares:
            option = share.option
            wait_ms = problem.sizing.wait_ms(option, stage.rate * share.share, share.replicas)
            parts.append(Part(stage.name, option.variant, share.share, option.batch, option.device, option.units, share.replicas,
                              stage.rate * share.share, option.latency_ms, wait_ms, of_way, option.cost * share.replicas))
    return tuple(parts)


def _limits(problem: Problem, plan: Plan, solver: Solver) -> list[Limit]:
    def binds(freed: Problem) -> bool:
        return _gains(plan, solver(freed))

    found = [Limit("slo", plan.latency_ms, problem.slo_ms, binds(replace(problem, slo_ms=2 * problem.slo_ms)))]
    for kind, units in problem.devices.items():
        others = {name: count for name, count in problem.devices.items() if name != kind}
        found.append(Limit(kind, plan.totals.used.get(kind, 0.0), units, binds(replace(problem, devices=others))))
    match problem.objective:
        case LeastCost(min_accuracy=float(floor)):
            found.append(Limit("accuracy", plan.totals.accuracy, floor, binds(replace(problem, objective=LeastCost()))))
        case MostAccurate(budget=float(budget)):
            found.append(Limit("budget", plan.totals.cost, budget, binds(replace(problem, objective=MostAccurate()))))
    return found


def _buys(problem: Problem, plan: Plan, solver: Solver) -> list[Difference]:
    asked = [(f"one more {kind}", replace(problem, devices={**problem.devices, kind: units + 1})) for kind, units in problem.devices.items()]
    asked.append((f"{MORE_SLO_MS:g} ms more SLO", replace(problem, slo_ms=problem.slo_ms + MORE_SLO_MS)))
    found = []
    for what, eased in asked:
        other = solver(eased)
        found.append(_difference(plan, other, what) if isinstance(other, Plan) else Difference(what, better=False))
    return found


def _without(problem: Problem, stage: str, option: Option) -> Problem:
    return replace(problem, stages=tuple(
        replace(each, options=tuple(other for other in each.options if other != option)) if each.name == stage else each for each in problem.stages))


def _difference(plan: Plan, other: Plan, what: str) -> Difference:
    choices = tuple(f"{stage.name}: " + ", ".join(f"{share.replicas} x {_option(share.option)}" for share in stage.shares) for stage in other.stages)
    return Difference(what, _better(other.value, plan.value), other.totals.cost - plan.totals.cost,
                      other.totals.accuracy - plan.totals.accuracy, other.latency_ms - plan.latency_ms, choices)


def _gains(plan: Plan, other: Plan | Infeasible) -> bool:
    return isinstance(other, Plan) and _better(other.value, plan.value)


def _better(value: tuple[float, ...], than: tuple[float, ...]) -> bool:
    for mine, theirs in zip(value, than, strict=True):
        if not same(mine, theirs):
            return mine > theirs
    return False


def _option(option: Option) -> str:
    return f"{option.variant} ({option.units:g} {option.device}, batch {option.batch})"


def _limit(limit: Limit) -> str:
    unit = {"slo": " ms", "cpu": " cores", "budget": "", "accuracy": ""}.get(limit.name, "")
    left = f"{abs(limit.slack):.4g}{unit} to spare"
    return f"{limit.name}: {limit.taken:.4g} of {limit.limit:.4g}{unit}, {left}; {'binds' if limit.binds else 'does not bind'}"


def _other(other: Difference) -> list[str]:
    return [f"  {other.what}: cost {other.cost:+.4g}, accuracy {other.accuracy:+.4f}, latency {other.latency_ms:+.4g} ms",
            *(f"    {choice}" for choice in other.choices)]
