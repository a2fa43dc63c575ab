"""When events are sent, when they come to the source topic, and when they must be answered: traces as arrivals, second by second.

    counts      N_k events in second k. Poisson: N ~ Poisson(counts[k]), times uniform in the second (a Poisson process of that rate);
                even: floor so that the running total is kept, at (i + 1/2) / N
    stamps      as they were logged
    network     an event of s bytes sent at t arrives at t + s / bandwidth(t), bandwidth in bytes/s by whole seconds of the trace
    deadline    sent + SLO: what the network took is spent

Source of the delay: Sponge (arXiv 2404.00704), remaining SLO = SLO - size / bandwidth.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import floor
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Times = NDArray[np.float64]


class Trace(Protocol):
    """seconds: length, whole. sent(k): seconds in [k, k + 1), ascending; asked for once each, in order."""

    @property
    def seconds(self) -> int: ...

    def sent(self, second: int, random: np.random.Generator) -> Times: ...


@dataclass(frozen=True, slots=True)
class Poisson:
    """counts: events/s in each second, >= 0; need not be whole."""

    counts: Sequence[float]

    @property
    def seconds(self) -> int:
        return len(self.counts)

    def sent(self, second: int, random: np.random.Generator) -> Times:
        return second + np.sort(random.random(random.poisson(self.counts[second])))


@dataclass(frozen=True, slots=True)
class Even:
    """counts: events/s in each second, >= 0; what is not whole is carried on, so that the total is right."""

    counts: Sequence[float]
    _totals: NDArray[np.int64] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        totals = np.floor(np.cumsum([0.0, *self.counts]) + 1e-9).astype(np.int64)
        object.__setattr__(self, "_totals", totals)

    @property
    def seconds(self) -> int:
        return len(self.counts)

    def sent(self, second: int, random: np.random.Generator) -> Times:
        count = int(self._totals[second + 1] - self._totals[second])
        return second + (np.arange(count) + 0.5) / max(count, 1)


@dataclass(frozen=True, slots=True, eq=False)
class Stamps:
    """times_s: ascending, from 0. ValueError when they are not."""

    times_s: Times

    def __post_init__(self) -> None:
        if len(self.times_s) and (self.times_s[0] < 0 or bool((self.times_s[1:] < self.times_s[:-1]).any())):
            raise ValueError("the time stamps must ascend from 0; sort them and take the first away from all")

    @property
    def seconds(self) -> int:
        return floor(self.times_s[-1]) + 1 if len(self.times_s) else 0

    def sent(self, second: int, random: np.random.Generator) -> Times:
        first, last = np.searchsorted(self.times_s, [second, second + 1])
        return self.times_s[first:last]


@dataclass(frozen=True, slots=True)
class Network:
    """bytes_per_s: of each second; the last goes on. A second without bandwidth delivers when the next one with some begins."""

    bytes_per_s: Sequence[float]
    payload_bytes: float

    def __post_init__(self) -> None:
        if not self.bytes_per_s or self.bytes_per_s[-1] <= 0:
            raise ValueError("the bandwidth trace must end with a bandwidth above 0: it goes on with its last second")

    def delay_s(self, sent: Times) -> Times:
        seconds = np.minimum(sent.astype(np.int64), len(self.bytes_per_s) - 1)
        return np.array([self._of(int(second), float(at)) for second, at in zip(seconds, sent, strict=True)])

    def _of(self, second: int, sent_s: float) -> float:
        waited = second
        while self.bytes_per_s[waited] <= 0:
            waited += 1
        return max(0.0, waited - sent_s) * (waited > second) + self.payload_bytes / self.bytes_per_s[waited]


@dataclass(frozen=True, slots=True)
class Delays:
    """Network delay of what is sent in each second, s; the last goes on (Sponge's published remaining SLOs are such a series)."""

    seconds: Sequence[float]

    def delay_s(self, sent: Times) -> Times:
        return np.asarray(self.seconds, float)[np.minimum(sent.astype(np.int64), len(self.seconds) - 1)]


@dataclass(frozen=True, slots=True)
class Arrivals:
    """slo_s: from sending to the answer. network: None = what is sent is there."""

    trace: Trace
    slo_s: float
    network: Network | Delays | None = None

    def second(self, second: int, random: np.random.Generator) -> tuple[Times, Times, Times]:
        """sent, arrived and deadline of the events sent in that second, by arrival."""
        sent = self.trace.sent(second, random)
        if self.network is None:
            return sent, sent, sent + self.slo_s
        arrived = sent + self.network.delay_s(sent)
        order = np.argsort(arrived, kind="stable")
        return sent[order], arrived[order], sent[order] + self.slo_s

