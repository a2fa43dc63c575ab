"""Proteus: nine families of queries on a fixed cluster of three kinds of device, beside Clipper, INFaaS-like and Sommelier-like.

    truth      the table's mean latencies, straight between measured batches, with noise and bias; planners get means of samples
    events     the traces' own time stamps, and Poisson ones on windows that no paper used; which family one belongs to is drawn with the family's
               part of the trace. SLO 300 ms, the trace's own
    clusters   20 cores, 10 GTX 1080 Ti and 10 V100 (from memory), and 10 of each kind (the released simulator's default)
    changes    a device takes up another variant in `load_s`: 0 as released, a curve beside it. No device is ever added
    dispatch   Proteus and Sommelier-like: `proteus_rule`; Clipper: AIMD; INFaaS-like: a batch of b or FIXED_WAIT_S after the first.
               All give up rows that expired. Ours: the product's queue, which answers them late
    placement  replicas of one variant on one kind share a queue; the paper has one for each device. Devices that the program leaves idle serve
               what it placed (`proteus_filled`)

Proteus' program is solved exactly; `proteus, gap 0.5` is as released, where it may stop half as good again below the best. Clipper is placed
for the trace's busiest second; Sommelier-like starts with a plan for it, since its devices keep their families.
Same levers: variants, devices, batches every 10 s. All levers: a decision a second. Ours runs one variant of a family at a time, on one
kind of device, Proteus several. Its objective is accuracy, a device counting as much as DEVICE points of it: of a fixed cluster devices are
free, so that only breaks ties and weighs changes.

Accuracy is normalised: 100 is each family's most accurate variant. Some never keep to half of the SLO on any device, so the drop is told
from 100 and from the best that do.
Source: Proteus (ASPLOS 2024), its released profiles, traces and configurations.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, partial

import numpy as np

from autoscaler.graph.pipeline import OnLate
from autoscaler.planner.model import AccuracyRule, Option, Problem
from autoscaler.planner.objectives import Weighted
from autoscaler.policies.change_times import ChangeTimes
from autoscaler.policies.clipper import clipper_ha, clipper_ht
from autoscaler.policies.infaas import Infaas
from autoscaler.policies.policy import Levers, Policy
from autoscaler.policies.proteus import Proteus, hostings, sommelier
from autoscaler.policies.sluice import Sluice
from bench.published import proteus as published
from bench.repro.level import LEVELS, Level
from bench.repro.profile import Profile, ours
from bench.repro.proteus_bound import bounded, fluid
from bench.repro.proteus_filled import Filled
from bench.repro.proteus_rule import ProteusRule
from bench.repro.proteus_unseen import by_window, of_mean, windows
from bench.repro.runs import BOUND, Found, Rows
from bench.repro.setting import Build, Setting
from bench.repro.study import Case, Contender, Curve, Make, Role, Study
from bench.repro.verdict import ratio
from operators.batching import AdaptiveRule, AimdRule, EarlyDropRule, FixedRule, Rule
from simulator.arrivals import Stamps
from simulator.network import Branch, Graph, Station

CLUSTERS = {"20 + 10 + 10": published.PAPER, "10 + 10 + 10": published.SIMULATOR}
MAIN = ("zipf_exponential", "20 + 10 + 10")
SMALL = "10 + 10 + 10"
LOADS_S = (0.0, 1.0, 3.0, 7.0, 15.0)
UNSEEN_S, MEAN = 200, 259.0
"""Of the windows that no paper used: seconds, and events/s as in the main trace."""
TIMES = {1.0: "zipf_exponential", 1.5: "medium-normal_load"}
"""The load of the two traces of one shape."""
RELEASED_GAP = 0.5
INFAAS_SLACK, INFAAS_DOWNSCALE = 0.05, 0.6
"""Of the released end-to-end configuration."""
INTERVAL_S = 10.0
FIXED_WAIT_S = 0.05
DEVICE = 0.001
LEVERS = Levers(vertical=False, parallelism=False)
EVERYBODY = ("proteus", "clipper-ha", "clipper-ht", "infaas-like", "sommelier-like", "sluice, same levers")
FEW = ("proteus", "clipper-ht", "sluice, same levers")
LOADED = ("proteus", "proteus, loading counted", "sluice, same levers")
RULES: dict[str, Callable[[], Rule]] = {
    "its rule as released": partial(ProteusRule, 0.0), "adaptive (ours)": AdaptiveRule, "AIMD": AimdRule, "early drop": EarlyDropRule,
    "fixed": partial(FixedRule, 1 << 20, FIXED_WAIT_S),
}
PARTS = ("proteus", "proteus, gap 0.5", "proteus, idle devices let go", *(f"proteus, {name}" for name in RULES))


@dataclass(frozen=True, slots=True, eq=False)
class Families:
    """The setting of one trace on one cluster. parts: of the events, by family."""

    setting: Setting
    parts: dict[str, float]

    @property
    def problem(self) -> Problem:
        return self.setting.problem

    @property
    def peak(self) -> float:
        return max(self.setting.rates)

    def best_feasible(self) -> float:
        """Accuracy, 0..1, of the most accurate variants that some device can host within half of the SLO."""
        best: dict[str, float] = {}
        for hosting in hostings(self.problem):
            best[hosting.family] = max(best.get(hosting.family, 0.0), hosting.accuracy / 100)
        return sum(part * best[family] for family, part in self.parts.items())


def families(trace: str, cluster: str, seconds: float, load_s: float = 0.0) -> Families:
    times_s = _stamps(trace)
    times_s = times_s[times_s < seconds]
    rates = tuple(np.bincount(times_s.astype(np.int64)).astype(float).tolist())
    return at_rates(rates, trace, cluster, load_s, Stamps(times_s))


def at_rates(rates: tuple[float, ...], parts_of: str, cluster: str, load_s: float = 0.0, trace: Stamps | None = None) -> Families:
    """parts_of: the trace whose families these are. trace: the events themselves; None = drawn at the rates."""
    problem = as_families(published.problem(parts_of, CLUSTERS[cluster]))
    parts = {stage.name: stage.weight for stage in problem.stages}
    setting = Setting(problem, between(problem), rates, ChangeTimes(load_s, variant_s=load_s), start=max(1.0, sum(rates[:10]) / len(rates[:10])),
                      graph=lambda make: beside(parts, make), trace=trace)
    return Families(setting, parts)


@cache
def _stamps(trace: str) -> np.ndarray:
    return published.stamps(trace)


def as_families(problem: Problem) -> Problem:
    """Each stage's accuracy counts by its part of the events."""
    stages = tuple(replace(stage, weight=stage.rates[0].factor) for stage in problem.stages)
    return replace(problem, stages=stages, accuracy=AccuracyRule.MEAN)


def between(problem: Problem) -> Callable[[str, Option, int], float]:
    """The truth: latencies of the problem's options, straight lines between their batches."""
    points: dict[tuple[str, str, str], dict[int, float]] = {}
    for stage in problem.stages:
        for option in stage.options:
            points.setdefault((stage.name, option.variant, option.device), {})[option.batch] = option.latency_ms
    lines = {key: (sorted(found), [found[batch] for batch in sorted(found)]) for key, found in points.items()}

    def surface(stage: str, option: Option, rows: int) -> float:
        return float(np.interp(rows, *lines[stage, option.variant, option.device]))

    return surface


def beside(parts: dict[str, float], make: Callable[[str], Station]) -> Graph:
    """Every event goes to one family."""
    stations = tuple(replace(make(name), name=name, weight=part) for name, part in parts.items())
    return Graph(stations, Branch(tuple(parts.items())))


def dispatched(rule: Callable[[], Rule] = ProteusRule) -> Callable[[str], Station]:
    """With that batch rule; rows that expired are given up."""
    return lambda name: Station(name, rule=rule, on_late=OnLate.DEAD_LETTER)


def believed(problem: Problem, profile: Profile) -> Problem:
    """The options with the means of the samples."""
    stages = []
    for stage in problem.stages:
        means = [profile.mean_ms(stage.name, option) for option in stage.options]
        stages.append(replace(stage, options=tuple(replace(option, latency_ms=mean, throughput=1000 * option.batch / mean)
                                                   for option, mean in zip(stage.options, means, strict=True))))
    return replace(problem, stages=tuple(stages))


def sluice(problem: Problem, profile: Profile) -> Problem:
    """As ours plans with it. Families share nothing but devices, so all that counts of a way's time is that it is within the SLO: one tick."""
    own = ours(problem, profile, stages_on_a_way=1)
    own = replace(own, stages=tuple(replace(stage, options=unbeaten(stage.options)) for stage in own.stages))
    return replace(own, objective=Weighted(100 / DEVICE, 1.0), grid_ms=problem.slo_ms)


def unbeaten(options: tuple[Option, ...]) -> tuple[Option, ...]:
    """Without those that another on the same kind of device beats: no less accurate, no slower, no less throughput; of equals the first stays."""
    def beats(one: Option, other: Option) -> bool:
        mine, theirs = ((way.accuracy, way.throughput, -way.latency_ms) for way in (one, other))
        return one.device == other.device and all(better >= worse for better, worse in zip(mine, theirs, strict=True)) and mine != theirs

    return tuple(one for one in options if not any(beats(other, one) for other in options))


def contenders(one: Families, load_s: float) -> tuple[Contender, ...]:
    problem, setting = one.problem, one.setting

    def of(build: Callable[[Problem], Policy], rule: Callable[[], Rule] = ProteusRule, at: Setting = setting) -> Make:
        return at.make(lambda profile: build(believed(problem, profile)), dispatched(rule))

    def own(levers: Levers, interval_s: float) -> Build:
        return lambda profile: Sluice(sluice(problem, profile), setting.times, levers, interval_s=interval_s)

    def filled(build: Callable[[Problem], Proteus], rule: Callable[[], Rule] = ProteusRule, at: Setting = setting) -> Make:
        return of(lambda given: Filled(build(given), one.parts), rule, at)

    fixed = RULES["fixed"]
    return (
        Contender("proteus", Role.PAPER, filled(Proteus)),
        Contender("proteus, gap 0.5", Role.ABLATED, filled(lambda given: Proteus(given, gap=RELEASED_GAP))),
        Contender("clipper-ha", Role.BASELINE, of(lambda given: clipper_ha(replace(given, rate=one.peak)), AimdRule)),
        Contender("clipper-ht", Role.BASELINE, of(lambda given: clipper_ht(replace(given, rate=one.peak)), AimdRule)),
        Contender("infaas-like", Role.BASELINE, of(lambda given: Infaas(given, INFAAS_SLACK, INFAAS_DOWNSCALE), fixed)),
        Contender("sommelier-like", Role.BASELINE, filled(sommelier, at=replace(setting, start=one.peak))),
        Contender("sluice, same levers", Role.SAME, setting.make(own(LEVERS, INTERVAL_S))),
        Contender("sluice", Role.ALL, setting.make(own(Levers(), 1.0))),
        Contender("proteus, idle devices let go", Role.ABLATED, of(Proteus)),
        Contender("proteus, loading counted", Role.ABLATED, filled(lambda given: Proteus(given, load_s=load_s))),
        *(Contender(f"proteus, {name}", Role.ABLATED, filled(Proteus, rule)) for name, rule in RULES.items()),
    )


def case(name: str, one: Families, which: tuple[str, ...], load_s: float = 0.0) -> Case:
    """which: contenders."""
    demands = [[rate * part for part in one.parts.values()] for rate in one.setting.rates]

    @cache
    def bound(level: Level) -> dict[str, float]:
        return dict(bounded(fluid(one.problem, one.setting.surface, level), demands))

    return Case(name, tuple(contender for contender in contenders(one, load_s) if contender.name in which), lambda level, seed: bound(level))


def study(quick: bool) -> Study:
    seconds = 30.0 if quick else 1e9
    main = families(*MAIN, seconds)
    tables = [(", ".join(MAIN), main, (*EVERYBODY, "sluice"))]
    tables += [(f"{trace}, {cluster}", families(trace, cluster, seconds), which) for trace, cluster, which in (
        (MAIN[0], SMALL, EVERYBODY), ("medium-normal_load", SMALL, EVERYBODY), ("zipf_uniform", SMALL, FEW))]
    unseen = [(f"{source}, {MAIN[1]}", [at_rates(of_mean(rates, MEAN), *MAIN) for rates in of_source])
              for source, of_source in windows(30 if quick else UNSEEN_S).items()]
    best = {name: one.best_feasible() for name, one in [*((name, one) for name, one, _ in tables), *((name, ones[0]) for name, ones in unseen)]}
    parts = tuple((times, case(trace, families(trace, MAIN[1], seconds), PARTS)) for times, trace in TIMES.items())
    loads = tuple((load_s, case(f"loading {load_s:g} s", families(*MAIN, seconds, load_s), LOADED, load_s)) for load_s in LOADS_S)
    return Study(
        "proteus", "Proteus, accuracy scaling on a fixed cluster",
        (*(case(*table) for table in tables), *(by_window(name, [case(name, one, FEW) for one in ones]) for name, ones in unseen)),
        {"accuracy drop": "up to 3 times smaller than the baselines' (3.2 in the text)", "violations": "2 to 10 times fewer than the baselines",
         "context only": "the paper's own runs are not public; its cluster is from memory"},
        ("Which family an event belongs to is drawn, with the parts that the families have of the whole trace.",
         "Replicas of one variant on one kind of device share a queue, where the paper has one for each device.",
         "Proteus' batch rule waits until a batch just ends in time; here with three standard deviations to spare, as batch times vary; a curve "
         "has it as released too.",
         "How long a device takes to load a variant is not published: none in the tables, a curve beside them."),
        () if quick else (Curve(f"gap, idle devices and batch rules, {MAIN[1]}", "load, times", parts),
                             Curve(f"loading a variant, {', '.join(MAIN)}", "load, s", loads)),
        () if quick else LEVELS, (tables[-1][0],), metrics=("violation_share", "accuracy"), panels=("rate", "violations", "accuracy", "cores"),
        findings=partial(findings, best=best),
    )


def findings(found: Found, best: dict[str, float]) -> list[str]:
    said = []
    for name, rows in found.headline.items():
        said.append(f"{name}: with the most accurate variants that keep to half of the SLO the drop would be {100 * (1 - best[name]):.2f} points")
        said += [_drop(name, rows, contender, best[name]) for contender in rows.by_seed if contender != BOUND]
    for x, rows in ((x, rows) for (curve, x), rows in found.curves.items() if curve.startswith("loading")):
        shares = ", ".join(f"{contender} {100 * rows.spread(contender, 'violation_share').mean:.2f} %" for contender in rows.by_seed if contender != BOUND)
        said.append(f"loading {x:g} s: violations of {shares}")
    return said


def _drop(name: str, rows: Rows, contender: str, best: float) -> str:
    mine, theirs = (100 * (1 - rows.spread(one, "accuracy").mean) for one in (contender, "proteus"))
    times = ratio(rows, contender, "proteus")
    told = f"{name}, {contender}: accuracy drop {mine:.2f} points, {mine - 100 * (1 - best):.2f} from the best feasible"
    if contender in rows.series:
        told += f", {100 - float(np.nanmin(_answered(rows, contender))):.2f} at the worst in 10 s of one seed"
    if contender == "proteus":
        return f"{told}; {rows.spread(contender, 'goodput').mean:.0f} in time a second"
    told += f" ({mine / theirs:.2f} times proteus')" if theirs > 0 else ""
    told += "; too few violations of proteus to divide by" if times is None else f"; {times:.2f} times its violations"
    return f"{told}; {100 * (rows.spread(contender, 'goodput').mean / rows.spread('proteus', 'goodput').mean - 1):+.1f} % in time"


def _answered(rows: Rows, contender: str) -> np.ndarray:
    """Accuracy over time; nan where nothing was answered."""
    series = rows.series[contender]["accuracy"]
    return np.where(series > 0, series, np.nan)
