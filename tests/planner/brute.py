"""Small random problems, and the best plan of each by going through all: what the tests of the solver hold it against."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

from hypothesis import strategies as st

from autoscaler.planner.model import AccuracyRule, GivenVariant, Kind, Option, Problem, RateTerm, Share, StageModel, Totals
from autoscaler.planner.objectives import CheapestOfAccurate, LeastCost, MostAccurate, Weighted


@dataclass(frozen=True)
class Waits:
    """fill: ms for each further row of the batch at 1 row/s. crowd: ms, divided by the replicas."""

    fill: float = 0.0
    crowd: float = 0.0
    kind: Kind = Kind.MEAN

    def demand(self, rate):
        return rate

    def wait_ms(self, option, rate, replicas):
        return (self.fill * (option.batch - 1) / rate if rate else 0.0) + (self.crowd / replicas if replicas else 0.0)

    def falls_with_replicas(self):
        return self.crowd > 0


@dataclass(frozen=True)
class PerVariant:
    """Each variant's replicas beyond those that run cost 0.3 each."""

    running: tuple[tuple[str, str, int], ...] = ()
    by_variant: bool = True

    def price(self, stage, shares):
        known = {variant: count for name, variant, count in self.running if name == stage}
        return sum(0.3 * max(0, share.replicas - known.get(share.option.variant, 0)) for share in shares)


def brute(problem):
    """(value, latency) of the best plan, or None. Every mix, every option, every number of replicas up to `most`."""
    weights = [stage.weight for stage in problem.stages]
    best = None
    for chosen in itertools.product(*(_mixes(stage) for stage in problem.stages)):
        mixes = dict(zip((stage.name for stage in problem.stages), chosen, strict=True))
        rates = _rates(problem, mixes)
        ways, accuracies = [], []
        for stage in problem.stages:
            accuracy = _accuracy(stage, mixes)
            if accuracy is None:
                break
            accuracies.append(accuracy)
            ways.append(_ways(problem, stage, mixes[stage.name], rates[stage.name]))
        if len(accuracies) < len(problem.stages):
            continue
        match problem.accuracy:
            case AccuracyRule.PRODUCT:
                accuracy = math.prod(a ** w for a, w in zip(accuracies, weights, strict=True))
            case AccuracyRule.SUM:
                accuracy = sum(a * w for a, w in zip(accuracies, weights, strict=True))
            case AccuracyRule.MEAN:
                accuracy = sum(a * w for a, w in zip(accuracies, weights, strict=True)) / sum(weights)
        for plan in itertools.product(*ways):
            value = _value(problem, plan, accuracy)
            if value is not None and (best is None or _better(value, best)):
                best = value
    return best


def _better(value, than):
    for mine, theirs in zip(value, than, strict=True):
        if abs(mine - theirs) > 1e-12 * max(1, abs(theirs)):
            return mine > theirs
    return False


def _mixes(stage):
    variants = sorted({option.variant for option in stage.options})
    parts = 1 if stage.share_step is None else round(1 / stage.share_step)
    return [{variant: count / parts for variant, count in zip(variants, counts, strict=True) if count}
            for counts in itertools.product(range(parts + 1), repeat=len(variants)) if sum(counts) == parts]


def _rates(problem, mixes):
    rates = {}
    for stage in problem.stages:                     # the tests name stages in order
        rates[stage.name] = sum(
            term.factor * (problem.rate if term.origin is None else rates[term.origin] * sum(
                share * term.by_variant.get(variant, 1.0) for variant, share in mixes[term.origin].items()))
            for term in stage.rate_terms())
    return rates


def _accuracy(stage, mixes):
    own = mixes[stage.name]
    accuracy = {option.variant: option.accuracy for option in stage.options}
    if stage.accuracy_given is None:
        return sum(share * accuracy[variant] for variant, share in own.items())
    pairs = {(theirs, mine): first * second for theirs, first in mixes[stage.accuracy_given.origin].items() for mine, second in own.items()}
    if any(pair not in stage.accuracy_given.table for pair in pairs):
        return None
    return sum(part * stage.accuracy_given.table[pair] for pair, part in pairs.items())


def _ways(problem, stage, mix, rate):
    per_variant = []
    for variant, share in mix.items():
        per_variant.append([Share(option, replicas, share) for option in stage.options if option.variant == variant
                            for replicas in range(stage.least, stage.most + 1)
                            if replicas * option.throughput + 1e-9 >= problem.sizing.demand(rate * share)
                            and (problem.sizing.falls_with_replicas() or replicas == stage.least
                                 or (replicas - 1) * option.throughput + 1e-9 < problem.sizing.demand(rate * share))])
    found = []
    for shares in itertools.product(*per_variant):
        time_ms = max(share.option.latency_ms + problem.sizing.wait_ms(share.option, rate * share.share, share.replicas) for share in shares)
        found.append((stage.name, shares, math.ceil(time_ms / problem.grid_ms - 1e-9) * problem.grid_ms))
    return found


def _value(problem, plan, accuracy):
    done, used = {}, {}
    for stage, (name, shares, time_ms) in zip(problem.stages, plan, strict=True):
        done[name] = time_ms + max((done[before] for before in stage.after), default=0.0)
        for share in shares:
            for kind, units in share.option.uses().items():
                used[kind] = used.get(kind, 0) + units * share.replicas
    latency = max(done.values())
    if latency > problem.slo_ms + 1e-9 or (problem.strict and latency > problem.slo_ms - 1e-9):
        return None
    if any(used.get(kind, 0) > units + 1e-9 for kind, units in problem.devices.items()):
        return None
    shares = [share for _, own, _ in plan for share in own]
    change = sum(problem.switching.price(name, own) for name, own, _ in plan) if problem.switching else 0.0
    totals = Totals(sum(share.replicas * share.option.cost for share in shares), accuracy, sum(share.option.batch for share in shares), change, used)
    return problem.objective.value(totals) if problem.objective.allows(totals) else None


options = st.builds(Option, variant=st.sampled_from("abc"), batch=st.sampled_from([1, 2, 4]), units=st.sampled_from([1.0, 2.0]),
                    latency_ms=st.integers(1, 12).map(float), throughput=st.sampled_from([3.0, 5.0, 8.0, 10.0, 20.0]),
                    accuracy=st.just(0.0), cost=st.sampled_from([0.1, 0.5, 1.0, 1.7, 3.0]), device=st.sampled_from(["cpu", "gpu"]),
                    memory_gb=st.sampled_from([0.0, 0.5]))
accuracies = st.sampled_from([0.0, 0.3, 0.55, 0.7, 0.72, 0.9, 1.0])
objectives = st.one_of(
    st.just(LeastCost()), st.builds(LeastCost, st.sampled_from([0.1, 0.5, 0.8])),
    st.builds(Weighted, st.sampled_from([0.0, 1.0, 20.0]), st.sampled_from([0.1, 1.0]), st.sampled_from([0.0, 0.01])),
    st.builds(MostAccurate, st.sampled_from([None, 2.0, 5.0])), st.builds(CheapestOfAccurate, st.sampled_from([0.01, 0.2])))


@st.composite
def problems(draw, stages=st.integers(1, 4), conditioned=True, shares=True, most_ways=4000):
    count = draw(stages)
    names = [f"s{number}" for number in range(count)]
    made = []
    total = 1
    for number, name in enumerate(names):
        width = max(1, min(4, int((most_ways / total) ** (1 / (count - number)))))
        found = draw(st.lists(options, min_size=1, max_size=width))
        by_variant = {variant: draw(accuracies) for variant in "abc"}
        found = tuple(Option(o.variant, o.batch, o.units, o.latency_ms, o.throughput, by_variant[o.variant], o.cost, o.device, o.memory_gb) for o in found)
        total *= len(found)
        before = tuple(draw(st.sets(st.sampled_from(names[:number]), max_size=2))) if number else ()
        rates, given, step = (), None, None
        if conditioned and number and draw(st.booleans()):
            rates = tuple(draw(st.lists(st.builds(RateTerm, st.sampled_from([None, *names[:number]]), st.sampled_from([0.5, 1.0, 2.0]),
                                                  st.dictionaries(st.sampled_from("abc"), st.sampled_from([0.5, 1.5, 3.0]))), min_size=1, max_size=2)))
        if conditioned and number and draw(st.integers(0, 3)) == 0:
            given = GivenVariant(draw(st.sampled_from(names[:number])),
                                 draw(st.dictionaries(st.tuples(st.sampled_from("abc"), st.sampled_from("abc")), accuracies, min_size=4)))
        if shares and count <= 3 and draw(st.integers(0, 3)) == 0:
            step = 0.5
        weight = draw(st.sampled_from([0.0, 0.5, 1.0])) if number else 1.0
        made.append(StageModel(name, found, before, rates, given, weight, 1, draw(st.sampled_from([2, 4, 9])), step))
    crowd = draw(st.sampled_from([0.0, 0.0, 9.0])) if count <= 3 else 0.0
    running = tuple((name, draw(st.sampled_from("abc")), draw(st.integers(0, 3))) for name in names)
    return Problem(tuple(made), draw(st.sampled_from([4.0, 10.0, 16.0])), draw(st.integers(3, 40)), draw(objectives),
                   Waits(draw(st.sampled_from([0.0, 10.0])), crowd), draw(st.dictionaries(st.sampled_from(["cpu", "gpu", "memory_gb"]), st.integers(1, 12))),
                   draw(st.sampled_from(list(AccuracyRule))), draw(st.sampled_from([None, PerVariant(running)])), draw(st.sampled_from([1.0, 0.5, 3.0])),
                   draw(st.booleans()))
