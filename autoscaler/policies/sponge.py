"""Sponge: one instance a stage, resized in place each second so that the events with least time left still make it.

    lam      events of the next second = ceil(last one-second rate)       (predictor 'reactive')
    cl       ms of the SLO that events have used when they arrive; cl_max = the most in the last window      (state.spent_ms)
    l(b, c)  ms of a batch; served one after the other

    minimise    c, then b
    subject to  for i = 0, b, 2b, .. below lam: l(b, c) * (i / b + 1) + cl_max <= safety * SLO         (the last batch of a second)
                c, b of the options, by exhaustive search, smallest c first
    none fits   the largest size, its batch with most rows/s       (ours: such events are late whatever runs, the next are not to wait)

safety = 0.9. The queue is ordered by deadline; that is the service's. The released code takes the last event's cl, the paper the window's.
Of several stages, which Sponge leaves to later work, each gets a part of safety * SLO - cl_max: its fastest l over the heaviest way
through the graph that it lies on (ours; with one stage it is the paper's). With `least` instances a stage, each serves its part.
Single-instance: no replicas are added. O(sizes * batches).

FA2 in Sponge: instances of one core, smallest n first, then smallest b:
    n * floor(q / l(b)) * b >= lam,  q = safety * SLO - cl_max - l(b) > 0                              (strict)

Source: Sponge (EuroMLSys'24, arXiv 2404.00704), released optimizer `dynainf` and `fa2`, interval 1 s.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from autoscaler.planner.model import Option, Problem, Share, StageModel
from autoscaler.policies.bounds import within
from autoscaler.policies.observed import at_work, recent_rate
from autoscaler.policies.policy import Decision, Forecast, State, Target, running
from autoscaler.policies.sizes import largest, lightest, like, smallest
from autoscaler.policies.stage_rates import gains

NEAR = 1e-9


@dataclass(frozen=True, slots=True)
class Sponge:
    """window_s: of rates, the most counts. Keeps the variant that runs, the cheapest option's where nothing does."""

    problem: Problem
    interval_s: float = 1.0
    window_s: int = 1
    safety: float = 0.9
    name: ClassVar[str] = "sponge"

    def decide(self, state: State, forecast: Forecast, memory: object = None) -> Decision:
        load = _Load.seen(self.problem, state, forecast, self.window_s, self.safety)
        plan, late = {}, []
        for stage in self.problem.stages:
            rows = math.ceil(load.rows[stage.name] / max(1, stage.least) - NEAR)
            option = smallest_in_time(load.options[stage.name], rows, load.budgets_ms[stage.name])
            if option is None:
                late.append(stage.name)
                option = max(largest(load.options[stage.name]), key=lambda option: option.throughput)
            plan[stage.name] = Share(option, max(1, stage.least))
        return _decision(self.problem, state, plan, load, late)


@dataclass(frozen=True, slots=True)
class Fa2InSponge:
    """FA2 as Sponge compares with it: instances of the smallest size, at most `most_instances` of them."""

    problem: Problem
    interval_s: float = 1.0
    window_s: int = 1
    safety: float = 0.9
    most_instances: int = 16
    name: ClassVar[str] = "sponge_fa2"

    def decide(self, state: State, forecast: Forecast, memory: object = None) -> Decision:
        load = _Load.seen(self.problem, state, forecast, self.window_s, self.safety)
        plan, late = {}, []
        for stage in self.problem.stages:
            options, most = smallest(load.options[stage.name]), min(self.most_instances, stage.most)
            share = fewest_in_time(options, load.rows[stage.name], load.budgets_ms[stage.name], range(max(1, stage.least), most + 1))
            if share is None:
                late.append(stage.name)
                share = Share(max(options, key=lambda option: option.throughput), most)
            plan[stage.name] = share
        return _decision(self.problem, state, plan, load, late)


def smallest_in_time(options: tuple[Option, ...], rows: int, budget_ms: float) -> Option | None:
    """The smallest size, then batch, whose last batch of `rows` is done within the budget. options: by size, then batch."""
    for option in options:
        batches = math.ceil(rows / option.batch - NEAR)
        if batches * option.latency_ms <= budget_ms + NEAR:
            return option
    return None


def fewest_in_time(options: tuple[Option, ...], rows: float, budget_ms: float, counts: range) -> Share | None:
    """The fewest instances, then smallest batch, that serve `rows` in whole batches before the budget less one batch is used."""
    for replicas in counts:
        for option in options:
            left_ms = budget_ms - option.latency_ms
            if left_ms > 0 and replicas * math.floor(left_ms / option.latency_ms) * option.batch >= rows - NEAR:
                return Share(option, replicas)
    return None


@dataclass(frozen=True, slots=True)
class _Load:
    """By stage: the options of its variant, the rows of a second, the ms for them."""

    rate: int
    spent_ms: float
    options: Mapping[str, tuple[Option, ...]]
    rows: Mapping[str, float]
    budgets_ms: Mapping[str, float]

    @classmethod
    def seen(cls, problem: Problem, state: State, forecast: Forecast, window_s: int, safety: float) -> _Load:
        now, rate = at_work(problem, state), recent_rate(state, forecast, window_s)
        options = {stage.name: like(stage, now[stage.name].option if stage.name in now else lightest(stage)) for stage in problem.stages}
        at_each = gains(problem, {name: of_stage[0].variant for name, of_stage in options.items()})
        spent_ms = max(state.spent_ms, default=0.0)
        budget_ms = safety * problem.slo_ms - spent_ms
        parts = deadline_parts(problem.stages, {name: min(option.latency_ms for option in of_stage) for name, of_stage in options.items()})
        return cls(rate, spent_ms, options, {name: rate * gain for name, gain in at_each.items()},
                   {name: budget_ms * part for name, part in parts.items()})


def deadline_parts(stages: tuple[StageModel, ...], weights: Mapping[str, float]) -> dict[str, float]:
    """Each stage's weight over that of the heaviest way through it; on no way do they add up to more than 1."""
    named = {stage.name: stage for stage in stages}
    following = {name: [stage.name for stage in stages if name in stage.after] for name in named}

    def heaviest(name: str, onward: Mapping[str, list[str] | tuple[str, ...]], known: dict[str, float]) -> float:
        if name not in known:
            known[name] = weights[name] + max((heaviest(other, onward, known) for other in onward[name]), default=0.0)
        return known[name]

    to: dict[str, float] = {}
    on: dict[str, float] = {}
    before = {name: stage.after for name, stage in named.items()}
    return {name: weights[name] / (heaviest(name, before, to) + heaviest(name, following, on) - weights[name]) for name in named}


def _decision(problem: Problem, state: State, plan: Mapping[str, Share], load: _Load, late: list[str]) -> Decision:
    targets = within(problem, {name: (share,) for name, share in plan.items()}, running(problem, state))
    words = f"{load.rate} events/s, {load.spent_ms:g} of {problem.slo_ms:g} ms used on the way"
    if late:
        words += f"; nothing serves them in time at {', '.join(late)}: the most it can run"
    return Decision({name: Target(shares) for name, shares in targets.items()}, None, words)
