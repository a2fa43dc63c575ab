"""A run over time, in at most MOST_BINS parts, as figures show it.

    load         events/s sent                         capacity    events/s that what is ready carries
    violations   share of the part's events that were not in time; nan where none was sent
    p95_s        of the part's events, those without an answer infinitely late; nan where none was sent
    cost         held                                   queued      rows that wait, at all stages
    accuracy     mean of what was answered of the part's events; nan where nothing was

    capacity     min over stages of what its ready replicas take / rows of it per event, over the whole run; by the options' throughput, so
                 of full batches
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, inf, nan

import numpy as np
from numpy.typing import NDArray

from simulator.cluster import COST
from simulator.outcome import Outcome
from simulator.records import Second
from simulator.simulation import Run

MOST_BINS = 300

Series = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class OverTime:
    """at_s: the middle of each part; all of shape (parts,)."""

    at_s: Series
    load: Series
    capacity: Series
    violations: Series
    p95_s: Series
    cost: Series
    queued: Series
    accuracy: Series


def over_time(run: Run) -> OverTime:
    """Of a run with records."""
    assert run.records is not None
    width_s = max(1, ceil(run.duration_s / MOST_BINS))
    parts = max(1, ceil(run.duration_s / width_s))
    events = run.records.events(0)
    at = np.minimum((events.sent_s / width_s).astype(np.int64), parts - 1)
    sent = np.bincount(at, minlength=parts)
    answered = events.outcome <= Outcome.LATE
    missed = np.bincount(at, weights=events.outcome != Outcome.IN_TIME, minlength=parts)
    right = np.bincount(at[answered], weights=events.accuracy[answered], minlength=parts)
    told = np.bincount(at[answered], minlength=parts)
    lengths = np.minimum(width_s, run.duration_s - width_s * np.arange(parts))
    seconds = run.records.seconds[: ceil(run.duration_s)]
    return OverTime(
        (np.arange(parts) + 0.5) * width_s, sent / lengths, _parts(_capacities(seconds), parts, width_s), _share(missed, sent),
        _p95(at, np.where(answered, events.finish_s - events.sent_s, inf), parts), _parts([one.held.get(COST, 0.0) for one in seconds], parts, width_s),
        _parts([float(sum(one.queued.values())) for one in seconds], parts, width_s), _share(right, told))


def _capacities(seconds: list[Second]) -> list[float]:
    arrived = max(1, sum(second.arrived for second in seconds))
    rows = {name: sum(second.rows[name] for second in seconds) for name in (seconds[0].rows if seconds else ())}
    return [min((arrived * second.capacity[name] / count for name, count in rows.items() if count), default=0.0) for second in seconds]


def _parts(values: list[float], parts: int, width_s: int) -> Series:
    """Means over each part's seconds."""
    at = np.minimum(np.arange(len(values)) // width_s, parts - 1)
    return _share(np.bincount(at, weights=values, minlength=parts), np.bincount(at, minlength=parts))


def _share(of: NDArray, among: NDArray) -> Series:
    return np.where(among > 0, of / np.maximum(among, 1), nan)


def _p95(at: NDArray[np.int64], latency_s: Series, parts: int) -> Series:
    order = np.lexsort((latency_s, at))
    ordered, counts = latency_s[order], np.bincount(at, minlength=parts)
    first = np.cumsum(counts) - counts
    place = first + np.maximum(np.ceil(0.95 * counts - 1e-9).astype(np.int64) - 1, 0)
    return np.where(counts > 0, ordered[np.minimum(place, max(0, len(ordered) - 1))], nan) if len(ordered) else np.full(parts, nan)
