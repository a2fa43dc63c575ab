"""The best plan by looking at every one: the oracle for small problems.

    for every combination of mixes of the conditioning stages (`choices`), so that all rates are settled
        for every choice of every stage with that mix
            finish(v) = time(v) + max of finish(u) over u in after(v)
            in time     finish(v) <= slo for every v
            fits        sum of n * uses <= devices, for every kind
            allowed     objective.allows(totals)
    answer      the greatest objective.value(totals), compared in order; values 1e-12 apart count as equal

Array axes: one per stage, in the order of `choices.ordered`; what one stage brings lies along its own axis and is added by
broadcasting. Nothing is pruned, nothing is ordered, no bound is used. The objective's formulas are arithmetic, so it is given whole
arrays of totals.

O(product over stages of choices), and ValueError above the limit.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from autoscaler.planner.choices import TOLERANCE, Choice, Mix, as_plan, choices, conditions, deadline_ms, factor, mixes, ordered, rates, settings
from autoscaler.planner.model import Infeasible, Plan, Problem, StageModel, Totals

TIE = 1e-12
AT_ONCE = 2 ** 20
"""Plans held in one array."""


def count(problem: Problem) -> int:
    """How many plans `solve` would look at."""
    return sum(math.prod(len(found) for found in lists) for lists in tables(problem, limit=10 ** 9))


def solve(problem: Problem, limit: int = 10 ** 6) -> Plan | Infeasible:
    """The best plan, or Infeasible without its reasons. ValueError when there are more plans than `limit`."""
    seen, plans = [], 0
    for lists in tables(problem, limit):
        seen.append(lists)
        plans += math.prod(len(found) for found in lists)
        if plans > limit:
            raise ValueError(f"more than {limit:,} plans")
    best: tuple[tuple[float, ...], list[Choice]] | None = None
    stages = ordered(problem)
    for lists in seen:
        for part in _parts(lists):
            found = _best_of(problem, stages, part)
            if found is not None and (best is None or better(found[0], best[0])):
                best = found
    if best is None:
        return Infeasible(binding=())
    return as_plan(problem, {stage.name: choice for stage, choice in zip(stages, best[1], strict=True)})


def better(value: tuple[float, ...], than: tuple[float, ...]) -> bool:
    """Whether the first component that differs by more than rounding is greater."""
    for mine, theirs in zip(value, than, strict=True):
        if abs(mine - theirs) > TIE * max(1.0, abs(theirs)):
            return mine > theirs
    return False


def tables(problem: Problem, limit: int) -> Iterator[list[list[Choice]]]:
    """For every setting of the conditioning stages the choices of each stage, in order; settings in which one has none are left out.
    ValueError for more settings than `limit`."""
    stages, asked = ordered(problem), conditions(problem)
    conditioning = frozenset().union(*asked.values())
    if math.prod(len(mixes(stage)) for stage in stages if stage.name in conditioning) > limit:
        raise ValueError(f"more than {limit:,} combinations of the stages that others are conditioned on")
    known: dict[tuple, list[Choice]] = {}

    def of(stage: StageModel, rate: float, mix: Mix, given: Mix | None) -> list[Choice]:
        key = (stage.name, rate, mix, given)
        if key not in known:
            known[key] = choices(problem, stage, rate, mix, given)
        return known[key]

    for setting in settings(problem, conditioning):
        rate = rates(problem, setting)
        lists = []
        for stage in stages:
            given = setting[stage.accuracy_given.origin] if stage.accuracy_given else None
            own = [setting[stage.name]] if stage.name in setting else mixes(stage)
            lists.append([choice for mix in own for choice in of(stage, rate[stage.name], mix, given)])
        if all(lists):
            yield lists


def _parts(lists: list[list[Choice]]) -> Iterator[list[list[Choice]]]:
    """The same plans in pieces that fit an array: the first stage's choices a few at a time."""
    rest = math.prod(len(found) for found in lists[1:])
    size = max(1, AT_ONCE // rest)
    for begin in range(0, len(lists[0]), size):
        yield [lists[0][begin:begin + size], *lists[1:]]


def _best_of(problem: Problem, stages: list[StageModel], lists: list[list[Choice]]) -> tuple[tuple[float, ...], list[Choice]] | None:
    shape = tuple(len(found) for found in lists)

    def along(axis: int, values: list[float]) -> np.ndarray:
        return np.asarray(values, dtype=float).reshape([-1 if other == axis else 1 for other in range(len(shape))])

    def summed(of: list[list[float]]) -> np.ndarray:
        total = along(0, of[0])
        for axis, values in enumerate(of[1:], 1):
            total = total + along(axis, values)
        return total  # shape (choices of stage 0, ..., choices of the last)

    finish: dict[str, np.ndarray] = {}
    latest = np.zeros((1,) * len(shape))
    for axis, (stage, found) in enumerate(zip(stages, lists, strict=True)):
        time_ms = along(axis, [choice.time_ms for choice in found])
        for name in stage.after:
            finish[stage.name] = np.maximum(finish.get(stage.name, 0.0), finish[name])
        finish[stage.name] = finish.get(stage.name, 0.0) + time_ms
        latest = np.maximum(latest, finish[stage.name])
    good = np.broadcast_to(latest <= deadline_ms(problem), shape)  # in time
    for kind, units in problem.devices.items():  # fits
        good = good & (summed([[choice.uses.get(kind, 0.0) for choice in found] for found in lists]) <= units + TOLERANCE)
    where = np.flatnonzero(good)  # shape (good plans,)
    if not len(where):
        return None

    def of_good(of: list[list[float]]) -> np.ndarray:
        return summed(of).reshape(-1)[where]

    factors = [[factor(problem, stage, choice.accuracy) for choice in found] for stage, found in zip(stages, lists, strict=True)]
    totals = Totals(cost=of_good([[choice.cost for choice in found] for found in lists]),
                    accuracy=_multiplied(factors, along)[good] if problem.accuracy.value == "product" else of_good(factors),
                    batches=of_good([[choice.batches for choice in found] for found in lists]),
                    change=of_good([[choice.change for choice in found] for found in lists]))
    rows = np.flatnonzero(np.broadcast_to(problem.objective.allows(totals), where.shape))  # allowed
    if not len(rows):
        return None
    values = problem.objective.value(totals)
    for value in values:
        top = value[rows].max()
        rows = rows[value[rows] >= top - TIE * max(1.0, abs(top))]
    chosen = np.unravel_index(where[rows[0]], shape)
    return tuple(float(value[rows[0]]) for value in values), [found[index] for found, index in zip(lists, chosen, strict=True)]


def _multiplied(of: list[list[float]], along) -> np.ndarray:
    total = along(0, of[0])
    for axis, values in enumerate(of[1:], 1):
        total = total * along(axis, values)
    return total
