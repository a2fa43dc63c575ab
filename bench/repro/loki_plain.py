"""Loki's baselines on a pipeline: planners that do not know what one stage makes of another.

    PlainRates   Loki, but for a stage's rows per event it takes what the variants that run make, whichever it chooses
    isolated     accuracies of the variants by themselves, each with the other stage at its best: what a planner sees that takes the stages
                 for independent, as Proteus does
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from autoscaler.planner.model import Problem, StageModel
from autoscaler.policies.levers import unconditioned
from autoscaler.policies.loki import Loki
from autoscaler.policies.policy import Decision, Forecast, State, running


@dataclass(frozen=True, slots=True)
class PlainRates:
    loki: Loki
    name: str = "loki, plain rates"

    @property
    def interval_s(self) -> float:
        return self.loki.interval_s

    def decide(self, state: State, forecast: Forecast, memory: object = None) -> Decision:
        plain = unconditioned(self.loki.problem, running(self.loki.problem, state))
        return replace(self.loki, problem=plain).decide(state, forecast, memory)


def isolated(problem: Problem, table: Mapping[tuple[str, str], float]) -> Problem:
    """table: accuracy end to end by (variant upstream, own variant) of the one stage whose accuracy is given by another's."""
    given = next(stage for stage in problem.stages if stage.accuracy_given is not None)
    assert given.accuracy_given is not None
    best: dict[str, dict[str, float]] = {given.accuracy_given.origin: {}, given.name: {}}
    for (upstream, own), accuracy in table.items():
        for stage, variant in ((given.accuracy_given.origin, upstream), (given.name, own)):
            best[stage][variant] = max(best[stage].get(variant, 0.0), accuracy)
    return replace(problem, stages=tuple(_alone(stage, best.get(stage.name)) for stage in problem.stages))


def _alone(stage: StageModel, best: Mapping[str, float] | None) -> StageModel:
    if best is None:
        return stage
    return replace(stage, accuracy_given=None, options=tuple(replace(option, accuracy=best[option.variant]) for option in stage.options))
