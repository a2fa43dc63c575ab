"""One run over time, second by second of the trace, as the papers' figures show it.

    rate        events/s sent                  violations  share of those not in time, mean of SMOOTH_S seconds
    cost        held, in the problem's unit    cores       held, of all kinds of device
    accuracy    mean of what was answered of those sent then, %      latency     p99 of those sent then, s
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from autoscaler.planner.model import MEMORY
from simulator.cluster import COST
from simulator.outcome import Outcome
from simulator.simulation import Run

SMOOTH_S = 10

Series = dict[str, NDArray[np.float64]]


def series(run: Run) -> Series:
    """Each of shape (seconds,). For a run with records."""
    assert run.records is not None
    seconds, events = int(run.duration_s), run.records.events(0)
    at = np.minimum(events.sent_s.astype(np.int64), seconds - 1)
    sent = np.bincount(at, minlength=seconds)
    missed = np.bincount(at, weights=events.outcome != Outcome.IN_TIME, minlength=seconds)
    answered = events.outcome <= Outcome.LATE
    right = np.bincount(at[answered], weights=events.accuracy[answered], minlength=seconds)
    told = np.bincount(at[answered], minlength=seconds)
    latency = np.where(answered, events.finish_s - events.sent_s, np.nan)
    held = run.records.seconds[:seconds]
    return {
        "rate": sent.astype(float), "violations": _smoothed(missed) / np.maximum(_smoothed(sent), 1e-9),
        "cost": _padded([second.held.get(COST, 0.0) for second in held], seconds),
        "cores": _padded([sum(units for kind, units in second.held.items() if kind not in (COST, MEMORY)) for second in held], seconds),
        "accuracy": 100 * _smoothed(right) / np.maximum(_smoothed(told), 1e-9), "latency": _p99(at, latency, seconds),
    }


def _smoothed(values: NDArray) -> NDArray[np.float64]:
    return np.convolve(values.astype(float), np.ones(SMOOTH_S), "same")


def _padded(values: list[float], seconds: int) -> NDArray[np.float64]:
    return np.pad(np.array(values, float), (0, seconds - len(values)), constant_values=np.nan)


def _p99(at: NDArray[np.int64], latency: NDArray[np.float64], seconds: int) -> NDArray[np.float64]:
    found = np.full(seconds, np.nan)
    order = np.argsort(at, kind="stable")
    starts = np.searchsorted(at[order], np.arange(seconds + 1))
    for second in range(seconds):
        values = np.sort(latency[order[starts[second] : starts[second + 1]]])
        if len(values) and not np.isnan(values).all():
            values = values[~np.isnan(values)]
            found[second] = values[int(np.ceil(0.99 * len(values))) - 1]
    return found
