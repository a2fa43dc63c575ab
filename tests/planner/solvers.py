"""Problems by hand and at random, for every solver alike."""

from __future__ import annotations

from dataclasses import dataclass, replace

from hypothesis import strategies as st

from autoscaler.planner.model import AccuracyRule, GivenVariant, Kind, Option, Problem, RateTerm, StageModel
from autoscaler.planner.objectives import CheapestOfAccurate, LeastCost, MostAccurate, Weighted


@dataclass(frozen=True, slots=True)
class NoWait:
    """Rows are served as they come."""

    kind: Kind = Kind.MEAN

    def demand(self, rate: float) -> float:
        return rate

    def wait_ms(self, option: Option, rate: float, replicas: int) -> float:
        return 0.0

    def falls_with_replicas(self) -> bool:
        return False


@dataclass(frozen=True, slots=True)
class WaitForReplica(NoWait):
    """latency * load / (replicas - load), for ever at full load: falls with replicas."""

    def wait_ms(self, option: Option, rate: float, replicas: int) -> float:
        load = rate / option.throughput
        return option.latency_ms * load / (replicas - load) if replicas > load else float("inf")

    def falls_with_replicas(self) -> bool:
        return True


def option(latency_ms: float, cost: float = 1.0, throughput: float = 10.0, accuracy: float = 1.0, variant: str = "m", batch: int = 1,
           units: float = 1.0, device: str = "cpu", memory_gb: float = 0.0) -> Option:
    return Option(variant, batch, units, latency_ms, throughput, accuracy, cost, device, memory_gb)


def stage(name: str, *options: Option, after: tuple[str, ...] = (), **fields) -> StageModel:
    return StageModel(name, options, after, **fields)


def problem(*stages: StageModel, slo_ms: float = 100.0, rate: float = 10.0, objective=LeastCost(), sizing=NoWait(), **fields) -> Problem:
    return Problem(stages, rate, slo_ms, objective, sizing, **fields)


GRAPHS = {
    "one": ((),),
    "chain": ((), (0,), (1,)),
    "tree": ((), (0,), (0,), (1,)),
    "two sources": ((), (), (0, 1)),
    "diamond": ((), (0,), (0,), (1, 2)),
    "diamond with a short cut": ((), (0,), (0, 1), (2,)),
    "nested": ((), (0,), (1,), (1,), (2, 3), (0,), (4, 5)),
    "bipartite": ((), (), (0, 1), (0, 1)),
    "N": ((), (), (0,), (0, 1)),
    "N inside": ((), (0,), (0,), (1,), (1, 2), (3, 4)),
    "bridge": ((), (0,), (0, 1), (1,), (2, 3), (1, 2)),
}
"""Per graph the stages that each stage comes after."""

ACCURACIES = st.sampled_from([0.5, 0.6, 0.7, 0.75, 0.8, 0.9, 0.95, 1.0])
OBJECTIVES = st.one_of(
    st.builds(LeastCost, st.sampled_from([None, None, 0.3, 0.56, 0.72])),
    st.builds(Weighted, st.sampled_from([0.0, 5.0, 40.0]), st.sampled_from([0.5, 1.0]), st.sampled_from([0.0, 0.1])),
    st.builds(MostAccurate, st.sampled_from([None, 6.0, 12.0, 25.0])),
    st.builds(CheapestOfAccurate, st.sampled_from([0.01, 0.1])))


@st.composite
def options(draw, variants: int, each: int):
    return tuple(
        Option(variant=f"m{variant}", batch=draw(st.sampled_from([1, 2, 4])), units=draw(st.sampled_from([1.0, 2.0])),
               latency_ms=draw(st.floats(1, 40).map(lambda value: round(value, 1))), throughput=draw(st.sampled_from([7.0, 10.0, 25.0])),
               accuracy=draw(ACCURACIES), cost=draw(st.sampled_from([0.7, 1.0, 1.5, 3.0])), device=draw(st.sampled_from(["cpu", "cpu", "gpu"])),
               memory_gb=draw(st.sampled_from([0.0, 0.0, 0.5])))
        for variant in range(variants) for _ in range(draw(st.integers(1, each))))


@st.composite
def conditioned(draw, model: StageModel, origins: list[StageModel]):
    """The stage with rates, and perhaps accuracies, that depend on variants of the stages it comes after."""
    origin = draw(st.sampled_from(origins))
    factors = {name: draw(st.sampled_from([0.5, 1.0, 2.0])) for name in sorted({option.variant for option in origin.options})}
    terms = (RateTerm(origin.name, 1.0, factors), *(RateTerm(other.name, 0.5) for other in origins if other is not origin))
    model = replace(model, rates=terms)
    if not draw(st.booleans()):
        return model
    pairs = [(theirs, own) for theirs in factors for own in sorted({option.variant for option in model.options})]
    kept = [pair for pair in pairs if draw(st.integers(0, 5))] or pairs
    return replace(model, accuracy_given=GivenVariant(origin.name, {pair: draw(ACCURACIES) for pair in kept}))


@st.composite
def problems(draw, shares: bool = False):
    graph = GRAPHS[draw(st.sampled_from(sorted(name for name in GRAPHS if not shares or len(GRAPHS[name]) <= 3)))]
    depends = draw(st.booleans())
    small = len(graph) > 4  # at most (2 * 3)^7 plans; else (2 * 2 * 6)^4
    stages: list[StageModel] = []
    for index, after in enumerate(graph):
        model = StageModel(f"s{index}", draw(options(draw(st.integers(1, 2)), 1 if small else 2)), tuple(f"s{before}" for before in after),
                           weight=draw(st.sampled_from([1.0, 1.0, 0.5])), least=draw(st.sampled_from([1, 1, 2])),
                           most=draw(st.sampled_from([2, 3] if small else [3, 6])),
                           share_step=draw(st.sampled_from([None, 0.5])) if shares else None)
        stages.append(draw(conditioned(model, [stages[before] for before in after])) if after and depends and draw(st.booleans()) else model)
    capacities = draw(st.fixed_dictionaries({}, optional={"cpu": st.integers(2, 30).map(float), "gpu": st.integers(0, 10).map(float),
                                                          "memory_gb": st.integers(0, 8).map(float)}))
    return Problem(tuple(stages), rate=draw(st.sampled_from([3.0, 10.0, 24.0])), slo_ms=draw(st.integers(10, 200).map(float)),
                   objective=draw(OBJECTIVES), sizing=draw(st.sampled_from([NoWait(), WaitForReplica()])), devices=capacities,
                   accuracy=draw(st.sampled_from(list(AccuracyRule))), grid_ms=draw(st.sampled_from([1.0, 1.0, 5.0])), strict=draw(st.booleans()))
