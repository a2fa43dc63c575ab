"""From a graph of stages to a row of steps that make one arc of it: FA2's transformation, with conditioning where it ends.

Every stage is an arc from where it may start to where it is done; the time of a way through the graph is the sum over its arcs.

    arcs         stages with the same stages before them start in one point, those with the same behind them end in one point;
                 an order (u before v) that joins two points is an empty arc, and goes when it is the only one into or out of a point
    series       the only arc into a point and the only one out of it become one
    beside       two arcs between the same points become one
    module       a part that touches the rest in two points only, one where it begins and one where it ends, is made one arc by itself
    fix          an arc that is the only one into a point is given one of its labels, and its ticks go into every arc out of the point;
                 the mirror of it for the only arc out of a point

Series and beside alone reduce every graph whose order is series-parallel (no N in it: Valdes, Tarjan, Lawler 1982); where they end, an arc
that can be fixed always exists, and each fixing multiplies the work of its module by the labels of its arc. `steps` takes the fewest
fixings k in each module, found by trying all sequences of 1, 2, .. up to `MOST_FIXED` (Bein, Kamburowski, Stallmann 1992 give the least k
in polynomial time; graphs of stages are small), among those the fewest labels by estimate. Beyond, each time the fixing of the fewest
labels.

O(stages * orders) without fixing; with, O(points^2 * arcs) per module and O(points^k) tries.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from autoscaler.planner.model import StageModel

MOST_FIXED = 3
TRIES = 3000
FULL = 2000
"""Labels a frontier has at most, for the estimate: about one per ms of an SLO."""


@dataclass(frozen=True, slots=True)
class Series:
    first: int
    second: int
    made: int


@dataclass(frozen=True, slots=True)
class Beside:
    first: int
    second: int
    made: int


@dataclass(frozen=True, slots=True)
class Fix:
    """arc: given one label. moved: which arcs its ticks go into, old number to new; an arc that was empty has the old number None."""

    arc: int
    moved: tuple[tuple[int | None, int], ...]


@dataclass(frozen=True, slots=True)
class Module:
    """A part between two points that nothing else touches: its arcs, and the steps that make one of them. fixed: within it."""

    arcs: tuple[int, ...]
    steps: tuple[Step, ...]
    made: int
    fixed: int


Step = Series | Beside | Fix | Module


@dataclass(frozen=True, slots=True)
class Steps:
    """Arcs 0 .. stages - 1 are the stages. last: the arc that is the whole graph. fixed: k, the most in any one module."""

    steps: tuple[Step, ...]
    last: int
    fixed: int


class Network:
    """Arcs between points 0 (source) and 1 (sink); what is done to them is written down."""

    def __init__(self, ends: Mapping[int, tuple[int, int]], sizes: Mapping[int, float], empty: frozenset[int]) -> None:
        self.ends, self.sizes, self.empty = dict(ends), dict(sizes), set(empty)
        self.into: dict[int, set[int]] = {}
        self.out: dict[int, set[int]] = {}
        for arc, (tail, head) in ends.items():
            self.out.setdefault(tail, set()).add(arc)
            self.into.setdefault(head, set()).add(arc)
        self.steps: list[Step] = []
        self.next = max(ends, default=-1) + 1
        self.work = 1.0

    def copy(self) -> Network:
        other = Network(self.ends, self.sizes, frozenset(self.empty))
        other.steps, other.next, other.work = list(self.steps), self.next, self.work
        return other

    def reduce(self) -> None:
        """Contracts, puts in series and side by side until nothing more can be."""
        open_points = sorted(set(self.into) | set(self.out))
        while open_points:
            point = open_points.pop(0)
            open_points += self._twins(point)
            open_points += self._contracted(point)
            open_points += self._joined(point)

    def _twins(self, point: int) -> list[int]:
        """Arcs from the point that end together become one."""
        touched = []
        by_head: dict[int, int] = {}
        for arc in sorted(self.out.get(point, ())):
            head = self.ends[arc][1]
            if head not in by_head:
                by_head[head] = arc
                continue
            by_head[head] = self._beside(by_head[head], arc)
            touched += [point, head]
        return touched

    def _beside(self, first: int, second: int) -> int:
        if first in self.empty or second in self.empty:
            kept, gone = (second, first) if first in self.empty else (first, second)
            self.drop(gone)
            return kept
        ends = self.ends[first]
        self.drop(first)
        self.drop(second)
        self.steps.append(Beside(first, second, self._add(ends, min(FULL, self.sizes[first] + self.sizes[second]))))
        return self.next - 1

    def _contracted(self, point: int) -> list[int]:
        """The only arc into or out of a point, when it is empty: its two points are one."""
        for arcs in (self.into.get(point, set()), self.out.get(point, set())):
            if len(arcs) == 1 and point > 1 and next(iter(arcs)) in self.empty:
                arc = next(iter(arcs))
                tail, head = self.ends[arc]
                self.drop(arc)
                kept = tail if point == head else head
                self._merge(point, kept)
                before = [self.ends[other][0] for other in sorted(self.into.get(kept, ()))]
                return [kept, *before, *(self.ends[other][1] for other in sorted(self.out.get(kept, ())))]
        return []

    def _merge(self, point: int, kept: int) -> None:
        for arc in sorted(self.into.pop(point, set())):
            self.ends[arc] = (self.ends[arc][0], kept)
            self.into.setdefault(kept, set()).add(arc)
        for arc in sorted(self.out.pop(point, set())):
            self.ends[arc] = (kept, self.ends[arc][1])
            self.out.setdefault(kept, set()).add(arc)

    def _joined(self, point: int) -> list[int]:
        into, out = self.into.get(point, set()), self.out.get(point, set())
        if point <= 1 or len(into) != 1 or len(out) != 1:
            return []
        first, second = next(iter(into)), next(iter(out))
        if first in self.empty or second in self.empty:
            return []
        ends = self.ends[first][0], self.ends[second][1]
        self.drop(first)
        self.drop(second)
        self.steps.append(Series(first, second, self._add(ends, min(FULL, self.sizes[first] * self.sizes[second]))))
        return list(ends)

    def fixable(self) -> list[tuple[int, int]]:
        """(point, arc): the only one into the point, or the only one out of it."""
        return [(point, next(iter(arcs))) for around in (self.into, self.out) for point, arcs in sorted(around.items()) if point > 1 and len(arcs) == 1]

    def fix(self, point: int, arc: int) -> None:
        """Gives the arc one label and moves its ticks across the point."""
        forward = self.ends[arc][1] == point
        far = self.ends[arc][0] if forward else self.ends[arc][1]
        self.work *= self.sizes[arc]
        self.drop(arc)
        moved = []
        for other in sorted(self.out[point] if forward else self.into[point]):
            ends = (far, self.ends[other][1]) if forward else (self.ends[other][0], far)
            was_empty = other in self.empty
            size = 1.0 if was_empty else self.sizes[other]
            self.drop(other)
            moved.append((None if was_empty else other, self._add(ends, size)))
        self.steps.append(Fix(arc, tuple(moved)))
        self.reduce()

    def done(self) -> bool:
        return len(self.ends) == 1

    def drop(self, arc: int) -> None:
        tail, head = self.ends.pop(arc)
        self.out[tail].discard(arc)
        self.into[head].discard(arc)
        self.empty.discard(arc)

    def _add(self, ends: tuple[int, int], size: float) -> int:
        arc = self.next
        self.next += 1
        self.ends[arc], self.sizes[arc] = ends, size
        self.out.setdefault(ends[0], set()).add(arc)
        self.into.setdefault(ends[1], set()).add(arc)
        return arc


class Order(NamedTuple):
    """A stage, as far as the graph goes."""

    name: str
    after: tuple[str, ...]


def steps(stages: Sequence[StageModel], sizes: Sequence[float]) -> Steps:
    """sizes: about how many labels each stage has. ValueError for an unknown stage or a circle."""
    return _steps(tuple(Order(stage.name, stage.after) for stage in stages), tuple(sizes))


@lru_cache(maxsize=64)
def _steps(stages: tuple[Order, ...], sizes: tuple[float, ...]) -> Steps:
    network = _network(stages, sizes)
    network.reduce()
    _modules(network)
    found, fixed = _fewest(network)
    (last,) = found.ends
    return Steps(tuple(found.steps), last, max([fixed, *(step.fixed for step in found.steps if isinstance(step, Module))]))


def _modules(network: Network) -> None:
    """Makes one arc of every part between two points that nothing else touches, the smallest first."""
    while not network.done() and (found := _smallest_module(network)):
        tail, head, arcs = found
        names = {tail: 0, head: 1}
        ends = {arc: (names.setdefault(network.ends[arc][0], len(names)), names.setdefault(network.ends[arc][1], len(names))) for arc in arcs}
        inner = Network(ends, {arc: network.sizes.get(arc, 1.0) for arc in arcs}, frozenset(arcs & network.empty))
        inner.next = network.next
        done, fixed = _fewest(inner)
        (made,) = done.ends
        for arc in arcs:
            network.drop(arc)
        network.next = done.next
        network.ends[made], network.sizes[made] = (tail, head), done.sizes[made]
        network.out.setdefault(tail, set()).add(made)
        network.into.setdefault(head, set()).add(made)
        network.steps.append(Module(tuple(sorted(arcs - inner.empty)), tuple(done.steps), made, fixed))
        network.reduce()


def _smallest_module(network: Network) -> tuple[int, int, frozenset[int]] | None:
    points = sorted({point for ends in network.ends.values() for point in ends})
    best = None
    for tail in points:
        for head in points:
            for arcs in _between(network, tail, head) if tail != head else ():
                if len(arcs) < len(network.ends) and (best is None or len(arcs) < len(best[2])):
                    best = (tail, head, arcs)
    return best


def _between(network: Network, tail: int, head: int) -> list[frozenset[int]]:
    """The parts that hang together only over the two points, and of those the ones with a way in at the tail and out at the head alone."""
    found = []
    seen = {tail, head}
    for point in sorted({point for ends in network.ends.values() for point in ends}):
        if point in seen:
            continue
        inside, open_points, arcs = {point}, [point], set()
        while open_points:
            at = open_points.pop()
            for arc in network.into.get(at, set()) | network.out.get(at, set()):
                arcs.add(arc)
                for end in network.ends[arc]:
                    if end not in inside and end not in (tail, head):
                        inside.add(end)
                        open_points.append(end)
        seen |= inside
        if not inside & {0, 1} and all(network.ends[arc][1] != tail and network.ends[arc][0] != head for arc in arcs):
            found.append(frozenset(arcs))
    return found


def _fewest(network: Network) -> tuple[Network, int]:
    tries = TRIES
    level = [network]
    for fixed in range(MOST_FIXED + 1):
        if done := [one for one in level if one.done()]:
            return min(done, key=lambda one: one.work), fixed
        deeper = []
        for one in level if fixed < MOST_FIXED else ():
            for point, arc in one.fixable():
                tries -= 1
                if tries < 0:
                    return _greedy(network)
                deeper.append(one.copy())
                deeper[-1].fix(point, arc)
        level = deeper
    return _greedy(network)


def _greedy(network: Network) -> tuple[Network, int]:
    network, fixed = network.copy(), 0
    while not network.done():
        point, arc = min(network.fixable(), key=lambda found: (network.sizes[found[1]], found))
        network.fix(point, arc)
        fixed += 1
    return network, fixed


def _network(stages: Sequence[Order], sizes: Sequence[float]) -> Network:
    before = _direct(stages)
    behind: list[set[int]] = [set() for _ in stages]
    for number, names in enumerate(before):
        for other in names:
            behind[other].add(number)
    starts: dict[frozenset[int], int] = {frozenset(): 0}
    finishes: dict[frozenset[int], int] = {frozenset(): 1}
    point = 2
    ends = {}
    for number in range(len(stages)):
        for points, key in ((starts, frozenset(before[number])), (finishes, frozenset(behind[number]))):
            if key not in points:
                points[key] = point
                point += 1
        ends[number] = (starts[frozenset(before[number])], finishes[frozenset(behind[number])])
    orders = dict.fromkeys((ends[other][1], ends[number][0]) for number in range(len(stages)) for other in sorted(before[number]))
    empty = range(len(stages), len(stages) + len(orders))
    ends.update(zip(empty, orders, strict=True))
    return Network(ends, {arc: float(sizes[arc]) if arc < len(stages) else 1.0 for arc in ends}, frozenset(empty))


def ordered(stages: Sequence[StageModel | Order]) -> list[int]:
    """Each stage behind those it comes after. ValueError for an unknown stage or a circle."""
    return _ordered(stages, _named(stages))


def _named(stages: Sequence[StageModel | Order]) -> list[set[int]]:
    place = {stage.name: number for number, stage in enumerate(stages)}
    for stage in stages:
        if unknown := [name for name in stage.after if name not in place]:
            raise ValueError(f"stage {stage.name} comes after {', '.join(unknown)}, which no stage is named")
    return [{place[name] for name in stage.after} for stage in stages]


def _direct(stages: Sequence[Order]) -> list[set[int]]:
    """For each stage those right before it, without those that another of them comes after anyway."""
    named = _named(stages)
    order = _ordered(stages, named)
    earlier: list[set[int]] = [set() for _ in stages]
    for number in order:
        for other in named[number]:
            earlier[number] |= earlier[other] | {other}
    return [{other for other in named[number] if not any(other in earlier[third] for third in named[number])} for number in range(len(stages))]


def _ordered(stages: Sequence[StageModel | Order], before: Sequence[set[int]]) -> list[int]:
    missing = [len(others) for others in before]
    behind: list[list[int]] = [[] for _ in stages]
    for number, others in enumerate(before):
        for other in others:
            behind[other].append(number)
    order = [number for number, count in enumerate(missing) if count == 0]
    for number in order:
        for other in behind[number]:
            missing[other] -= 1
            if missing[other] == 0:
                order.append(other)
    if len(order) < len(stages):
        raise ValueError(f"the stages {', '.join(stages[number].name for number in range(len(stages)) if missing[number])} come after each other in a circle")
    return order
