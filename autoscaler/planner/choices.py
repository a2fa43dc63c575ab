"""Every way to run a stage, one by one: what the two oracles (`exhaustive`, `milp`) choose from. Shares no code with the solver.

    mix          ((variant, share), ...) of a stage, one entry where it runs one variant; shares on the grid `share_step`
    conditioning stage   one whose mix another's rate (RateTerm.by_variant) or accuracy (GivenVariant) asks for
    rate(v)      sum over its terms of factor * sum over the origin's mix of share * by_variant[variant] * rate(origin)
    n            the least with n * throughput + 1e-9 >= demand(share * rate) and n >= least; more only where the sizing's wait falls
                 with replicas, and of those only the n whose time on the grid is below that of every smaller one; never above `most`
    time         grid * ceil(max over shares of (latency + wait) / grid - 1e-9)
    accuracy     sum over shares of share * accuracy; of a stage conditioned on another, sum over both mixes of share * share * table

O(variants * options * replicas) choices without shares; with them the product over the variants at work, times the ways to share.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from autoscaler.planner.model import Option, Plan, Problem, Share, StageModel, StagePlan, Totals

TOLERANCE = 1e-9

Mix = tuple[tuple[str, float], ...]


@dataclass(frozen=True, slots=True)
class Choice:
    """One way to run one stage at one rate. time_ms: on the grid. uses: units of each kind."""

    mix: Mix
    shares: tuple[Share, ...]
    rate: float
    time_ms: float
    cost: float
    change: float
    accuracy: float
    batches: float
    uses: Mapping[str, float]


def ordered(problem: Problem) -> list[StageModel]:
    """Stages, each behind those it comes after and those its rate or accuracy asks for. ValueError for a circle or an unknown name."""
    stages = {stage.name: stage for stage in problem.stages}
    needs = {stage.name: _asked_for(stage) for stage in problem.stages}
    asking: dict[str, list[str]] = {name: [] for name in stages}
    for name, others in needs.items():
        for other in others:
            if other not in asking:
                raise ValueError(f"no stage is named {other}")
            asking[other].append(name)
    open_needs = {name: len(others) for name, others in needs.items()}
    done = [name for name in stages if open_needs[name] == 0]
    for name in done:  # grows while it is gone through
        for other in asking[name]:
            open_needs[other] -= 1
            if open_needs[other] == 0:
                done.append(other)
    if len(done) < len(stages):
        raise ValueError(f"the stages {', '.join(name for name in stages if name not in done)} wait for each other")
    return [stages[name] for name in done]


def _asked_for(stage: StageModel) -> set[str]:
    names = set(stage.after) | {term.origin for term in stage.rate_terms() if term.origin is not None}
    return names | ({stage.accuracy_given.origin} if stage.accuracy_given else set())


def conditions(problem: Problem) -> dict[str, frozenset[str]]:
    """For every stage the conditioning stages whose mixes settle its rate and its accuracy."""
    of_rate: dict[str, frozenset[str]] = {}
    both: dict[str, frozenset[str]] = {}
    for stage in ordered(problem):
        found: set[str] = set()
        for term in stage.rate_terms():
            if term.origin is not None:
                found |= of_rate[term.origin] | ({term.origin} if term.by_variant else set())
        of_rate[stage.name] = frozenset(found)
        both[stage.name] = frozenset(found | ({stage.accuracy_given.origin} if stage.accuracy_given else set()))
    return both


def mixes(stage: StageModel) -> list[Mix]:
    """Every way to share the rows among the variants, on the grid; variants in the order of the options."""
    names = list(dict.fromkeys(option.variant for option in stage.options))
    if stage.share_step is None:
        return [((name, 1.0),) for name in names]
    parts = round(1 / stage.share_step)
    return [tuple((name, count / parts) for name, count in zip(names, counts, strict=True) if count)
            for counts in itertools.product(range(parts + 1), repeat=len(names)) if sum(counts) == parts]


def settings(problem: Problem, names: frozenset[str]) -> Iterator[dict[str, Mix]]:
    """Every combination of mixes of the named stages; one empty combination where none is named."""
    stages = [stage for stage in problem.stages if stage.name in names]
    for chosen in itertools.product(*(mixes(stage) for stage in stages)):
        yield {stage.name: mix for stage, mix in zip(stages, chosen, strict=True)}


def rates(problem: Problem, setting: Mapping[str, Mix]) -> dict[str, float]:
    """rows/s of every stage that the setting settles."""
    found: dict[str, float] = {}
    for stage in ordered(problem):
        terms = stage.rate_terms()
        if all(term.origin is None or (term.origin in found and (not term.by_variant or term.origin in setting)) for term in terms):
            found[stage.name] = sum(
                term.factor * (problem.rate if term.origin is None else _mean(term.by_variant, setting.get(term.origin, ())) * found[term.origin])
                for term in terms)
    return found


def _mean(by_variant: Mapping[str, float], mix: Mix) -> float:
    return sum(share * by_variant.get(variant, 1.0) for variant, share in mix) if by_variant else 1.0


def choices(problem: Problem, stage: StageModel, rate: float, mix: Mix, given: Mix | None) -> list[Choice]:
    """Every choice of the stage with that mix at that rate; `given` is the mix of the stage that its accuracy is conditioned on."""
    if given is not None and any((theirs, own) not in stage.accuracy_given.table for theirs, _ in given for own, _ in mix):
        return []
    per_variant = [[Share(option, replicas, share) for option in stage.options if option.variant == variant
                    for replicas in _replica_counts(problem, stage, option, share * rate)] for variant, share in mix]
    found = (_choice(problem, stage, rate, shares, given) for shares in itertools.product(*per_variant))
    return [choice for choice in found if math.isfinite(choice.time_ms)]


def _choice(problem: Problem, stage: StageModel, rate: float, shares: tuple[Share, ...], given: Mix | None) -> Choice:
    uses: dict[str, float] = {}
    for share in shares:
        for kind, units in share.option.uses().items():
            uses[kind] = uses.get(kind, 0.0) + share.replicas * units
    if given is None:
        accuracy = sum(share.share * share.option.accuracy for share in shares)
    else:
        accuracy = sum(part * share.share * stage.accuracy_given.table[theirs, share.option.variant] for theirs, part in given for share in shares)
    return Choice(mix=tuple((share.option.variant, share.share) for share in shares), shares=shares, rate=rate,
                  time_ms=max(_time_ms(problem, share.option, share.share * rate, share.replicas) for share in shares),
                  cost=sum(share.replicas * share.option.cost for share in shares),
                  change=problem.switching.price(stage.name, shares) if problem.switching else 0.0,
                  accuracy=accuracy, batches=float(sum(share.option.batch for share in shares)), uses=uses)


def _replica_counts(problem: Problem, stage: StageModel, option: Option, rate: float) -> list[int]:
    demand = problem.sizing.demand(rate)
    least = max(stage.least, math.ceil((demand - TOLERANCE) / option.throughput) - 1)
    while least * option.throughput + TOLERANCE < demand:
        least += 1
    if least > stage.most:
        return []
    if not problem.sizing.falls_with_replicas():
        return [least]
    shortest = math.ceil(option.latency_ms / problem.grid_ms - TOLERANCE) * problem.grid_ms  # no wait is below 0
    kept, below = [], math.inf
    for replicas in range(least, stage.most + 1):
        time_ms = _time_ms(problem, option, rate, replicas)
        if time_ms < below:
            kept.append(replicas)
            below = time_ms
        if time_ms <= shortest:
            break
    return kept


def _time_ms(problem: Problem, option: Option, rate: float, replicas: int) -> float:
    time_ms = option.latency_ms + problem.sizing.wait_ms(option, rate, replicas)
    return math.ceil(time_ms / problem.grid_ms - TOLERANCE) * problem.grid_ms if math.isfinite(time_ms) else math.inf


def deadline_ms(problem: Problem) -> float:
    """The longest a way may take."""
    return problem.slo_ms - TOLERANCE if problem.strict else problem.slo_ms + TOLERANCE


def factor(problem: Problem, stage: StageModel, accuracy: float) -> float:
    """What the stage brings into the rule of the whole graph: a term of the sum, or a factor of the product."""
    if problem.accuracy.value == "product":
        return accuracy ** stage.weight
    weight = sum(other.weight for other in problem.stages) if problem.accuracy.value == "mean" else 1.0
    return stage.weight * accuracy / weight if weight else 0.0


def as_plan(problem: Problem, chosen: Mapping[str, Choice]) -> Plan:
    """The plan of one choice per stage; exact is what an oracle claims."""
    factors = [factor(problem, stage, chosen[stage.name].accuracy) for stage in problem.stages]
    used: dict[str, float] = {}
    for stage in problem.stages:
        for kind, units in chosen[stage.name].uses.items():
            used[kind] = used.get(kind, 0.0) + units
    totals = Totals(cost=math.fsum(chosen[stage.name].cost for stage in problem.stages),
                    accuracy=math.prod(factors) if problem.accuracy.value == "product" else math.fsum(factors),
                    batches=sum(chosen[stage.name].batches for stage in problem.stages),
                    change=math.fsum(chosen[stage.name].change for stage in problem.stages), used=used)
    finish: dict[str, float] = {}
    for stage in ordered(problem):
        finish[stage.name] = chosen[stage.name].time_ms + max((finish[name] for name in stage.after), default=0.0)
    return Plan(stages=tuple(StagePlan(stage.name, chosen[stage.name].shares, chosen[stage.name].rate, chosen[stage.name].time_ms)
                             for stage in problem.stages),
                totals=totals, latency_ms=max(finish.values()), value=problem.objective.value(totals), exact=True)
