"""InfAdapter: a set of ResNets at once on at most 20 cores, on its Twitter window, beside one at a time (MS+) and Kubernetes' VPA.

    truth      pods of parallel servers, calibrated on the published capacities (`infadapter_pods`), with noise and bias; single rows, as measured.
               InfAdapter and MS+ plan with the published capacities themselves, ours with samples of the calibrated pods
    events     Poisson at the window's raw rate; SLO 750 ms; 1,260 s
    dispatch   by shares to the pods, first come, first served; nothing is dropped. Ours: the operator service's queue and batch rule
    changes    a pod's successor starts beside it: COLD_START_S and the published load time, for everybody (so VPA is the paper's VPA+)
    predictor  LSTM(25), 10 maxima of 60 s to the most of the next 60 s, 10 % on top, for InfAdapter and MS+. Ours has none
    vpa        as the paper runs it the recommended target is applied every 30 s; the histogram's half-life is the best of HALF_LIVES_S on a slice
               of the training days. `vpa-50, defaults` is the updater as documented
    weights    accuracy - alpha cores / 20, alpha as released; the paper's sweep over it as a curve
    elsewhere  five random windows of the days that report as they are, NASA and Azure scaled to about this window's mean: seed i takes window i

Same levers: sets of variants, cores for each, every 30 s; ours gives a variant so many pods of 2 cores where InfAdapter gives it one that is so
much larger. All levers: a decision a second. These pods cannot be resized in place, so that lever is nobody's.
The bound is each metric's by itself: no violations, the work alone at its least cost, the most accurate variant.
Source: InfAdapter (EuroMLSys'23, arXiv 2304.10892), its released capacities, configuration and code.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from autoscaler.forecast.forecaster import Forecaster
from autoscaler.forecast.lstm import INFADAPTER
from autoscaler.forecast.plain import Persistence
from autoscaler.planner.model import Option, Problem
from autoscaler.planner.objectives import Weighted
from autoscaler.policies.change_times import ChangeTimes
from autoscaler.policies.infadapter import InfAdapter
from autoscaler.policies.policy import Levers, Policy
from autoscaler.policies.sluice import Sluice
from autoscaler.policies.vpa import VpaPlus
from bench.published import infadapter as published
from bench.published.traces import TRAINING, random_windows, twitter
from bench.repro import ablate
from bench.repro.bound import known, work
from bench.repro.infadapter_pods import Pods, by_name, of_pods, pods, residuals, simulated
from bench.repro.level import HEADLINE, LEVELS, Level
from bench.repro.lstm import predictor
from bench.repro.profile import Profile, means
from bench.repro.row import row
from bench.repro.runs import Found, Rows
from bench.repro.setting import Setting
from bench.repro.study import Case, Contender, Curve, Make, Role, Study
from operators.batching import FixedRule
from simulator.network import Station
from simulator.scenario import Control, Scenario
from simulator.simulation import simulate

BEGINS_S = 1300920
PAST_S = 600
OTHERS_S = 300
OTHERS_FACTOR = 9.7
"""From about 10 events/s, as `ablate` has NASA and Azure, to the window's 97."""
SEARCH_S = 600
COLD_START_S = 1.0
"""On top of the model's load, which is what was measured; not published."""
COLD_STARTS_S = (0.0, 3.0, 7.0, 15.0)
ELSEWHERE = "five random windows"
WEIGHT = 0.05
WEIGHTS = (0.0125, 0.05, 0.2)
SHARE_STEP = 0.25
"""Of five variants on a finer grid a decision takes too long: 5 % has 10,626 ways to share."""
POD_CORES = 2.0
"""Of each of our pods, the least that InfAdapter gives one."""
INTERVAL_S = 30.0
FIXED = ("18", "50", "152")
HALF_LIVES_S = (60.0, 600.0, 86400.0)
LEVERS = Levers(vertical=False, devices=False, parallelism=False)
FEW = ("infadapter", "ms+", "sluice, same levers", "sluice")

Build = Callable[[Setting, Profile], Policy]


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """settings: seed i takes the i-th, in turn. weight: of the cores. half_life_s: of VPA's histogram."""

    settings: tuple[Setting, ...]
    half_life_s: float
    weight: float = WEIGHT
    quick: bool = False

    def make(self, build: Build, station: Callable[[str], Station], forecaster: Callable[[], Forecaster] = Persistence, starts: Build | None = None) -> Make:
        def made(level: Level, seed: int) -> tuple[Scenario, Control]:
            one = self.settings[seed % len(self.settings)]
            return one.make(lambda profile: Pods(build(one, profile), by_name()), station, forecaster,
                            None if starts is None else lambda profile: Pods(starts(one, profile), by_name()))(level, seed)

        return made

    def papers(self, sets: bool) -> Make:
        """InfAdapter, or MS+ with one variant at a time."""
        return self.make(lambda setting, profile: self._infadapter(sets), in_order, lambda: predictor(INFADAPTER, self.quick))

    def vpa(self, variant: str, defaults: bool = False) -> Make:
        """Starts in the size that the released capacities say the first load needs."""
        def build(setting: Setting, profile: Profile) -> VpaPlus:
            policy = VpaPlus(_only(capacities(self.weight), variant))
            return policy if defaults else replace(policy, interval_s=INTERVAL_S, lifetime_s=0.0, half_life_s=self.half_life_s)

        return self.make(build, in_order, Persistence, lambda setting, profile: self._infadapter(False, variant))

    def ours(self, setting: Setting, profile: Profile) -> Sluice:
        own = of_pods(setting.ours(profile))
        stages = tuple(replace(stage, share_step=SHARE_STEP, options=tuple(option for option in stage.options if option.units == POD_CORES))
                       for stage in own.stages)
        given = replace(own, stages=stages, objective=_objective(self.weight), devices={"cpu": float(published.CORES)})
        return Sluice(given, ChangeTimes(setting.times.cold_start_s, published.LOAD_S), LEVERS)

    def _infadapter(self, sets: bool, variant: str | None = None) -> InfAdapter:
        given = capacities(self.weight)
        return InfAdapter(given if variant is None else _only(given, variant), alpha=self.weight, load_s=published.LOAD_S, fit_cores=published.FIT_CORES,
                          sets=sets, name="infadapter" if sets else "ms_plus")


def in_order(name: str) -> Station:
    """A pod's own queue, without batches."""
    return Station(name, rule=lambda: FixedRule(1, 0.0), fifo=True)


def capacities(weight: float) -> Problem:
    """What was published, of the pods that could be calibrated; the cores there are bind the policies, not the machine, on which a pod and its
    successor stand side by side."""
    given = published.problem()
    names = {(pod.variant, float(pod.cores)) for pod in pods()}
    stages = tuple(replace(stage, options=tuple(option for option in stage.options if (option.variant, option.units) in names)) for stage in given.stages)
    return replace(given, stages=stages, objective=_objective(weight), devices={})


def _objective(weight: float) -> Weighted:
    return Weighted(1.0, weight / published.CORES)


def _only(problem: Problem, variant: str) -> Problem:
    return replace(problem, stages=tuple(replace(stage, options=tuple(option for option in stage.options if option.variant == variant))
                                         for stage in problem.stages))


def setting(rates: tuple[float, ...], past: tuple[float, ...], cold_start_s: float = COLD_START_S, weight: float = WEIGHT) -> Setting:
    problem = simulated(capacities(weight))
    loads = {pod.name: published.LOAD_S[pod.variant] for pod in pods()}

    service_ms = {option.variant: option.latency_ms for option in problem.stages[0].options}

    def surface(stage: str, option: Option, rows: int) -> float:
        return rows * service_ms[option.variant]

    return Setting(problem, surface, rates, ChangeTimes(cold_start_s, loads), past, fit=means)


def on_window(quick: bool, half_life_s: float, cold_start_s: float = COLD_START_S, weight: float = WEIGHT) -> Run:
    rates = published.rates()[: 120 if quick else None]
    past = tuple(twitter()[BEGINS_S - PAST_S : BEGINS_S].tolist())
    return Run((setting(rates, past, cold_start_s, weight),), half_life_s, weight, quick)


def elsewhere(windows: list[ablate.Window], factor: float, quick: bool, half_life_s: float) -> Run:
    """factor: on the rates."""
    settings = tuple(setting(tuple(rate * factor for rate in rates), tuple(rate * factor for rate in past)) for rates, past in windows)
    return Run(settings, half_life_s, WEIGHT, quick)


def random_rates(seconds: int) -> list[ablate.Window]:
    counts = twitter()
    return [(tuple(counts[begins : begins + seconds].tolist()), tuple(counts[begins - PAST_S : begins].tolist()))
            for begins in random_windows(ablate.WINDOWS_SEED, ablate.WINDOWS)]


def searched(quick: bool) -> float:
    """The half-life with which vpa-50 misses least on the last minutes of the training days."""
    if quick:
        return HALF_LIVES_S[0]
    counts = twitter()[TRAINING]
    one = setting(tuple(counts[-SEARCH_S:].tolist()), tuple(counts[-SEARCH_S - PAST_S : -SEARCH_S].tolist()))
    missed = {}
    for half_life_s in HALF_LIVES_S:
        scenario, control = Run((one,), half_life_s).vpa("50")(HEADLINE, 0)
        missed[half_life_s] = row(simulate(scenario, control, 0, records=False))["violation_share"]
    return min(missed, key=lambda half_life_s: missed[half_life_s])


def contenders(run: Run, which: tuple[str, ...] = ()) -> tuple[Contender, ...]:
    found = (
        Contender("infadapter", Role.PAPER, run.papers(True)),
        Contender("ms+", Role.BASELINE, run.papers(False)),
        *(Contender(f"vpa-{variant}", Role.BASELINE, run.vpa(variant)) for variant in FIXED),
        Contender("vpa-50, defaults", Role.BASELINE, run.vpa("50", defaults=True)),
        Contender("sluice, same levers", Role.SAME, run.make(lambda setting, profile: replace(run.ours(setting, profile), interval_s=INTERVAL_S), Station)),
        Contender("sluice", Role.ALL, run.make(run.ours, Station)),
    )
    return tuple(one for one in found if not which or one.name in which)


def case(name: str, run: Run, which: tuple[str, ...] = ()) -> Case:
    def bound(level: Level, seed: int) -> Mapping[str, float]:
        one = run.settings[seed % len(run.settings)]
        least = work(known(one.problem, one.surface, level), sum(one.rates) / len(one.rates))
        best = max(option.accuracy for option in one.problem.stages[0].options)
        return {"violation_share": 0.0, "cost": least, "cores": least, "accuracy": best, "accuracy_all": best}

    return Case(name, contenders(run, which), bound)


def study(quick: bool) -> Study:
    predictor(INFADAPTER, quick)  # before the workers fork, so that none trains its own
    half_life_s = searched(quick)
    seconds = 60 if quick else OTHERS_S
    window = case("Twitter window", on_window(quick, half_life_s))
    several = (*FEW, "vpa-50")
    others = ((ELSEWHERE, random_rates(seconds), 1.0), ("NASA", ablate.nasa(seconds), OTHERS_FACTOR),
              ("Azure", ablate.azure(seconds), OTHERS_FACTOR))
    cases = (window, *(case(name, elsewhere(windows, factor, quick, half_life_s), several) for name, windows, factor in others))
    return Study(
        "infadapter", "InfAdapter, sets of variants against cores", cases,
        {"violations": "up to 65 % fewer than VPA", "cost": "up to 33 % less than VPA"}, _assumed(half_life_s), () if quick else _curves(half_life_s),
        () if quick else LEVELS, (ELSEWHERE,), ("violation_share", "cost", "accuracy_all"), ("rate", "violations", "cost", "accuracy", "latency"), findings,
    )


def _curves(half_life_s: float) -> tuple[Curve, ...]:
    weights = tuple((weight, case("Twitter window", on_window(False, half_life_s, weight=weight), FEW)) for weight in WEIGHTS)
    cold = tuple((cold_s, case("Twitter window", on_window(False, half_life_s, cold_s), (FEW[0], *FEW[2:]))) for cold_s in COLD_STARTS_S)
    return Curve("weight of the cores", "weight of 20 cores against accuracy 1", weights), Curve("cold start before the load", "cold start, s", cold)


def _assumed(half_life_s: float) -> tuple[str, ...]:
    found, count = residuals(), len(pods())
    return (
        f"CALIBRATED on published capacities: {count} pods from {found['rows']} rows with a p99. Over the rows the capacity is "
        f"{100 * found['capacity_median']:.1f} % off in the median, {100 * found['capacity_most']:.0f} % at most; p99 at the table's capacity "
        f"{100 * found['p99_median']:.0f} % off in the median, and "
        f"{found['beyond']} rows ask for more than their pod carries.",
        f"A cold start of {COLD_START_S:g} s before the published load time is assumed; a curve stands beside. Memory is not counted.",
        f"VPA's half-life of {half_life_s:g} s is the best of {', '.join(f'{one:g}' for one in HALF_LIVES_S)} on a slice of the training days.",
        f"Ours shares load between variants on a grid of {100 * SHARE_STEP:g} % and runs pods of {POD_CORES:g} cores, as many of a variant as it needs.",
    )


def findings(found: Found) -> list[str]:
    said = []
    for name, rows in found.headline.items():
        for mine in ("infadapter", "sluice, same levers", "sluice"):
            said += [f"{name}: {mine} has {_less(rows, mine, other, 'violation_share')} violations and {_less(rows, mine, other, 'cost')} cost than {other}, "
                     f"accuracy {100 * (rows.spread(mine, 'accuracy').mean - rows.spread(other, 'accuracy').mean):+.2f} points"
                     for other in rows.by_seed if other.startswith("vpa-")]
    for (curve, x), rows in found.curves.items():
        if curve == "weight of the cores":
            said += [f"weight {x:g}, {mine}: {100 * rows.spread(mine, 'violation_share').mean:.2f} % violations, {rows.spread(mine, 'cost').mean:.2f} cores, "
                     f"accuracy {100 * rows.spread(mine, 'accuracy').mean:.2f} %" for mine in FEW]
    return said


def _less(rows: Rows, mine: str, other: str, metric: str) -> str:
    theirs = rows.spread(other, metric).mean
    if not theirs:
        return "not to be compared (none)"
    change = 100 * (rows.spread(mine, metric).mean / theirs - 1)
    return f"{abs(change):.0f} % {'less' if change < 0 else 'more'}"
