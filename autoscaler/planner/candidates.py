"""Every way to run one stage at a given rate that can matter: option, replicas, time on the grid, and what it brings into the totals.

    demand      Sizing.demand(rate), rows/s
    n           the least whole number with n * throughput + 1e-9 >= demand and least <= n; none when it is above `most`
    more        only while `Sizing.falls_with_replicas()`: n + 1, n + 2, .. up to `most`, of which those count whose ticks are below those
                of every smaller n; the search ends where the ticks are no more than those of `most` replicas
    ticks       ceil((latency_ms + wait_ms) / grid_ms - 1e-9); a way whose wait is infinite is none
    capacity    n * units <= devices + 1e-9 for each kind by itself; more can be in no plan

Where one number alone decides (`price`), ways are looked at from the cheapest on and an option is asked for its wait only if it could be
faster than everything cheaper: waits are never negative, and a further replica never lowers the price. Otherwise every option is asked.

O(options log options + waits asked for).
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from autoscaler.planner.model import MEMORY, Problem, Share, StageModel

TOLERANCE = 1e-9


@dataclass(frozen=True, slots=True, eq=False)
class Ways:
    """Ways to run one share of a stage's rows, one entry of each array per way; shape (ways,).

    option    index into the stage's options
    change    price of the switch; 0 where none is priced
    accuracy  of the option, or of its variant given another stage's
    used      units by kind
    """

    stage: StageModel
    share: float
    option: np.ndarray
    replicas: np.ndarray
    ticks: np.ndarray
    cost: np.ndarray
    change: np.ndarray
    accuracy: np.ndarray
    batches: np.ndarray
    used: Mapping[str, np.ndarray]

    def share_of(self, way: int) -> Share:
        return Share(self.stage.options[self.option[way]], int(self.replicas[way]), self.share)


class Candidates:
    """Makes the ways of one stage of a problem; what does not hang on the rate is worked out once."""

    def __init__(self, problem: Problem, stage: StageModel) -> None:
        options = stage.options
        self.problem, self.stage = problem, stage
        self.throughput = np.array([option.throughput for option in options], dtype=float)
        self.latency = [option.latency_ms for option in options]
        self.cost = np.array([option.cost for option in options], dtype=float)
        self.batch = np.array([option.batch for option in options], dtype=float)
        self.accuracy = np.array([option.accuracy for option in options], dtype=float)
        self.floor = [_ticks(latency, problem.grid_ms) for latency in self.latency]
        self.variants = list(dict.fromkeys(option.variant for option in options))
        self.places: dict[str, list[int]] = {variant: [] for variant in self.variants}
        for place, option in enumerate(options):
            self.places[option.variant].append(place)
        self.units = self._units()
        self.most = np.full(len(options), stage.most, dtype=np.int64)
        for kind, units in self.units.items():
            if kind in problem.devices:
                needs = units > 0
                self.most[needs] = np.minimum(self.most[needs], (problem.devices[kind] + TOLERANCE) // units[needs])

    def _units(self) -> dict[str, np.ndarray]:
        options = self.stage.options
        units = {kind: np.array([option.units if option.device == kind else 0.0 for option in options])
                 for kind in dict.fromkeys(option.device for option in options)}
        if any(option.memory_gb for option in options):
            units[MEMORY] = units.get(MEMORY, 0.0) + np.array([option.memory_gb for option in options], dtype=float)
        return units

    def least(self, rate: float) -> np.ndarray:
        """Fewest replicas of each option that carry the demand; above `most` where none does."""
        demand = self.problem.sizing.demand(rate)
        wanted = (demand - TOLERANCE) / self.throughput
        replicas = np.ceil(np.minimum(wanted, 2.0 ** 53)) - 1
        replicas += replicas * self.throughput + TOLERANCE < demand
        replicas += replicas * self.throughput + TOLERANCE < demand
        return np.maximum(replicas, self.stage.least).astype(np.int64)

    def ways(self, rate: float, *, variant: str | None = None, share: float = 1.0, accuracy: Mapping[str, float] | None = None,
             price: Callable[[Ways], np.ndarray] | None = None, last: int | None = None) -> Ways:
        """At `rate` rows/s, this share's own.

        variant   the only one; None = any
        accuracy  by variant, in place of the options'; a variant it does not name may not be chosen
        price     what alone decides beside the ticks; None = nothing is dropped
        last      more ticks than these are no use
        """
        places = self.places[variant] if variant is not None else range(len(self.stage.options))
        if accuracy is not None:
            places = [place for place in places if self.stage.options[place].variant in accuracy]
        replicas = self.least(rate)
        allowed = replicas <= self.most
        last = math.inf if last is None else last
        places = [place for place in places if allowed[place] and self.floor[place] <= last]
        if price is not None and self.problem.switching is None:
            found = self._from_the_cheapest(rate, share, places, replicas, accuracy, price, last)
        else:
            found = self._each(rate, places, replicas, last)
        return self._table(share, [place for place, _, _ in found], [count for _, count, _ in found], [ticks for _, _, ticks in found], accuracy)

    def _from_the_cheapest(self, rate: float, share: float, places: Sequence[int], replicas: np.ndarray, accuracy: Mapping[str, float] | None,
                           price: Callable[[Ways], np.ndarray], last: float) -> list[tuple[int, int, int]]:
        if not places:
            return []
        first = self._table(share, places, replicas[places], np.zeros(len(places)), accuracy)
        prices = price(first)
        one_more = None
        falls = self.problem.sizing.falls_with_replicas()
        if falls:
            one_more = dict(zip(places, price(self._table(share, places, replicas[places] + 1, first.ticks, accuracy)) - prices, strict=True))
        start = dict(zip(places, zip(prices.tolist(), replicas[places].tolist(), strict=True), strict=True))
        waiting = sorted((start[place][0], self.floor[place], place, start[place][1]) for place in places)
        found: list[tuple[int, int, int]] = []
        limits: dict[int, float] = {}
        below = last + 1
        while waiting:
            _, floor, place, count = heapq.heappop(waiting)
            if floor >= below:
                continue
            ticks = self._time(place, rate, count)
            if ticks < below:
                found.append((place, count, int(ticks)))
                below = ticks
            if falls and count < self.most[place]:
                if place not in limits:
                    limits[place] = self._time(place, rate, self.stage.most)
                if ticks > limits[place]:
                    base, least = start[place]
                    heapq.heappush(waiting, (base + (count + 1 - least) * one_more[place], floor, place, count + 1))
        return found

    def _each(self, rate: float, places: Sequence[int], replicas: np.ndarray, last: float) -> list[tuple[int, int, int]]:
        falls = self.problem.sizing.falls_with_replicas()
        found = []
        for place in places:
            limit = self._time(place, rate, self.stage.most) if falls else math.inf
            below = math.inf
            for count in range(int(replicas[place]), int(self.most[place]) + 1):
                ticks = self._time(place, rate, count)
                if ticks < below:
                    below = ticks
                    if ticks <= last:
                        found.append((place, count, int(ticks)))
                if ticks <= limit:
                    break
        return found

    def _time(self, place: int, rate: float, count: int) -> float:
        wait_ms = self.problem.sizing.wait_ms(self.stage.options[place], rate, count)
        return _ticks(self.latency[place] + wait_ms, self.problem.grid_ms) if wait_ms < math.inf else math.inf

    def _table(self, share: float, places: Sequence[int], replicas: Sequence[int] | np.ndarray, ticks: Sequence[int] | np.ndarray,
               accuracy: Mapping[str, float] | None) -> Ways:
        option, count = np.array(places, dtype=np.int64), np.array(replicas, dtype=np.int64)
        change = np.zeros(len(option))
        if self.problem.switching is not None:
            change = np.array([self._change(Share(self.stage.options[place], int(number), share)) for place, number in zip(places, replicas, strict=True)],
                              dtype=float)
        own = self.accuracy[option] if accuracy is None else np.array([accuracy[self.stage.options[place].variant] for place in places], dtype=float)
        return Ways(self.stage, share, option, count, np.array(ticks, dtype=np.int64), count * self.cost[option], change, own,
                    self.batch[option], {kind: count * units[option] for kind, units in self.units.items()})

    def _change(self, share: Share) -> float:
        """Of a whole stage the price itself; of one share among several what it adds to that of running nothing."""
        price = self.problem.switching.price(self.stage.name, (share,))
        return price if self.stage.share_step is None else price - self.problem.switching.price(self.stage.name, ())


def _ticks(time_ms: float, grid_ms: float) -> int:
    return math.ceil(time_ms / grid_ms - TOLERANCE)


def last_tick(problem: Problem) -> int:
    """The longest a way through the graph may take, in ticks; below 0 when no time does."""
    limit = problem.slo_ms - TOLERANCE if problem.strict else problem.slo_ms + TOLERANCE
    ticks = math.floor(limit / problem.grid_ms) + 1
    while ticks * problem.grid_ms > limit:
        ticks -= 1
    return ticks
