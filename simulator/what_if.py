"""What a policy would make of a load, for a pipeline as it was measured: one question, many (policy, seed) pairs to answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from autoscaler.forecast.forecaster import Forecaster
from autoscaler.forecast.plain import Oracle, Persistence, WindowMax
from autoscaler.graph.pipeline import Pipeline
from autoscaler.planner.profile import Profile
from autoscaler.policies.registry import policy as policy_named
from simulator.arrivals import Arrivals, Network
from simulator.control import Clock
from simulator.from_pipeline import Model, model
from simulator.over_time import OverTime, over_time
from simulator.scenario import Control
from simulator.simulation import simulate
from simulator.statistics import Statistics, statistics
from simulator.traces import Load


class Forecasts(StrEnum):
    """LAST: the last second's rate. MAX: the most of the last two minutes. ORACLE: what will come, from the load itself."""

    LAST = "last"
    MAX = "max"
    ORACLE = "oracle"


@dataclass(frozen=True, slots=True)
class Question:
    """even: counts are spaced evenly instead of as a Poisson process. network: what delays events on their way to the source topic.

    delay_s: from the end of a second to when policies can read its figures
    """

    pipeline: Pipeline
    profile: Profile
    load: Load
    forecasts: Forecasts = Forecasts.MAX
    even: bool = False
    network: Network | None = None
    delay_s: float = 1.0

    def model(self) -> Model:
        """Policies that plan once plan for the busiest second."""
        return model(self.pipeline, self.profile, float(self.load.rates.max()))

    def forecaster(self) -> Forecaster:
        if self.forecasts is Forecasts.ORACLE:
            return Oracle(self.load.rates.tolist())
        return Persistence() if self.forecasts is Forecasts.LAST else WindowMax()


@dataclass(frozen=True, slots=True)
class Answer:
    """over_time: None where it was not asked for."""

    policy: str
    seed: int
    statistics: Statistics
    over_time: OverTime | None


def answer(question: Question, policy: str, seed: int, draw: bool, clock: Clock | None = None, tell: Callable[[float], None] | None = None) -> Answer:
    """draw: keep the run over time. clock, tell: as `simulate`. KeyError for a policy that does not exist."""
    made = question.model()
    arrivals = Arrivals(question.load.trace(question.even), question.pipeline.slo_ms / 1000, question.network)
    control = Control(policy_named(policy, made.problem), question.forecaster(), question.delay_s)
    run = simulate(made.scenario(arrivals), control, seed, draw, clock, tell)
    return Answer(policy, seed, statistics(run), over_time(run) if draw else None)
