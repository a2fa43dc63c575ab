"""The load of a live run: seconds of a trace, in less time and at another rate.

    raw[s]    events of the trace in its second s
    T         time factor: seconds of the trace in one second of the run, whole
    R         rate factor: events/s of the run for one event/s of the trace
    rate[k]   R * mean of raw[T k .. T k + T - 1], events/s in second k of the run
    times     a Poisson process of that rate in each second

The window is Themis' run on the Twitter trace, 660 s with a surge; what is tuned is tuned on the same time of the day before, which
has one too. Intervals of policies that were made for minutes are divided by T as well (`contender.scaled`).
Source: Themis (arXiv 2407.14843), starter of the released code.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from bench.published import themis
from bench.published.traces import DAY_S, twitter
from bench.published.windows import window
from simulator.arrivals import Poisson

WINDOW = "themis_twitter"


@dataclass(frozen=True, slots=True)
class Load:
    """name: of the slice. rates: events/s in each second of a run."""

    name: str
    time_factor: int
    rate_factor: float
    rates: tuple[float, ...]

    @property
    def seconds(self) -> int:
        return len(self.rates)

    @property
    def peak(self) -> float:
        """Events/s in the greatest second."""
        return max(self.rates)

    @property
    def mean(self) -> float:
        return float(np.mean(self.rates))

    def start(self, seconds: int) -> float:
        """Mean events/s of the first seconds."""
        return float(np.mean(self.rates[:seconds]))

    def times_s(self, warm_s: int, seed: int) -> tuple[float, ...]:
        """Intended send times from 0, ascending; `warm_s` seconds at the rate of the first WARM_OF seconds go before the load."""
        rates = (self.start(WARM_OF_S),) * warm_s + self.rates
        return poisson(rates, seed)


WARM_OF_S = 10


def load(name: str, raw: Sequence[float], time_factor: int, rate_factor: float, seconds: int | None = None) -> Load:
    """seconds: of the run, from the slice's beginning; None = all whole ones. ValueError where the slice has fewer."""
    short = compressed(raw, time_factor)
    if seconds is not None and seconds > len(short):
        raise ValueError(f"{seconds} s are asked of slice {name}, which has {len(short)} at {time_factor} times its pace")
    return Load(name, time_factor, rate_factor, tuple(rate_factor * rate for rate in short[:seconds]))


def compressed(raw: Sequence[float], time_factor: int) -> tuple[float, ...]:
    """Means of so many seconds each; what is left over at the end is left out."""
    if time_factor < 1:
        raise ValueError(f"the time factor is {time_factor}; use 1 or more")
    count = len(raw) // time_factor
    return tuple(np.reshape(np.asarray(raw[: count * time_factor], float), (count, time_factor)).mean(axis=1).tolist())


def poisson(rates: Sequence[float], seed: int) -> tuple[float, ...]:
    """Times of a Poisson process with that rate in each second, from 0, ascending."""
    trace, random = Poisson(rates), np.random.default_rng(seed)
    return tuple(at for second in range(trace.seconds) for at in trace.sent(second, random).tolist())


def measured_on() -> tuple[float, ...]:
    """Events in each second of Themis' window. FileNotFoundError without ../shared/data."""
    return window(WINDOW, 1.0)


def tuned_on() -> tuple[float, ...]:
    """Events in as many seconds, a day before."""
    begins = themis.BEGINS_S - DAY_S
    return tuple(twitter()[begins : begins + len(measured_on())].tolist())


class Punctual:
    """Intended send times for `bench.open_loop.send`, which asks for each when it has sent the one before: so it learns how late that was.

    clock: seconds, any zero.
    """

    def __init__(self, times_s: Sequence[float], clock: Callable[[], float]) -> None:
        self.late_s: list[float] = []
        """Of each event but the last, from when it was due to when it was sent; 0 where it was not late."""
        self._times_s, self._clock = times_s, clock

    def __iter__(self) -> Iterator[float]:
        begun_s = self._clock()
        for number, at_s in enumerate(self._times_s):
            if number:
                self.late_s.append(max(0.0, self._clock() - begun_s - self._times_s[number - 1]))
            yield at_s
