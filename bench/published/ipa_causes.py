"""Which of IPA's published steps the policy makes, and why it does not make the others: a closed list, each with a check that can fail.

    interval   of rates between two at which some option needs one replica more; the plan is the same all over it
    equal      in some interval that meets the rates of the window the policy's plan has the step's accuracy and cost

The causes, in the order they are tried:

    rounding         a plan of such an interval differs by no more than reading a figure may: 0.05 of accuracy (in its unit), 0.1 cores
    defect           the released solver's queue term, in which the batch's 0/1 indicator stands for the batch, summed over all options: it
                     loosens the SLO by (options - 1) / lambda for each stage; with it the policy makes the step
    tie              another configuration with the step's accuracy and cost has the value of the policy's plan but for the weight of
                     the batches, found by going through all of them
    missing profile  video: a pair of variants with the step's accuracy lacks a complete row at a batch within the cap, and the policy makes
                     the step once the pair's batches of one get the throughput that the missing ones could have: a factor from 1 to the
                     greatest gain that any variant's rows show. Audio: of every such pair one variant has no complete row at all at
                     the sizes that ran
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum

from autoscaler.planner.frontier import attempt
from autoscaler.planner.model import Plan, Problem, StageModel
from autoscaler.planner.queueing import NoWait
from autoscaler.policies.ipa import Ipa
from bench.published import accuracy, ipa
from bench.published.ipa import Step

ACCURACY_READ = 0.011
"""The figures' accuracies are rounded to 0.01."""
COST_READ = 0.05


class Cause(StrEnum):
    """Why a published figure is not made; the list is closed."""

    MISSING_PROFILE = "missing profile"
    DEFECT = "defect in released code"
    ROUNDING = "rounding"
    TIE = "tie"


@dataclass(frozen=True, slots=True)
class Interval:
    """Rates above `low` up to `high`, events/s, and the plan for them."""

    low: float
    high: float
    plan: Plan | None

    def meets(self, least: float, most: float) -> bool:
        return self.low < most and self.high >= least


@dataclass(frozen=True, slots=True)
class Released:
    """The policy with the queue term of the released solver."""

    policy: Ipa

    def posed(self, rate: float) -> Problem:
        given = self.policy.posed(rate)
        loosened_ms = 1000 * sum(len(stage.options) - 1 for stage in given.stages) / given.rate
        return replace(given, sizing=NoWait(), slo_ms=given.slo_ms + loosened_ms)

    def plan(self, rate: float) -> Plan | None:
        found = attempt(self.posed(rate))
        return found if isinstance(found, Plan) else None


def intervals(policy: Ipa | Released, least: float, most: float) -> tuple[Interval, ...]:
    """The policy's plans for all rates from `least` to `most`."""
    return tuple(Interval(low, high, policy.plan(high)) for low, high in itertools.pairwise([0.0, *_ends(policy, least, most)]))


def _ends(policy: Ipa | Released, least: float, most: float) -> list[float]:
    """The rates from `least` to `most` at which an interval ends."""
    ends = {most}
    for stage in policy.posed(most).stages:
        for option in stage.options:
            ends |= {count * option.throughput for count in range(1, math.ceil(most / option.throughput) + 1)}
    return sorted(rate for rate in ends if least <= rate <= most)


class Reference:
    """Plans of each system over all published rates, made once."""

    def __init__(self) -> None:
        self.given = ipa.problem("video")
        self.window = {workload: (min(ipa.rates(workload)), max(ipa.rates(workload))) for workload in ipa.WINDOWS}
        self._made: dict[tuple[str, bool, bool], tuple[Interval, ...]] = {}
        self._causes: dict[tuple, Cause | None] = {}

    def equal(self, step: Step) -> bool:
        return any(_same(step, plan, ACCURACY_READ, COST_READ) for _, plan in self._plans(step))

    def cause(self, step: Step) -> Cause | None:
        """Of a step that is not equal; None: not explained."""
        key = (step.pipeline, step.workload, step.system, step.series in ipa.RANKED, step.accuracy, step.cost)
        if key not in self._causes:
            self._causes[key] = self._cause(step)
        return self._causes[key]

    def _cause(self, step: Step) -> Cause | None:
        if any(_same(step, plan, 0.05, 0.1) for _, plan in self._plans(step)):
            return Cause.ROUNDING
        if any(_same(step, plan, ACCURACY_READ, COST_READ) for _, plan in self._plans(step, released=True)):
            return Cause.DEFECT
        if step.pipeline == "video" and any(self._tied(step, rate, plan) for rate, plan in self._plans(step)):
            return Cause.TIE
        return Cause.MISSING_PROFILE if self.lacks_rows(step) else None

    def lacks_rows(self, step: Step) -> bool:
        """Whether it is rows that are not there that keep the policy from the step."""
        pairs = matching(step)
        if step.pipeline != "video":
            return bool(pairs) and all(_without_any(pair) for pair in pairs)
        return any(_incomplete(pair) and self._made_by_gain(step, pair) for pair in pairs)

    def _plans(self, step: Step, released: bool = False) -> Iterator[tuple[float, Plan]]:
        if step.pipeline != "video":
            return
        key = (step.system, step.series in ipa.RANKED, released)
        if key not in self._made:
            least, most = min(low for low, _ in self.window.values()), max(high for _, high in self.window.values())
            policy = ipa.system(step.system, self.given, key[1])
            self._made[key] = intervals(Released(policy) if released else policy, least, most)
        for interval in self._made[key]:
            if interval.plan is not None and interval.meets(*self.window[step.workload]):
                yield interval.high, interval.plan

    def _tied(self, step: Step, rate: float, plan: Plan) -> bool:
        policy = ipa.system(step.system, self.given, step.series in ipa.RANKED)
        posed = policy.posed(rate)
        worth = policy.weights.alpha * plan.totals.accuracy - policy.weights.beta * plan.totals.cost
        for options in itertools.product(*(stage.options for stage in posed.stages)):
            replicas = [max(stage.least, math.ceil(rate / option.throughput - 1e-9)) for stage, option in zip(posed.stages, options, strict=True)]
            delay = sum(option.latency_ms + 1000 * (option.batch - 1) / rate for option in options)
            if delay > posed.slo_ms or any(count > stage.most for stage, count in zip(posed.stages, replicas, strict=True)):
                continue
            parts = [option.accuracy for option in options]
            found = sum(parts) if step.series in ipa.RANKED else math.prod(parts)
            cost = sum(count * option.cost for count, option in zip(replicas, options, strict=True))
            if _near(step, found, cost, ACCURACY_READ, COST_READ) and abs(policy.weights.alpha * found - policy.weights.beta * cost - worth) < 1e-9:
                return True
        return False

    def _made_by_gain(self, step: Step, pair: tuple[str, ...]) -> bool:
        most = ipa.measured_gain()
        gains = [1 + (most - 1) * part / 8 for part in range(9)]
        for one, other in itertools.product(gains, repeat=2):
            given = _raised(self.given, dict(zip(pair, (one, other), strict=True)))
            least, high = self.window[step.workload]
            policy = ipa.system(step.system, given, step.series in ipa.RANKED)
            stages = policy.posed(high).stages
            # a plan is asked for only at rates at which the pair costs what the step does
            if any(_same(step, policy.plan(rate), ACCURACY_READ, COST_READ) for rate in _ends(policy, least, high)
                   if _costs(stages, pair, rate, step.cost)):
                return True
        return False


def _without_any(pair: tuple[str, ...]) -> bool:
    """Whether one of them has no complete row at the sizes that the audio pipelines ran, one core and two."""
    there = {row.variant for row in ipa.rows() if row.batch == 1 and row.cores <= 2}
    return not set(pair) <= there


def _incomplete(pair: tuple[str, ...]) -> bool:
    """Whether one of them lacks a batch that the video pipeline may use."""
    there = {(row.variant, row.batch) for row in ipa.rows()}
    return any((variant, batch) not in there for variant in pair for batch in (1, 2, 4, 8))


def matching(step: Step) -> list[tuple[str, ...]]:
    """The pairs of variants that have the step's accuracy."""
    tables = accuracy.ipa(step.pipeline)
    if step.series in ipa.RANKED:
        parts = [_ranks(table) for table in tables.values()]
        return [pair for pair in itertools.product(*parts) if abs(sum(part[variant] for part, variant in zip(parts, pair, strict=True))
                                                                  - step.accuracy) <= ACCURACY_READ]
    return [pair for pair in itertools.product(*tables.values())
            if abs(100 * math.prod(table[variant] for table, variant in zip(tables.values(), pair, strict=True)) - step.accuracy) <= 0.03]


def _ranks(table: dict[str, float]) -> dict[str, float]:
    order = sorted(table, key=lambda variant: table[variant])
    return {variant: place / (len(order) - 1) if len(order) > 1 else 1.0 for place, variant in enumerate(order)}


def _same(step: Step, plan: Plan | None, accuracy_read: float, cost_read: float) -> bool:
    return plan is not None and _near(step, plan.totals.accuracy, plan.totals.cost, accuracy_read, cost_read)


def _near(step: Step, found: float, cost: float, accuracy_read: float, cost_read: float) -> bool:
    scaled = found if step.series in ipa.RANKED else 100 * found
    return abs(scaled - step.accuracy) <= accuracy_read and abs(cost - step.cost) <= cost_read


def _costs(stages: tuple[StageModel, ...], pair: tuple[str, ...], rate: float, cost: float) -> bool:
    """Whether the pair's options can carry the rate for that cost."""
    parts = [[max(stage.least, math.ceil(rate / option.throughput - 1e-9)) * option.cost for option in stage.options if option.variant == variant]
             for stage, variant in zip(stages, pair, strict=True)]
    return any(abs(sum(costs) - cost) <= COST_READ for costs in itertools.product(*parts))


def _raised(given: Problem, gains: dict[str, float]) -> Problem:
    """With the throughput of these variants' batches of one raised."""
    return replace(given, stages=tuple(replace(stage, options=tuple(
        replace(option, throughput=option.throughput * gains[option.variant]) if option.batch == 1 and option.variant in gains else option
        for option in stage.options)) for stage in given.stages))
