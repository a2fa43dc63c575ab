"""Random planning problems, by class of graph, objective and how hard the constraints press. The same generator state, the same problem.

    l(b,c) = alpha b/c + beta b + gamma/c + zeta ms, coefficients drawn per variant (better variants are slower), on GPUs a few times
    faster at a price of a few cores; batches 1..64 in powers of two, cores 1, 2, 4, 8, at most 5 variants; rows/s 1000 b/l

An instance's options are a random part of that table, as many as keep its plans within the wanted number. Problems come from here; the
solvers under test take no part in making them: reachable latency, cost and accuracy are read off the oracles' lists of choices, and
most constraints that happen to leave no plan are drawn again until exhaustive search finds one.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np

from autoscaler.planner import exhaustive
from autoscaler.planner.choices import Choice, ordered
from autoscaler.planner.model import AccuracyRule, GivenVariant, Objective, Option, Plan, Problem, RateTerm, Sizing, StageModel
from autoscaler.planner.objectives import CheapestOfAccurate, LeastCost, MostAccurate, Weighted
from autoscaler.planner.queueing import Fill, FillWait, NoWait, ServiceWait

BATCHES = (1, 2, 4, 8, 16, 32, 64)
CORES = (1, 2, 4, 8)
VARIANTS = 5
STAGES = 6


class GraphClass(StrEnum):
    """after(v) as sets: a chain; a fork without a join; one fork with its join; composed of series and parallel; containing an N; any of
    the first three with rates or accuracies that depend on variants chosen before."""

    CHAIN = "chain"
    TREE = "tree"
    DIAMOND = "diamond"
    SERIES_PARALLEL = "other series-parallel"
    GENERAL = "not series-parallel"
    CONDITIONED = "conditioned rates"


class Aim(StrEnum):
    """Of the objective."""

    LEAST_COST = "least cost"
    WEIGHTED = "weighted"
    MOST_ACCURATE = "most accurate within a budget"
    LEXICOGRAPHIC = "lexicographic"


class Pressure(StrEnum):
    """tight: the deadline is within 12 % of the least latency. impossible: one constraint is drawn beyond what any plan reaches."""

    LOOSE = "loose"
    TIGHT = "tight"
    IMPOSSIBLE = "impossible"


MIXED = 20
"""Options of a stage with shares, at most: its mixes are as many as a power of them."""


@dataclass(frozen=True, slots=True)
class Instance:
    """A problem and the strata it stands for. plans: that exhaustive search would look at; None = not counted."""

    graph: GraphClass
    aim: Aim
    pressure: Pressure
    problem: Problem
    plans: int | None


def generate(random: np.random.Generator, graph: GraphClass, aim: Aim, plans_most: int = 10 ** 6) -> Instance:
    """One instance with at most that many plans, at least 1 % of them wanted."""
    pressure = Pressure(random.choice(list(Pressure), p=[0.58, 0.28, 0.14]))
    after = _graph(random, graph)
    wanted = math.exp(random.uniform(math.log(plans_most / 300), math.log(plans_most)))
    sizing = _sizing(random)
    size = wanted ** (1 / len(after)) / (2.5 if sizing.falls_with_replicas() else 1)
    drawn = _problem(random, graph, after, sizing)
    while True:
        part = replace(drawn, stages=tuple(_thinned(random, stage, max(1, round(min(size, MIXED) if stage.share_step else size))) for stage in drawn.stages))
        try:
            lists = list(exhaustive.tables(part, limit=plans_most))
        except ValueError:
            lists = []
        plans = sum(math.prod(len(found) for found in of_setting) for of_setting in lists)
        if 0 < plans <= plans_most:
            problem = _constrained(random, part, aim, pressure, lists)
            for _ in range(0 if pressure is Pressure.IMPOSSIBLE or random.random() < 0.15 else 8):
                if isinstance(exhaustive.solve(problem), Plan):
                    break
                problem = _constrained(random, part, aim, pressure, lists)
            return Instance(graph, aim, pressure, problem, plans)
        if plans > plans_most or not lists:
            size *= 0.8
        if size < 1:
            size, drawn = wanted ** (1 / len(after)), _problem(random, graph, after, sizing)


def generate_large(random: np.random.Generator, graph: GraphClass, aim: Aim) -> Instance:
    """3 to 6 stages of 15 to 140 options each: more plans than can be looked at."""
    pressure = Pressure(random.choice(list(Pressure), p=[0.58, 0.28, 0.14]))
    drawn = _problem(random, graph, _graph(random, graph, least=4), _sizing(random))
    size = int(math.exp(random.uniform(math.log(32), math.log(140))))
    if graph is GraphClass.CONDITIONED:
        size //= 2
    part = replace(drawn, stages=tuple(replace(_thinned(random, stage, size), share_step=None) for stage in drawn.stages))
    lists = list(exhaustive.tables(part, limit=10 ** 6))
    if not lists:
        return generate_large(random, graph, aim)
    return Instance(graph, aim, pressure, _constrained(random, part, aim, pressure, lists), None)


def strata(instances: Sequence[Instance]) -> dict[str, dict[str, int]]:
    """How many there are of each kind, by what they are sorted by."""
    return {"class": dict(Counter(str(instance.graph) for instance in instances)),
            "objective": dict(Counter(str(instance.aim) for instance in instances)),
            "pressure": dict(Counter(str(instance.pressure) for instance in instances)),
            "stages": dict(sorted(Counter(str(len(instance.problem.stages)) for instance in instances).items())),
            "sizing": dict(Counter(type(instance.problem.sizing).__name__ for instance in instances)),
            "with": {"capacities": sum(bool(instance.problem.devices) for instance in instances),
                     "shares": sum(any(stage.share_step for stage in instance.problem.stages) for instance in instances)}}


def is_series_parallel(after: Sequence[Sequence[int]]) -> bool:
    """Whether the order has no N: no a < c, a < d, b < d with every other two of the four unordered (Valdes, Tarjan and Lawler 1982)."""
    before: list[set[int]] = []
    for names in after:
        before.append(set(names).union(*(before[name] for name in names)))

    def apart(first: int, second: int) -> bool:
        return first not in before[second] and second not in before[first]

    return not any(a in before[c] and a in before[d] and b in before[d] and apart(a, b) and apart(c, d) and apart(b, c)
                   for a, b, c, d in itertools.permutations(range(len(after)), 4))


Graph = tuple[tuple[int, ...], ...]


def _graph(random: np.random.Generator, graph: GraphClass, least: int = 2) -> Graph:
    """Per stage those it comes after, all earlier ones."""
    match graph:
        case GraphClass.CHAIN:
            return tuple((index - 1,) if index else () for index in range(random.integers(least, STAGES + 1)))
        case GraphClass.TREE:
            return _tree(random, random.integers(max(3, least), STAGES + 1))
        case GraphClass.DIAMOND:
            return _diamond(random, random.integers(max(3, least), STAGES + 1))
        case GraphClass.SERIES_PARALLEL:
            while True:
                found = series_parallel(random, random.integers(4, STAGES + 1))
                if sum(len(names) > 1 for names in found) and sum(len(names) == 0 for names in found) + sum(len(names) > 1 for names in found) > 1:
                    return found
        case GraphClass.GENERAL:
            while True:
                count = random.integers(4, STAGES + 1)
                found = tuple(tuple(before for before in range(index) if random.random() < 0.45) for index in range(count))
                if not is_series_parallel(found):
                    return found
        case GraphClass.CONDITIONED:
            return _graph(random, GraphClass(random.choice([GraphClass.CHAIN, GraphClass.TREE, GraphClass.DIAMOND])), max(least, 2))


def _tree(random: np.random.Generator, count: int) -> Graph:
    while True:
        found = tuple((int(random.integers(index)),) if index else () for index in range(count))
        if max(Counter(names[0] for names in found if names).values()) > 1:
            return found


def _diamond(random: np.random.Generator, count: int) -> Graph:
    """Stages before the fork, two or three branches of one or more, the join, stages behind it."""
    branches = int(random.integers(2, min(3, count - 1) + 1))
    spare = count - branches - 1
    before, inside, behind = random.multinomial(spare, [0.4, 0.3, 0.3])
    if not before and behind:
        before, behind = 1, behind - 1
    after: list[tuple[int, ...]] = [(index - 1,) if index else () for index in range(before)]
    head = (before - 1,) if before else ()
    lengths = 1 + random.multinomial(inside, [1 / branches] * branches)
    ends = []
    for length in lengths:
        for place in range(length):
            after.append(head if place == 0 else (len(after) - 1,))
        ends.append(len(after) - 1)
    after.append(tuple(ends))
    for _ in range(behind):
        after.append((len(after) - 1,))
    return tuple(after)


def series_parallel(random: np.random.Generator, count: int) -> Graph:
    """That many stages composed of two parts, one behind the other (every end of the first before every start of the second) or side by side."""
    if count == 1:
        return ((),)
    cut = int(random.integers(1, count))
    first, second = series_parallel(random, cut), series_parallel(random, count - cut)
    in_series = random.random() < 0.5
    ends = tuple(index for index in range(cut) if not any(index in names for names in first))
    return (*first, *(tuple(name + cut for name in names) if names or not in_series else ends for names in second))


def _sizing(random: np.random.Generator) -> Sizing:
    return [NoWait(), FillWait(Fill.MEAN), FillWait(Fill.GAMMA, headroom_sigmas=1.0), FillWait(Fill.EXPONENTIAL, whole=True),
            ServiceWait()][random.choice(5, p=[0.2, 0.25, 0.25, 0.1, 0.2])]


def _problem(random: np.random.Generator, graph: GraphClass, after: Graph, sizing: Sizing) -> Problem:
    """Without constraints: no deadline yet, no capacities, least cost."""
    memory = random.random() < 0.3
    stages = [StageModel(f"s{index}", _table(random, memory), tuple(f"s{name}" for name in names), weight=float(random.choice([1.0, 1.0, 0.5])),
                         least=int(random.choice([1, 1, 1, 2])), most=int(random.choice([8, 20])) if sizing.falls_with_replicas() else 1000)
              for index, names in enumerate(after)]
    stages = [replace(stage, rates=_rates(random, stage)) for stage in stages]
    if graph is GraphClass.CONDITIONED:
        stages = _conditioned(random, stages)
    if len(stages) <= 4 and random.random() < 0.15 and not sizing.falls_with_replicas():  # a mix of replica numbers is too many to list
        shared = int(random.integers(len(stages)))
        stages[shared] = replace(stages[shared], share_step=float(random.choice([0.5, 0.25])))
    return Problem(tuple(stages), rate=float(np.round(math.exp(random.uniform(math.log(4), math.log(120))))), slo_ms=math.inf,
                   objective=LeastCost(), sizing=sizing, accuracy=AccuracyRule(random.choice(list(AccuracyRule), p=[0.5, 0.25, 0.25])),
                   grid_ms=float(random.choice([1.0, 5.0], p=[0.8, 0.2])), strict=bool(random.random() < 0.2))


def stage_table(random: np.random.Generator, count: int, memory: bool = False, on_gpu: bool = False) -> tuple[Option, ...]:
    """Every batch and number of cores, or a GPU slot, of that many variants of a stage."""
    found = []
    base = math.exp(random.uniform(math.log(2), math.log(20)))
    sizes = np.sort(np.exp(random.uniform(0, math.log(6), count)))
    accuracies = np.round(np.sort(random.uniform(0.55, 0.99, count)), int(random.choice([2, 4])))
    faster, gpu_price = random.uniform(3, 10), float(np.round(random.uniform(4, 9), 1))
    for variant, (size, accuracy) in enumerate(zip(sizes, accuracies, strict=True)):
        alpha, beta, gamma, zeta = base * size * np.array([1.0, 0.2, 0.2, 0.1]) * random.uniform(0.5, 1.5, 4)
        memory_gb = float(np.round(0.3 * size + 0.2, 1)) if memory else 0.0
        for batch in BATCHES:
            found += [_option(f"m{variant}", batch, cores, alpha * batch / cores + beta * batch + gamma / cores + zeta, accuracy, float(cores),
                              "cpu", memory_gb) for cores in CORES]
            if on_gpu:
                found.append(_option(f"m{variant}", batch, 1, (alpha * batch / 4 + beta * batch / 2) / faster * 2 + zeta + 1, accuracy, gpu_price,
                                     "gpu", memory_gb))
    return tuple(found)


def _table(random: np.random.Generator, memory: bool) -> tuple[Option, ...]:
    return stage_table(random, int(random.integers(1, VARIANTS + 1)), memory, on_gpu=bool(random.random() < 0.6))


def _option(variant: str, batch: int, units: int, latency_ms: float, accuracy: float, cost: float, device: str, memory_gb: float) -> Option:
    latency_ms = float(np.round(latency_ms, 3))
    return Option(variant, batch, float(units), latency_ms, 1000 * batch / latency_ms, float(accuracy), cost, device, memory_gb)


def _rates(random: np.random.Generator, stage: StageModel) -> tuple[RateTerm, ...]:
    """A branch's probability, a fan-out's width; a join gets each of its parents' share back."""
    if not stage.after:
        return ()
    if len(stage.after) > 1:
        return tuple(RateTerm(name, 1 / len(stage.after)) for name in stage.after)
    return (RateTerm(stage.after[0], float(random.choice([1.0, 1.0, 0.3, 0.7, 2.0]))),)


def _conditioned(random: np.random.Generator, stages: list[StageModel]) -> list[StageModel]:
    """One or two stages depend on the variant of one they come after."""
    later = [index for index, stage in enumerate(stages) if stage.after]
    for index in sorted(random.choice(later, size=min(len(later), int(random.integers(1, 3))), replace=False)):
        stage = stages[index]
        name = str(random.choice(stage.after))
        origin = next(other for other in stages if other.name == name)
        theirs = sorted({option.variant for option in origin.options})
        own = sorted({option.variant for option in stage.options})
        factors = {name: float(np.round(random.uniform(0.4, 2.5), 2)) for name in theirs}
        terms = tuple(replace(term, by_variant=factors) if term.origin == origin.name else term for term in stage.rate_terms())
        given = GivenVariant(origin.name, {(first, second): float(np.round(random.uniform(0.5, 0.99), 3)) for first in theirs for second in own})
        stages[index] = replace(stage, rates=terms, accuracy_given=given if random.random() < 0.4 else None)
    return stages


def _thinned(random: np.random.Generator, stage: StageModel, size: int) -> StageModel:
    """With that many of its options, drawn without regard to what they are."""
    kept = np.sort(random.choice(len(stage.options), size=min(size, len(stage.options)), replace=False))
    return replace(stage, options=tuple(stage.options[index] for index in kept))


Lists = list[list[list[Choice]]]


def _constrained(random: np.random.Generator, problem: Problem, aim: Aim, pressure: Pressure, lists: Lists) -> Problem:
    """With deadline, objective and capacities drawn from what the choices can reach."""
    fastest = min(_latency(problem, [min(choice.time_ms for choice in found) for found in of_setting]) for of_setting in lists)
    slack = {Pressure.LOOSE: random.uniform(1.15, 4.0), Pressure.TIGHT: random.uniform(1.0, 1.12), Pressure.IMPOSSIBLE: random.uniform(1.0, 2.0)}
    slo_ms = math.ceil(fastest * slack[pressure]) + float(problem.strict)
    if random.random() < 0.2:
        slo_ms += float(np.round(random.uniform(0, 1), 2))
    least_cost = min(sum(min(choice.cost for choice in found) for found in of_setting) for of_setting in lists)
    best_of_all = {"cost": least_cost, "accuracy": _reachable(problem, lists)}
    constrained = replace(problem, slo_ms=slo_ms, objective=_objective(random, aim, **best_of_all))
    if random.random() < 0.45:
        constrained = replace(constrained, devices=_devices(random, lists))
    if pressure is Pressure.IMPOSSIBLE:
        constrained = _impossible(random, constrained, fastest, lists, **best_of_all)
    return constrained


def _latency(problem: Problem, times: list[float]) -> float:
    finish: dict[str, float] = {}
    for stage, time_ms in zip(ordered(problem), times, strict=True):
        finish[stage.name] = time_ms + max((finish[name] for name in stage.after), default=0.0)
    return max(finish.values())


def _reachable(problem: Problem, lists: Lists) -> float:
    """The greatest accuracy of any plan, deadline and capacities aside."""
    weights = [stage.weight for stage in ordered(problem)]

    def of(of_setting: list[list[Choice]]) -> float:
        tops = [max(choice.accuracy for choice in found) for found in of_setting]
        if problem.accuracy is AccuracyRule.PRODUCT:
            return math.prod(top ** weight for top, weight in zip(tops, weights, strict=True))
        total = sum(top * weight for top, weight in zip(tops, weights, strict=True))
        return total if problem.accuracy is AccuracyRule.SUM else total / sum(weights)

    return max(of(of_setting) for of_setting in lists)


def _objective(random: np.random.Generator, aim: Aim, cost: float, accuracy: float) -> Objective:
    match aim:
        case Aim.LEAST_COST:
            return LeastCost(None if random.random() < 0.5 else float(np.round(accuracy * random.uniform(0.7, 0.99), 3)))
        case Aim.WEIGHTED:
            return Weighted(alpha=float(np.round(cost * random.uniform(0.5, 15) / accuracy, 2)), beta=1.0, gamma=float(random.choice([0.0, 0.01])))
        case Aim.MOST_ACCURATE:
            return MostAccurate(None if random.random() < 0.2 else float(np.round(cost * random.uniform(1.0, 3.0), 1)))
        case Aim.LEXICOGRAPHIC:
            return CheapestOfAccurate(float(random.choice([0.01, 0.05])))


def _devices(random: np.random.Generator, lists: Lists) -> dict[str, float]:
    """About what a plan of random choices near the cheapest uses: some bind, some are far away."""
    of_setting = lists[random.integers(len(lists))]
    used: Counter[str] = Counter()
    for found in of_setting:
        near = sorted(found, key=lambda choice: choice.cost)[:max(1, len(found) // 4)]
        used.update(near[random.integers(len(near))].uses)
    kinds = sorted({kind for found in of_setting for choice in found for kind in choice.uses})
    devices = {kind: float(math.ceil(max(used[kind], 1 if kind == "gpu" else 2) * random.uniform(0.7, 2.0))) for kind in kinds}
    return {kind: units for kind, units in devices.items() if random.random() < 0.85}


def _impossible(random: np.random.Generator, problem: Problem, fastest: float, lists: Lists, cost: float, accuracy: float) -> Problem:
    """Without a plan: too little of the time, of the devices, of the budget or of the accuracy."""
    beyond = ["slo", "devices"]
    match problem.objective:
        case LeastCost(min_accuracy=wanted) if wanted is not None:
            beyond.append("accuracy")
        case MostAccurate(budget=budget) if budget is not None:
            beyond.append("budget")
    match random.choice(beyond):
        case "slo":
            return replace(problem, slo_ms=float(math.ceil(fastest * random.uniform(0.5, 0.97)) - 1))
        case "devices":
            least = min(sum(min(sum(choice.uses.get(kind, 0.0) for kind in ("cpu", "gpu")) for choice in found) for found in of_setting)
                        for of_setting in lists)
            share = random.uniform(0.1, 0.9)
            return replace(problem, devices={"cpu": round(least * share, 1), "gpu": max(0.0, round(least * (1 - share) * 0.9 - 0.1, 1))})
        case "accuracy":
            return replace(problem, objective=LeastCost(round(accuracy + random.uniform(0.001, 0.01), 4)))
        case _:
            return replace(problem, objective=MostAccurate(round(cost * random.uniform(0.6, 0.97), 1) - 0.1))
