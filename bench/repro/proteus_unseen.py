"""Windows that no paper used, for comparisons whose own trace is one: seed i runs on window i of them.

    rates    `ablate`'s windows of the Twitter trace's days that report, and of NASA's, each scaled to the same mean or the same busiest second
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from bench.repro import ablate
from bench.repro.level import Level
from bench.repro.study import Case, Contender, Make
from simulator.scenario import Control, Scenario

Rates = tuple[float, ...]
LEAST_RATE = 1.0
"""events/s on average."""


def windows(seconds: int) -> dict[str, list[Rates]]:
    """Rates of each second, unscaled, by source; without windows in which next to nothing comes (NASA's log has a gap of days)."""
    found = {"unseen Twitter": ablate.twitter(seconds), "NASA": ablate.nasa(seconds)}
    return {source: [rates for rates, _ in of_source if sum(rates) >= LEAST_RATE * len(rates)] for source, of_source in found.items()}


def of_mean(rates: Rates, mean: float) -> Rates:
    factor = mean * len(rates) / sum(rates)
    return tuple(factor * rate for rate in rates)


def of_peak(rates: Rates, peak: float) -> Rates:
    factor = peak / max(rates)
    return tuple(factor * rate for rate in rates)


def by_window(name: str, cases: Sequence[Case]) -> Case:
    """One case of several with the same contenders, one for each window."""
    first = cases[0]

    def bound(level: Level, seed: int) -> Mapping[str, float]:
        own = cases[seed % len(cases)].bound
        assert own is not None
        return own(level, seed)

    contenders: tuple[Contender, ...] = tuple(replace(one, make=_picked([case.contenders[place].make for case in cases]))
                                              for place, one in enumerate(first.contenders))
    return Case(name, contenders, None if first.bound is None else bound)


def _picked(makes: Sequence[Make]) -> Callable[[Level, int], tuple[Scenario, Control]]:
    return lambda level, seed: makes[seed % len(makes)](level, seed)
