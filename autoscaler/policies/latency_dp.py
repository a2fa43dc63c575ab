"""FA2's two phases for one way to spend at each stage: transform the graph, then dynamic programming over the latency budget.

    t        grid steps of a stage or of a part of the graph: the longest way through it
    best     of a part, at t: least price of running all its stages so that its longest way takes at most t
    limit    steps the whole graph may take

    leaf     best_v(t)      = min over the ways w of v with time(w) <= t of price(w)
    series   best_{A;B}(t)  = min over t' of best_A(t') + best_B(t - t')            every stage of A is done before any of B starts
    parallel best_{A|B}(t)  = best_A(t) + best_B(t)                                 the same budget for both
    levels   a part that is neither, in series by the number of stages before each  (a stage waits for all of the level before)
    answer   best(limit), of equals the one that takes least time

Only the steps at which `best` falls are kept (labels), at most one for each t, so the table is the paper's, without its empty rows.
O(parts * labels^2) time, labels <= limit. Exact where every part is series or parallel in the order of the stages (chains, trees,
diamonds); `levels` asks for more than the deadline does, so elsewhere the plan holds but may not be the cheapest.

Source: FA2 (RTAS 2022), two phases as the abstract has them; recurrence as Themis' authors restate it (arXiv 2407.14843), chains only,
whose table has a row for every millisecond. The transformation of graphs is not public; this one is ours.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from itertools import groupby

from autoscaler.planner.model import Problem, Share

NEAR = 1e-9


class Order(StrEnum):
    """How the parts of a part lie."""

    SERIES = "series"
    PARALLEL = "parallel"


@dataclass(frozen=True, slots=True)
class Part:
    """The graph, transformed: a stage's name, or parts in series or in parallel."""

    order: Order
    parts: tuple[Part | str, ...]


@dataclass(frozen=True, slots=True)
class Way:
    """One way to run one stage. steps: of the grid. price: what is made least."""

    share: Share
    steps: int
    price: float


@dataclass(frozen=True, slots=True)
class Label:
    """steps: the longest way through the part. ways: (stage, how it runs) of all its stages."""

    steps: int
    price: float
    ways: tuple[tuple[str, Way], ...]


def transform(after: Mapping[str, tuple[str, ...]]) -> Part | str:
    """The graph as series and parallel parts. after: stage to those that must be done before it."""
    before: dict[str, set[str]] = {}

    def all_before(name: str) -> set[str]:
        if name not in before:
            before[name] = set(after[name]).union(*(all_before(previous) for previous in after[name]))
        return before[name]

    for name in after:
        all_before(name)
    return _transform(tuple(after), before)


def cheapest(part: Part | str, ways: Mapping[str, Iterable[Way]], limit: int) -> Label | None:
    """The cheapest way to run every stage within `limit` steps; None when there is none."""
    labels = _labels(part, ways, limit)
    return labels[-1] if labels else None  # prices fall with time, so the last is cheapest


def steps_of(time_ms: float, grid_ms: float) -> float:
    """Up to the grid, so that what fits in steps fits in truth; inf stays inf."""
    return math.ceil(time_ms / grid_ms - NEAR) if math.isfinite(time_ms) else math.inf


def limit_of(problem: Problem) -> int:
    """The most steps that meet the deadline: <= SLO, or < where the problem says strict."""
    steps = math.floor(problem.slo_ms / problem.grid_ms + NEAR)
    return steps - 1 if problem.strict and steps * problem.grid_ms >= problem.slo_ms - NEAR else steps


def _transform(names: tuple[str, ...], before: Mapping[str, set[str]]) -> Part | str:
    if len(names) == 1:
        return names[0]

    def ordered(one: str, other: str) -> bool:
        return one in before[other] or other in before[one]

    apart = _components(names, ordered)
    if len(apart) > 1:
        return Part(Order.PARALLEL, tuple(_transform(part, before) for part in apart))
    in_turn = _components(names, lambda one, other: not ordered(one, other))
    if len(in_turn) == 1:  # neither
        in_turn = _levels(names, before)
    else:
        in_turn.sort(key=lambda part: len(before[part[0]] & set(names)))
    return Part(Order.SERIES, tuple(_transform(part, before) for part in in_turn))


def _levels(names: tuple[str, ...], before: Mapping[str, set[str]]) -> list[tuple[str, ...]]:
    """By the most stages on a way to them."""
    level: dict[str, int] = {}
    for name in sorted(names, key=lambda name: len(before[name] & set(names))):
        level[name] = max((level[previous] + 1 for previous in before[name] & set(names)), default=0)
    return [tuple(group) for _, group in groupby(sorted(names, key=level.__getitem__), key=level.__getitem__)]


def _components(names: tuple[str, ...], linked: Callable[[str, str], bool]) -> list[tuple[str, ...]]:
    """The names, split where nothing links them, in their own order."""
    left, found = list(names), []
    while left:
        part = [left.pop(0)]
        for one in part:  # grows while it is read
            near = [other for other in left if linked(one, other)]
            part += near
            left = [other for other in left if other not in near]
        found.append(tuple(sorted(part, key=names.index)))
    return found


def _labels(part: Part | str, ways: Mapping[str, Iterable[Way]], limit: int) -> list[Label]:
    if isinstance(part, str):
        return _falling([Label(way.steps, way.price, ((part, way),)) for way in ways[part] if way.steps <= limit])
    done = _labels(part.parts[0], ways, limit)
    join = _series if part.order is Order.SERIES else _parallel
    for other in part.parts[1:]:
        done = join(done, _labels(other, ways, limit), limit)
    return done


def _series(first: list[Label], second: list[Label], limit: int) -> list[Label]:
    return _falling([Label(one.steps + other.steps, one.price + other.price, one.ways + other.ways)
                     for one in first for other in second if one.steps + other.steps <= limit])


def _parallel(first: list[Label], second: list[Label], limit: int) -> list[Label]:
    """At each step the last label of either that is done by then."""
    joined = []
    for steps in sorted({label.steps for label in (*first, *second)}):
        one = [label for label in first if label.steps <= steps]
        other = [label for label in second if label.steps <= steps]
        if one and other:
            joined.append(Label(steps, one[-1].price + other[-1].price, one[-1].ways + other[-1].ways))
    return _falling(joined)


def _falling(labels: list[Label]) -> list[Label]:
    """Those that are cheaper than all that take no longer, by time; of equals the first."""
    kept: list[Label] = []
    for label in sorted(labels, key=lambda label: (label.steps, label.price)):
        if not kept or label.price < kept[-1].price - NEAR:
            kept.append(label)
    return kept
