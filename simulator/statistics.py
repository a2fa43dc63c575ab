"""The figures of a run, each row as the comparisons print it.

    goodput        events answered in time per second of the trace
    violations     events not in time, as a share of all; of these late, lost (expired, failed, incomplete, unfinished), and unavoidable: those
                   that no configuration could have met, counted in late or lost too
    p50, p95, p99  from sending to the answer, s; an event without an answer is infinitely late
    accuracy       mean over the answered events; over all, one without an answer scoring 0
    allocated      unit-seconds held until the trace's end, spares and loading replicas among them; used: in batches

From records they are exact. Of a run without records, percentiles are the tally's (within 1 %).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, inf, nan

import numpy as np
from numpy.typing import NDArray

from simulator.outcome import Outcome
from simulator.records import Events
from simulator.simulation import Run
from simulator.tally import Tally


@dataclass(frozen=True, slots=True)
class Latencies:
    p50_s: float
    p95_s: float
    p99_s: float


@dataclass(frozen=True, slots=True)
class Statistics:
    """Shares are of all events; accuracy_answered is None where nothing was answered."""

    events: int
    goodput: float
    violation_share: float
    late_share: float
    lost_share: float
    unavoidable_share: float
    latencies: Latencies
    accuracy_answered: float | None
    accuracy_all: float
    allocated_s: dict[str, float]
    used_s: float
    actions: int
    decisions: int
    decision_s: float


def statistics(run: Run) -> Statistics:
    tally, events = run.tally, max(1, run.tally.events)
    in_time, late = (int(tally.outcomes[one]) for one in (Outcome.IN_TIME, Outcome.LATE))
    lost = tally.events - in_time - late
    latencies = _tallied(tally) if run.records is None else latencies_of(run.records.events(0))
    return Statistics(tally.events, in_time / max(run.duration_s, 1e-300), (late + lost) / events, late / events, lost / events,
                      tally.unavoidable / events, latencies, tally.accuracy / tally.answered if tally.answered else None,
                      tally.accuracy / events, run.held_s, run.used_s, run.actions, run.decisions, run.decision_s)


def latencies_of(events: Events) -> Latencies:
    """Exact: the least latency that the share of all events kept to."""
    latency = np.sort(np.where(events.outcome <= Outcome.LATE, events.finish_s - events.sent_s, inf))
    return Latencies(*(float(latency[ceil(share * len(latency) - 1e-9) - 1]) if len(latency) else nan for share in (0.5, 0.95, 0.99)))


def violations_by_second(events: Events, seconds: int) -> NDArray[np.float64]:
    """Share of the events sent in each second that were not in time; nan where none was sent. shape (seconds,)"""
    at = np.minimum(events.sent_s.astype(np.int64), seconds - 1)
    sent = np.bincount(at, minlength=seconds)
    missed = np.bincount(at, weights=events.outcome != Outcome.IN_TIME, minlength=seconds)
    return np.where(sent > 0, missed / np.maximum(sent, 1), nan)


def _tallied(tally: Tally) -> Latencies:
    return Latencies(*(tally.percentile_s(share) for share in (0.5, 0.95, 0.99)))
