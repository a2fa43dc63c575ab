"""Sponge: one instance resized in place each second while a 4G network eats the SLO, beside FA2, static sizes and Sponge without its parts.

    truth      the digitised measurements, between measured points on straight lines (in rows; in 1 / cores), times 1 or 2; planners get eq. 2
               fitted to samples: in truth more than 8 cores do not help a single row, by the fit they always do
    events     20 a second at even distances for 600 s, 100, 200 or 500 KB over the released series of remaining SLOs, 1 s end to end
    dispatch   Sponge's: earliest deadline first, batch of b or DISPATCH_WAIT_S after the first; nothing is dropped
    changes    cold start 10 s for the horizontal baseline, resize 50 ms (the paper's order of magnitude)

At x1 one core that never changes already meets almost all, so x2 with 500 KB carries the claim. Events that no size could have met are
unavoidable and told apart.
Source: Sponge (EuroMLSys'24, arXiv 2404.00704), its released series, configurations and figure.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Mapping
from dataclasses import replace

from autoscaler.planner.model import Option, Problem, Share
from autoscaler.policies.change_times import ChangeTimes
from autoscaler.policies.policy import Levers
from autoscaler.policies.sluice import Sluice
from autoscaler.policies.sponge import Fa2InSponge, Sponge
from autoscaler.policies.static import Static
from bench.published import sponge as published
from bench.repro.bound import known, per_second
from bench.repro.level import LEVELS, Level
from bench.repro.profile import Profile
from bench.repro.runs import Found
from bench.repro.setting import Setting
from bench.repro.study import Case, Contender, Role, Study, first_shares
from bench.repro.verdict import ratio
from operators.batching import FixedRule
from simulator.arrivals import Delays
from simulator.network import Station

COLD_START_S, RESIZE_S = 10.0, 0.05
DISPATCH_WAIT_S = 0.05
PAYLOADS_KB = (100, 200, 500)
SCALES = (1.0, 2.0)
LEVERS = Levers(variants=False, shares=False, horizontal=False, devices=False, parallelism=False)
MOST_INSTANCES = 16
FEW = ("sponge", "horizontal", "static, 8 cores", "sluice, same levers", "sluice")


def measured(scale: float) -> Callable[[str, Option, int], float]:
    """The truth's surface. Beyond 16 cores and 16 rows nothing is asked."""
    points = published.measured_ms()
    batches, cores = sorted({batch for batch, _ in points}), sorted({size for _, size in points})

    def at(batch: int, size: float) -> float:
        above = bisect_left(batches, batch)
        if batches[above] == batch:
            return _between(points, batch, size, cores)
        low, high = batches[above - 1], batches[above]
        part = (batch - low) / (high - low)
        return (1 - part) * _between(points, low, size, cores) + part * _between(points, high, size, cores)

    return lambda stage, option, rows: scale * at(rows, option.units)


def _between(points: Mapping[tuple[int, int], float], batch: int, size: float, cores: list[int]) -> float:
    above = bisect_left(cores, size)
    if cores[above] == size:
        return points[batch, cores[above]]
    low, high = cores[above - 1], cores[above]
    part = (1 / low - 1 / size) / (1 / low - 1 / high)
    return (1 - part) * points[batch, low] + part * points[batch, high]


def study(quick: bool) -> Study:
    seconds = 60 if quick else 600
    cases = [_case(scale, payload_kb, seconds, () if payload_kb == PAYLOADS_KB[-1] else FEW) for scale in SCALES for payload_kb in PAYLOADS_KB]
    return Study(
        "sponge", "Sponge, deadlines that a network eats into", tuple(cases),
        {"violations": "horizontal has often more than 15 times Sponge's", "cores": "less than a static allocation of 16 (20 %, unverified)"},
        (f"Cold start {COLD_START_S:g} s, resize {1000 * RESIZE_S:g} ms and the dispatcher's wait of {1000 * DISPATCH_WAIT_S:g} ms are not published.",
         "x2 stands for the larger network of the final runs; the figure that was digitised does not name its model."),
        (), () if quick else LEVELS, (cases[-1].name,), metrics=("violation_share", "cost"), panels=("rate", "violations", "cores", "latency"),
        findings=findings,
    )


def _case(scale: float, payload_kb: int, seconds: int, which: tuple[str, ...]) -> Case:
    spent_ms = published.spent_ms(payload_kb)[:seconds]
    problem = replace(published.problem(scale), devices={})
    setting = Setting(problem, measured(scale), (published.RATE,) * seconds, ChangeTimes(COLD_START_S, resize_s=RESIZE_S), (published.RATE,) * 60,
                      Delays(tuple(spent / 1000 for spent in spent_ms)), even=True)

    def believed(profile: Profile, keep: Callable[[Option], bool] = lambda option: True) -> Problem:
        """As Sponge's planner has it: eq. 2 as fitted, and what is kept of the options."""
        (stage,) = problem.stages
        options = tuple(replace(option, latency_ms=(ms := profile.mean_ms(stage.name, option)), throughput=1000 * option.batch / ms)
                        for option in stage.options if keep(option))
        return replace(problem, stages=(replace(stage, options=options, most=1),))

    def sized(profile: Profile) -> float:
        """Cores that Sponge would start with."""
        shares = _first(Sponge(believed(profile)), spent_ms[0])
        return shares[0].option.units

    def static(cores: float) -> Callable[[Profile], Static]:
        def build(profile: Profile) -> Static:
            given = believed(profile, lambda option: option.units == cores)
            best = max(given.stages[0].options, key=lambda option: (option.batch == 1, option.throughput))
            return Static(given, shares={given.stages[0].name: (Share(best, 1),)})

        return build

    def fixed_size(profile: Profile) -> Sponge:
        cores = sized(profile)
        return Sponge(believed(profile, lambda option: option.units == cores))

    def horizontal(profile: Profile) -> Fa2InSponge:
        given = believed(profile, lambda option: option.units == 1)
        return Fa2InSponge(replace(given, stages=(replace(given.stages[0], most=MOST_INSTANCES),)), most_instances=MOST_INSTANCES)

    def ours_single(profile: Profile) -> Sluice:
        own = setting.ours(profile)
        return Sluice(replace(own, stages=(replace(own.stages[0], least=1, most=1),)), setting.times, LEVERS)

    contenders = (
        Contender("sponge", Role.PAPER, setting.make(lambda profile: Sponge(believed(profile)), dispatched)),
        Contender("horizontal", Role.BASELINE, setting.make(horizontal, dispatched)),
        Contender("static, 8 cores", Role.BASELINE, setting.make(static(8.0), dispatched)),
        Contender("static, 16 cores", Role.BASELINE, setting.make(static(16.0), dispatched)),
        Contender("sponge, first come first served", Role.ABLATED, setting.make(lambda profile: Sponge(believed(profile)), in_order)),
        Contender("sponge, no batches", Role.ABLATED, setting.make(lambda profile: Sponge(believed(profile, lambda option: option.batch == 1)), dispatched)),
        Contender("sponge, its first size", Role.ABLATED, setting.make(fixed_size, dispatched)),
        Contender("sluice, same levers", Role.SAME, setting.make(ours_single)),
        Contender("sluice", Role.ALL, setting.make(lambda profile: Sluice(setting.ours(profile), setting.times))),
    )

    def bound(level: Level, seed: int) -> Mapping[str, float]:
        return per_second(known(problem, setting.surface, level), setting.rates, [published.SLO_MS - spent for spent in spent_ms])

    return Case(f"x{scale:g}, {payload_kb} KB", tuple(one for one in contenders if not which or one.name in which), bound)


def dispatched(name: str) -> Station:
    return Station(name, rule=lambda: FixedRule(1_000_000, DISPATCH_WAIT_S))


def in_order(name: str) -> Station:
    return Station(name, rule=lambda: FixedRule(1_000_000, DISPATCH_WAIT_S), fifo=True)


def findings(found: Found) -> list[str]:
    said = []
    for name, rows in found.headline.items():
        for other in ("horizontal", "static, 8 cores"):
            for mine in ("sponge", "sluice, same levers"):
                times = ratio(rows, other, mine)
                said.append(f"{name}: {other} has {'(too few to divide by)' if times is None else f'{times:.1f} times'} the violations of {mine}, "
                            f"{rows.spread(mine, 'cores').mean:.2f} cores against {rows.spread(other, 'cores').mean:.2f}")
    return said


def _first(policy: Sponge, spent_ms: float) -> tuple[Share, ...]:
    (shares,) = first_shares(policy, policy.problem, published.RATE, spent_ms).values()
    return shares
