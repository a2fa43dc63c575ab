"""Fan-outs and joins: a row becomes children, and goes on when they have ended.

    children   of kind k: floor(w_k) and one more with probability w_k - floor(w_k), by the event's own chance; deadline and sending time
               are the parent's; no children completes at once
    join       the parent goes on to the joining station when all children have come; where one was lost it waits for the horizon, then
               goes on with what came (partial) or ends as incomplete. Children that come later end with it
    no join    the parent ends with its last child, lost when a child was lost

    accuracy   of the parent's children = sum of theirs / number, one that was lost or late for the horizon counts 0

A parent that goes on before its children have ended goes on as a new row; its old slot is free when the last of them has ended.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from autoscaler.graph.pipeline import Incomplete
from simulator.accuracy import Accuracies
from simulator.chance import Purpose, uniform
from simulator.loop import Loop, Priority
from simulator.network import Children, FanOut, Graph
from simulator.outcome import Outcome
from simulator.rows import CHILDREN, EVENT, Rows, Slots, elsewhere

KEYS = 2.0**52
CHILDREN_PLACE = 2_000_000
"""Fan-outs among the places where rows choose a way, one behind the other."""


@dataclass(slots=True, eq=False)
class Family:
    """fan_out: index of its station. left: children that have not ended. gone_on: the parent did not wait for the rest."""

    fan_out: int
    total: int
    left: int
    accuracy: float = 0.0
    lost: Outcome | None = None
    gone_on: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Relatives:
    """Where rows go from here. arrive(station, slots, now): to a station by index. end(slots, outcome, now)."""

    arrive: Callable[[int, Slots, float], None]
    end: Callable[[Slots, Outcome, float], None]


class Families:
    def __init__(self, graph: Graph, rows: Rows, loop: Loop, accuracies: Accuracies, seed: int) -> None:
        self._graph = graph
        self._rows = rows
        self._loop = loop
        self._accuracies = accuracies
        self._seed = seed
        self._at = {station.name: at for at, station in enumerate(graph.stations)}
        joins = [graph.join_of(station.name) for station in graph.stations]
        self._joins = [None if join is None else self._at[join.name] for join in joins]
        self._families: dict[int, Family] = {}

    def fan_out(self, station: int, variant: str, slots: Slots, to: Relatives, now_s: float) -> None:
        """Rows of that station, answered by that variant, become children."""
        after = self._graph.stations[station].after
        assert isinstance(after, FanOut)
        counts = np.stack([self._counts(station, kind, children.by_variant.get(variant, children.width), slots)
                           for kind, children in enumerate(after.kinds)])  # (kinds, rows)
        totals = counts.sum(axis=0)
        join = self._joins[station]
        for slot, total in zip(slots.tolist(), totals.tolist(), strict=True):
            if total:
                self._families[slot] = Family(station, total, total)
                if join is not None:
                    self._loop.at(now_s + self._graph.horizon_s, Priority.HORIZON, self._horizon, (slot, self._families[slot], to))
        born = [self._born(slots, counts[kind], kind) for kind in range(len(after.kinds))]
        for slot in slots[totals == 0].tolist():
            self._on(slot, station, to, now_s)
        for children, kind in zip(born, after.kinds, strict=True):
            for name, going in self._by_way(station, kind, children):
                if name is None:
                    to.end(going, Outcome.IN_TIME, now_s)
                elif self._at[name] == join:
                    self.ended(going, Outcome.IN_TIME, to, now_s)
                else:
                    to.arrive(self._at[name], going, now_s)

    def ended(self, slots: Slots, outcome: Outcome, to: Relatives, now_s: float) -> None:
        """Children that came to their join, or ended elsewhere; IN_TIME = answered."""
        accuracies = self._accuracies.of(self._rows, slots).tolist()
        parents = self._rows.parent[slots].tolist()
        for slot, parent, accuracy in zip(slots.tolist(), parents, accuracies, strict=True):
            family = self._families[parent]
            family.left -= 1
            if outcome is Outcome.IN_TIME and not family.gone_on:
                family.accuracy += accuracy
                own = self._rows.variants[:, parent]
                np.copyto(own, elsewhere(self._rows.variants[:, slot]), where=own == -1)
            elif outcome is not Outcome.IN_TIME:
                family.lost = outcome
        self._rows.free(slots)
        for parent in dict.fromkeys(parents):
            if not self._families[parent].left:
                self._complete(parent, to, now_s)

    def child_of(self, slot: int, fan_out: str) -> bool:
        """Whether the row is a child of that fan-out."""
        family = self._families.get(int(self._rows.parent[slot]))
        return family is not None and family.fan_out == self._at[fan_out]

    def left_behind(self) -> list[int]:
        """Slots of parents that went on as new rows."""
        return [slot for slot, family in self._families.items() if family.gone_on]

    def _by_way(self, station: int, kind: Children, children: Slots) -> list[tuple[str | None, Slots]]:
        ways = kind.branch.ways
        if len(ways) == 1 or not len(children):
            return [(ways[0][0], children)] if len(children) else []
        chosen = kind.branch.chosen(uniform(self._seed, Purpose.WAYS, CHILDREN_PLACE + station, self._rows.values[EVENT, children]))
        return [(name, children[chosen == way]) for way, (name, _) in enumerate(ways) if (chosen == way).any()]

    def _counts(self, station: int, kind: int, width: float, slots: Slots) -> NDArray[np.int64]:
        whole = int(width)
        counts = np.full(len(slots), whole)
        if width > whole:
            counts += uniform(self._seed, Purpose.WIDTHS, 64 * station + kind, self._rows.values[EVENT, slots]) < width - whole
        return counts

    def _born(self, slots: Slots, counts: NDArray[np.int64], kind: int) -> Slots:
        parents = np.repeat(slots, counts)
        children = self._rows.take(len(parents))
        rows = self._rows
        rows.values[:, children] = rows.values[:, parents]
        rows.values[CHILDREN, children] = self._accuracies.neutral
        order = np.arange(len(parents)) - np.repeat(np.cumsum(counts) - counts, counts)
        rows.values[EVENT, children] = (rows.values[EVENT, parents] * 8191.0 + 64.0 * order + kind + 1) % KEYS
        rows.variants[:, children] = elsewhere(rows.variants[:, parents])
        rows.parent[children] = parents
        return children

    def _complete(self, parent: int, to: Relatives, now_s: float) -> None:
        family = self._families[parent]
        joined = self._joins[family.fan_out] is not None
        if family.gone_on:
            del self._families[parent]
            self._rows.free(np.array([parent]))
        elif family.lost is None or not joined:
            del self._families[parent]
            self._rows.values[CHILDREN, parent] = self._joined(parent, family)
            if family.lost is None:
                self._on(parent, family.fan_out, to, now_s)
            else:
                to.end(np.array([parent]), family.lost, now_s)

    def _horizon(self, now_s: float, what: tuple[int, Family, Relatives]) -> None:
        slot, family, to = what
        if self._families.get(slot) is not family:
            return  # all children came
        parent = slot
        if family.left:
            parent = int(self._rows.take(1)[0])
            for column in (*self._rows.values, *self._rows.variants, self._rows.parent):
                column[parent] = column[slot]
            family.gone_on = True
        else:
            del self._families[slot]
        self._rows.values[CHILDREN, parent] = self._joined(parent, family)
        if self._graph.incomplete is Incomplete.PARTIAL:
            self._on(parent, family.fan_out, to, now_s)
        else:
            to.end(np.array([parent]), Outcome.INCOMPLETE, now_s)

    def _joined(self, parent: int, family: Family) -> float:
        before, mean = self._rows.values[CHILDREN, parent], family.accuracy / family.total
        return before * mean if self._accuracies.product else before + mean

    def _on(self, parent: int, fan_out: int, to: Relatives, now_s: float) -> None:
        join = self._joins[fan_out]
        if join is None:
            to.end(np.array([parent]), Outcome.IN_TIME, now_s)
        else:
            to.arrive(join, np.array([parent]), now_s)
