"""The best plan as a mixed-integer linear program for HiGHS with gap 0: the oracle for problems too large to look at every plan.

    x[v,s,k]  1 = stage v takes choice k (`choices`: mix, options, replicas) in setting s, a combination of the mixes of the stages its
              rate and accuracy are conditioned on; the rate is settled by s, so every figure of k is a constant
    f[v]      grid steps from the source to the end of stage v

        one choice    sum_sk x[v,s,k] = 1                                                   for every v
        one setting   sum of x[v,s,k] over s with mix m of u = sum of x[u,s,k] with mix m   for every v, u it is conditioned on, m of u
        deadline      f[v] >= f[u] + sum_sk time[v,s,k] * x[v,s,k]                          for every u in after(v)
                      f[v] <= slo
        capacity      sum n * uses[kind] * x <= devices[kind]                               for every kind
        budget, least accuracy, where the objective has one

Accuracy is linear for SUM and MEAN, and for PRODUCT after taking logarithms: A = exp(L), L = sum w * log a * x. (A factor of 0 makes A
0: plans with one are asked for apart.) Objectives, each a few programs one after the other:

    LeastCost           least price
    MostAccurate        greatest A, then the least price with that A
    CheapestOfAccurate  greatest A, then the least price with as many whole steps of it, then the greatest A at that price
    Weighted            one program for SUM and MEAN. For PRODUCT alpha * exp(L) is convex, so on an interval of L the chord lies above
                        it: solve with the chord, halve the interval where the answer lies, drop what cannot be better (spatial
                        branch and bound on the one variable L), until bound and best are 1e-11 apart

Presolve is off: that of HiGHS 1.12 calls plans best that are not, even on graphs of six stages (tests/planner/test_milp.py has one).
`presolve` turns it on for who wants to know how fast HiGHS can be.

HiGHS keeps rows and integrality to 1e-6 only. Rows that compare accuracies or prices are therefore given a little room, each answer is
rounded and looked at exactly, and one that breaks the exact row is cut off by itself (sum of its x <= stages - 1). The objective is
scaled so that HiGHS' absolute gap of 1e-6 is 1e-12 of the greatest coefficient. A choice that another one of the same stage, setting and
mix equals or betters in everything is left out.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.optimize import Bounds, LinearConstraint
from scipy.optimize import milp as highs

from autoscaler.planner.choices import TOLERANCE, Choice, as_plan, choices, conditions, factor, mixes, ordered, rates, settings
from autoscaler.planner.model import AccuracyRule, Infeasible, Plan, Problem, StageModel, Totals
from autoscaler.planner.objectives import CheapestOfAccurate, LeastCost, MostAccurate, Weighted

ROOM = 1e-7
"""Relative, on rows that compare accuracies or prices."""
SCALE = 1e6
"""Greatest coefficient of the objective as HiGHS sees it."""
CUTS = 100
"""Answers cut off one by one before the search is given up."""


@dataclass(frozen=True, slots=True)
class Unsolved:
    """No proof of a best plan: why."""

    reason: str


class _GivenUp(Exception):
    """HiGHS ended without an answer or a proof."""


@dataclass(frozen=True, slots=True)
class _Row:
    """least <= coefficients . x <= most; shape (columns,)"""

    coefficients: np.ndarray
    least: float = -math.inf
    most: float = math.inf


def solve(problem: Problem, time_limit_s: float = 60.0, now: Callable[[], float] = lambda: 0.0,
          presolve: bool = False) -> Plan | Infeasible | Unsolved:
    """Best plan, proof that there is none (without its reasons), or neither within the limit. now: seconds of any clock, for the limit of
    all programs together; without one each program has the whole limit. ValueError for an objective it has no program for."""
    try:
        program = _Program(problem, now, time_limit_s, presolve)
        best = _best(problem, program)
    except _GivenUp as end:
        return Unsolved(str(end))
    return Infeasible(binding=()) if best is None else as_plan(problem, best)


def _best(problem: Problem, program: _Program) -> dict[str, Choice] | None:
    match problem.objective:
        case LeastCost(min_accuracy=None):
            return program.least(program.price, [])
        case LeastCost():
            return program.least(program.price, program.accuracy_at_least(problem.objective.min_accuracy), problem.objective.allows)
        case MostAccurate(budget=budget):
            rows = [] if budget is None else [_Row(program.cost, most=budget * (1 + ROOM) + ROOM)]
            return _cheapest_of_most_accurate(problem, program, rows)
        case CheapestOfAccurate():
            return _cheapest_of_accurate(problem, program)
        case Weighted() if problem.accuracy is AccuracyRule.PRODUCT and problem.objective.alpha != 0:
            return _weighted_product(problem, program)
        case Weighted(alpha=alpha, beta=beta, gamma=gamma):
            return program.least(beta * program.price + gamma * program.batches - alpha * program.accuracy, [])
    raise ValueError(f"no program for {problem.objective}")


def _cheapest_of_most_accurate(problem: Problem, program: _Program, rows: list[_Row]) -> dict[str, Choice] | None:
    allows = problem.objective.allows
    found = program.most_accurate(rows, allows)
    if found is None:
        return None
    top = as_plan(problem, found).totals.accuracy
    return program.least(program.price, [*rows, *program.accuracy_at_least(top)],
                         lambda totals: allows(totals) and totals.accuracy >= top * (1 - 1e-12))


def _cheapest_of_accurate(problem: Problem, program: _Program) -> dict[str, Choice] | None:
    found = program.most_accurate([], lambda totals: True)
    if found is None:
        return None
    steps = as_plan(problem, found).value[0]
    enough = program.accuracy_at_least(steps * problem.objective.step)
    cheapest = program.least(program.price, enough, lambda totals: problem.objective.value(totals)[0] >= steps)
    price = -as_plan(problem, cheapest).value[1]

    def as_good(totals: Totals) -> bool:
        value = problem.objective.value(totals)
        return value[0] >= steps and -value[1] <= price + 1e-12 * max(1.0, abs(price))

    return program.most_accurate([*enough, _Row(program.price, most=price * (1 + ROOM) + ROOM)], as_good)


def _weighted_product(problem: Problem, program: _Program) -> dict[str, Choice] | None:
    """Branch and bound on L. Intervals wait with the bound they inherit; an answer's own value is a lower bound of the best."""
    alpha, expense = problem.objective.alpha, problem.objective.beta * program.price + problem.objective.gamma * program.batches
    best = program.least(expense, [])  # the only program that may take a factor of 0
    if best is None:
        return None
    value = as_plan(problem, best).value[0]
    most, least = program.most_accurate_log(), program.least_accurate_log()
    waiting = [(math.inf, least, most)] if most is not None and least is not None else []
    while waiting:
        bound, low, high = waiting.pop()
        if bound <= value + 1e-11 * max(1.0, abs(value)):
            continue
        slope = (math.exp(high) - math.exp(low)) / (high - low) if high - low > 1e-9 else math.exp(high)
        rows = [_Row(program.log_accuracy, least=low - ROOM, most=high + ROOM), *program.no_zeros()]
        found = program.least(expense - alpha * slope * program.log_accuracy, rows)
        if found is None:
            continue
        plan = as_plan(problem, found)
        if plan.value[0] > value:
            best, value = found, plan.value[0]
        at = math.log(plan.totals.accuracy)
        bound = plan.value[0] + alpha * (math.exp(low) + slope * (at - low) - plan.totals.accuracy)  # the chord in the place of exp(L)
        if low + 1e-9 < at < high - 1e-9:
            waiting += [(bound, low, at), (bound, at, high)]
        elif high - low > 1e-9 and bound > value + 1e-11 * max(1.0, abs(value)):
            middle = (low + high) / 2  # the answer lies at an end, where the chord touches, or rounding put it beyond
            waiting += [(bound, low, middle), (bound, middle, high)]
    return best


class _Program:
    """Columns: the x of every stage, setting and choice, then the f of every stage. Each vector has shape (columns,)."""

    def __init__(self, problem: Problem, now: Callable[[], float], time_limit_s: float, presolve: bool) -> None:
        self.problem, self._now, self._until_s, self._presolve = problem, now, now() + time_limit_s, presolve
        self.stages = ordered(problem)
        self.asked = conditions(problem)
        self._rates: dict[tuple, dict[str, float]] = {}
        self.columns = [(stage, setting, choice) for stage in self.stages for setting, choice in self._choices(stage)]
        self.width = len(self.columns) + len(self.stages)
        self.cost = self._vector([choice.cost for _, _, choice in self.columns])
        self.price = self._vector([choice.cost + choice.change for _, _, choice in self.columns])
        self.batches = self._vector([choice.batches for _, _, choice in self.columns])
        factors = [factor(problem, stage, choice.accuracy) for stage, _, choice in self.columns]
        self.accuracy = self._vector(factors)
        self.log_accuracy = self._vector([math.log(value) if value > 0 else 0.0 for value in factors])
        self.is_zero = self._vector([float(value <= 0) for value in factors])
        self._rows = self._structure()

    def least(self, objective: np.ndarray, rows: list[_Row], holds: Callable[[Totals], bool] = lambda totals: True) -> dict[str, Choice] | None:
        """The choices of least objective that meet the rows and, exactly, `holds`; None = there are none."""
        greatest = np.abs(objective).max(initial=0.0)
        scaled = objective * (SCALE / greatest) if greatest else objective
        cuts: list[_Row] = []
        while len(cuts) <= CUTS:
            taken = self._solve(scaled, [*rows, *cuts])
            if taken is None:
                return None
            found = {self.columns[column][0].name: self.columns[column][2] for column in taken}
            totals = as_plan(self.problem, found).totals
            if holds(totals) and self._fits(totals):
                return found
            cuts.append(_Row(self._vector(np.isin(np.arange(len(self.columns)), taken)), most=len(self.stages) - 1))
        raise _GivenUp(f"{CUTS} answers in a row broke a constraint within HiGHS' tolerance")

    def most_accurate(self, rows: list[_Row], holds: Callable[[Totals], bool]) -> dict[str, Choice] | None:
        """With PRODUCT first among the plans without a factor of 0; when there is none, every plan's accuracy is 0."""
        if self.problem.accuracy is not AccuracyRule.PRODUCT:
            return self.least(-self.accuracy, rows, holds)
        found = self.least(-self.log_accuracy, [*rows, *self.no_zeros()], holds)
        return found if found is not None else self.least(self.price, rows, holds)

    def most_accurate_log(self) -> float | None:
        return self._log_of(self.least(-self.log_accuracy, self.no_zeros()))

    def least_accurate_log(self) -> float | None:
        return self._log_of(self.least(self.log_accuracy, self.no_zeros()))

    def _log_of(self, found: dict[str, Choice] | None) -> float | None:
        return None if found is None else math.log(as_plan(self.problem, found).totals.accuracy)

    def no_zeros(self) -> list[_Row]:
        return [_Row(self.is_zero, most=0.0)]

    def accuracy_at_least(self, accuracy: float) -> list[_Row]:
        """With a little room; what is within it is for `least`'s exact look."""
        if self.problem.accuracy is not AccuracyRule.PRODUCT:
            return [_Row(self.accuracy, least=accuracy - ROOM * max(1.0, abs(accuracy)))]
        if accuracy <= ROOM:
            return []
        return [*self.no_zeros(), _Row(self.log_accuracy, least=math.log(accuracy) - ROOM)]

    def _choices(self, stage: StageModel) -> list[tuple[dict, Choice]]:
        """In every setting of what the stage is conditioned on, without those that another betters."""
        found = []
        conditioning = any(stage.name in names for names in self.asked.values())
        for setting in settings(self.problem, self.asked[stage.name]):
            rate = self._rates_in(setting)[stage.name]
            given = setting[stage.accuracy_given.origin] if stage.accuracy_given else None
            groups = [choices(self.problem, stage, rate, mix, given) for mix in mixes(stage)]
            for group in groups if conditioning else [list(itertools.chain.from_iterable(groups))]:
                found += [(setting, choice) for choice in _undominated(group, self.problem)]
        return found

    def _rates_in(self, setting: dict) -> dict[str, float]:
        key = tuple(setting.items())
        if key not in self._rates:
            self._rates[key] = rates(self.problem, setting)
        return self._rates[key]

    def _vector(self, values) -> np.ndarray:
        vector = np.zeros(self.width)
        vector[:len(values)] = values
        return vector

    def _structure(self) -> tuple[sparse.csr_matrix, np.ndarray, np.ndarray]:
        """The rows that every program has: matrix (rows, columns), least and most (rows,)."""
        entries: list[tuple[int, int, float]] = []
        least: list[float] = []
        most: list[float] = []
        of_stage: dict[str, list[int]] = {stage.name: [] for stage in self.stages}
        for index, column in enumerate(self.columns):
            of_stage[column[0].name].append(index)
        finish = {stage.name: len(self.columns) + index for index, stage in enumerate(self.stages)}

        def add(terms: list[tuple[int, float]], low: float, high: float) -> None:
            entries.extend((len(least), column, value) for column, value in terms)
            least.append(low)
            most.append(high)

        grid = self.problem.grid_ms
        for stage in self.stages:
            own = of_stage[stage.name]
            add([(column, 1.0) for column in own], 1.0, 1.0)  # one choice
            for other in self.asked[stage.name]:  # one setting
                for mix in mixes(self.problem.stage(other)):
                    add([(column, 1.0) for column in own if self.columns[column][1][other] == mix]
                        + [(column, -1.0) for column in of_stage[other] if self.columns[column][2].mix == mix], 0.0, 0.0)
            times = [(column, -round(self.columns[column][2].time_ms / grid)) for column in own]
            for before in stage.after or (None,):  # deadline
                add([(finish[stage.name], 1.0), *times, *([] if before is None else [(finish[before], -1.0)])], 0.0, math.inf)
        for kind, units in self.problem.devices.items():  # capacity
            add([(index, column[2].uses[kind]) for index, column in enumerate(self.columns) if kind in column[2].uses], -math.inf, units + TOLERANCE)
        rows, columns, values = zip(*entries, strict=True)
        return sparse.csr_matrix((values, (rows, columns)), shape=(len(least), self.width)), np.array(least), np.array(most)

    def _fits(self, totals: Totals) -> bool:
        return all(totals.used.get(kind, 0.0) <= units + TOLERANCE for kind, units in self.problem.devices.items())

    def _solve(self, objective: np.ndarray, extra: list[_Row]) -> np.ndarray | None:
        """Columns taken, shape (stages,); None = proven that there are none."""
        left_s = self._until_s - self._now()
        if left_s <= 0:
            raise _GivenUp("time limit")
        if len({column[0].name for column in self.columns}) < len(self.stages):
            return None  # a stage has no choice at all
        matrix, least, most = self._rows
        if extra:
            matrix = sparse.vstack([matrix, sparse.csr_matrix(np.array([row.coefficients for row in extra]))], format="csr")
            least, most = np.append(least, [row.least for row in extra]), np.append(most, [row.most for row in extra])
        steps = _steps_allowed(self.problem)
        is_choice = np.arange(self.width) < len(self.columns)
        if steps < 0:
            return None
        answer = highs(objective, integrality=is_choice.astype(int), bounds=Bounds(0.0, np.where(is_choice, 1.0, steps)),
                       constraints=LinearConstraint(matrix, least, most), options={"time_limit": left_s, "mip_rel_gap": 0.0, "presolve": self._presolve})
        if answer.status == 2:
            return None
        if answer.status != 0:
            raise _GivenUp(answer.message)
        return np.flatnonzero(answer.x[:len(self.columns)] > 0.5)


def _steps_allowed(problem: Problem) -> int:
    """The deadline in whole steps of the grid."""
    steps = problem.slo_ms / problem.grid_ms
    return math.ceil(steps - TOLERANCE) - 1 if problem.strict else math.floor(steps + TOLERANCE)


def _undominated(found: list[Choice], problem: Problem) -> list[Choice]:
    """Those that no other one equals or betters in time, price, cost, batches, accuracy and every kind of device; of equals the first."""
    if not found:
        return []
    kinds = list(problem.devices)
    table = np.array([[choice.time_ms, choice.cost + choice.change, choice.cost, choice.batches, -choice.accuracy,
                       *(choice.uses.get(kind, 0.0) for kind in kinds)] for choice in found])  # shape (choices, figures)
    if not problem.objective.needs_accuracy():
        table[:, 4] = 0.0
    if getattr(problem.objective, "gamma", 0.0) == 0:
        table[:, 3] = 0.0
    order = np.lexsort(table.T[::-1])
    kept: list[int] = []
    for index in order:
        if not kept or not (table[kept] <= table[index]).all(axis=1).any():
            kept.append(index)
    return [found[index] for index in kept]
