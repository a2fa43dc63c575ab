"""Themis: in-place sizes and replicas on its Twitter window, video and sentiment, beside horizontal only, vertical only and InferLine-like.

    truth      the released surfaces l(b, c), with noise and bias; planners get surfaces fitted to samples (Themis raises them by a tenth)
    events     Poisson at the window's rate of each second; SLO 300 and 500 ms; cost = GB + 18 c of every instance that is held
    dispatch   Themis' and the baselines': first come, first served; batch of b or 50 ms after the first; nothing is dropped.
               Ours: the operator service's queue and batch rule. `themis, our queue` tells the two apart
    changes    cold start and resize are not published: curves; the tables are at COLD_START_S and RESIZE_S

Same levers: sizes, replicas and batches of the one variant every 0.5 s. There are no variants, so all levers add only what the product
does by itself: a decision a second.
Source: Themis (arXiv 2407.14843) and its released experiment parameters and starter.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from autoscaler.forecast.forecaster import Forecaster
from autoscaler.forecast.plain import Persistence
from autoscaler.planner.latency import Amdahl
from autoscaler.planner.model import Problem
from autoscaler.policies.change_times import ChangeTimes
from autoscaler.policies.horizontal_only import HorizontalOnly
from autoscaler.policies.inferline import InferLine
from autoscaler.policies.policy import Levers, Policy
from autoscaler.policies.sluice import Sluice
from autoscaler.policies.themis import Themis
from autoscaler.policies.vertical_only import VerticalOnly
from bench.published import themis as published
from bench.published.traces import twitter
from bench.repro.forecasts import surging
from bench.repro.level import LEVELS, Level
from bench.repro.profile import Profile, ours, profiled
from bench.repro.runs import Found
from bench.repro.study import Case, Contender, Curve, Make, Role, Study, first_shares
from bench.repro.verdict import ratio
from operators.batching import FixedRule
from simulator.arrivals import Arrivals, Poisson
from simulator.network import Station, graph_of
from simulator.scenario import Control, Scenario
from simulator.truth import Truth

COLD_START_S, RESIZE_S = 7.0, 0.05
"""Of the tables. IPA's and InfAdapter's model loads take 6.4 to 8.5 s; a resize in place 50 to 100 ms."""
COLD_STARTS_S = (1.0, 3.0, 7.0, 10.0, 15.0)
RESIZES_S = (0.02, 0.05, 0.1)
DISPATCH_WAIT_S = 0.05
INTERVAL_S = 0.5
PAST_S = 600
LEVERS = Levers(variants=False, shares=False, devices=False, parallelism=False)
TEN = 10.0


@dataclass(frozen=True, slots=True)
class Pipeline:
    """One of the two at one pair of change times. rates: events/s by second. past: of the seconds before them."""

    name: str
    times: ChangeTimes
    rates: tuple[float, ...]
    past: tuple[float, ...] = ()

    def believed(self, level: Level, seed: int) -> tuple[Problem, Profile]:
        """As Themis' planner has it: the fitted surfaces in its own form."""
        surfaces, slo_ms = published.surfaces(self.name)
        profile = profiled(self.released, self.surface(), level, seed)
        fitted = tuple(replace(surface, coefficients=_coefficients(profile, surface.name)) for surface in surfaces)
        return published.problem(fitted, slo_ms, self.rates[0], published.MULTIPLIERS[self.name]), profile

    @property
    def released(self) -> Problem:
        return published.released(self.name, self.rates[0])

    def surface(self) -> Callable:
        by_stage = {surface.name: Amdahl(*surface.coefficients) for surface in published.surfaces(self.name)[0]}
        return lambda stage, option, rows: by_stage[stage].latency_ms(rows, option.units)

    def make(self, build: Callable[[Problem, Profile], tuple[Policy, Problem]], station: Callable[[str], Station],
             forecaster: Callable[[], Forecaster] = Persistence) -> Make:
        def made(level: Level, seed: int) -> tuple[Scenario, Control]:
            policy, problem = build(*self.believed(level, seed))
            truth = Truth(self.surface(), level.cv, level.bias)
            arrivals = Arrivals(Poisson(self.rates), problem.slo_ms / 1000)
            first = first_shares(policy, problem, self.rates[0])
            return Scenario(problem, graph_of(problem, station), arrivals, truth, first, self.times), Control(policy, forecaster(), past=self.past)

        return made

    def case(self, name: str, which: tuple[str, ...] = ()) -> Case:
        """which: contenders; () = all."""
        peak = max(self.rates)
        themis = lambda problem, _: (Themis(problem, variants={stage.name: stage.options[0] for stage in problem.stages}), problem)  # noqa: E731
        contenders = (
            Contender("themis", Role.PAPER, self.make(themis, dispatched, surging)),
            Contender("horizontal only", Role.BASELINE, self.make(lambda problem, _: (HorizontalOnly(problem), problem), dispatched)),
            Contender("vertical only", Role.BASELINE, self.make(lambda problem, _: (VerticalOnly(problem, peak_rate=peak), problem), dispatched)),
            Contender("inferline", Role.BASELINE, self.make(lambda problem, _: (InferLine(problem, base_rate=self.rates[0]), problem), dispatched)),
            Contender("themis, our queue", Role.ABLATED, self.make(themis, Station, surging)),
            Contender("sluice, same levers", Role.SAME, self.make(self._sluice(INTERVAL_S), Station)),
            Contender("sluice", Role.ALL, self.make(self._sluice(None), Station)),
        )
        return Case(name, tuple(one for one in contenders if not which or one.name in which))

    def _sluice(self, interval_s: float | None) -> Callable[[Problem, Profile], tuple[Policy, Problem]]:
        def build(problem: Problem, profile: Profile) -> tuple[Policy, Problem]:
            own = ours(self.released, profile)
            policy = Sluice(own, self.times, LEVERS)
            return policy if interval_s is None else replace(policy, interval_s=interval_s), own

        return build


def dispatched(name: str) -> Station:
    """Themis' dispatcher: a central queue in order of arrival, a batch of b or after 50 ms."""
    return Station(name, rule=lambda: FixedRule(1_000_000, DISPATCH_WAIT_S), fifo=True)


def study(quick: bool) -> Study:
    seconds = 60 if quick else 660
    pipelines = {name: published.rates(name)[:seconds] for name in published.DIVIDERS}

    def of(name: str, cold_start_s: float, resize_s: float, which: tuple[str, ...] = ()) -> Case:
        return Pipeline(name, ChangeTimes(cold_start_s, resize_s=resize_s), pipelines[name], past(name)).case(name, which)

    tables = tuple(of(name, COLD_START_S, RESIZE_S) for name in pipelines)
    few = ("themis", "horizontal only", "vertical only", "sluice, same levers")
    cold = tuple((cold_s, of("video", cold_s, RESIZE_S, few)) for cold_s in COLD_STARTS_S)
    resize = tuple((1000 * resize_s, of("video", COLD_START_S, resize_s, few)) for resize_s in RESIZES_S)
    return Study(
        "themis", "Themis, a tale of two scales", tables,
        {"horizontal only / themis, vertical only / themis": "more than 10 times the violations", "cost": "close to horizontal only when the load is stable"},
        (f"Cold start and resize are not published; tables at {COLD_START_S:g} s and {1000 * RESIZE_S:g} ms, which is ours, curves beside them.",
         "The surfaces are the authors' fits; that a batch's mean follows them, and the noise, is assumed."),
        () if quick else (Curve("cold start, video", "cold start, s", cold, ChangeTimes().cold_start_s), Curve("resize in place, video", "resize, ms", resize)),
        () if quick else LEVELS, ("video",), findings=findings,
    )


def past(pipeline: str) -> tuple[float, ...]:
    """Events/s of the ten minutes before the window."""
    before = twitter()[published.BEGINS_S - PAST_S : published.BEGINS_S] / published.DIVIDERS[pipeline]
    return tuple(before.tolist())


def findings(found: Found) -> list[str]:
    """Where ten times holds."""
    said = []
    for name, rows in found.headline.items():
        for other in ("horizontal only", "vertical only"):
            for mine in ("themis", "sluice, same levers"):
                times = ratio(rows, other, mine)
                said.append(f"{name}: {other} has {_times(times)} the violations of {mine}")
    for x, rows in ((x, rows) for (curve, x), rows in found.curves.items() if curve.startswith("cold start")):
        times = ratio(rows, "horizontal only", "themis")
        said.append(f"video, cold start {x:g} s: horizontal only has {_times(times)} the violations of themis, "
                    f"{'at least ten times' if times is not None and times >= TEN else 'less than ten times'}")
    return said


def _times(value: float | None) -> str:
    return "(too few to divide by)" if value is None else f"{value:.1f} times"


def _coefficients(profile: Profile, stage: str) -> tuple[float, float, float, float]:
    model = profile.models[stage, "released", "cpu"]
    assert isinstance(model, Amdahl)
    return model.alpha, model.beta, model.gamma, model.zeta
