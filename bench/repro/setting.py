"""A pipeline on a trace, and what each contender plans with there.

    truth      `surface` with the level's noise and bias
    profile    fitted to samples of it with the run's seed; the same for all contenders of a seed             (`profile`)
    arrivals   Poisson at the trace's rate in each second, or even, or as logged; with the network's delays where there are some
    start      what the contender itself runs for the first second's rate, ready; it knows the rates of the seconds before
    problem    of the scenario: every option there is, so that what counts as unavoidable is the same for all
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from autoscaler.forecast.forecaster import Forecaster
from autoscaler.forecast.plain import Persistence
from autoscaler.planner.model import Problem
from autoscaler.policies.change_times import ChangeTimes
from autoscaler.policies.policy import Policy
from bench.repro.level import Level
from bench.repro.profile import Fit, Profile, ours, profiled, surface_or_means
from bench.repro.study import Make, first_shares
from simulator.arrivals import Arrivals, Delays, Even, Poisson, Trace
from simulator.network import Graph, Station, graph_of
from simulator.scenario import Control, Scenario
from simulator.truth import Surface, Truth

Build = Callable[[Profile], Policy]


@dataclass(frozen=True, slots=True, eq=False)
class Setting:
    """problem: the options as published. rates: events/s by second. past: of the seconds before. delay_s: until figures are seen.

    network  delays on the way to the source, s by second
    even     events come at even distances
    graph    from how a station is made to the graph; None = the problem is a chain
    start    events/s that contenders are started for; None = the first second's
    trace    events as they were logged; None = drawn at the rates
    fit      of what is measured, for all contenders
    """

    problem: Problem
    surface: Surface
    rates: tuple[float, ...]
    times: ChangeTimes
    past: tuple[float, ...] = ()
    network: Delays | None = None
    even: bool = False
    delay_s: float = 0.0
    graph: Callable[[Callable[[str], Station]], Graph] | None = None
    start: float | None = None
    trace: Trace | None = None
    fit: Fit = surface_or_means

    def make(self, build: Build, station: Callable[[str], Station] = Station, forecaster: Callable[[], Forecaster] = Persistence,
             starts: Build | None = None) -> Make:
        """build: from the profile to the policy. starts: whose first plan runs at first; None = its own."""

        def made(level: Level, seed: int) -> tuple[Scenario, Control]:
            profile = profiled(self.problem, self.surface, level, seed, self.fit)
            policy = build(profile)
            spent_ms = 1000 * self.network.seconds[0] if self.network is not None else 0.0
            first = first_shares(policy if starts is None else starts(profile), self.problem, self.rates[0] if self.start is None else self.start, spent_ms)
            graph = graph_of(self.problem, station) if self.graph is None else self.graph(station)
            truth = Truth(self.surface, level.cv, level.bias)
            trace = self.trace or (Even if self.even else Poisson)(self.rates)
            arrivals = Arrivals(trace, self.problem.slo_ms / 1000, self.network)
            scenario = Scenario(self.problem, graph, arrivals, truth, first, self.times, self.problem.devices)
            return scenario, Control(policy, forecaster(), self.delay_s, past=self.past)

        return made

    def ours(self, profile: Profile) -> Problem:
        """As the product's planner has it."""
        return ours(self.problem, profile)
