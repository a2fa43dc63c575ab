"""The graph as the simulator runs it: stations, and where a row goes from each.

    Branch    every row goes exactly one way, by probability; to None = the sink
    FanOut    a row becomes children, of each kind floor(w) of them and one more with probability w - floor(w), w by the row's variant.
              A fork is a fan-out of one child of each kind; children of one kind go one way each, as rows of a branch do
    join      a station where the children of a fan-out come together and go on as their parent: once all have ended, or at the horizon

An event's outcome is its own: with children that meet nowhere it is answered with the last of them, and lost when one is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from autoscaler.graph.pipeline import SOURCE, Incomplete, OnLate
from autoscaler.planner.model import GivenVariant, Problem
from operators.batching import AdaptiveRule, Rule


@dataclass(frozen=True, slots=True)
class Branch:
    """ways: (station or None, probability), in order; the probabilities add up to 1."""

    ways: tuple[tuple[str | None, float], ...]

    def chosen(self, chance: NDArray[np.float64]) -> NDArray[np.int64]:
        """Which way each takes, by index. chance: in [0, 1)."""
        bounds = np.cumsum([probability for _, probability in self.ways])
        return np.minimum(np.searchsorted(bounds, chance, side="right"), len(self.ways) - 1)


@dataclass(frozen=True, slots=True)
class Children:
    """to: their station, or a branch where each goes its own way. width: children for a row, >= 0, on average; by_variant: of rows that this
    variant of the fan-out answered."""

    to: str | Branch
    width: float = 1.0
    by_variant: Mapping[str, float] = field(default_factory=dict)

    @property
    def branch(self) -> Branch:
        return self.to if isinstance(self.to, Branch) else to(self.to)


@dataclass(frozen=True, slots=True)
class FanOut:
    kinds: tuple[Children, ...]


SINK = Branch(((None, 1.0),))


def to(name: str) -> Branch:
    return Branch(((name, 1.0),))


@dataclass(frozen=True, slots=True)
class Station:
    """One stage of the graph.

    after     where its rows go
    join      the fan-out whose children come together before it; None = no join
    plain     a join where nothing is computed
    rule      makes the batch rule of a replica pool
    share     part of a row's remaining time that this stage may use, in (0, 1]
    fifo      deadlines are ignored: rows are served in the order in which their events came to the source, as if each had its whole SLO then
    drop_s    rows whose event came longer ago are dropped when a batch is taken (IPA's drop limit); None = none
    weight    of its accuracy in the event's
    given     accuracy by the variant of an earlier stage and its own
    """

    name: str
    after: Branch | FanOut = SINK
    join: str | None = None
    plain: bool = False
    rule: Callable[[], Rule] = AdaptiveRule
    on_late: OnLate = OnLate.ANSWER
    share: float = 1.0
    fifo: bool = False
    weight: float = 1.0
    given: GivenVariant | None = None
    drop_s: float | None = None


@dataclass(frozen=True, slots=True)
class Graph:
    """stations: in topological order. source: where events go first. horizon_s: of joins, and what becomes of what is incomplete then."""

    stations: tuple[Station, ...]
    source: Branch
    horizon_s: float = 2.0
    incomplete: Incomplete = Incomplete.PARTIAL

    def __post_init__(self) -> None:
        names = [station.name for station in self.stations]
        if len(set(names)) != len(names) or SOURCE in names:
            raise ValueError(f"stations {names}: each name once, and none of them {SOURCE!r}")
        for at, (name, after) in enumerate([(SOURCE, self.source), *((station.name, station.after) for station in self.stations)]):
            _check(name, after, names[at:])
        if any(name is None for name, _ in self.source.ways):
            raise ValueError("events of the source must go to a station")
        joins = [station.join for station in self.stations if station.join]
        for station in self.stations:
            if station.join and station.join not in names[: names.index(station.name)]:
                raise ValueError(f"station {station.name} joins {station.join}, which is not a station before it")
            if station.plain and not station.join:
                raise ValueError(f"station {station.name} computes nothing and joins nothing")
        if len(set(joins)) != len(joins):
            raise ValueError("the children of a fan-out come together at one station at most")

    def station(self, name: str) -> Station:
        return next(station for station in self.stations if station.name == name)

    def join_of(self, name: str) -> Station | None:
        """Where the children of that fan-out come together."""
        return next((station for station in self.stations if station.join == name), None)


def chain(*stations: Station) -> Graph:
    """One behind the other; widths and branches are left to `Graph`."""
    after = [*(to(station.name) for station in stations[1:]), SINK]
    return Graph(tuple(_with(station, way) for station, way in zip(stations, after, strict=True)), to(stations[0].name))


def graph_of(problem: Problem, make: Callable[[str], Station] = Station) -> Graph:
    """Of a problem whose stages are a chain: where the planner's rate of a stage is a factor of the one before, its rows fan out by it.

    ValueError for other shapes: a `Problem` does not say whether rows branch or are copied; make a `Graph`.
    """
    stations = []
    for at, stage in enumerate(problem.stages):
        following = [later for later in problem.stages if stage.name in later.after]
        if stage.after != (() if at == 0 else (problem.stages[at - 1].name,)) or len(stage.rate_terms()) != 1:
            raise ValueError(f"stage {stage.name} is not in a chain; say with a Graph where its rows go")
        after: Branch | FanOut = SINK
        for later in following:
            (term,) = later.rate_terms()
            plain = term.factor == 1 and not term.by_variant
            widths = {variant: term.factor * factor for variant, factor in term.by_variant.items()}
            after = to(later.name) if plain else FanOut((Children(later.name, term.factor, widths),))
        made = make(stage.name)
        stations.append(replace(made, name=stage.name, after=after, join=None, plain=False, weight=stage.weight, given=stage.accuracy_given))
    return Graph(tuple(stations), to(problem.stages[0].name))


def _with(station: Station, after: Branch) -> Station:
    return replace(station, after=after)


def _check(name: str, after: Branch | FanOut, later: list[str]) -> None:
    branches = [after] if isinstance(after, Branch) else [kind.branch for kind in after.kinds]
    for branch in branches:
        total = sum(probability for _, probability in branch.ways)
        if not branch.ways or abs(total - 1) > 1e-9 or any(probability < 0 for _, probability in branch.ways):
            raise ValueError(f"the ways on from {name} have probabilities {[p for _, p in branch.ways]}; they must add up to 1")
    if isinstance(after, FanOut) and any(width < 0 for kind in after.kinds for width in (kind.width, *kind.by_variant.values())):
        raise ValueError(f"a fan-out of {name} has a width below 0")
    targets = [to for branch in branches for to, _ in branch.ways if to is not None]
    for target in targets:
        if target not in later:
            raise ValueError(f"rows of {name} go to {target}, which is not a station after it")
