"""How many rows a stage's proxies may have in flight, after the scatter of what it runs (`scatter`), as replicas change.

    n     replicas, those that are coming too       B     rows of a full batch, the largest of all lanes
    r     range of n replicas, if anything is known of it
    r'    known range of the same lanes at n' replicas, n' nearest to n by ratio
    g     2 n B, the first guess of `lower`: each replica has one batch at work and one waiting
    X     r's rows/s, 0 without r

    lower   r.lower                          where r is known                                            measured
            r'.lower n / n'                  where it is not: throughput grows with replicas             scaled
            g                                where no r' is known either                                 guessed
            neither beyond r.lower           where r is stable at least
    rows    HEADROOM lower + X TRANSIT_S     kept within n B .. MOST
            2 x the present rows             where they are used up and r may rise on, at least          raised
            r.upper                          where r harms, at most
    window  of one proxy: rows / proxies, upwards; left alone where it is nearer than NEAR to what is set

While nothing is known and not all of it is used up, the window stays as it is: one that is not used up is none. Rows set aside, which can no
longer be in time, take no place in it: the service lets as many more be sent, up to the window it starts with (operators.hosted).

Source: ConScale's rational range (`scatter`), scaled at once with the replicas and then measured again. HEADROOM, g, MOST and the doubling are ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from math import ceil, inf, log
from typing import Any

from autoscaler.control.scatter import Range

HEADROOM = 2.0
"""Rows come unevenly, and the slices that show whether more would help need rows beyond `lower`."""
TRANSIT_S = 0.010
"""On the way between proxy and service, both ways: linger, gRPC and hand-over on two busy cores; the scatter counts rows in the service only."""
MOST = 65_536
"""Of all proxies; the service begins to slow them down at 100,000 rows held (operators.hosted)."""
NEAR = 1.25
USED_UP = 0.75
"""Of a window: a proxy waits until a quarter of it is free (SendQueue)."""


class Basis(StrEnum):
    """Where the window comes from; KEPT: nothing speaks against the one that is set."""

    MEASURED = "measured"
    SCALED = "scaled"
    GUESSED = "guessed"
    RAISED = "raised"
    KEPT = "kept"


@dataclass(frozen=True, slots=True)
class InFlight:
    """A stage and its proxies now. replicas: ready or coming. batch: rows of a full one. window: rows, of one proxy, as set. used: the largest
    share of its window that a proxy uses whose rows wait; 0 where none waits."""

    replicas: int
    batch: int
    proxies: int
    window: int
    used: float = 0.0

    @property
    def rows(self) -> int:
        """Of all proxies."""
        return self.window * self.proxies

    @property
    def is_used_up(self) -> bool:
        return self.used >= USED_UP


@dataclass(frozen=True, slots=True)
class Window:
    """rows: of one proxy. known: of the present replicas."""

    rows: int
    basis: Basis
    known: Range | None = None

    def data(self) -> dict[str, Any]:
        """Ready for JSON."""
        known = None if self.known is None else {name: round(value, 3) if isinstance(value, float) else value for name, value in asdict(self.known).items()}
        return {"rows": self.rows, "basis": self.basis.value, "range": known}


def window(now: InFlight, ranges: Mapping[int, Range]) -> Window:
    """ranges: by ready replicas, of the present lanes."""
    if not now.replicas:
        return Window(now.window, Basis.KEPT)
    own = ranges.get(now.replicas)
    lower, basis = _lower(now, own, ranges)
    if now.is_used_up and own is not None and not own.is_whole:
        rows, basis = max(2.0 * now.rows, _rows(lower, own)), Basis.RAISED
    elif lower == inf:
        return Window(now.window, Basis.KEPT, own)
    else:
        rows = _rows(lower, own)
    if own is not None and own.harms:
        rows = min(rows, own.upper)
    wanted = max(1, ceil(min(max(rows, now.replicas * now.batch), MOST) / now.proxies))
    if abs(log(wanted / now.window)) < log(NEAR):
        return Window(now.window, Basis.KEPT, own)
    return Window(wanted, basis, own)


def _lower(now: InFlight, own: Range | None, ranges: Mapping[int, Range]) -> tuple[float, Basis]:
    """Infinite where nothing is known and nothing need be."""
    if own is not None and own.is_known:
        return own.lower, Basis.MEASURED
    most = own.lower if own is not None and own.is_stable else inf
    others = [replicas for replicas, known in ranges.items() if replicas and known.is_known]
    if others:
        nearest = min(others, key=lambda replicas: (abs(log(replicas / now.replicas)), -replicas))
        return min(most, ranges[nearest].lower * now.replicas / nearest), Basis.SCALED
    if most == inf and not now.is_used_up:
        return inf, Basis.KEPT
    return min(most, 2.0 * now.replicas * now.batch), Basis.GUESSED


def _rows(lower: float, own: Range | None) -> float:
    return 0.0 if lower == inf else HEADROOM * lower + (own.best_rps * TRANSIT_S if own is not None else 0.0)
