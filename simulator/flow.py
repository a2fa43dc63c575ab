"""How rows go from station to station: what follows an answer, where children come together, where an event ends."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np

from autoscaler.planner.model import Share
from simulator.accuracy import Accuracies
from simulator.chance import Purpose, stream, uniform
from simulator.cluster import Cluster
from simulator.families import Families, Relatives
from simulator.gpus import Gpus
from simulator.loop import Loop
from simulator.network import FanOut, Station
from simulator.outcome import Outcome
from simulator.pool import Outlet, World
from simulator.records import Action, Records
from simulator.rows import EVENT, Rows, Slots
from simulator.scenario import Scenario
from simulator.sink import Sink
from simulator.site import Site
from simulator.truth import Factors

IN_TIME = Outcome.IN_TIME  # asking an enumeration for a member is a call in Python
SOURCE_PLACE = 1_000_000
"""The source among the places where events choose a way."""


class Flow:
    """sites: by station that computes, in the graph's order. sink: where events end. actions: carried out so far."""

    def __init__(self, scenario: Scenario, loop: Loop, least_s: float, records: Records | None, seed: int) -> None:
        graph = scenario.graph
        self.rows = Rows(len(graph.stations))
        self.accuracies = Accuracies(scenario.problem.accuracy, graph, scenario.variants(), scenario.accuracies())
        self.sink = Sink(self.rows, self.accuracies, least_s, records)
        self.cluster = Cluster(scenario.devices)
        self.actions = 0
        self.stalled_until_s = 0.0
        self.stall_s = scenario.changes.stall_s
        self._graph, self._loop, self._seed, self._records = graph, loop, seed, records
        self._families = Families(graph, self.rows, loop, self.accuracies, seed)
        self._fans_out = any(isinstance(station.after, FanOut) for station in graph.stations)
        self._relatives = Relatives(self._enter, self._end)
        self._at = {station.name: at for at, station in enumerate(graph.stations)}
        self._variants = [{name: at for at, name in enumerate(names)} for names in scenario.variants().values()]
        gpus = Gpus(scenario.gpu_slots, scenario.truth.factors)
        self._world = World(loop, self.rows, scenario.truth, scenario.changes, self.cluster, gpus, scenario.arrivals.slo_s, self.acted)
        self.sites = {station.name: self._site(at, station, scenario) for at, station in enumerate(graph.stations) if not station.plain}
        self._straight = [self._straight_on(station) for station in graph.stations]

    def _site(self, at: int, station: Station, scenario: Scenario) -> Site:
        factors = Factors(scenario.truth.of(station.name), stream(self._seed, Purpose.SERVICE, at))
        outlet = Outlet(partial(self._answered, at), self._end, lambda now_s: None)
        return Site(self._world, station, factors, scenario.gathering, outlet)

    def begin(self, initial: Mapping[str, tuple[Share, ...]]) -> None:
        """What runs at first is ready at once."""
        for name, site in self.sites.items():
            site.begin(initial[name], self._loop.now_s)

    def fail(self, name: str, now_s: float) -> bool:
        """A replica that serves dies; False when there is none."""
        return any(pool.fail(now_s) for pool in self.sites[name].pools)

    # rows

    def split_source(self, events: Slots) -> list[tuple[Site, Slots]]:
        """Which of the events, by place in the array, begin at which site."""
        ways = self._graph.source.ways
        chance = uniform(self._seed, Purpose.WAYS, SOURCE_PLACE, events)
        chosen = self._graph.source.chosen(chance) if len(ways) > 1 else np.zeros(len(events), int)
        return [(self.sites[str(name)], np.flatnonzero(chosen == way)) for way, (name, _) in enumerate(ways)]

    def stall(self, until_s: float) -> None:
        """The job is rescaled: nothing is sent and nothing comes out until then."""
        self.stalled_until_s = max(self.stalled_until_s, until_s)
        for site in self.sites.values():
            for proxy in site.proxies:
                proxy.stall(self.stalled_until_s)

    def unfinished(self, now_s: float) -> None:
        """The run ends: whatever is still somewhere is counted so."""
        self.sink.count()
        roots = self.rows.taken()
        roots = roots[self.rows.parent[roots] < 0]
        roots = roots[~np.isin(roots, self._families.left_behind())]
        if len(roots):
            roots = roots[np.argsort(self.rows.values[EVENT, roots], kind="stable")]
            self.sink.end([roots], len(roots), Outcome.UNFINISHED, now_s)
            self.sink.count()

    def acted(self, at_s: float, station: str, kind: str, amount: float) -> None:
        self.actions += 1
        if self._records is not None:
            self._records.actions.append(Action(at_s, station, kind, amount))

    def _straight_on(self, station: Station) -> Callable[[list[Slots], int, float], None] | None:
        """Where all rows of a station go, when that is one place without a join: the common case, without asking again for every batch."""
        if isinstance(station.after, FanOut) or len(station.after.ways) > 1:
            return None
        to = station.after.ways[0][0]
        if to is None:
            return self._finished
        following = self._graph.station(to)
        return None if following.join or following.plain else self.sites[to].accept

    def _answered(self, at: int, parts: list[Slots], count: int, variant: str, now_s: float) -> None:
        self.rows.answered(at, self._variants[at][variant], parts)
        straight = self._straight[at]
        if straight is not None:
            straight(parts, count, now_s)
        else:
            self._on(at, parts[0] if len(parts) == 1 else np.concatenate(parts), variant, now_s)

    def _finished(self, parts: list[Slots], count: int, now_s: float) -> None:
        if self._fans_out:
            for slots in parts:
                self._end(slots, Outcome.IN_TIME, now_s)
        else:
            self.sink.end(parts, count, IN_TIME, now_s if now_s > self.stalled_until_s else self.stalled_until_s)

    def _on(self, at: int, slots: Slots, variant: str, now_s: float) -> None:
        after = self._graph.stations[at].after
        if isinstance(after, FanOut):
            self._families.fan_out(at, variant, slots, self._relatives, now_s)
        elif len(after.ways) == 1:
            self._go(after.ways[0][0], slots, now_s)
        else:
            chosen = after.chosen(uniform(self._seed, Purpose.WAYS, at, self.rows.values[EVENT, slots]))
            for way, (to, _) in enumerate(after.ways):
                taking = slots[chosen == way]
                if len(taking):
                    self._go(to, taking, now_s)

    def _go(self, to: str | None, slots: Slots, now_s: float) -> None:
        if to is None:
            self._end(slots, Outcome.IN_TIME, now_s)
            return
        at = self._at[to]
        join = self._graph.stations[at].join
        if join is None:
            self._enter(at, slots, now_s)
            return
        children = np.array([self._families.child_of(slot, join) for slot in slots.tolist()])
        if children.any():
            self._families.ended(slots[children], Outcome.IN_TIME, self._relatives, now_s)
        if not children.all():
            self._enter(at, slots[~children], now_s)

    def _enter(self, at: int, slots: Slots, now_s: float) -> None:
        station = self._graph.stations[at]
        if station.plain:
            self._on(at, slots, "", now_s)
        else:
            self.sites[station.name].accept([slots], len(slots), now_s)

    def _end(self, slots: Slots, outcome: Outcome, now_s: float) -> None:
        if not self._fans_out:
            self.sink.end([slots], len(slots), outcome, max(now_s, self.stalled_until_s))
            return
        born = self.rows.parent[slots] >= 0
        if born.any():
            self._families.ended(slots[born], outcome, self._relatives, now_s)
        if not born.all():
            roots = slots[~born]
            self.sink.end([roots], len(roots), outcome, max(now_s, self.stalled_until_s))
