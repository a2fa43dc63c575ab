"""How often the planner's plan is the best there is: random instances against exhaustive search, and larger ones against a MILP.

Equal means: the objective's value is the same in every component to 1e-9 relative and `evaluate` finds nothing wrong with the plan, or
both find that there is no plan. What the MILP does not prove within 60 s is unverified, and counts neither way. A solver that fails
with an exception is not equal. `fa2` on the same instances: its own choice of one size per stage, sized and delayed as the problem says,
judged by the same `evaluate`; FA2 published 96.8 % on instances that are not public, so that figure is context, no baseline. Beside it, how often it is best in
FA2's own class: the same graph with only that size of each stage, least cost, no capacities.
"""

from __future__ import annotations

import multiprocessing
import os
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from autoscaler.planner import exhaustive, milp
from autoscaler.planner.evaluate import evaluate, same, same_value
from autoscaler.planner.frontier import plan
from autoscaler.planner.model import Infeasible, Plan, Problem
from autoscaler.planner.objectives import LeastCost
from autoscaler.planner.standing import stand
from autoscaler.policies.fa2 import Fa2, fixed_sizes
from autoscaler.policies.policy import Forecast, StageState, State
from bench.instances import Aim, GraphClass, Instance, Pressure, generate, generate_large, strata
from bench.report import progress, table

MILP_LIMIT_S = 60.0
SMALL, LARGE = "exhaustive", "milp"


@dataclass(frozen=True, slots=True)
class Size:
    """Instances of each class of graph, against each oracle."""

    small: int
    large: int


FULL, QUICK = Size(small=1400, large=100), Size(small=25, large=3)


@dataclass(frozen=True, slots=True)
class Task:
    """index: of the instance within its class and oracle; with the seed it is all that an instance is made from."""

    seed: int
    oracle: str
    graph: GraphClass
    index: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one instance.

    verified    the oracle knew; equal: the planner agrees
    feasible    there is a plan, as far as anybody found one
    gap         relative, in the first component that differs; inf where only one of the two found a plan
    fault       why it is not equal; "" where it is
    binds       the plan is another without the capacities
    fa2         None where there is no plan to compare with
    fa2_own     the same in FA2's own class
    """

    task: Task
    instance: Instance
    verified: bool
    equal: bool
    feasible: bool
    gap: float
    fault: str
    exact: bool
    binds: bool
    fa2: bool | None
    fa2_own: bool | None
    planner_s: float
    oracle_s: float


def run(quick: bool, seed: int) -> dict:
    size = QUICK if quick else FULL
    tasks = [Task(seed, oracle, graph, index) for oracle, count in ((SMALL, size.small), (LARGE, size.large)) for index in range(count)
             for graph in GraphClass]
    workers = os.cpu_count() or 1
    progress(f"{len(tasks):,} instances on {workers} processes")
    outcomes: list[Outcome] = []
    with multiprocessing.Pool(workers) as pool:
        for outcome in pool.imap_unordered(examine, tasks, chunksize=4):
            outcomes.append(outcome)
            if outcome.fault:
                progress(f"NOT EQUAL, {outcome.task.oracle} {outcome.task.graph} {outcome.task.index}, {outcome.instance.aim}: {outcome.fault}")
            if len(outcomes) % (max(1, len(tasks) // 20)) == 0:
                verified = [other for other in outcomes if other.verified]
                progress(f"{len(outcomes):,} done, {sum(other.equal for other in verified):,} of {len(verified):,} verified are equal")
    _print(outcomes)
    return figures(outcomes)


def figures(outcomes: Sequence[Outcome]) -> dict:
    """The JSON line."""
    verified = [outcome for outcome in outcomes if outcome.verified]
    compared = [outcome.fa2 for outcome in verified if outcome.fa2 is not None]
    own = [outcome.fa2 for outcome in verified if outcome.fa2 is not None and outcome.instance.aim is Aim.LEAST_COST]
    return {"instances": len(outcomes), "exhaustive": sum(outcome.task.oracle == SMALL for outcome in verified),
            "milp": sum(outcome.task.oracle == LARGE for outcome in verified), "unverified": len(outcomes) - len(verified),
            "optimal_share": _share([outcome.equal for outcome in verified]), "worst_gap": max((outcome.gap for outcome in verified), default=0.0),
            "by_class": {str(graph): _of_class([outcome for outcome in outcomes if outcome.task.graph is graph]) for graph in GraphClass},
            "fa2_share": _share(compared), "fa2_share_least_cost": _share(own),
            "fa2_share_own_class": _share([outcome.fa2_own for outcome in outcomes if outcome.fa2_own is not None]),
            "not_equal": [[outcome.task.oracle, str(outcome.task.graph), outcome.task.index, outcome.fault] for outcome in outcomes if outcome.fault],
            "infeasible_share": _share([not outcome.feasible for outcome in verified]),
            "tight_share": _share([outcome.instance.pressure is Pressure.TIGHT for outcome in outcomes]),
            "capacity_binds": sum(outcome.binds for outcome in outcomes), "strata": strata([outcome.instance for outcome in outcomes])}


def _of_class(outcomes: Sequence[Outcome]) -> dict:
    verified = [outcome for outcome in outcomes if outcome.verified]
    return {"exhaustive": sum(outcome.task.oracle == SMALL for outcome in verified), "milp": sum(outcome.task.oracle == LARGE for outcome in verified),
            "unverified": len(outcomes) - len(verified), "infeasible": sum(not outcome.feasible for outcome in verified),
            "optimal_share": _share([outcome.equal for outcome in verified]), "worst_gap": max((outcome.gap for outcome in verified), default=0.0),
            "claimed_exact": _share([outcome.exact for outcome in outcomes if outcome.feasible]),
            "fa2_share": _share([outcome.fa2 for outcome in verified if outcome.fa2 is not None])}


def _share(which: Sequence[bool]) -> float | None:
    return sum(which) / len(which) if which else None


def instance_of(task: Task) -> Instance:
    random = np.random.default_rng([task.seed, task.oracle == LARGE, list(GraphClass).index(task.graph), task.index])
    aim = list(Aim)[task.index % len(Aim)]
    return generate(random, task.graph, aim) if task.oracle == SMALL else generate_large(random, task.graph, aim)


def examine(task: Task) -> Outcome:
    """Both solvers on one instance, and `evaluate` on what they found."""
    instance = instance_of(task)
    problem = instance.problem
    began = time.perf_counter()
    best = exhaustive.solve(problem) if task.oracle == SMALL else milp.solve(problem, MILP_LIMIT_S, time.monotonic)
    oracle_s = time.perf_counter() - began
    began = time.perf_counter()
    try:
        found, failed = plan(problem), ""
    except Exception as error:  # a failure is a finding like any other: it counts as not equal and the run goes on
        found, failed = None, f"{type(error).__name__}: {error}"
    planner_s = time.perf_counter() - began
    gap, fault = (float("inf"), failed) if failed else compare(problem, found, best)
    verified = not isinstance(best, milp.Unsolved)
    if not verified and isinstance(found, Plan) and not fault:
        fault = _faults(problem, found)
    feasible = isinstance(best, Plan) or isinstance(found, Plan)
    return Outcome(task, instance, verified, verified and not fault, feasible, gap if verified else 0.0, fault,
                   isinstance(found, Plan) and found.exact, _binds(problem, found),
                   _fa2_is_best(problem, best), _fa2_is_best_in_its_class(problem) if task.oracle == SMALL else None, planner_s, oracle_s)


def compare(problem: Problem, found: Plan | Infeasible, best: Plan | Infeasible | milp.Unsolved) -> tuple[float, str]:
    """The gap, and why the two are not equal ("" where they are, or where nothing is known)."""
    if isinstance(best, Plan) and (wrong := _faults(problem, best)):
        return float("inf"), f"the oracle's plan does not hold: {wrong}"
    if isinstance(best, milp.Unsolved):
        return 0.0, ""
    if isinstance(found, Infeasible) != isinstance(best, Infeasible):
        mine, theirs = ("no plan" if isinstance(answer, Infeasible) else answer.value for answer in (found, best))
        return float("inf"), f"{mine} against {theirs}"
    if isinstance(found, Infeasible):
        return 0.0, ""
    if wrong := _faults(problem, found):
        return float("inf"), wrong
    if same_value(found.value, best.value):
        return 0.0, ""
    mine, theirs = next((mine, theirs) for mine, theirs in zip(found.value, best.value, strict=True) if not same(mine, theirs))
    return abs(theirs - mine) / max(1e-12, abs(theirs)), f"{found.value} against {best.value}{' but claimed exact' if found.exact else ''}"


def _faults(problem: Problem, found: Plan) -> str:
    return "; ".join(str(violation) for violation in evaluate(problem, found).violations)


def _binds(problem: Problem, found: Plan | Infeasible | None) -> bool:
    """Whether the capacities make the best plan worse, or impossible."""
    if not problem.devices or found is None:
        return False
    free = plan(replace(problem, devices={}))
    if isinstance(free, Infeasible):
        return False
    return isinstance(found, Infeasible) or not same_value(free.value, found.value)


def _fa2_is_best(problem: Problem, best: Plan | Infeasible | milp.Unsolved) -> bool | None:
    """Whether the policy's decision, for exactly the problem's rate, holds and is worth as much as the best plan; None without one."""
    if not isinstance(best, Plan):
        return None
    state = State(now_s=0.0, rates=(problem.rate,), stages={stage.name: StageState(pools=()) for stage in problem.stages})
    decision = Fa2(problem, sizing=problem.sizing).decide(state, Forecast(1.0, {1.0: problem.rate}))
    standing = stand(problem, {name: target.shares for name, target in decision.targets.items()})
    return standing.holds and same_value(standing.plan.value, best.value)


def _fa2_is_best_in_its_class(problem: Problem) -> bool | None:
    sizes = fixed_sizes(problem, {})
    stages = tuple(replace(stage, options=sizes[stage.name], share_step=None, accuracy_given=None) for stage in problem.stages)
    own = replace(problem, stages=stages, objective=LeastCost(), devices={}, strict=True)
    return _fa2_is_best(own, exhaustive.solve(own))


def _print(outcomes: Sequence[Outcome]) -> None:
    for name, counts in strata([outcome.instance for outcome in outcomes]).items():
        print(f"{name:10} " + ", ".join(f"{what} {count:,}" for what, count in counts.items()))
    rows = []
    for graph in GraphClass:
        of_class = [outcome for outcome in outcomes if outcome.task.graph is graph]
        found = _of_class(of_class)
        rows.append([str(graph), found["exhaustive"], found["milp"], found["unverified"], found["infeasible"], _percent(found["optimal_share"]),
                     f"{found['worst_gap']:.1e}", _percent(found["claimed_exact"]), _percent(found["fa2_share"]),
                     1000 * float(np.median([outcome.planner_s for outcome in of_class])), 1000 * float(np.median([outcome.oracle_s for outcome in of_class]))])
    print(table(["class", "exhaustive", "MILP", "unverified", "infeasible", "optimal", "worst gap", "claimed exact", "fa2 optimal", "planner p50 ms",
                 "oracle p50 ms"], rows))
    total = figures(outcomes)
    print(f"optimal {_percent(total['optimal_share'])} of {total['exhaustive'] + total['milp']:,} verified, worst gap {total['worst_gap']:.1e}; "
          f"infeasible {_percent(total['infeasible_share'])}, tight deadline {_percent(total['tight_share'])}, capacity binds in {total['capacity_binds']:,}")
    print(f"fa2 optimal in {_percent(total['fa2_share'])} of the feasible ones, {_percent(total['fa2_share_least_cost'])} of those for least cost, "
          f"{_percent(total['fa2_share_own_class'])} in its own class "
          "(published: 96.8 % on instances that are not public)")
    if faults := Counter(outcome.task.graph for outcome in outcomes if outcome.fault):
        print("NOT EQUAL: " + ", ".join(f"{graph} {count}" for graph, count in faults.items()))


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.2f} %"
