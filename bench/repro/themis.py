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
from dataclasses import replace

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
from bench.repro.bound import known, per_second
from bench.repro.forecasts import surging
from bench.repro.level import LEVELS
from bench.repro.profile import Profile
from bench.repro.runs import Found
from bench.repro.setting import Build, Setting
from bench.repro.study import Case, Contender, Curve, Role, Study
from bench.repro.verdict import ratio
from operators.batching import FixedRule
from simulator.network import Station

COLD_START_S, RESIZE_S = 7.0, 0.05
"""Of the tables. IPA's and InfAdapter's model loads take 6.4 to 8.5 s; a resize in place 50 to 100 ms."""
COLD_STARTS_S = (1.0, 3.0, 7.0, 10.0, 15.0)
RESIZES_S = (0.02, 0.05, 0.1)
DISPATCH_WAIT_S = 0.05
INTERVAL_S = 0.5
PAST_S = 600
LEVERS = Levers(variants=False, shares=False, devices=False, parallelism=False)
TEN = 10.0


def pipeline(name: str, rates: tuple[float, ...], past: tuple[float, ...], times: ChangeTimes) -> Setting:
    """One of the two, "video" or "sentiment", on a trace."""
    by_stage = {surface.name: Amdahl(*surface.coefficients) for surface in published.surfaces(name)[0]}
    return Setting(published.released(name, rates[0]), lambda stage, option, rows: by_stage[stage].latency_ms(rows, option.units), rates, times, past)


def believed(name: str, profile: Profile) -> Problem:
    """As Themis' planner has it: the fitted surfaces in its own form, a tenth higher."""
    surfaces, slo_ms = published.surfaces(name)
    fitted = tuple(replace(surface, coefficients=_coefficients(profile, surface.name)) for surface in surfaces)
    return published.problem(fitted, slo_ms, 1.0, published.MULTIPLIERS[name])


def themis(problem: Problem) -> Themis:
    return Themis(problem, variants={stage.name: stage.options[0] for stage in problem.stages})


def case(name: str, setting: Setting, which: tuple[str, ...] = ()) -> Case:
    """which: contenders; () = all."""
    released = setting.problem

    def of(build: Callable[[Problem], Policy]) -> Build:
        return lambda profile: build(believed(name, profile))

    def sluice(profile: Profile) -> Sluice:
        return Sluice(setting.ours(profile), setting.times, LEVERS)

    contenders = (
        Contender("themis", Role.PAPER, setting.make(of(themis), dispatched, surging)),
        Contender("horizontal only", Role.BASELINE, setting.make(of(HorizontalOnly), dispatched)),
        Contender("vertical only", Role.BASELINE, setting.make(of(lambda problem: VerticalOnly(problem, peak_rate=max(setting.rates))), dispatched)),
        Contender("inferline", Role.BASELINE, setting.make(of(lambda problem: InferLine(problem, base_rate=setting.rates[0])), dispatched)),
        Contender("themis, our queue", Role.ABLATED, setting.make(of(themis), Station, surging)),
        Contender("sluice, same levers", Role.SAME, setting.make(lambda profile: replace(sluice(profile), interval_s=INTERVAL_S))),
        Contender("sluice", Role.ALL, setting.make(sluice)),
    )
    return Case(name, tuple(one for one in contenders if not which or one.name in which),
                lambda level, seed: per_second(known(released, setting.surface, level), setting.rates))


def dispatched(name: str) -> Station:
    """Themis' dispatcher: a central queue in order of arrival, a batch of b or after 50 ms."""
    return Station(name, rule=lambda: FixedRule(1_000_000, DISPATCH_WAIT_S), fifo=True)


def study(quick: bool) -> Study:
    seconds = 60 if quick else 660
    rates = {name: published.rates(name)[:seconds] for name in published.DIVIDERS}

    def of(name: str, cold_start_s: float, resize_s: float, which: tuple[str, ...] = ()) -> Case:
        return case(name, pipeline(name, rates[name], past(name), ChangeTimes(cold_start_s, resize_s=resize_s)), which)

    tables = tuple(of(name, COLD_START_S, RESIZE_S) for name in rates)
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
