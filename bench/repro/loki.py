"""Loki: traffic analysis on a fixed cluster of GPUs, hardware first and accuracy when that has run out, with rates that hang on the variants.

    pipeline   a detector, cars to a classifier and persons to a second one; objects per frame, and the cars among them, by detector
    truth      the simulator's table (95th percentiles, whose means have outliers), straight between batches, with noise and bias
    events     frames: Poisson at the rates of Proteus' trace, by the same group, scaled so that its busiest second has OVER times what the most
               accurate variants carry (Loki's own is not among the data). SLO 500 ms
    cluster    CLUSTER, half of the paper's, and half of the load with it, so that a run takes seconds; planned capacities are of both
    accuracy   of a frame, the mean over its objects: cars by the table of (detector, classifier) pairs, persons count as right. A frame is
               answered with the last of its objects and lost with the first
    dispatch   Loki's and the baselines': early drop, the best for Loki of the rules there are (early drop, adaptive, what waits); Loki's own is not
               among what we have. Ours: the product's queue, which answers late rows
    changes    a device takes up another variant in `load_s`: 0 in the tables, a curve beside it

Same levers: variants, batches, replicas every 10 s. All levers: a decision a second.
Of Loki's two claims, 2.7 times the capacity of hardware scaling is checked for this pipeline by planning, at several accuracies (the paper's
other pipeline has no accuracies here), and ten times fewer violations on a trace that is not the paper's.
Source: Loki (HPDC 2024), its released profiles and simulator.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache

from autoscaler.graph.pipeline import OnLate
from autoscaler.planner.infeasible import largest_rate
from autoscaler.planner.model import GivenVariant, Problem
from autoscaler.planner.objectives import LeastCost, Weighted
from autoscaler.planner.work import Work
from autoscaler.policies.change_times import ChangeTimes
from autoscaler.policies.inferline import InferLine
from autoscaler.policies.loki import Loki
from autoscaler.policies.policy import Levers, Policy
from autoscaler.policies.proteus import Proteus
from autoscaler.policies.sluice import Knowledge, Sluice
from bench.published import loki as published
from bench.published.proteus import rates as proteus_rates
from bench.repro.bound import known, per_second
from bench.repro.level import LEVELS, Level
from bench.repro.loki_plain import PlainRates, isolated
from bench.repro.profile import Profile, ours
from bench.repro.proteus import DEVICE, INTERVAL_S, believed, between
from bench.repro.proteus_unseen import by_window, of_peak, windows
from bench.repro.runs import BOUND, Found, Rows
from bench.repro.setting import Build, Setting
from bench.repro.study import Case, Contender, Curve, Make, Role, Study
from bench.repro.verdict import ratio
from operators.batching import EarlyDropRule
from simulator.network import Children, FanOut, Graph, Station, to

TRACE = "zipf_exponential"
SECONDS = 110
"""Of the trace: the peak and what is around it."""
CLUSTER = {kind: units / 2 for kind, units in published.DEVICES.items()}
OVER, MILD = 2.0, 1.2
SLO_PART = 0.5
"""Of the SLO for planning, Loki's own; the rest is left to queueing."""
UNSEEN_S = 40
"""Of the windows that no paper used."""
STEADY, STEADY_S = (0.5, 1.0, 1.5, 2.0, 2.7, 4.0), 20
LOADS_S = (0.0, 3.0, 7.0, 15.0)
ACCURACIES = (0.7, 0.5, 0.25, 0.0)
CAPACITY_LIMIT = 0.01
"""Violations up to which a steady rate counts as carried."""
LEVERS = Levers(vertical=False, parallelism=False)
BEST = ("yolov5x", "eb6")
FEW = ("loki", "hardware only", "proteus, by stage", "sluice, same levers")
LOADED = ("loki", "sluice, same levers")
WORK = 2e10
BOUND_STEP = 10.0
"""frames/s to which the bound rounds down; it is no higher for that."""


@dataclass(frozen=True, slots=True, eq=False)
class Pipeline:
    """graph: from how a station is made. table: accuracy of a frame's objects by (detector, classifier)."""

    problem: Problem
    graph: Callable[[Callable[[str], Station]], Graph]
    table: dict[tuple[str, str], float]


@cache
def traffic() -> Pipeline:
    """The published pipeline without the detector that no accuracy was measured of."""
    table = published.end_to_end()
    measured = {detector for detector, _ in table}
    problem = published.problem(devices=CLUSTER)
    detect, cars, persons = problem.stages
    objects, part_cars, part_persons = published.branching()
    of_frame = {(detector, classifier): (part_cars[detector] * value + part_persons[detector]) for (detector, classifier), value in table.items()}
    detect = replace(detect, options=tuple(option for option in detect.options if option.variant in measured))
    cars = replace(cars, accuracy_given=GivenVariant(detect.name, of_frame))
    problem = replace(problem, stages=(detect, cars, persons))

    def graph(make: Callable[[str], Station]) -> Graph:
        kinds = tuple(Children(name, 1.0, {detector: objects[detector] * part[detector] for detector in measured})
                      for name, part in ((cars.name, part_cars), (persons.name, part_persons)))
        return Graph((replace(make(detect.name), name=detect.name, after=FanOut(kinds)),
                      replace(make(cars.name), name=cars.name, given=GivenVariant(detect.name, table)),
                      replace(make(persons.name), name=persons.name)), to(detect.name))

    return Pipeline(problem, graph, of_frame)


def only(problem: Problem, variants: tuple[str, str]) -> Problem:
    """The detector and the classifier fixed."""
    stages = tuple(replace(stage, options=tuple(option for option in stage.options if option.variant in variants) or stage.options)
                   for stage in problem.stages)
    return replace(problem, stages=stages)


def capacity(problem: Problem, accuracy: float) -> float:
    """frames/s that the devices carry with that accuracy at the least, within Loki's part of the SLO; 0 where they carry none."""
    posed = replace(problem, rate=10_000.0, slo_ms=problem.slo_ms * SLO_PART, objective=LeastCost(accuracy or None))
    return largest_rate(posed, Work(WORK)) or 0.0


@cache
def hardware() -> float:
    """frames/s that the most accurate variants carry."""
    return capacity(only(traffic().problem, BEST), 0.0)


def setting(rates: tuple[float, ...], load_s: float = 0.0) -> Setting:
    one = traffic()
    return Setting(one.problem, between(one.problem), rates, ChangeTimes(load_s, variant_s=load_s), graph=one.graph,
                   start=max(1.0, sum(rates[:10]) / len(rates[:10])))


def trace(seconds: int, over: float = OVER) -> tuple[float, ...]:
    rates = proteus_rates(TRACE)
    scale = over * hardware() / max(rates)
    return tuple(scale * rate for rate in rates[:seconds])


def dropping(name: str) -> Station:
    """Early drop; rows that expired are given up."""
    return Station(name, rule=EarlyDropRule, on_late=OnLate.DEAD_LETTER)


def contenders(one: Setting) -> tuple[Contender, ...]:
    problem = one.problem

    def of(build: Callable[[Problem], Policy], station: Callable[[str], Station] = dropping) -> Make:
        return one.make(lambda profile: build(believed(problem, profile)), station)

    def sluice(levers: Levers, interval_s: float, knowledge: Knowledge = Knowledge()) -> Build:
        def build(profile: Profile) -> Sluice:
            own = replace(ours(problem, profile, stages_on_a_way=2), objective=Weighted(100 / DEVICE, 1.0))
            return Sluice(own, one.times, levers, knowledge, interval_s=interval_s)

        return build

    return (
        Contender("loki", Role.PAPER, of(Loki)),
        Contender("hardware only", Role.BASELINE, of(lambda given: Loki(only(given, BEST)))),
        Contender("inferline", Role.BASELINE, of(lambda given: InferLine(only(given, BEST)))),
        Contender("proteus, by stage", Role.BASELINE, of(lambda given: Proteus(isolated(given, traffic().table)))),
        Contender("loki, plain rates", Role.ABLATED, of(lambda given: PlainRates(Loki(given)))),
        Contender("loki, our queue", Role.ABLATED, of(Loki, Station)),
        Contender("sluice, same levers", Role.SAME, one.make(sluice(LEVERS, INTERVAL_S))),
        Contender("sluice", Role.ALL, one.make(sluice(Levers(), 1.0))),
        Contender("sluice, plain rates", Role.ABLATED, one.make(sluice(Levers(), 1.0, Knowledge(conditioned_rates=False)))),
    )


def case(name: str, one: Setting, which: tuple[str, ...] = ()) -> Case:
    """which: contenders; () = all."""
    rates = [BOUND_STEP * (rate // BOUND_STEP) for rate in one.rates]

    @cache
    def bound(level: Level) -> dict[str, float]:
        return dict(per_second(known(one.problem, one.surface, level), rates))

    return Case(name, tuple(contender for contender in contenders(one) if not which or contender.name in which), lambda level, seed: bound(level))


def study(quick: bool) -> Study:
    seconds = 20 if quick else SECONDS
    rates = trace(seconds)
    tables = (case(f"traffic analysis, {OVER:g} times at the peak", setting(rates)),
              case(f"traffic analysis, {MILD:g} times at the peak", setting(trace(seconds, MILD)), FEW))
    tables += tuple(by_window(f"{source}, {MILD:g} times at the peak", [case(source, setting(of_peak(rates, MILD * hardware())), FEW) for rates in of_source])
                    for source, of_source in windows(20 if quick else UNSEEN_S).items())
    steady = tuple((times, case(f"steady, {times:g} times", setting((times * hardware(),) * STEADY_S), FEW)) for times in STEADY)
    loads = tuple((load_s, case(f"loading {load_s:g} s", setting(rates, load_s), LOADED)) for load_s in LOADS_S)
    return Study(
        "loki", "Loki, a pipeline's hardware and accuracy", tables,
        {"capacity": "2.7 times that of hardware scaling alone", "violations": "up to 10 times fewer than others, with little accuracy lost",
         "context only": "the paper's traces and its second pipeline's accuracies are not among the data"},
        ("The table of latencies is the same for all three of its kinds of device; GTX 1080 Ti are taken.",
         "Frames follow Proteus' trace, which is not Loki's; how long a variant loads is not published, nor is its batch rule among what we have: "
         "early drop is taken, with which it does best.",
         "Persons count as right, as their classifier has no accuracies."),
        () if quick else (Curve("steady rates, of what hardware scaling alone carries", "times", steady), Curve("loading a variant", "load, s", loads)),
        () if quick else LEVELS, (tables[1].name,),
        metrics=("violation_share", "accuracy"), panels=("rate", "violations", "accuracy", "cores"), findings=findings,
    )


@cache
def planned(gpus: float) -> tuple[str, ...]:
    """Capacities of so many, and how many times that of hardware scaling alone they are."""
    problem = replace(traffic().problem, devices=dict.fromkeys(CLUSTER, gpus))
    base, name = capacity(only(problem, BEST), 0.0), f"planned, {gpus:g} GPUs"
    said = [f"{name}: {base:.0f} frames/s with the most accurate variants"]
    for accuracy in ACCURACIES:
        most = capacity(problem, accuracy)
        said.append(f"{name}: {most:.0f} frames/s with {f'an accuracy of at least {accuracy:g}' if accuracy else 'any accuracy'}, {most / base:.1f} times")
    return tuple(said)


def findings(found: Found) -> list[str]:
    said = [sentence for devices in (CLUSTER, published.DEVICES) for sentence in planned(sum(devices.values()))]
    for name, rows in found.headline.items():
        said += [_beside(name, rows, contender) for contender in rows.by_seed if contender not in ("loki", BOUND)]
    steady = [(x, rows) for (curve, x), rows in found.curves.items() if curve.startswith("steady")]
    for contender in FEW if steady else ():
        carried = [x for x, rows in steady if rows.spread(contender, "violation_share").mean <= CAPACITY_LIMIT]
        said.append(f"simulated: {contender} has at most {100 * CAPACITY_LIMIT:g} % violations up to {max(carried, default=0.0):g} times that rate")
    return said


def _beside(name: str, rows: Rows, contender: str) -> str:
    times = ratio(rows, contender, "loki")
    violations = "loki has too few violations to divide by" if times is None else f"{times:.1f} times loki's violations"
    more = rows.against(contender, "loki", "accuracy")
    return f"{name}, {contender}: {violations}, accuracy {100 * more.mean:+.1f} points"
