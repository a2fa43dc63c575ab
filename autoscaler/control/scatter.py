"""Rows in flight against rows answered, and how many in flight are worth having: the scatter-concurrency-throughput model (SCT).

    (q, x)    rows in the service but those set aside, mean over a slice of about 100 ms; rows/s answered in it
    bin k     slices with RATIO^k <= q < RATIO^(k+1), at least LEAST of them; q_k, x_k their means, w_k their number
    X_k       what the x_k are least squares away from, weighted by w_k, first never falling and then never rising with k: the model's
              three stages, ascending, stable and descending
    X*        max X_k
    stable    the k with X_k >= (1 - TOLERANCE) X*
    lower     where a straight line from no rows through the last bin before the stable ones reaches (1 - TOLERANCE) X*, at most the least q_k
              of the stable ones, which is what it is where there is no bin before: fewer rows in flight answer fewer
    upper     largest q_k of the stable ones
    seen      largest q_k of all

`rises`: a bin below `lower` was seen; if none was, `lower` is only a bound from above. `is_whole`: bins to BEYOND * lower were seen and bring
no more; if not, it may rise on. `pressed`: slices of the stable stage in which more was there than the replicas took: where a light load is
answered as it comes, x is its rate whatever q is, and that is no plateau. `harms`: a bin beyond `upper` was seen: more rows in flight answer fewer.

Source: ConScale (IPDPS 2020; TPDS 33(12), 2022): the three stages, samples of 50 to 100 ms and the range between lower and upper. How it
estimates them is not public: bins, TOLERANCE and the unimodal fit are ours. The fit pools adjacent violators on either side of every possible mode
(Barlow et al., Statistical inference under order restrictions, 1972; Frisen, Unimodal regression, The Statistician 35, 1986): O(bins^2).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import floor, log
from typing import NamedTuple

RATIO = 2**0.5
LEAST = 5
TOLERANCE = 0.1
BEYOND = 1.5
KEPT = 60
"""Slices of a bin, the newest: those of a light load do not drive out those of a heavy one."""
KEPT_S = 300.0
"""A service that became slower or faster is learned anew."""
CONFIGURATIONS = 32
"""Of one stage, the newest."""


class Slice(NamedTuple):
    """rows: q. rate: x. pressed: all replicas were busy with full batches, or rows waited for the window."""

    rows: float
    rate: float
    pressed: bool


Lanes = tuple[tuple[str, float, int], ...]
"""(variant, cores, batch) of those that take rows."""


@dataclass(frozen=True, slots=True)
class Configuration:
    """What throughput hangs on. replicas: ready ones, of all lanes."""

    lanes: Lanes
    replicas: int


@dataclass(frozen=True, slots=True)
class Range:
    """Rows in flight, and rows/s at most; as above. slices, pressed: how many it rests on."""

    lower: float
    upper: float
    seen: float
    best_rps: float
    rises: bool
    slices: int
    pressed: int

    @property
    def is_whole(self) -> bool:
        return self.seen >= BEYOND * self.lower

    @property
    def is_stable(self) -> bool:
        """A plateau of the service's own was seen: `lower` is not too small."""
        return self.is_whole and self.pressed >= LEAST

    @property
    def is_known(self) -> bool:
        """Where it begins was seen, too."""
        return self.is_stable and self.rises

    @property
    def harms(self) -> bool:
        return self.upper < self.seen


def fitted(slices: Iterable[Slice]) -> Range | None:
    """None where no bin has enough of them."""
    bins: dict[int, list[Slice]] = {}
    for one in slices:
        if one.rows >= 1:
            bins.setdefault(_bin(one.rows), []).append(one)
    full = [found for _, found in sorted(bins.items()) if len(found) >= LEAST]
    if not full:
        return None
    rows = [sum(one.rows for one in found) / len(found) for found in full]
    rates = unimodal([sum(one.rate for one in found) / len(found) for found in full], [len(found) for found in full])
    best = max(rates)
    stable = [place for place, rate in enumerate(rates) if rate >= (1 - TOLERANCE) * best]
    pressed = sum(one.pressed for place in stable for one in full[place])
    first = stable[0]
    lower = rows[first]
    if first > 0 and rates[first - 1] > 0:
        lower = min(lower, rows[first - 1] * (1 - TOLERANCE) * best / rates[first - 1])
    return Range(lower, rows[stable[-1]], rows[-1], best, first > 0, sum(map(len, full)), pressed)


def unimodal(values: Sequence[float], weights: Sequence[float]) -> list[float]:
    """Nearest by weighted least squares among what never falls up to some place and never rises after it."""
    best: tuple[float, list[float]] | None = None
    for mode in range(1, len(values) + 1):
        up, down = _rising(values[:mode], weights[:mode]), _rising(values[mode:][::-1], weights[mode:][::-1])
        found = up + down[::-1]
        error = sum(weight * (value - fit) ** 2 for value, fit, weight in zip(values, found, weights, strict=True))
        if best is None or error < best[0]:
            best = error, found
    return best[1] if best is not None else []


def _rising(values: Sequence[float], weights: Sequence[float]) -> list[float]:
    """Pools adjacent violators."""
    pools: list[tuple[float, float, int]] = []  # mean, weight, how many
    for value, weight in zip(values, weights, strict=True):
        mean, heavy, count = value, weight, 1
        while pools and pools[-1][0] > mean:
            before, lighter, fewer = pools.pop()
            mean = (before * lighter + mean * heavy) / (lighter + heavy)
            heavy, count = heavy + lighter, count + fewer
        pools.append((mean, heavy, count))
    return [mean for mean, _, count in pools for _ in range(count)]


def _bin(rows: float) -> int:
    return floor(log(rows) / log(RATIO))


class Scatter:
    """The slices of one stage, by configuration and bin."""

    def __init__(self) -> None:
        self._slices: dict[Configuration, dict[int, deque[tuple[float, Slice]]]] = {}

    def add(self, configuration: Configuration, slices: Iterable[Slice], at_s: float) -> None:
        """Taken at about that time."""
        bins = self._slices.pop(configuration, {})
        for one in slices:
            if one.rows >= 1:
                bins.setdefault(_bin(one.rows), deque(maxlen=KEPT)).append((at_s, one))
        self._slices[configuration] = bins
        if len(self._slices) > CONFIGURATIONS:
            del self._slices[next(iter(self._slices))]

    def ranges(self, lanes: Lanes, now_s: float) -> Mapping[int, Range]:
        """By replicas, of all configurations with those lanes of which something was seen in the last KEPT_S."""
        found = {}
        for configuration, bins in self._slices.items():
            if configuration.lanes == lanes:
                known = fitted(one for kept in bins.values() for at_s, one in kept if at_s >= now_s - KEPT_S)
                if known is not None:
                    found[configuration.replicas] = known
        return found
