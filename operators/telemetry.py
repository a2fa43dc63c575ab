"""What a stage did: counters and latency histograms, and from them one record a second (docs/design.md, "Telemetry").

Everything is added by batch or by request, never by row: the rows of a request that are answered together share their times.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from math import log
from typing import Any

import numpy as np
from numpy.typing import NDArray

from operators.actions import Answer, Batch
from operators.stage import Stage

LEAST_MS = 0.01
RATIO = 1.05  # of a histogram's neighbouring bounds: a quantile is right to 5 %
BINS = 400  # up to 0.01 ms * 1.05^400 = 50 min
_LOG_RATIO = log(RATIO)
PROXY_FORGOTTEN_S = 10.0


class Histogram:
    """Of durations in ms, log-spaced; counts only grow."""

    def __init__(self) -> None:
        self.counts = np.zeros(BINS, np.int64)
        self.sum_ms = 0.0

    def add(self, value_ms: float, count: int) -> None:
        at = int(log(value_ms / LEAST_MS) / _LOG_RATIO) if value_ms > LEAST_MS else 0
        self.counts[min(at, BINS - 1)] += count
        self.sum_ms += value_ms * count


def quantiles(counts: NDArray[np.int64]) -> dict[str, float] | None:
    """p50, p95 and p99 in ms: upper bounds of the bins they fall in."""
    total = int(counts.sum())
    if not total:
        return None
    cumulative = np.cumsum(counts)
    ranks = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
    return {name: round(LEAST_MS * RATIO ** (int(np.searchsorted(cumulative, rank * total)) + 1), 4) for name, rank in ranks.items()}


@dataclass(slots=True)
class Tally:
    """Rows and batches since the start."""

    arrivals: int = 0
    answered: int = 0
    late: int = 0
    failed: int = 0
    expired: int = 0
    batches: int = 0
    batch_rows: int = 0
    released: dict[str, int] = field(default_factory=lambda: dict.fromkeys(("full", "deadline", "idle", "flush"), 0))
    replica_restarts: int = 0


class StageTelemetry:
    """answered counts rows with an answer (late ones too); failed and expired come beside it."""

    def __init__(self, pipeline: str, stage: str, slo_ms: float) -> None:
        self.pipeline, self.stage, self.slo_ms = pipeline, stage, slo_ms
        self.tally = Tally()
        self.queue_ms, self.compute_ms, self.total_ms = Histogram(), Histogram(), Histogram()
        self.answered_at: float | None = None
        """When rows were answered last, by the service's clock."""
        self.last: dict[str, Any] | None = None
        self._sequence = 0
        self._before = Tally()
        self._counts = [np.zeros(BINS, np.int64)] * 3
        self._at: float | None = None
        self._proxies: dict[str, tuple[float, dict[str, int]]] = {}

    def arrived(self, rows: int) -> None:
        self.tally.arrivals += rows

    def sent(self, batch: Batch) -> None:
        tally = self.tally
        tally.batches += 1
        tally.batch_rows += batch.rows
        tally.released[batch.reason] += 1

    def answer(self, answer: Answer, now: float) -> None:
        tally, rows = self.tally, len(answer.run)
        answered = rows - len(answer.reasons)
        tally.answered += answered
        tally.late += answer.late
        tally.failed += answer.failed
        tally.expired += len(answer.reasons) - answer.failed
        self.answered_at = now
        if answered and answer.result is not None:
            self.queue_ms.add(answer.queue_s * 1e3, answered)
            self.compute_ms.add(answer.result.compute_s * 1e3, answered)
            self.total_ms.add((now - answer.run.arrived) * 1e3, answered)

    def proxy(self, name: str, counters: dict[str, int], now: float) -> None:
        self._proxies[name] = (now, counters)

    def record(self, stage: Stage, now: float, at_ms: int) -> dict[str, Any]:
        """The record of the time since the last one."""
        histograms = (self.queue_ms, self.compute_ms, self.total_ms)
        counts = [histogram.counts.copy() for histogram in histograms]
        queue_ms, compute_ms, total_ms = (quantiles(new - old) for new, old in zip(counts, self._counts, strict=True))
        self._proxies = {name: seen for name, seen in self._proxies.items() if now - seen[0] < PROXY_FORGOTTEN_S}
        self.last = {
            "pipeline": self.pipeline,
            "stage": self.stage,
            "sequence": self._sequence,
            "at_ms": at_ms,
            "interval_s": round(now - self._at, 6) if self._at is not None else 0.0,
            "slo_ms": self.slo_ms,
            **self._interval(),
            "queued": stage.queued,
            "in_flight": stage.in_flight,
            "queue_ms": queue_ms,
            "compute_ms": compute_ms,
            "total_ms": total_ms,
            "service_time": _service_time(stage),
            "setting": setting_of(stage),
            "replicas_ready": stage.ready,
            "proxies": {name: counters for name, (_, counters) in self._proxies.items()},
        }
        self._sequence += 1
        self._at, self._counts = now, counts
        self._before = Tally(**asdict(self.tally))
        return self.last

    def current(self, stage: Stage) -> dict[str, Any]:
        """The last record, with what is known better by now."""
        now = {"queued": stage.queued, "in_flight": stage.in_flight, "setting": setting_of(stage), "replicas_ready": stage.ready}
        return {"pipeline": self.pipeline, "stage": self.stage, **(self.last or {}), **now}

    def _interval(self) -> dict[str, Any]:
        now, before = asdict(self.tally), asdict(self._before)
        released = {reason: count - before["released"][reason] for reason, count in now.pop("released").items()}
        return {**{name: count - before[name] for name, count in now.items()}, "released": released}


def _service_time(stage: Stage) -> Mapping[str, float] | None:
    fixed, per_row = stage.service_time.fixed_s, stage.service_time.per_row_s
    if fixed is None or per_row is None:
        return None
    return {"fixed_ms": fixed * 1e3, "per_row_ms": per_row * 1e3}


def setting_of(stage: Stage) -> dict[str, Any]:
    setting = stage.setting
    return {
        "variant": setting.variant.name,
        "version": setting.variant.version,
        "batch": setting.batch,
        "cores": setting.cores,
        "replicas": setting.replicas,
        "window": setting.window,
    }
