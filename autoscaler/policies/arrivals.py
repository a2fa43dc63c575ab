"""What arrives: at the source, as a policy expects it, and at each stage, as the variants that run make of it.

    lam       events/s expected at the source = the forecast's quantile; without a forecast the highest of the past seconds
    rate(v)   rows/s at stage v = sum over its terms of factor * (mean by share of by_variant) * rate(origin)      (planner.model)
"""

from __future__ import annotations

from collections.abc import Mapping
from graphlib import TopologicalSorter

from autoscaler.planner.model import Problem, RateTerm, Share, StageModel
from autoscaler.policies.policy import Forecast, State


def expected_rate(state: State, forecast: Forecast, quantile: float, past_s: int) -> float:
    """events/s to plan for; 0 when nothing is known yet."""
    if forecast.quantiles:
        return forecast.at(quantile)
    return max(state.rates[-past_s:], default=0.0)


def in_order(problem: Problem) -> list[StageModel]:
    """Stages, each after those its rows or its accuracy come from."""
    stages = {stage.name: stage for stage in problem.stages}
    needs = {stage.name: {*stage.after, *(term.origin for term in stage.rate_terms() if term.origin is not None),
                          *((stage.accuracy_given.origin,) if stage.accuracy_given else ())} for stage in problem.stages}
    return [stages[name] for name in TopologicalSorter(needs).static_order()]


def rows_per_second(stage: StageModel, source: float, rates: Mapping[str, float], chosen: Mapping[str, tuple[Share, ...]]) -> float:
    """rows/s at `stage`, given the rates and the shares of the stages its terms name; the most any variant makes where none is chosen."""
    return sum(term.factor * (source if term.origin is None else rates[term.origin] * _per_row(term, chosen.get(term.origin, ())))
               for term in stage.rate_terms())


def _per_row(term: RateTerm, shares: tuple[Share, ...]) -> float:
    if not term.by_variant:
        return 1.0
    total = sum(share.share for share in shares)
    if total <= 0:
        return max(term.by_variant.values())
    return sum(share.share * term.by_variant.get(share.option.variant, 1.0) for share in shares) / total


def longest_way(problem: Problem) -> int:
    """Stages on the longest way through the graph."""
    length: dict[str, int] = {}
    for stage in in_order(problem):
        length[stage.name] = 1 + max((length[name] for name in stage.after), default=0)
    return max(length.values(), default=0)
