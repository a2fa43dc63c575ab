"""The accuracy of an answered event, from the variants that answered it.

    a(v)      of the variant that answered at station v, weight w(v); from its table where it depends on an earlier variant
    product   product of a(v)^w(v) * children      sum   sum of w(v) * a(v) + children      mean   sum over the stations' sum of w(v)
    children  mean over the event's children of theirs, one that was lost counting 0; neutral without children
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from autoscaler.planner.model import AccuracyRule
from simulator.network import Graph, Station
from simulator.rows import CHILDREN, Rows, Slots, anywhere


class Accuracies:
    """variants: by station, the names that its indexes mean; values: accuracy by station and variant."""

    def __init__(self, rule: AccuracyRule, graph: Graph, variants: Mapping[str, tuple[str, ...]], values: Mapping[str, Mapping[str, float]]) -> None:
        self.product = rule is AccuracyRule.PRODUCT
        self._mean = rule is AccuracyRule.MEAN
        self._neutral = 1.0 if self.product else 0.0
        self._at = {station.name: at for at, station in enumerate(graph.stations)}
        self._tables = [(self._at[station.name], None if station.given is None else self._at[station.given.origin],
                         self._table(station, variants, values)) for station in graph.stations if variants[station.name]]
        self._weights = np.array([station.weight for station in graph.stations])

    @property
    def neutral(self) -> float:
        return self._neutral

    def of(self, rows: Rows, slots: Slots) -> NDArray[np.float64]:
        """shape (slots,)"""
        chosen = rows.variants[:, slots]  # (stations, slots)
        found = rows.values[CHILDREN, slots]
        here, there = np.maximum(chosen, -1), anywhere(chosen)  # what a relative got counts there
        for at, origin, table in self._tables:
            own = table[here[at]] if origin is None else table[there[origin], here[at]]
            found = found * own if self.product else found + own
        if self._mean:
            found = found / np.maximum((self._weights @ (here >= 0)), 1e-300)
        return found

    def _table(self, station: Station, variants: Mapping[str, tuple[str, ...]], values: Mapping[str, Mapping[str, float]]) -> NDArray[np.float64]:
        """By own variant, or by the origin's and own; the last of each axis, index -1, is for rows that were not answered there."""
        own = variants[station.name]
        if station.given is None:
            return np.array([*(self._weighed(values[station.name][name], station.weight) for name in own), self._neutral])
        table = np.full((len(variants[station.given.origin]) + 1, len(own) + 1), self._neutral)
        for row, origin in enumerate(variants[station.given.origin]):
            for column, name in enumerate(own):
                table[row, column] = self._weighed(station.given.table.get((origin, name), 0.0), station.weight)
        return table

    def _weighed(self, accuracy: float, weight: float) -> float:
        return accuracy**weight if self.product else weight * accuracy
