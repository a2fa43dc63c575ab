"""Arrivals at the source, from the offsets of its topic.

    N(t)   events appended by t: sum over the partitions of their end offsets' growth, each growth times the ratio known then
    ratio  records that the job consumed / offsets that it advanced by: below 1 where offsets are spent on markers of transactions or were
           compacted away
    rate   (N(t) - N(t - 1)), N drawn as straight lines between the moments at which it was asked for

A stalled job does not hide the load: these are the producers' own. A partition that is new counts from its first offset on; one whose end
goes back, a topic made anew or a leader that lost some, has no growth then, and counts from there.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Iterable, Mapping
from itertools import pairwise
from math import floor

from autoscaler.policies.dispersion import dispersion
from autoscaler.policies.need import LONGEST_S

KEPT_S = 600


class Arrivals:
    """Times are Unix seconds. ratio: as above; changes with what is seen of the job."""

    def __init__(self, kept_s: float = KEPT_S) -> None:
        self.ratio = 1.0
        self._kept_s = kept_s
        self._points: deque[tuple[float, float]] = deque()
        self._ends: dict[int, int] = {}

    def offsets(self, at_s: float, ends: Mapping[int, int]) -> None:
        """End offset by partition, as of then. One that comes late is of no use: it is left out."""
        if self._points and at_s <= self._points[-1][0]:
            return
        grown = 0
        for partition, end in ends.items():
            before = self._ends.get(partition, end if not self._ends else 0)
            grown += max(0, end - before)
            self._ends[partition] = end
        self.add(at_s, (self._points[-1][1] if self._points else 0.0) + grown * self.ratio)

    def add(self, at_s: float, events: float) -> None:
        """N(at_s). ValueError where it falls: it is a count."""
        if self._points and (at_s <= self._points[-1][0] or events < self._points[-1][1]):
            raise ValueError(f"{events} events at {at_s} after {self._points[-1][1]} at {self._points[-1][0]}")
        self._points.append((at_s, events))
        while len(self._points) > 2 and self._points[1][0] < at_s - self._kept_s:
            self._points.popleft()

    @property
    def ends(self) -> dict[int, int]:
        """The newest end offsets, by partition."""
        return dict(self._ends)

    def resume(self, ends: Mapping[int, int]) -> None:
        """Goes on from offsets read earlier, by whom: what came since then counts."""
        self._ends = dict(ends)

    def forget(self) -> None:
        """Begins anew."""
        self._points.clear()
        self._ends.clear()

    @property
    def newest_s(self) -> float | None:
        return self._points[-1][0] if self._points else None

    def since(self, at_s: float | None) -> list[tuple[float, float]]:
        """The points after that moment, oldest first; all for None."""
        return [point for point in self._points if at_s is None or point[0] > at_s]

    def rates(self, now_s: float) -> tuple[float, ...]:
        """Events/s of each past second, the newest last and up to the newest point before now; no second that is not known whole."""
        known = self._points[-1][0] if self._points else None
        return () if known is None else self._between(min(now_s, known))

    def whole_seconds(self, now_s: float) -> tuple[float, ...]:
        """The same of each second of the clock that is over, up to floor(now_s): what is not known yet at its end is its newest known rate."""
        if len(self._points) < 2:
            return ()
        return self._between(float(floor(now_s)))

    def dispersion(self, now_s: float) -> float:
        """Of the arrivals between the newest looks at the offsets."""
        points = [point for point in self._points if now_s - LONGEST_S <= point[0] <= now_s]
        return dispersion([(late - early, high - low) for (early, low), (late, high) in pairwise(points)])

    def _between(self, end_s: float) -> tuple[float, ...]:
        if len(self._points) < 2:
            return ()
        points = list(self._points)
        seconds = min(floor(end_s - points[0][0] + 1e-9), int(self._kept_s))
        counts = list(_at(points, (end_s - back for back in range(seconds, -1, -1))))
        return tuple(after - before for before, after in pairwise(counts))


def _at(points: list[tuple[float, float]], moments: Iterable[float]) -> Iterable[float]:
    """N at each moment; beyond the last point as between the last two."""
    times = [time for time, _ in points]
    for moment in moments:
        after = min(max(1, bisect_left(times, moment)), len(points) - 1)
        (early, low), (late, high) = points[after - 1], points[after]
        yield low + (high - low) * (moment - early) / (late - early)
