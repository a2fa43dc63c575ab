"""ConScale: the window of rows in flight retuned by the scatter of concurrency and throughput as replicas change, beside windows that stay.

    truth      batches of the stage that bench/pipelines/conscale.yaml runs: 8 ms and 2 ms a row, on a core of its own
    curve      measured on the real service (`conscale_curve`) and stored; the window of n replicas is what the product's rule
               (autoscaler/control/window.py) makes of it, a second after the replicas were ordered
    replicas   threshold scaling (HPA at TARGET of the CPU, defaults else) for all; 1 .. MOST
    fixed      the default, WINDOW_ROWS; the best of GRID by violations on each shape's own load with another seed, as who tunes offline has it;
               threshold scaling without retuning: the window that the rule gives for the replicas at first
    shapes     events/s by second t of T, by formulas of ours; the paper's traces are not public:
               slowly varying    L + A sin^2(pi t / T)                       quickly varying   L + A sin^2(6 pi t / T)
               big spike         L + A exp(-((t - T/2) / (T/30))^2)          dual phase        L until T/2, then L + A
               large variations  L + A (sin^2(2 pi t / T) + sin^2(7 pi t / T)) / 2
               steep tri phase   L, from T/3 on L + A, from 2 T/3 on L + A/2

Where the service answers no fewer rows with many in flight, as the stored curve shows, a large window costs nothing here: what it can show is that a
window that is too small for the replicas that came does.
Source: ConScale (IPDPS 2020; TPDS 33(12), 2022). Its estimator, its traces and its services are not public.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from math import exp, pi, sin

from autoscaler.control.window import InFlight, window
from autoscaler.planner.model import Option, Problem, Share, StageModel
from autoscaler.planner.objectives import LeastCost
from autoscaler.planner.queueing import FillWait
from autoscaler.policies.change_times import ChangeTimes
from autoscaler.policies.hpa import Hpa
from autoscaler.policies.sluice import Sluice
from bench.repro.bound import known, per_second
from bench.repro.conscale_curve import stored
from bench.repro.level import HEADLINE, Level
from bench.repro.profile import Profile
from bench.repro.row import row
from bench.repro.runs import Found
from bench.repro.setting import Build, Setting
from bench.repro.study import Case, Contender, Make, Role, Study
from operators.hosted import WINDOW_ROWS
from simulator.proxy import Gathering
from simulator.scenario import Control, Scenario
from simulator.simulation import simulate

STAGE = "work"
FIXED_MS, ROW_MS, BATCHES = 8.0, 2.0, (1, 2, 4, 8, 16, 32)
SLO_MS = 1000.0
MOST = 4
LOW_RPS, SWING_RPS = 200.0, 1200.0
TARGET = 0.8
GRID = (32, 64, 128, 256, 1024)
TUNING_SEED = 7001
CHANGES = ChangeTimes(cold_start_s=3.0)

Shape = Callable[[float], float]
"""From 0 <= t / T < 1 to the part of the swing."""
SHAPES: Mapping[str, Shape] = {
    "slowly varying": lambda at: sin(pi * at) ** 2,
    "quickly varying": lambda at: sin(6 * pi * at) ** 2,
    "big spike": lambda at: exp(-(((at - 0.5) * 30) ** 2)),
    "dual phase": lambda at: float(at >= 0.5),
    "large variations": lambda at: (sin(2 * pi * at) ** 2 + sin(7 * pi * at) ** 2) / 2,
    "steep tri phase": lambda at: 0.0 if at < 1 / 3 else 1.0 if at < 2 / 3 else 0.5,
}


def rates(shape: Shape, seconds: int) -> tuple[float, ...]:
    """Events/s of each second."""
    return tuple(LOW_RPS + SWING_RPS * shape(second / seconds) for second in range(seconds))


def batch_ms(rows: int) -> float:
    return FIXED_MS + ROW_MS * rows


def problem() -> Problem:
    options = tuple(Option("only", batch, 1.0, batch_ms(batch), 1000 * batch / batch_ms(batch), 1.0, 1.0) for batch in BATCHES)
    return Problem((StageModel(STAGE, options, most=MOST),), LOW_RPS, SLO_MS, LeastCost(), FillWait())


def tuned(station: str, replicas: int) -> int:
    """What the product's rule makes of the stored curve; one proxy."""
    return _tuned(replicas)


@cache
def _tuned(replicas: int) -> int:
    return window(InFlight(replicas, BATCHES[-1], 1, WINDOW_ROWS), stored()).rows


def study(quick: bool) -> Study:
    seconds = 60 if quick else 240
    grid = GRID[1:3] if quick else GRID
    loads = {name: rates(shape, seconds) for name, shape in SHAPES.items()}
    cases = tuple(_case(name, load, grid) for name, load in loads.items())
    return Study(
        "conscale", "ConScale, the window of rows in flight as replicas change", cases,
        {"response times": "steadier than with threshold scaling alone",
         "context only": "its services, traces and estimator are not public, so no figure of it is set beside ours"},
        (f"Windows of the rule by replicas: {', '.join(f'{count}: {_tuned(count)}' for count in range(1, MOST + 1))} rows.",
         f"Best fixed windows by shape: {', '.join(f'{name} {_best(load, grid)}' for name, load in loads.items())} rows.",
         f"Cold start {CHANGES.cold_start_s:g} s; the six shapes are formulas of ours."),
        metrics=("violation_share", "p99_s", "cost"), panels=("rate", "violations", "cores", "latency"), findings=findings,
    )


def _case(name: str, load: tuple[float, ...], grid: tuple[int, ...]) -> Case:
    setting = setting_of(load)
    best = _best(load, grid)

    def retuned(build: Build) -> Make:
        return with_windows(setting.make(build), tuned)

    def fixed(rows: int) -> Make:
        return with_windows(setting.make(threshold), lambda station, replicas: rows)

    def sluice(profile: Profile) -> Sluice:
        return Sluice(setting.ours(profile), setting.times)

    contenders = (
        Contender("conscale", Role.PAPER, retuned(threshold)),
        Contender("fixed, best offline", Role.BASELINE, fixed(best)),
        Contender("fixed, default", Role.BASELINE, fixed(WINDOW_ROWS)),
        Contender("threshold scaling, not retuned", Role.BASELINE, fixed(_tuned(1))),
        Contender("sluice, window retuned", Role.ALL, retuned(sluice)),
    )
    return Case(name, contenders, lambda level, seed: per_second(known(setting.problem, setting.surface, level), setting.rates))


def setting_of(load: tuple[float, ...]) -> Setting:
    return Setting(problem(), lambda stage, option, rows: batch_ms(rows), load, CHANGES, (load[0],) * 60)


def threshold(profile: Profile) -> Hpa:
    """Largest batches: the service itself takes no more rows than there are."""
    given = problem()
    (stage,) = given.stages
    return Hpa(replace(given, stages=(replace(stage, options=stage.options[-1:]),)), target=TARGET)


def with_windows(make: Make, windows: Callable[[str, int], int]) -> Make:
    def made(level: Level, seed: int) -> tuple[Scenario, Control]:
        scenario, control = make(level, seed)
        shares: tuple[Share, ...] = scenario.initial[STAGE]
        first = windows(STAGE, sum(share.replicas for share in shares))
        return replace(scenario, gathering=Gathering(window=first)), replace(control, windows=windows)

    return made


@cache
def _best(load: tuple[float, ...], grid: tuple[int, ...]) -> int:
    """The fixed window with the fewest violations, then the least p99, then the smallest."""
    def judged(rows: int) -> tuple[float, float, int]:
        scenario, control = with_windows(setting_of(load).make(threshold), lambda station, replicas: rows)(HEADLINE, TUNING_SEED)
        found = row(simulate(scenario, control, TUNING_SEED, records=False))
        return found["violation_share"], found["p99_s"], rows

    return min(grid, key=judged)


def findings(found: Found) -> list[str]:
    said = []
    for name, rows in found.headline.items():
        own = rows.spread("conscale", "p99_s").mean
        for other in ("fixed, best offline", "fixed, default", "threshold scaling, not retuned"):
            theirs = rows.spread(other, "p99_s").mean
            late = [100 * rows.spread(which, "violation_share").mean for which in ("conscale", other)]
            said.append(f"{name}: p99 {own:.2f} s retuned, {theirs:.2f} s with {other}; violations {late[0]:.2f} % and {late[1]:.2f} %")
    return said
