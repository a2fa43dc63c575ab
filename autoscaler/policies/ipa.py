"""Accuracy against cores over a pipeline: one variant, batch and number of replicas per stage.

    lam        events/s expected * (1 + margin), the same at every stage (`same_rate`), or each stage's own
    R[m]       units per replica of variant m: its smallest profiled size at which some batch reaches h >= threshold and l <= the stage's part of the
               SLO; never less than a less accurate variant's of the same stage
    l, h       ms of a batch * (1 + latency_margin), rows/s of a replica * (1 + throughput_margin), at R[m]
    b          a power of two, at most the cap
    q(b)       ms = 1000 (b - 1) / lam, mean wait of a batch's first row (the paper calls it the worst case)

        maximise    alpha * ACC - beta * sum of n[s] * cost(R) - gamma * sum of b[s]                    (model: objectives.Weighted)
        subject to  n[s] * h >= lam, 1 <= n[s] <= 100
                    sum over every way through the graph of l + q(b) <= SLO

    ACC        product of the accuracies (revised), sum (first version, by rank), mean;
    rank       (place of the variant by accuracy, from 0) / (variants - 1), 1 for a lone one

Every 10 s. Infeasible: it stays as it runs. Modes: all free (IPA); variants fixed (`variants`; FA2-low: the fastest everywhere, FA2-high:
heavier ones); replicas fixed (`replicas`; RIM). The released solver computes q from the indicator of the batch instead of the batch, so that
it loosens the SLO; here q(b) is as the paper says.

Solved by the planner's own dynamic programming, so any graph will do; the paper has chains and Gurobi.

Source: IPA (JSys 2024; arXiv 2308.12871), sections 4 and 5, and its released configurations (video: alpha 2, beta 1, gamma 1e-6, cap 8,
threshold 4 rows/s; audio: alpha 10, beta 0.5, cap 1, threshold 1, margins +100 %, -50 %, +20 %).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from autoscaler.planner.frontier import plan as solve
from autoscaler.planner.model import CPU, AccuracyRule, Infeasible, Option, Plan, Problem, RateTerm, StageModel
from autoscaler.planner.objectives import Weighted
from autoscaler.planner.queueing import Fill, FillWait
from autoscaler.policies.arrivals import expected_rate, longest_way
from autoscaler.policies.policy import Decision, Forecast, State, Target


@dataclass(frozen=True, slots=True)
class Margins:
    """Added to what was profiled and predicted, as shares: 1.0 doubles, -0.5 halves."""

    latency: float = 0.0
    throughput: float = 0.0
    rate: float = 0.0


@dataclass(frozen=True, slots=True)
class Ipa:
    """weights: alpha, beta, gamma. threshold: rows/s a replica must reach. variants, replicas: fixed ones, by stage."""

    problem: Problem
    weights: Weighted = Weighted(2.0, 1.0, 1e-6)
    accuracy: AccuracyRule = AccuracyRule.PRODUCT
    ranked: bool = False
    batch_cap: int = 8
    threshold: float = 4.0
    margins: Margins = Margins()
    most_replicas: int = 100
    same_rate: bool = True
    variants: Mapping[str, str] = field(default_factory=dict)
    replicas: Mapping[str, int] = field(default_factory=dict)
    quantile: float = 0.5
    past_s: int = 120
    interval_s: float = 10.0
    name: str = "ipa"

    def decide(self, state: State, forecast: Forecast, memory: object = None) -> Decision:
        rate = expected_rate(state, forecast, self.quantile, self.past_s)
        plan = self.plan(rate)
        if plan is None:
            return Decision({}, None, f"no configuration serves {rate:.1f} events/s in time: as it runs")
        reason = f"accuracy {plan.totals.accuracy:.4f} for cost {plan.totals.cost:g} at {rate:.1f} events/s"
        return Decision({stage.name: Target(stage.shares) for stage in plan.stages}, None, reason, plan)

    def plan(self, rate: float) -> Plan | None:
        """The best configuration for `rate` events/s before the margin; None when there is none."""
        found = solve(self.posed(rate))
        return None if isinstance(found, Infeasible) else replace(found, stages=tuple(
            replace(stage, shares=tuple(replace(share, option=self._profiled(stage.name, share.option)) for share in stage.shares))
            for stage in found.stages))

    def posed(self, rate: float) -> Problem:
        """IPA's problem at that rate, in the planner's terms."""
        lam = max(rate * (1 + self.margins.rate), 1e-3)
        stages = tuple(self._stage(stage) for stage in self.problem.stages)
        return replace(self.problem, stages=stages, rate=lam, objective=self.weights, accuracy=self.accuracy, sizing=FillWait(Fill.MEAN), switching=None)

    def sizes(self, stage: StageModel) -> dict[str, float]:
        """R by variant, the least accurate first; a variant that reaches the threshold at no size is left out, unless all are."""
        limit = self.problem.slo_ms / longest_way(self.problem)
        found: dict[str, float] = {}
        least = 0.0
        for variant in by_accuracy(stage):
            enough = [option.units for option in self._options(stage, variant)
                      if option.throughput >= self.threshold and option.latency_ms <= limit and option.units >= least]
            if enough:
                found[variant] = least = min(enough)
        return found or {variant: max(option.units for option in self._options(stage, variant)) for variant in by_accuracy(stage)}

    def _stage(self, stage: StageModel) -> StageModel:
        sizes = self.sizes(stage)
        wanted = self.variants.get(stage.name)
        ranks = by_rank(stage)
        options = tuple(replace(option, accuracy=ranks[option.variant]) if self.ranked else option
                        for variant, units in sizes.items() if wanted in (None, variant)
                        for option in self._options(stage, variant) if option.units == units)
        fixed = self.replicas.get(stage.name)
        return replace(stage, options=options, share_step=None, rates=(RateTerm(None),) if self.same_rate else stage.rates,
                       least=fixed or 1, most=fixed or self.most_replicas)

    def _options(self, stage: StageModel, variant: str) -> list[Option]:
        """The variant's, on cores where it has any there, with the margins, at the batches allowed."""
        own = [option for option in stage.options if option.variant == variant]
        device = CPU if any(option.device == CPU for option in own) else own[0].device
        own = [option for option in own if option.device == device and option.batch <= self.batch_cap and math.log2(option.batch).is_integer()]
        return [replace(option, latency_ms=option.latency_ms * (1 + self.margins.latency), throughput=option.throughput * (1 + self.margins.throughput))
                for option in own]

    def _profiled(self, name: str, option: Option) -> Option:
        """The option as it was profiled, without margins and ranks."""
        return next(known for known in self.problem.stage(name).options if (known.variant, known.batch, known.units, known.device)
                    == (option.variant, option.batch, option.units, option.device))


def by_accuracy(stage: StageModel) -> list[str]:
    """Variants of the stage, the least accurate first."""
    accuracy = {option.variant: option.accuracy for option in stage.options}
    return sorted(accuracy, key=lambda variant: accuracy[variant])


def by_rank(stage: StageModel) -> dict[str, float]:
    """IPA v1's accuracy: 0 of the least accurate, 1 of the most; 1 for a lone one."""
    order = by_accuracy(stage)
    return {variant: place / (len(order) - 1) if len(order) > 1 else 1.0 for place, variant in enumerate(order)}


def fa2_low(problem: Problem) -> Ipa:
    """IPA's baseline FA2-low: the least accurate variant everywhere, batches and replicas free."""
    return Ipa(problem, variants={stage.name: next(iter(Ipa(problem).sizes(stage))) for stage in problem.stages}, name="ipa_fa2_low")


def fa2_high(problem: Problem) -> Ipa:
    """IPA's baseline FA2-high: heavy variants fixed; here the most accurate that the threshold admits."""
    return Ipa(problem, variants={stage.name: list(Ipa(problem).sizes(stage))[-1] for stage in problem.stages}, name="ipa_fa2_high")
