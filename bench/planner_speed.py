"""Milliseconds to a plan, from the problem as a value to the plan, beside the MILP on the same problems, in turns, in one process.

The class: series-parallel graphs, three of ten of them chains, of 5, 20 and 200 stages, 5 variants x 7 batches x 4 cores each, a 1 ms
grid, an SLO drawn between 1.2 times the least latency and 2 s, one option per stage, least cost, 5 to 1,000 events/s, waits for the batch to fill (mean and
99 % in turns). The MILP is
`autoscaler.planner.milp` with HiGHS' presolve on, its faster form, model building included; it gets a limit of time on 200 stages, and
a run that reaches it counts with the limit, so its median is then a lower bound.

Behind it, as they are: other objectives, conditioned rates, waits that fall with replicas, several pipelines on one cluster whose cores
bind. How the time grows with
stages, variants and SLO goes to `.sluice/bench/planner_speed.png`.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import numpy as np

from autoscaler.planner import milp
from autoscaler.planner.choices import choices, mixes, ordered, rates
from autoscaler.planner.cluster import ClusterPlan, plan_cluster
from autoscaler.planner.frontier import plan
from autoscaler.planner.model import Objective, Plan, Problem, RateTerm, Sizing, StageModel
from autoscaler.planner.objectives import CheapestOfAccurate, LeastCost, MostAccurate, Weighted
from autoscaler.planner.queueing import Fill, FillWait, ServiceWait
from bench.instances import VARIANTS, series_parallel, stage_table
from bench.report import progress, table
from jobs.embedded.paths import SLUICE_DIR

SLO_MOST_MS = 2000.0
FILLS = (FillWait(Fill.MEAN), FillWait(Fill.GAMMA))
PLOT = SLUICE_DIR / "bench" / "planner_speed.png"


@dataclass(frozen=True, slots=True)
class Size:
    """Problems of one number of stages; every n-th goes to the MILP too, with that limit."""

    stages: int
    problems: int
    milp_every: int
    milp_limit_s: float


FULL = (Size(5, 400, 8, 60.0), Size(20, 200, 10, 60.0), Size(200, 60, 12, 60.0))
QUICK = (Size(5, 40, 8, 10.0), Size(20, 12, 6, 10.0), Size(200, 4, 4, 10.0))
WARM_UP = 5
"""Problems before the first that counts."""


def run(quick: bool, seed: int) -> dict:
    random = np.random.default_rng(seed)
    for _ in range(WARM_UP):
        plan(_problem(random, 5, FILLS[0]))
    figures = {}
    for size in QUICK if quick else FULL:
        figures[str(size.stages)] = _of_size(random, size)
        progress(f"{size.stages} stages: {figures[str(size.stages)]}")
    print(table(["stages", "problems", "p50 ms", "p99 ms", "worst ms", "MILP p50 ms", "MILP runs", "at its limit"],
                [[int(stages), *(found[name] for name in ("problems", "p50_ms", "p99_ms", "worst_ms", "milp_p50_ms", "milp_runs", "milp_at_limit"))]
                 for stages, found in figures.items()]))
    others = {name: _of_kind(name, make, random, 5 if quick else 30) for name, make in KINDS.items()}
    others["three pipelines on one cluster"] = _clusters(random, 3 if quick else 20)
    print(table(["5 stages, otherwise", "problems", "p50 ms", "worst ms", "exact"],
                [[name, found["problems"], found["p50_ms"], found["worst_ms"], f"{found['exact']} of {found['found']}"] for name, found in others.items()]))
    growth = _growth(random, 2 if quick else 9)
    _draw(growth)
    print(f"growth with stages, variants and SLO: {PLOT.relative_to(SLUICE_DIR.parent)}")
    return {**figures, "others": others, "growth": growth}


def _of_size(random: np.random.Generator, size: Size) -> dict:
    """The planner and the MILP in turns; both must say the same."""
    taken, other, at_limit = [], [], 0
    for index in range(size.problems):
        problem = _problem(random, size.stages, FILLS[index % 2])
        found, took_ms = timed(plan, problem)
        taken.append(took_ms)
        if index % size.milp_every:
            continue
        best, took_ms = timed(lambda asked: milp.solve(asked, size.milp_limit_s, time.monotonic, presolve=True), problem)
        other.append(min(took_ms, 1000 * size.milp_limit_s))
        at_limit += isinstance(best, milp.Unsolved)
        if isinstance(best, Plan) and (not isinstance(found, Plan) or found.value[0] < best.value[0] * (1 + 1e-9) - 1e-9):
            raise AssertionError(f"the MILP found a better plan for problem {index} of {size.stages} stages: {best.value} against {found}")
    return {"problems": size.problems, "p50_ms": _percentile(taken, 50), "p99_ms": _percentile(taken, 99), "worst_ms": round(max(taken), 2),
            "milp_p50_ms": round(statistics.median(other), 2), "milp_runs": len(other), "milp_at_limit": at_limit}


def timed(solve: Callable, problem: object) -> tuple[object, float]:
    began = time.perf_counter()
    found = solve(problem)
    return found, 1000 * (time.perf_counter() - began)


def _percentile(taken: list[float], share: float) -> float:
    return round(float(np.percentile(taken, share)), 2)


def _problem(random: np.random.Generator, stages: int, sizing: Sizing, objective: Objective | None = None, variants: int = VARIANTS,
             slo_ms: float | None = None) -> Problem:
    """In the class; slo_ms None = drawn. Latencies are scaled down where even the fastest plan takes 1.6 s."""
    after = series_parallel(random, stages) if random.random() < 0.7 else [range(max(0, index - 1), index) for index in range(stages)]
    models = tuple(StageModel(f"s{index}", stage_table(random, variants), tuple(f"s{name}" for name in names), _rates(names))
                   for index, names in enumerate(after))
    problem = Problem(models, float(np.round(5 * 200 ** random.random())), SLO_MOST_MS, objective or LeastCost(), sizing)
    fastest_ms = least_latency_ms(problem)
    if fastest_ms > 0.8 * SLO_MOST_MS:
        problem = replace(problem, grid_ms=problem.grid_ms, stages=tuple(_sped_up(stage, 0.5 * SLO_MOST_MS / fastest_ms) for stage in problem.stages))
        fastest_ms = least_latency_ms(problem)
    return replace(problem, slo_ms=slo_ms or float(np.round(random.uniform(min(1.2 * fastest_ms, SLO_MOST_MS), SLO_MOST_MS))))


def _rates(after: Iterable[int]) -> tuple[RateTerm, ...]:
    """Fan-outs copy, joins bring back the parent's rate."""
    names = tuple(after)
    return tuple(RateTerm(f"s{name}", 1 / len(names)) for name in names)


def _sped_up(stage: StageModel, factor: float) -> StageModel:
    return replace(stage, options=tuple(replace(option, latency_ms=option.latency_ms * factor, throughput=option.throughput / factor)
                                        for option in stage.options))


def least_latency_ms(problem: Problem) -> float:
    """Of the longest way when every stage takes its fastest choice (rates without conditions)."""
    finish: dict[str, float] = {}
    rate = rates(problem, {})
    for stage in ordered(problem):
        fastest = min(choice.time_ms for mix in mixes(stage) for choice in choices(problem, stage, rate[stage.name], mix, None))
        finish[stage.name] = fastest + max((finish[name] for name in stage.after), default=0.0)
    return max(finish.values())


def _conditioned(random: np.random.Generator) -> Problem:
    """Rates of two stages depend on the variant before them."""
    problem = _problem(random, 5, FILLS[0])
    later = [index for index, stage in enumerate(problem.stages) if stage.after]
    stages = list(problem.stages)
    for index in random.choice(later, size=min(2, len(later)), replace=False):
        first, *rest = stages[index].rates
        factors = {f"m{variant}": float(np.round(random.uniform(0.5, 2.0), 2)) for variant in range(VARIANTS)}
        stages[index] = replace(stages[index], rates=(replace(first, by_variant=factors), *rest))
    return replace(problem, stages=tuple(stages))


KINDS: dict[str, Callable[[np.random.Generator], Problem]] = {
    "most accurate within a budget": lambda random: _problem(random, 5, FILLS[0], MostAccurate(budget=float(random.integers(10, 120)))),
    "accuracy against cost": lambda random: _problem(random, 5, FILLS[0], Weighted(float(random.integers(20, 400)), 1.0)),
    "steps of accuracy, then cost": lambda random: _problem(random, 5, FILLS[0], CheapestOfAccurate()),
    "least cost of a least accuracy": lambda random: _problem(random, 5, FILLS[0], LeastCost(min_accuracy=0.3)),
    "rates conditioned on variants": _conditioned,
    "waits that fall with replicas": lambda random: _problem(random, 5, ServiceWait()),
}


def _of_kind(name: str, make: Callable[[np.random.Generator], Problem], random: np.random.Generator, count: int) -> dict:
    return _told(name, [timed(plan, make(random)) for _ in range(count)])


def _told(name: str, answers: list[tuple[object, float]]) -> dict:
    taken = [took_ms for _, took_ms in answers]
    progress(f"{name}: p50 {statistics.median(taken):.1f} ms, worst {max(taken):.1f} ms")
    plans = [found for found, _ in answers if isinstance(found, Plan | ClusterPlan)]
    return {"problems": len(answers), "p50_ms": statistics.median(taken), "worst_ms": max(taken), "found": len(plans),
            "exact": sum(found.exact for found in plans)}


def _clusters(random: np.random.Generator, count: int) -> dict:
    """Three pipelines of 5 stages, accuracy against cost; there are 80 % of the cores that their best plans use alone."""
    answers = []
    for _ in range(count):
        problems = [_problem(random, 5, FILLS[0], Weighted(float(random.integers(100, 400)), 1.0)) for _ in range(3)]
        devices = {"cpu": float(round(0.8 * sum(plan(problem).totals.used["cpu"] for problem in problems)))}
        answers.append(timed(lambda asked, devices=devices: plan_cluster(asked, devices), problems))
    return _told("three pipelines", answers)


def _growth(random: np.random.Generator, repeats: int) -> dict[str, dict[str, float]]:
    """Median ms by stages, by variants and by SLO, the other two at 5 stages, 5 variants and a drawn SLO."""
    return {"stages": {str(stages): _median(random, repeats, stages=stages) for stages in (2, 5, 10, 20, 50, 100, 200)},
            "variants per stage": {str(variants): _median(random, repeats, variants=variants) for variants in (1, 2, 5, 10, 20)},
            "SLO, ms": {str(slo_ms): _median(random, repeats, slo_ms=float(slo_ms)) for slo_ms in (100, 200, 500, 1000, 2000)}}


def _median(random: np.random.Generator, repeats: int, stages: int = 5, **fields) -> float:
    return statistics.median(timed(plan, _problem(random, stages, FILLS[index % 2], **fields))[1] for index in range(repeats))


def _draw(growth: dict[str, dict[str, float]]) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, len(growth), figsize=(4 * len(growth), 3.2), layout="constrained")
    for axis, (name, points) in zip(axes, growth.items(), strict=True):
        axis.loglog([float(x) for x in points], list(points.values()), marker="o")
        axis.set_xlabel(name)
        axis.set_ylabel("ms to a plan, median")
        axis.grid(visible=True, which="both", linewidth=0.3)
    PLOT.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(PLOT, dpi=120)
    plt.close(figure)
