"""IPA: accuracy against cores over a pipeline, on its four windows, beside FA2-low, FA2-high and RIM, in its own simulated queues.

    pipelines   video as measured; audio-qa and audio-sent with a second stage calibrated on the target (`ipa_audio`), which proves nothing there
    truth       a batch of b rows takes b / h s, h the measured rows/s, with noise and bias, between measured batches on straight lines; planners
                get means of samples. IPA's p99 of a batch is the published one; h at 20 rows/s is what was offered, so at least that
    events      Poisson at the window's raw rate / 8; SLO 6.9, 9.2, 10.1 s
    dispatch    IPA's and the baselines': first come, first served; b rows or BATCH_WAIT_S after the first; older than 10 (audio 20) s is dropped
    predictor   LSTM(25), 12 maxima of 10 s to the most of 20 s, trained on days 1-12; FA2 and RIM have it too. Ours has none
    weights     of the runs' configurations: video 2 accuracy - cores; audio by ranks of accuracy, alpha 10, 20 or 30, beta 0.5
    steps       accuracy and cores every 10 s beside figures 8 to 10 as read back (series 18, one run each)
    figure 14   the weights moved from cores to accuracy; figure 16: the predictor exchanged
    elsewhere   five random windows of the days that report, NASA, Azure: seed i takes window i

Same levers: variants, batches and replicas in IPA's own sizes, every 10 s, without the margins that IPA's audio runs were given by hand.
All levers: every measured size, a decision a second.
The bound is each metric's by itself: no violations, the work alone at its least cost, the most accurate variants.
Source: IPA (JSys 2024; arXiv 2308.12871), its released configurations and figures.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from math import prod

from autoscaler.forecast.forecaster import Forecaster
from autoscaler.forecast.lstm import IPA
from autoscaler.forecast.plain import Oracle, Persistence
from autoscaler.planner.latency import Measurement, Table
from autoscaler.planner.model import AccuracyRule, Option, Problem, Share
from autoscaler.planner.objectives import Weighted
from autoscaler.policies.change_times import ChangeTimes
from autoscaler.policies.ipa import Ipa, Margins, by_rank
from autoscaler.policies.policy import Levers, Policy
from autoscaler.policies.sluice import Sluice
from autoscaler.policies.static import Static
from bench.published import ipa as published
from bench.published.traces import random_windows, twitter
from bench.repro import ablate, ipa_audio
from bench.repro.bound import known, work
from bench.repro.level import LEVELS, Level
from bench.repro.lstm import predictor
from bench.repro.profile import Profile, means
from bench.repro.runs import Found, Rows
from bench.repro.setting import Setting
from bench.repro.steps import Steps
from bench.repro.study import Case, Contender, Curve, Make, Role, Study
from bench.repro.verdict import LEAST_EVENTS
from operators.batching import FixedRule
from simulator.network import Station
from simulator.scenario import Control, Scenario
from simulator.truth import Surface

PIPELINES = ("video", "audio-qa", "audio-sent")
BEGINS = {"Bursty": 1301160, "Steady_Low": 1299600, "Steady_High": 1768800, "Fluctuating": 1301400}
DIVIDER = 8.0
PAST_S = 600
OTHERS_S = 300
INTERVAL_S = 10.0
STEP_S = 10
HORIZON_S = 20.0
BATCH_WAIT_S = 1.0
COLD_START_S, RESIZE_S = 7.0, 0.05
"""Of the tables; IPA publishes neither. InfAdapter's models load for 6.4 to 8.5 s; a resize in place takes 50 to 100 ms."""
COLD_STARTS_S = (1.0, 3.0, 7.0, 10.0, 15.0)
RESIZES_S = (0.02, 0.05, 0.1)
DROP_S = {"video": 10.0, "audio-qa": 20.0, "audio-sent": 20.0}
RIM_REPLICAS = {"video": (3, 3), "audio-qa": (27, 6), "audio-sent": (27, 5)}
RIM_STEADY_LOW = (20, 5)
"""Of the audio pipelines."""
AUDIO_MARGINS = Margins(1.0, ipa_audio.MARGIN, 0.2)
PREFERENCES = {"video": (Weighted(0.125, 1.0, 1e-6), Weighted(4.0, 1.0, 1e-6), Weighted(10.0, 0.125, 1e-6)),
               "audio": (Weighted(0.125, 10.0, 1e-6), Weighted(10.0, 0.5, 1e-6), Weighted(10.0, 0.125, 1e-6))}
FIGURE_14 = {"video": ((34.08, 2.8), (41.97, 4.8), (53.60, 25.0)), "audio-qa": ((48.69, 13.2), (51.73, 17.4), (54.73, 47.8)),
             "audio-sent": ((53.50, 11.7), (56.84, 17.0), (59.11, 28.2))}
"""Mean accuracy in % and mean cores on the bursty window: resources first, balanced, accuracy first."""
FIGURE_16 = {"video": (69, 368, 43), "audio-qa": (132, 683, 131), "audio-sent": (50, 139, 40)}
"""Violations of LSTM, reactive and oracle, of 14,437 events."""
FIGURE_16_EVENTS = 14_437
ELSEWHERE = "video, five random windows"
PREDICTORS = ("ipa", "ipa, reactive", "ipa, oracle")
SYSTEMS = {"ipa": "IPA", "fa2-low": "FA2-low", "fa2-high": "FA2-high", "rim": "RIM"}
LEVERS = Levers(shares=False, vertical=False, devices=False, parallelism=False)

Build = Callable[[Setting, Profile], Policy]


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """A pipeline under IPA's configuration of one workload. settings: seed i takes the i-th of them, in turn."""

    pipeline: str
    workload: str
    settings: tuple[Setting, ...]
    weights: Weighted | None = None
    ranked: bool = True
    quick: bool = False

    def make(self, build: Build, station: Callable[[str], Station] = Station, forecaster: Callable[[Setting], Forecaster] = lambda setting: Persistence(),
             starts: Build | None = None) -> Make:
        def made(level: Level, seed: int) -> tuple[Scenario, Control]:
            one = self.settings[seed % len(self.settings)]
            return one.make(lambda profile: build(one, profile), station, lambda: forecaster(one),
                            None if starts is None else lambda profile: starts(one, profile))(level, seed)

        return made

    def papers(self, system: str, forecaster: Callable[[Setting], Forecaster] | None = None) -> Make:
        """One of IPA's four systems."""
        def build(setting: Setting, profile: Profile) -> Ipa:
            return configured(self, system, believed(setting.problem, profile))

        def starts(setting: Setting, profile: Profile) -> Static:
            return _started(configured(self, system, believed(setting.problem, profile)))

        return self.make(build, self._dispatched, forecaster or (lambda setting: predictor(IPA, self.quick)), starts if system == "RIM" else None)

    def ours(self, setting: Setting, profile: Profile) -> Problem:
        """As the product's planner has it, with the run's own measure of accuracy."""
        own = setting.ours(profile)
        if not self.ranked:
            return own
        ranks = {stage.name: by_rank(stage) for stage in setting.problem.stages}
        return replace(own, stages=tuple(replace(stage, options=tuple(replace(option, accuracy=ranks[stage.name][option.variant])
                                                                      for option in stage.options)) for stage in own.stages))

    def same_levers(self, setting: Setting, profile: Profile) -> Sluice:
        """Of every variant the size that IPA runs it in."""
        theirs, own = configured(self, "IPA", believed(setting.problem, profile)), self.ours(setting, profile)
        sizes = {stage.name: theirs.sizes(stage) for stage in theirs.problem.stages}
        stages = tuple(replace(stage, options=tuple(option for option in stage.options if sizes[stage.name].get(option.variant) == option.units))
                       for stage in own.stages)
        return Sluice(replace(own, stages=stages), setting.times, LEVERS, interval_s=INTERVAL_S)

    def _dispatched(self, name: str) -> Station:
        return Station(name, rule=lambda: FixedRule(1_000_000, BATCH_WAIT_S), fifo=True, drop_s=DROP_S[self.pipeline])


def weights_of(pipeline: str, workload: str, system: str) -> Weighted:
    """As the released configurations of the revised runs have them."""
    moving = workload in ("Bursty", "Fluctuating")
    if pipeline == "video":
        return Weighted(2.0, 1.0, 1e-6)
    if pipeline == "audio-qa":
        return Weighted(20.0 if system == "IPA" and moving else 10.0, 0.1 if system == "RIM" and moving else 0.5, 1e-6)
    return Weighted(30.0, 0.4 if system == "RIM" and workload == "Bursty" else 0.5, 1e-6)


def configured(run: Run, system: str, given: Problem) -> Ipa:
    """One of the four as its run was configured."""
    video = run.pipeline == "video"
    names = [stage.name for stage in given.stages]
    weights = run.weights or weights_of(run.pipeline, run.workload, system)
    policy = Ipa(given, weights, AccuracyRule.PRODUCT, run.ranked, 8 if video else 1, 4.0 if video else 1.0, Margins() if video else AUDIO_MARGINS)
    if video:
        low, high = ("yolov5n", "resnet18"), tuple(published.FA2_HIGH.values())
    else:
        (light, heavy) = ipa_audio.SECOND[run.pipeline]
        low, high = (ipa_audio.SMALL, light), (ipa_audio.MEDIUM, heavy)
    match system:
        case "FA2-low" | "FA2-high":
            return replace(policy, variants=dict(zip(names, low if system == "FA2-low" else high, strict=True)))
        case "RIM":
            counts = RIM_STEADY_LOW if run.workload == "Steady_Low" and not video else RIM_REPLICAS[run.pipeline]
            return replace(policy, replicas=dict(zip(names, counts, strict=True)))
        case _:
            return policy


def _started(policy: Ipa) -> Static:
    """RIM's start: its replicas of the variants that all runs start with. At loads it cannot carry it stays so."""
    shares = {}
    for stage in policy.problem.stages:
        sizes = policy.sizes(stage)
        variant = next((name for name in (ipa_audio.SECOND["audio-qa"][1], ipa_audio.SECOND["audio-sent"][1]) if name in sizes), next(iter(sizes)))
        option = next(option for option in stage.options if (option.variant, option.units, option.batch) == (variant, sizes[variant], 1))
        shares[stage.name] = (Share(option, policy.replicas[stage.name]),)
    return Static(policy.problem, shares=shares)


def believed(problem: Problem, profile: Profile) -> Problem:
    """As IPA's planner has it: rows/s by the samples, the published p99."""
    return replace(problem, stages=tuple(replace(stage, options=tuple(
        replace(option, throughput=1000 * option.batch / profile.mean_ms(stage.name, option)) for option in stage.options)) for stage in problem.stages))


def measured(problem: Problem) -> Surface:
    """The truth's means: b / h; of more rows than were measured, which a replica gets while another variant takes over, in proportion."""
    tables, largest = {}, {}
    for stage in problem.stages:
        for option in stage.options:
            key = stage.name, option.variant, option.units
            largest[key] = max(option.batch, largest.get(key, 1))
        for variant in {option.variant for option in stage.options}:
            tables[stage.name, variant] = Table(tuple(Measurement(option.batch, option.units, 1000 * option.batch / option.throughput)
                                                      for option in stage.options if option.variant == variant))

    def mean_ms(stage: str, option: Option, rows: int) -> float:
        batch = min(rows, largest[stage, option.variant, option.units])
        return tables[stage, option.variant].latency_ms(batch, option.units) * rows / batch

    return mean_ms


def pipeline_of(name: str, weights: Weighted) -> Problem:
    """Batches up to eight, as IPA's cap is."""
    given = published.problem(name) if name == "video" else ipa_audio.problem(name)
    stages = tuple(replace(stage, options=tuple(option for option in stage.options if option.batch <= 8)) for stage in given.stages)
    return replace(given, stages=stages, objective=weights)


def setting(problem: Problem, rates: tuple[float, ...], past: tuple[float, ...], times: ChangeTimes) -> Setting:
    return Setting(problem, measured(problem), rates, times, past, fit=means)


TIMES = ChangeTimes(COLD_START_S, resize_s=RESIZE_S)


def on_window(pipeline: str, workload: str, quick: bool, times: ChangeTimes = TIMES, weights: Weighted | None = None) -> Run:
    """weights: in place of the run's own, by ranks of accuracy as in figure 14."""
    rates = published.rates(workload)[: 60 if quick else None]
    past = tuple((twitter()[BEGINS[workload] - PAST_S : BEGINS[workload]] / DIVIDER).tolist())
    problem = pipeline_of(pipeline, weights or weights_of(pipeline, workload, "IPA"))
    return Run(pipeline, workload, (setting(problem, rates, past, times),), weights, weights is not None or pipeline != "video", quick)


def elsewhere(windows: list[ablate.Window], quick: bool) -> Run:
    problem = pipeline_of("video", weights_of("video", "Bursty", "IPA"))
    return Run("video", "Bursty", tuple(setting(problem, rates, past, TIMES) for rates, past in windows), None, False, quick)


def random_rates(seconds: int) -> list[ablate.Window]:
    counts = twitter() / DIVIDER
    return [(tuple(counts[begins : begins + seconds].tolist()), tuple(counts[begins - PAST_S : begins].tolist()))
            for begins in random_windows(ablate.WINDOWS_SEED, ablate.WINDOWS)]


def contenders(run: Run, which: tuple[str, ...] = ()) -> tuple[Contender, ...]:
    """which: () = all but the predictors of figure 16."""
    def all_levers(setting: Setting, profile: Profile) -> Sluice:
        return Sluice(run.ours(setting, profile), setting.times)

    found = (
        Contender("ipa", Role.PAPER, run.papers("IPA")),
        Contender("fa2-low", Role.BASELINE, run.papers("FA2-low")),
        Contender("fa2-high", Role.BASELINE, run.papers("FA2-high")),
        Contender("rim", Role.BASELINE, run.papers("RIM")),
        Contender("ipa, reactive", Role.ABLATED, run.papers("IPA", lambda setting: Persistence(HORIZON_S))),
        Contender("ipa, oracle", Role.ABLATED, run.papers("IPA", lambda setting: Oracle(setting.rates, HORIZON_S))),
        Contender("sluice, same levers", Role.SAME, run.make(run.same_levers)),
        Contender("sluice", Role.ALL, run.make(all_levers)),
    )
    return tuple(one for one in found if (one.name in which if which else one.name not in PREDICTORS[1:]))


def case(name: str, run: Run, which: tuple[str, ...] = (), steps: Steps | None = None) -> Case:
    def bound(level: Level, seed: int) -> Mapping[str, float]:
        one = run.settings[seed % len(run.settings)]
        best = prod(max(option.accuracy for option in stage.options) for stage in one.problem.stages)
        least = work(known(one.problem, one.surface, level), sum(one.rates) / len(one.rates))
        return {"violation_share": 0.0, "cost": least, "cores": least, "accuracy": best, "accuracy_all": best}

    return Case(name, contenders(run, which), bound, steps)


def shown(pipeline: str, workload: str) -> Steps:
    """Accuracy in % and cores of the published runs."""
    def values(system: str) -> dict[str, tuple[float, ...]]:
        core = published.unit(pipeline, ipa_audio.SERIES, workload, system) if pipeline == "video" else 1.0
        cost = published.column(pipeline, ipa_audio.SERIES, workload, "cost", system)
        return {"accuracy": tuple(published.column(pipeline, ipa_audio.SERIES, workload, "PAS", system)), "cost": tuple(one / core for one in cost)}

    return Steps(STEP_S, {name: values(system) for name, system in SYSTEMS.items()}, ipa_audio.STARTS)


def study(quick: bool) -> Study:
    predictor(IPA, quick)  # before the workers fork, so that none trains its own
    cases = [case(f"{pipeline}, {_words(workload)}", on_window(pipeline, workload, quick), _contending(pipeline, workload), shown(pipeline, workload))
             for pipeline in PIPELINES for workload in published.WINDOWS]
    seconds = 60 if quick else OTHERS_S
    cases += [case(ELSEWHERE, elsewhere(random_rates(seconds), quick)),
              case("video, NASA", elsewhere(ablate.nasa(seconds), quick)), case("video, Azure", elsewhere(ablate.azure(seconds), quick))]
    return Study(
        "ipa", "IPA, accuracy against cores over a pipeline", tuple(cases), _published(), _assumed(), () if quick else _curves(),
        () if quick else LEVELS, (ELSEWHERE,), ("violation_share", "cost", "accuracy_all"),
        ("rate", "violations", "cost", "accuracy"), findings,
    )


def _contending(pipeline: str, workload: str) -> tuple[str, ...]:
    """The predictors on the bursty window, as figure 16 has them; not ours with all levers where the load is steady and the costs prove nothing."""
    predictors = PREDICTORS[1:] if workload == "Bursty" else ()
    everywhere = pipeline == "video" or not workload.startswith("Steady")
    return (*SYSTEMS, *predictors, "sluice, same levers", *(("sluice",) if everywhere else ()))


def _curves() -> tuple[Curve, ...]:
    few = ("ipa", "sluice, same levers", "sluice")
    cold = tuple((cold_s, case("video, bursty", on_window("video", "Bursty", False, ChangeTimes(cold_s, resize_s=RESIZE_S)), few))
                 for cold_s in COLD_STARTS_S)
    resize = tuple((1000 * resize_s, case("video, bursty", on_window("video", "Bursty", False, ChangeTimes(COLD_START_S, resize_s=resize_s)), ("sluice",)))
                   for resize_s in RESIZES_S)
    preferences = [Curve(f"preferences, {pipeline}", "resources 0, balanced 1, accuracy 2", tuple(
        (float(place), case(f"{pipeline}, bursty", on_window(pipeline, "Bursty", False, TIMES, weights), few[:2]))
        for place, weights in enumerate(PREFERENCES["video" if pipeline == "video" else "audio"]))) for pipeline in PIPELINES]
    return (Curve("cold start, video", "cold start, s", cold, ChangeTimes().cold_start_s), Curve("resize in place, video", "resize, ms", resize), *preferences)


def _published() -> dict[str, object]:
    found: dict[str, object] = {"end-to-end accuracy": "up to 21 % more at little more cost"}
    found["figure 15, video, steady high, violations %"] = "ipa 2.5, fa2-low 3.1, fa2-high 1.6, rim 17.5"
    found["figure 16, violations % of LSTM, reactive, oracle"] = "; ".join(
        f"{pipeline} {', '.join(f'{100 * count / FIGURE_16_EVENTS:.2f}' for count in counts)}" for pipeline, counts in FIGURE_16.items())
    found["figures 8 to 10"] = "step by step beside each table; the audio pipelines' costs are calibrated on them and prove nothing"
    return found


def _assumed() -> tuple[str, ...]:
    said = [f"Cold start {COLD_START_S:g} s and the wait of {BATCH_WAIT_S:g} s for a batch are not published; a curve over cold starts stands beside.",
            "Batches take rows / measured rows/s; a throughput of 20/s is what was offered, so the replica may be faster; s2t-large reaches IPA's "
            "threshold at no measured size and is not run."]
    for pipeline in ipa_audio.SECOND:
        heavy, light = ipa_audio.heavy(pipeline), ipa_audio.light(pipeline)
        said.append(f"{pipeline}, CALIBRATED on published costs: second stage {heavy.rows_s:.1f} rows/s a core for the heavy variant "
                    f"({100 * heavy.residual:.1f} % of {heavy.steps} costs cannot be made so), {light.rows_s:.1f} for the light one "
                    f"({light.residual:.2f} cores a step off in {light.steps} steps).")
    return tuple(said)


def findings(found: Found) -> list[str]:
    said = [sentence for name, rows in found.headline.items() for sentence in _ordered(name, rows)]
    for pipeline, counts in FIGURE_16.items():
        rows = found.headline[f"{pipeline}, bursty"]
        shares = [100 * rows.spread(name, "violation_share").mean for name in PREDICTORS]
        cores = [rows.spread(name, "cost").mean for name in PREDICTORS]
        missed = max(sum(row["violation_share"] * row["events"] for row in rows.by_seed[name]) for name in PREDICTORS)
        order = "as published" if _order(shares) == _order(counts) else "not as published"
        said.append(f"figure 16, {pipeline}: violations with LSTM, reactive, oracle {_listed(shares, 2)} % on {_listed(cores, 1)} cores, "
                    f"published {_listed([100 * count / FIGURE_16_EVENTS for count in counts], 2)} %; "
                    f"order {order if missed >= LEAST_EVENTS else 'not to be told from so few'}")
    for (curve, x), rows in found.curves.items():
        pipeline = curve.removeprefix("preferences, ")
        if pipeline in FIGURE_14:
            accuracy, cores = FIGURE_14[pipeline][int(x)]
            said.append(f"figure 14, {pipeline}, {('resources', 'balanced', 'accuracy')[int(x)]} first: ipa {100 * rows.spread('ipa', 'accuracy').mean:.2f} % "
                        f"on {rows.spread('ipa', 'cost').mean:.1f} cores, published {accuracy:.2f} % on {cores:.1f}")
    return said


def _ordered(name: str, rows: Rows) -> list[str]:
    """The paper's ordering, and what ours gives for what."""
    low, own, high = (100 * rows.spread(system, "accuracy").mean for system in ("fa2-low", "ipa", "fa2-high"))
    costs = [rows.spread(system, "cost").mean for system in ("fa2-low", "ipa", "fa2-high")]
    holds = low - 0.01 <= own <= high + 0.01 and costs[1] <= costs[2] + 0.01
    ours = [f"{system} {100 * rows.spread(system, 'violation_share').mean:.2f} % late or lost, {rows.spread(system, 'cost').mean:.1f} cores, "
            f"{100 * rows.spread(system, 'accuracy_all').mean:.2f} % right" for system in ("ipa", "sluice, same levers", "sluice") if system in rows.by_seed]
    return [f"{name}: accuracy between FA2-low's and FA2-high's at no more than FA2-high's cores {'holds' if holds else 'does not hold'} "
            f"({_listed([low, own, high], 1)} %, {_listed(costs, 1)} cores); {'; '.join(ours)}"]


def _listed(values: list[float] | tuple[float, ...], digits: int) -> str:
    return ", ".join(f"{value:.{digits}f}" for value in values)


def _order(values: list[float] | tuple[int, ...]) -> list[int]:
    return sorted(range(len(values)), key=lambda at: values[at])


def _words(workload: str) -> str:
    return workload.lower().replace("_", " ")
