"""The dynamic program: one frontier for the whole graph, made of the stages' by the steps of `transform`.

    F[v | m]      frontier of stage v, given the mixes m of its scope: its ways (`candidates`), of which no other is better
    series        F[a b | m] = labels of a plus labels of b, ticks add;   beside: ticks are the later of the two
    eliminate     F[a | m without u] = all labels of F[a | m] over the mixes of u, as soon as a holds u and every stage with u in its scope
    fix           F[rest] = all labels, over the labels x of arc a (and the mixes of its scope), of F[rest with a's ticks moved on] + x
    shared        F[v | m] = all labels over the ways to split the parts: G[j, p] = over c of G[j - 1, p - c] beside F[variant j at c parts]

and every frontier keeps only labels that no other beats (`steps` with one value, `labels` with several). Each operation keeps every label
that can be part of a best plan, because objective and constraints are monotone in sums and in ticks; so the final frontier holds a best plan.

Cost: stages * labels per stage * T for one value (T = SLO in ticks), times the mixes of a scope for the stages that hang on it, times the
labels of each fixed arc. What was made of the same two frontiers is made once.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from autoscaler.planner import transform
from autoscaler.planner.aim import Aim
from autoscaler.planner.candidates import Candidates, Ways
from autoscaler.planner.conditions import Conditions, Mix
from autoscaler.planner.labels import LabelAlgebra
from autoscaler.planner.model import Problem, StageModel
from autoscaler.planner.steps import StepAlgebra
from autoscaler.planner.thinning import Thinning
from autoscaler.planner.work import Work

Frontier = Any
"""Of `steps` or `labels`, whichever the algebra makes."""


@dataclass(frozen=True, slots=True)
class Table:
    """entries: for each choice of mixes of the scope's stages a frontier; one that is missing is impossible. members: stages held, as bits."""

    scope: tuple[str, ...]
    entries: Mapping[tuple[Mix, ...], Frontier]
    members: int


class Graph:
    """What all searches over one problem's graph share: it hangs neither on the SLO nor on the objective."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.conditions = Conditions(problem)
        self.candidates = {stage.name: Candidates(problem, stage) for stage in problem.stages}
        self.steps = transform.steps(problem.stages, [len(stage.options) for stage in problem.stages])
        self.scopes = {stage.name: self.conditions.scope(stage.name) for stage in problem.stages}
        self.bit = {stage.name: 1 << number for number, stage in enumerate(problem.stages)}
        self.dependents = {origin: sum(self.bit[name] for name, scope in self.scopes.items() if origin in scope) for origin in self.conditions.origins}
        self._slack: dict[str, int] | None = None

    def slack(self) -> dict[str, int]:
        """Ticks that the longest way through each stage takes at the least, without the stage itself."""
        if self._slack is None:
            floor = {name: min(candidates.floor, default=0) for name, candidates in self.candidates.items()}
            order = [self.problem.stages[number].name for number in transform.ordered(self.problem.stages)]
            head: dict[str, int] = {}
            tail = dict.fromkeys(order, 0)
            for name in order:
                head[name] = max((head[before] + floor[before] for before in self.conditions.stages[name].after), default=0)
            for name in reversed(order):
                for before in self.conditions.stages[name].after:
                    tail[before] = max(tail[before], tail[name] + floor[name])
            self._slack = {name: head[name] + tail[name] for name in order}
        return self._slack


class Search:
    """One run. domains: the mixes of each origin that are looked at; None = all. thin, thin_fixed: what to do with too many labels, and
    with those of an arc that is fixed; None = nothing."""

    def __init__(self, graph: Graph, aim: Aim, last: int, work: Work, domains: Mapping[str, Sequence[Mix]] | None = None,
                 thin: Thinning | None = None, thin_fixed: Thinning | None = None) -> None:
        self.graph, self.aim, self.last, self.work, self.thin_fixed = graph, aim, last, work, thin_fixed
        self.domains = dict(domains or {})
        plain = len(aim.components) == 1 and thin is None
        self.algebra = StepAlgebra(last, work, logs=aim.logs is not None) if plain else LabelAlgebra(last, aim.caps, aim.logs, work, thin)
        self._single = len(aim.components) == 1
        self._leaves: dict[tuple, Frontier] = {}
        self._made: dict[tuple, Frontier] = {}

    def run(self) -> Frontier:
        tables = {number: self._leaf(stage) for number, stage in enumerate(self.graph.problem.stages)}
        return self._go(self.graph.steps.steps, self.graph.steps.last, tables).entries.get((), self.algebra.either([]))

    def _go(self, steps: Sequence[transform.Step], last: int, tables: Mapping[int, Table]) -> Table:
        tables = dict(tables)
        for index, step in enumerate(steps):
            match step:
                case transform.Series(first, second, made):
                    tables[made] = self._joined(self.algebra.series, tables.pop(first), tables.pop(second))
                case transform.Beside(first, second, made):
                    tables[made] = self._joined(self.algebra.beside, tables.pop(first), tables.pop(second))
                case transform.Module(arcs, inner, made):
                    tables[made] = self._go(inner, made, {arc: tables.pop(arc) for arc in arcs})
                case transform.Fix(arc, moved):
                    return self._fixed(steps[index + 1:], last, tables, tables.pop(arc), moved)
        return tables[last]

    def _fixed(self, steps: Sequence[transform.Step], last: int, tables: Mapping[int, Table], table: Table,
               moved: Sequence[tuple[int | None, int]]) -> Table:
        found: dict[tuple[Mix, ...], list[Frontier]] = {}
        scope: tuple[str, ...] = ()
        members = 0
        for setting, frontier in table.entries.items():
            settled = dict(zip(table.scope, setting, strict=True))
            known = {number: _settled(other, settled) for number, other in tables.items()}
            for at, ticks in self.algebra.labels(frontier, self.thin_fixed):
                made = len(self._made)
                rest = self._go(steps, last, self._moved(known, moved, ticks))
                scope, members = self._scope(table.scope, rest.scope), table.members | rest.members
                for key, part in rest.entries.items():
                    whole = settled | dict(zip(rest.scope, key, strict=True))
                    found.setdefault(tuple(whole[origin] for origin in scope), []).append(self.algebra.plus(part, *at))
                self._forget(made)
        return self._eliminated(Table(scope, {key: self.algebra.either(parts) for key, parts in found.items()}, members))

    def _moved(self, tables: Mapping[int, Table], moved: Sequence[tuple[int | None, int]], ticks: int) -> dict[int, Table]:
        rest = dict(tables)
        for old, new in moved:
            before = Table((), {(): self.algebra.nothing()}, 0) if old is None else rest.pop(old)
            rest[new] = Table(before.scope, {key: self._once("later", self.algebra.later, other, ticks) for key, other in before.entries.items()},
                              before.members)
        return rest

    def _forget(self, made: int) -> None:
        """What was made for one label of a fixed arc is of no use to the next."""
        while len(self._made) > made:
            self._made.popitem()

    def _scope(self, first: Sequence[str], second: Sequence[str]) -> tuple[str, ...]:
        return tuple(origin for origin in self.graph.conditions.origins if origin in first or origin in second)

    def _joined(self, join: Callable, first: Table, second: Table) -> Table:
        scope = self._scope(first.scope, second.scope)
        members = first.members | second.members
        entries = {}
        for key, mine, theirs in _matches(scope, first, second):
            self.work.spend(1e4)
            entries[key] = self._once(join.__name__, join, mine, theirs)
        return self._eliminated(Table(scope, entries, members))

    def _eliminated(self, table: Table) -> Table:
        closed = [origin for origin in table.scope if self.graph.dependents[origin] & ~table.members == 0]
        if not closed:
            return table
        places = [place for place, origin in enumerate(table.scope) if origin not in closed]
        groups: dict[tuple[Mix, ...], dict[int, Frontier]] = {}
        for key, frontier in table.entries.items():
            groups.setdefault(tuple(key[place] for place in places), {})[id(frontier)] = frontier
        return Table(tuple(table.scope[place] for place in places), {key: self.algebra.either(list(parts.values())) for key, parts in groups.items()},
                     table.members)

    def _once(self, name: str, make: Callable, *parts: Any) -> Frontier:
        """The same step of the same parts is made once; the parts are kept, so that no other has their identity."""
        key = (name, *(part if isinstance(part, int) else id(part) for part in parts))
        if key not in self._made:
            self._made[key] = (make(*parts), parts)
        return self._made[key][0]

    def _leaf(self, stage: StageModel) -> Table:
        scope = self.graph.scopes[stage.name]
        entries = {}
        for setting in itertools.product(*(self._domain(origin) for origin in scope)):
            known = dict(zip(scope, setting, strict=True))
            frontier = self._stage(stage, known)
            if frontier is not None:
                entries[setting] = frontier
        return self._eliminated(Table(scope, entries, self.graph.bit[stage.name]))

    def _domain(self, origin: str) -> Iterator[Mix] | Sequence[Mix]:
        return self.domains[origin] if origin in self.domains else self.graph.conditions.mixes(origin)

    def _stage(self, stage: StageModel, setting: Mapping[str, Mix]) -> Frontier | None:
        conditions = self.graph.conditions
        rate, accuracy, mix = conditions.rate(stage.name, setting), conditions.accuracy(stage.name, setting), setting.get(stage.name)
        key = (stage.name, rate, mix, None if accuracy is None else tuple(accuracy.items()))
        if key not in self._leaves:
            self.work.spend(2e5 + 4000 * len(stage.options))
            self._leaves[key] = self._shared(stage, rate, accuracy, mix)
        return self._leaves[key]

    def _shared(self, stage: StageModel, rate: float, accuracy: Mapping[str, float] | None, mix: Mix | None) -> Frontier | None:
        if mix is not None and accuracy is not None and any(variant not in accuracy for variant, _ in mix):
            return None
        parts = self.graph.conditions.parts[stage.name]
        if mix is None and parts == 1:
            frontier = self._at(stage, rate, accuracy, None, 1.0)
        elif mix is not None:
            frontier = None
            for variant, count in mix:
                one = self._at(stage, rate, accuracy, variant, count / parts)
                frontier = one if frontier is None else self.algebra.beside(frontier, one)
        else:
            frontier = self._split(stage, rate, accuracy, parts)
        return self.algebra.mapped(frontier, self.aim.weights[stage.name])

    def _split(self, stage: StageModel, rate: float, accuracy: Mapping[str, float] | None, parts: int) -> Frontier:
        # within[p]: frontier of p parts among the variants so far; None = impossible
        within: list[Frontier | None] = [None] * (parts + 1)
        for place, variant in enumerate(self.graph.conditions.variants[stage.name]):
            own = [None] + [self._at(stage, rate, accuracy, variant, count / parts) for count in range(1, parts + 1)]
            wider: list[Frontier | None] = [None]
            for total in range(1, parts + 1):
                ways = [] if within[total] is None else [within[total]]
                ways.append(own[total])
                if place:
                    ways += [self.algebra.beside(within[total - count], own[count]) for count in range(1, total) if within[total - count] is not None]
                wider.append(self.algebra.either(ways))
            within = wider
        return within[parts] if within[parts] is not None else self.algebra.either([])

    def _at(self, stage: StageModel, rate: float, accuracy: Mapping[str, float] | None, variant: str | None, share: float) -> Frontier:
        ways: Ways = self.graph.candidates[stage.name].ways(rate * share, variant=variant, share=share, accuracy=accuracy,
                                                            price=self.aim.alone if self._single else None,
                                                            last=self.last - self.graph.slack()[stage.name])
        return self.algebra.leaf(ways, self.aim.values(ways))


def _settled(table: Table, setting: Mapping[str, Mix]) -> Table:
    """The table with those mixes chosen."""
    entries = {tuple(mix for origin, mix in zip(table.scope, key, strict=True) if origin not in setting): frontier
               for key, frontier in table.entries.items()
               if all(origin not in setting or setting[origin] == mix for origin, mix in zip(table.scope, key, strict=True))}
    return Table(tuple(origin for origin in table.scope if origin not in setting), entries, table.members)


def _matches(scope: tuple[str, ...], first: Table, second: Table) -> Iterator[tuple[tuple[Mix, ...], Frontier, Frontier]]:
    """Pairs of entries that agree on the stages both hang on, with the mixes of the joined scope."""
    common = [origin for origin in first.scope if origin in second.scope]
    mine, theirs = [first.scope.index(origin) for origin in common], [second.scope.index(origin) for origin in common]
    by_common: dict[tuple[Mix, ...], list[tuple[tuple[Mix, ...], Frontier]]] = {}
    for key, frontier in second.entries.items():
        by_common.setdefault(tuple(key[place] for place in theirs), []).append((key, frontier))
    sources = [(0, first.scope.index(origin)) if origin in first.scope else (1, second.scope.index(origin)) for origin in scope]
    for key, frontier in first.entries.items():
        for other_key, other in by_common.get(tuple(key[place] for place in mine), ()):
            keys = (key, other_key)
            yield tuple(keys[side][place] for side, place in sources), frontier, other
