"""The rate at every stage for a rate of the source, one variant running in each.

    rate(v) = sum over the terms of v of factor * by_variant[variant of the origin] * rate(origin)      (model.RateTerm)
    gain(v) = rate(v) for one event/s of the source

FA2, Themis and their baselines know no rate that depends on a variant; with the variant of each stage settled beforehand there is none.
"""

from __future__ import annotations

from collections.abc import Mapping

from autoscaler.planner.model import Problem, StageModel


def gains(problem: Problem, variants: Mapping[str, str]) -> dict[str, float]:
    """Rows/s at each stage for each event/s of the source. variants: the one at work, by stage."""
    stages = {stage.name: stage for stage in problem.stages}
    found: dict[str, float] = {}

    def gain(stage: StageModel) -> float:
        if stage.name not in found:
            found[stage.name] = sum(
                term.factor * (1.0 if term.origin is None else term.by_variant.get(variants[term.origin], 1.0) * gain(stages[term.origin]))
                for term in stage.rate_terms())
        return found[stage.name]

    return {stage.name: gain(stage) for stage in problem.stages}
