"""FA2 by a protocol of our own (the paper's instances and traces are not public): what each system pays for the same share of violations.

    pipelines   Themis' video and sentiment on its Twitter window; batches, and instances of one core, as FA2 has them
    knob        every system's own, in four steps: FA2's and InferLine's headroom in standard deviations, HPA's target, the part of the peak that
                a static allocation is for, our price of a shortage. So each draws a line, cost over violations
    at equal    the least cost on a system's line at no more than LIMIT violations, straight between its points
    dispatch    FA2 and the baselines: first come, first served, a batch of b or 50 ms after the first; ours: the product's queue

Same levers: batches and instances of one core, a decision a second as FA2's. All levers: sizes too.
Published: 19 % fewer resources than others on CPU on average at less than 1.5 % violations.
Source: FA2 (RTAS 2022), its restatement in Themis' released code.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from autoscaler.planner.model import Problem
from autoscaler.policies.change_times import ChangeTimes
from autoscaler.policies.fa2 import Fa2
from autoscaler.policies.horizontal_dp import PUBLISHED_SIZING
from autoscaler.policies.horizontal_only import HorizontalOnly
from autoscaler.policies.hpa import Hpa
from autoscaler.policies.inferline import PLANNER_SIZING, InferLine
from autoscaler.policies.policy import Levers, Policy
from autoscaler.policies.sluice import Sluice
from autoscaler.policies.static import Static
from bench.published import themis as published
from bench.repro.bound import known, per_second
from bench.repro.profile import Profile
from bench.repro.runs import Found
from bench.repro.setting import Build, Setting
from bench.repro.study import Case, Contender, Curve, Role, Study
from bench.repro.themis import COLD_START_S, RESIZE_S, believed, dispatched, past, pipeline

LIMIT = 0.015
SIGMAS = (0.0, 1.0, 2.0, 3.0)
TARGETS = (0.9, 0.8, 0.7, 0.5)
PEAKS = (0.6, 0.8, 1.0, 1.2)
SHORTAGES = (1.0, 4.0, 19.0, 99.0)
PUBLISHED_STEP, DEFAULT_STEP = 1, 2
"""Of the knobs: what FA2's experiments and HPA's documentation use; what the product does by default."""
LEVERS = Levers(variants=False, shares=False, vertical=False, devices=False, parallelism=False)


@dataclass(frozen=True, slots=True)
class Steps:
    """Which step of its knob each family of systems stands at."""

    papers: int
    static: int
    ours: int


DEFAULTS = Steps(PUBLISHED_STEP, DEFAULT_STEP, DEFAULT_STEP)


def study(quick: bool) -> Study:
    seconds = 60 if quick else 660
    cases, curves = [], []
    for name in published.DIVIDERS:
        setting = pipeline(name, published.rates(name)[:seconds], past(name), ChangeTimes(COLD_START_S, resize_s=RESIZE_S))
        cases.append(_case(name, setting, DEFAULTS))
        points = tuple((float(step), _case(name, setting, Steps(step, step, step))) for step in range(len(SIGMAS)))
        curves.append(Curve(f"{name}, knobs from loose to careful", "step of the knob", points, trade=True))
    return Study(
        "fa2", "FA2, resources at an equal share of violations", tuple(cases),
        {"resources": "19 % fewer than others on CPU on average, up to 25 % on GPU", "violations": "less than 1.5 %",
         "context only": "the paper's instances, traces and baselines are not public"},
        (f"Knobs from loose to careful: headroom {SIGMAS} standard deviations (FA2, InferLine-like), HPA's target {TARGETS}, {PEAKS} of the peak for static, "
         f"price of a shortage {SHORTAGES} (ours).", "HPA, which knows no batches, starts with FA2's plan."),
        () if quick else tuple(curves), findings=findings,
    )


def _case(name: str, setting: Setting, steps: Steps) -> Case:
    headroom = SIGMAS[steps.papers]
    sizing, planner_sizing = replace(PUBLISHED_SIZING, headroom_sigmas=headroom), replace(PLANNER_SIZING, headroom_sigmas=headroom)

    def of(build: Callable[[Problem], Policy]) -> Build:
        return lambda profile: build(believed(name, profile))

    def sluice(levers: Levers, one_core: bool) -> Build:
        def build(profile: Profile) -> Sluice:
            own = setting.ours(profile)
            return Sluice(_one_core(own) if one_core else own, setting.times, levers, shortage=SHORTAGES[steps.ours])

        return build

    fa2 = of(lambda problem: Fa2(problem, sizing=sizing))
    contenders = (
        Contender("fa2", Role.PAPER, setting.make(fa2, dispatched)),
        Contender("fa2, scale-in after 10 s", Role.BASELINE, setting.make(of(lambda problem: HorizontalOnly(problem, sizing=sizing)), dispatched)),
        Contender("hpa", Role.BASELINE, setting.make(of(lambda problem: Hpa(problem, target=TARGETS[steps.papers])), dispatched, starts=fa2)),
        Contender("static", Role.BASELINE, setting.make(of(lambda problem: Static(problem, peak_rate=PEAKS[steps.static] * max(setting.rates))), dispatched)),
        Contender("inferline", Role.BASELINE, setting.make(
            of(lambda problem: InferLine(problem, base_rate=setting.rates[0], sizing=planner_sizing)), dispatched)),
        Contender("sluice, same levers", Role.SAME, setting.make(sluice(LEVERS, True))),
        Contender("sluice", Role.ALL, setting.make(sluice(Levers(variants=False, shares=False, devices=False, parallelism=False), False))),
    )
    return Case(name, contenders, lambda level, seed: per_second(known(setting.problem, setting.surface, level), setting.rates))


def _one_core(problem: Problem) -> Problem:
    return replace(problem, stages=tuple(replace(stage, options=tuple(option for option in stage.options if option.units == 1)) for stage in problem.stages))


def cost_at(points: Sequence[tuple[float, float]], limit: float) -> float | None:
    """Least cost at no more violations than the limit. points: (violation share, cost); between those that follow each other on the line of
    ever dearer plans, straight. None where none keeps to the limit."""
    ordered = sorted(points, key=lambda point: point[1])
    found = [cost for share, cost in ordered if share <= limit]
    for (more, less_cost), (less, more_cost) in itertools.pairwise(ordered):
        if more > limit >= less:
            found.append(less_cost + (more_cost - less_cost) * (more - limit) / (more - less))
    return min(found, default=None)


def findings(found: Found) -> list[str]:
    said = []
    for curve in dict.fromkeys(curve for curve, _ in found.curves):
        rows = [one for (of, _), one in found.curves.items() if of == curve]
        names = [contender.name for contender in rows[0].case.contenders]
        costs = {name: cost_at([(one.spread(name, "violation_share").mean, one.spread(name, "cost").mean) for one in rows], LIMIT) for name in names}
        own = costs["fa2"]
        for name, cost in costs.items():
            if cost is None:
                said.append(f"{rows[0].case.name}: {name} has more than {100 * LIMIT:g} % violations wherever its knob stands")
            else:
                beside = "" if own is None or name == "fa2" else f", {100 * (cost / own - 1):+.0f} % against fa2"
                said.append(f"{rows[0].case.name}: {name} pays {cost:.0f} at {100 * LIMIT:g} % violations{beside}")
    return said
