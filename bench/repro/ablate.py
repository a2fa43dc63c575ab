"""Sluice without each of its parts, on windows that no paper used: the report days of the Twitter trace, NASA, Azure.

    pipeline    of our own making, from published parts, so that every part of the policy has something to do:
                detect      Themis' detector surface times VARIANTS' factor; accuracies of IPA's YOLOv5 n, s, m
                classify    Themis' classifier surface alike; ResNet 18, 50, 101; its rows by the detector's variant: Loki's objects per frame over n's
    objective   100 accuracy - cores, at most CORES cores; SLO 1 s end to end over Sponge's 4G with 200 KB
    windows     WINDOW_S seconds; seed i takes window i of WINDOWS of each trace. The rate is the trace's over DIVIDERS, so that all have about
                the same mean
    forecasts   the last rate; the most of the last minute; the trace itself (oracle); none

`value` of a row in what is found: 100 accuracy over all events - cores.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from autoscaler.forecast.forecaster import Forecaster
from autoscaler.forecast.plain import Oracle, Persistence, WindowMax
from autoscaler.planner.latency import Amdahl
from autoscaler.planner.model import Option, Problem, RateTerm, StageModel
from autoscaler.planner.objectives import Weighted
from autoscaler.planner.queueing import NoWait
from autoscaler.policies.change_times import ChangeTimes
from autoscaler.policies.policy import Levers
from autoscaler.policies.sluice import Knowledge, Sluice
from bench.published import accuracy, loki, sponge, themis, traces
from bench.repro.bound import known, per_second
from bench.repro.level import Level
from bench.repro.profile import Profile
from bench.repro.runs import BOUND, Found, Rows
from bench.repro.setting import Setting
from bench.repro.study import Case, Contender, Make, Role, Study
from simulator.arrivals import Delays
from simulator.network import Station
from simulator.scenario import Control, Scenario

WINDOWS, WINDOW_S, PAST_S = 5, 300, 600
WINDOWS_SEED = 2021
PAYLOAD_KB = 200
SLO_MS = 1000.0
CORES = 48.0
ALPHA = 100.0
DIVIDERS = {"Twitter": 6.0, "NASA": 4.0, "Azure": 0.6}
"""Of the counts by second (NASA: a minute a second), for about 10 events/s."""
COLD_START_S, RESIZE_S = 7.0, 0.05
VARIANTS = {"detect": (("yolov5n", 1.0), ("yolov5s", 1.35), ("yolov5m", 1.75)), "classify": (("resnet18", 1.0), ("resnet50", 2.5), ("resnet101", 3.2))}
"""Variant and the factor on its latency: p99 at one core of IPA's profile rows over the lightest's (198, 267, 347; 117, 299, 376 ms)."""
SIZES, BATCHES = (1, 2, 4), (1, 2, 4)


@dataclass(frozen=True, slots=True)
class Part:
    """What is different from the whole. forecaster: from the window's rates. keep: of the options."""

    name: str
    levers: Levers = Levers(parallelism=False)
    knowledge: Knowledge = Knowledge()
    forecaster: Callable[[tuple[float, ...]], Forecaster] = lambda rates: Persistence()
    station: Callable[[str], Station] = Station
    keep: Callable[[Option], bool] = lambda option: True


LEVERS = Levers(parallelism=False)
WHOLE = Part("sluice")
PARTS = (
    Part("no variants", replace(LEVERS, variants=False, shares=False)),
    Part("no sizes", replace(LEVERS, vertical=False)),
    Part("no replicas", replace(LEVERS, horizontal=False)),
    Part("no batches", keep=lambda option: option.batch == 1),
    Part("no deadlines", knowledge=Knowledge(deadlines=False), station=lambda name: Station(name, fifo=True)),
    Part("no price of change", knowledge=Knowledge(switching=False)),
    Part("no uncertainty", knowledge=Knowledge(uncertainty=False)),
    Part("no conditioned rates", knowledge=Knowledge(conditioned_rates=False)),
    Part("no forecast", knowledge=Knowledge(forecast=False)),
    Part("no measured slowness", knowledge=Knowledge(slowness=False)),
)
FORECASTS = (
    Part("forecast: most of a minute", forecaster=lambda rates: WindowMax(60)),
    Part("forecast: oracle", forecaster=lambda rates: Oracle(rates)),
)


def study(quick: bool) -> Study:
    seconds = 60 if quick else WINDOW_S
    cases = tuple(_case(name, windows, PARTS + FORECASTS if name == "Twitter" else FORECASTS)
                  for name, windows in (("Twitter", twitter(seconds)), ("NASA", nasa(seconds)), ("Azure", azure(seconds))))
    return Study(
        "ablate", "Sluice without each of its parts", cases, {"nothing": "these windows are in no paper"},
        ("The pipeline is of our own making, from published parts; batch times of other variants are the lightest's times a factor.",
         f"Seed i runs on window i of {WINDOWS} drawn at random, of {WINDOW_S} s each: the intervals are over windows and draws."),
        metrics=("violation_share", "cost", "accuracy_all"), panels=("rate", "violations", "cores", "accuracy"), findings=findings,
    )


Window = tuple[tuple[float, ...], tuple[float, ...]]
"""Rates, and those of the seconds before."""


def twitter(seconds: int) -> list[Window]:
    counts = traces.twitter() / DIVIDERS["Twitter"]
    return [_window(counts, begins, seconds) for begins in traces.random_windows(WINDOWS_SEED, WINDOWS)]


def nasa(seconds: int) -> list[Window]:
    counts = traces.nasa() / DIVIDERS["NASA"]
    begins = np.random.default_rng(WINDOWS_SEED).integers(PAST_S, len(counts) - seconds, WINDOWS)
    return [_window(counts, int(begin), seconds) for begin in begins]


def azure(seconds: int) -> list[Window]:
    counts = traces.azure() / DIVIDERS["Azure"]
    apart = (len(counts) - PAST_S) // WINDOWS
    return [_window(counts, PAST_S + number * apart, seconds) for number in range(WINDOWS)]


def _window(counts: np.ndarray, begins: int, seconds: int) -> Window:
    return tuple(counts[begins : begins + seconds].tolist()), tuple(counts[begins - PAST_S : begins].tolist())


def _case(name: str, windows: list[Window], parts: tuple[Part, ...]) -> Case:
    settings = [setting(rates, past) for rates, past in windows]

    def bound(level: Level, seed: int) -> dict[str, float]:
        one = settings[seed % len(settings)]
        left = [SLO_MS - 1000 * delay for delay in one.network.seconds] if one.network is not None else None
        found = dict(per_second(known(one.problem, one.surface, level), one.rates, left))
        return {**found, "accuracy_all": found["accuracy"]} if "accuracy" in found else found

    contenders = [Contender(WHOLE.name, Role.WHOLE, _made(settings, WHOLE)), *(Contender(part.name, Role.ABLATED, _made(settings, part)) for part in parts)]
    return Case(name, tuple(contenders), bound)


def _made(settings: list[Setting], part: Part) -> Make:
    def made(level: Level, seed: int) -> tuple[Scenario, Control]:
        one = settings[seed % len(settings)]

        def build(profile: Profile) -> Sluice:
            own = one.ours(profile)
            kept = tuple(replace(stage, options=tuple(option for option in stage.options if part.keep(option))) for stage in own.stages)
            return Sluice(replace(own, stages=kept), one.times, part.levers, part.knowledge)

        return one.make(build, part.station, lambda: part.forecaster(one.rates))(level, seed)

    return made


def setting(rates: tuple[float, ...], past: tuple[float, ...]) -> Setting:
    """The pipeline on one window. Contenders start for the most of the minutes before, so that one without replicas is not bound to a lull."""
    surfaces = dict(zip(VARIANTS, themis.surfaces("video")[0], strict=True))
    base = {stage: Amdahl(*surface.coefficients) for stage, surface in surfaces.items()}
    factors = {variant: factor for of_stage in VARIANTS.values() for variant, factor in of_stage}

    def surface(stage: str, option: Option, rows: int) -> float:
        return factors[option.variant] * base[stage].latency_ms(rows, option.units)

    delays = tuple(spent / 1000 for spent in sponge.spent_ms(PAYLOAD_KB)[: len(rates)])
    return Setting(problem(surface), surface, rates, ChangeTimes(COLD_START_S, resize_s=RESIZE_S), past, Delays(delays), start=max(past, default=1.0))


def problem(surface: Callable[[str, Option, int], float]) -> Problem:
    tables = accuracy.ipa("video")
    correct = {variant: value for table in tables.values() for variant, value in table.items()}
    found, _, _ = loki.branching()
    widths = {variant: found[variant] / found["yolov5n"] for variant, _ in VARIANTS["detect"]}
    stages: list[StageModel] = []
    for name, variants in VARIANTS.items():
        options = []
        for variant, _ in variants:
            for cores in SIZES:
                for batch in BATCHES:
                    bare = Option(variant, batch, float(cores), 1.0, 1.0, correct[variant], float(cores))
                    ms = surface(name, bare, batch)
                    options.append(replace(bare, latency_ms=ms, throughput=1000 * batch / ms))
        rates = (RateTerm("detect", 1.0, widths),) if stages else ()
        stages.append(StageModel(name, tuple(options), after=("detect",) if stages else (), rates=rates))
    return Problem(tuple(stages), 10.0, SLO_MS, Weighted(ALPHA, 1.0), NoWait(), {"cpu": CORES})


def findings(found: Found) -> list[str]:
    said = []
    for name, rows in found.headline.items():
        whole = _value(rows, WHOLE.name)
        for contender in rows.by_seed:
            if contender == WHOLE.name:
                said.append(f"{name}: value of the whole {whole:.1f}")
            elif contender != BOUND:
                more = rows.against(contender, WHOLE.name, "violation_share")
                said.append(f"{name}, {contender}: value {_value(rows, contender) - whole:+.1f}, violations {100 * more.mean:+.2f} points"
                            f"{'' if more.sign else ' (not significant)'}")
    return said


def _value(rows: Rows, contender: str) -> float:
    return ALPHA * rows.spread(contender, "accuracy_all").mean - rows.spread(contender, "cores").mean
