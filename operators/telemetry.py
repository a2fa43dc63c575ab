"""What a stage did: counters and latency histograms, and from them one record a second (docs/design.md, "Telemetry").

Everything is added by batch or by request, never by row: the rows of a request that are answered together share their times.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from math import log
from typing import Any

import numpy as np
from numpy.typing import NDArray

from operators.actions import Answer, Batch, Setting
from operators.lanes import Lane, Lanes
from operators.operator import Variant
from operators.scatter import Slices
from operators.service_time import ServiceTime

LEAST_MS = 0.01
RATIO = 1.05  # of a histogram's neighbouring bounds: a quantile is right to 5 %
BINS = 400  # up to 0.01 ms * 1.05^400 = 50 min
_LOG_RATIO = log(RATIO)
PROXY_FORGOTTEN_S = 10.0
PROXIES_MAX = 1024
PROXY_NAME_MAX = 256  # characters
VERSIONS_KEPT = 32  # versions whose own counters are kept; those of older ones go into one


class Histogram:
    """Of durations in ms, log-spaced; counts only grow."""

    def __init__(self) -> None:
        self.counts = np.zeros(BINS, np.int64)
        self.sum_ms = 0.0

    def add(self, value_ms: float, count: int) -> None:
        at = int(log(value_ms / LEAST_MS) / _LOG_RATIO) if value_ms > LEAST_MS else 0
        self.counts[min(at, BINS - 1)] += count
        self.sum_ms += value_ms * count

    def add_all(self, other: Histogram) -> None:
        self.counts += other.counts
        self.sum_ms += other.sum_ms


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

    def sent(self, batch: Batch) -> None:
        self.batches += 1
        self.batch_rows += batch.rows
        self.released[batch.reason] += 1

    def answer(self, answer: Answer) -> None:
        self.answered += len(answer.run) - len(answer.reasons)
        self.late += answer.late
        self.failed += answer.failed
        self.expired += len(answer.reasons) - answer.failed

    def plus(self, other: Tally, sign: int = 1) -> Tally:
        counts = {name: getattr(self, name) + sign * getattr(other, name) for name in COUNTS}
        return Tally(**counts, released={reason: number + sign * other.released[reason] for reason, number in self.released.items()})


COUNTS = tuple(found.name for found in fields(Tally) if found.name != "released")


class Ledger:
    """What one version did. Every row counts in the ledger of the version that answered it, or would have."""

    def __init__(self) -> None:
        self.tally = Tally()
        self.queue_ms, self.compute_ms, self.total_ms = Histogram(), Histogram(), Histogram()
        self.parts = Histogram()
        """Time in the service, one for the rows of a request that were answered together: these are nearly independent, rows are not."""
        self.batch_ms: dict[int, tuple[int, float]] = {}
        """Batches that were computed, by their rows: how many, and for how long in all."""
        self.answered_at: float | None = None

    @property
    def histograms(self) -> tuple[Histogram, Histogram, Histogram]:
        return self.queue_ms, self.compute_ms, self.total_ms

    def sent(self, batch: Batch) -> None:
        self.tally.sent(batch)

    def answer(self, answer: Answer, now: float) -> None:
        self.tally.answer(answer)
        self.answered_at = now
        answered = len(answer.run) - len(answer.reasons)
        rows = _rows_of_batch(answer)
        if rows is not None and answer.result is not None:
            count, spent_ms = self.batch_ms.get(rows, (0, 0.0))
            self.batch_ms[rows] = count + 1, spent_ms + answer.result.compute_s * 1e3
        if answered and answer.result is not None:
            total_ms = (now - answer.run.arrived) * 1e3
            self.queue_ms.add(answer.queue_s * 1e3, answered)
            self.compute_ms.add(answer.result.compute_s * 1e3, answered)
            self.total_ms.add(total_ms, answered)
            self.parts.add(total_ms, 1)

    def add_all(self, other: Ledger) -> None:
        self.tally = self.tally.plus(other.tally)
        for mine, theirs in zip((*self.histograms, self.parts), (*other.histograms, other.parts), strict=True):
            mine.add_all(theirs)
        for rows, (count, spent_ms) in other.batch_ms.items():
            mine_count, mine_ms = self.batch_ms.get(rows, (0, 0.0))
            self.batch_ms[rows] = mine_count + count, mine_ms + spent_ms
        times = [at for at in (self.answered_at, other.answered_at) if at is not None]
        self.answered_at = max(times, default=None)


class StageTelemetry:
    """answered counts rows with an answer (late ones too); failed and expired come beside it. Copies for a shadow count apart from all."""

    def __init__(self, pipeline: str, stage: str, slo_ms: float) -> None:
        self.pipeline, self.stage, self.slo_ms = pipeline, stage, slo_ms
        self.tally = Tally()
        self.ledgers: dict[tuple[str, str], Ledger] = {}
        """By variant and version."""
        self.last: dict[str, Any] | None = None
        self.copies = Ledger()
        """Of the shadow lane, if there is one."""
        self.scatter = Slices()
        self.spent_ms = Histogram()
        """Of the SLO, used by rows when they arrived here; those of a request count as its most urgent one."""
        self._older = Ledger()
        self._sequence = 0
        self._before = Tally()
        self._counts = [np.zeros(BINS, np.int64)] * 4
        self._lanes_before: dict[tuple[str, str], tuple[Tally, NDArray[np.int64]]] = {}
        self._at: float | None = None
        self._proxies: dict[str, tuple[float, dict[str, int]]] = {}

    @property
    def queue_ms(self) -> Histogram:
        return self._whole()[0]

    @property
    def compute_ms(self) -> Histogram:
        return self._whole()[1]

    @property
    def total_ms(self) -> Histogram:
        return self._whole()[2]

    def arrived(self, rows: int, least_left_s: float) -> None:
        """least_left_s: until the first deadline of these rows, negative when it has passed."""
        self.tally.arrivals += rows
        self.spent_ms.add(max(0.0, self.slo_ms - least_left_s * 1e3), rows)

    def sent(self, batch: Batch, variant: Variant) -> None:
        self.tally.sent(batch)
        self.ledger(variant).sent(batch)

    def answer(self, answer: Answer, now: float) -> None:
        ledger = self.ledger(answer.variant)
        self.tally.answer(answer)
        ledger.answer(answer, now)

    def copied(self, answer: Answer, now: float) -> None:
        self.copies.answer(answer, now)

    def ledger(self, variant: Variant) -> Ledger:
        found = self.ledgers.get(variant.served)
        if found is None:
            if len(self.ledgers) >= VERSIONS_KEPT:
                oldest = min(self.ledgers, key=lambda version: self.ledgers[version].answered_at or 0.0)
                self._older.add_all(self.ledgers.pop(oldest))
            found = self.ledgers[variant.served] = Ledger()
        return found

    def proxy(self, name: str, counters: dict[str, int], now: float) -> None:
        if len(self._proxies) < PROXIES_MAX or name in self._proxies:
            self._proxies[name[:PROXY_NAME_MAX]] = (now, counters)

    @property
    def proxies(self) -> int:
        """How many told of themselves of late, at least one."""
        return max(1, len(self._proxies))

    def record(self, lanes: Lanes, now: float, at_ms: int) -> dict[str, Any]:
        """The record of the time since the last one."""
        counts = [*(histogram.counts for histogram in self._whole()), self.spent_ms.counts.copy()]
        queue_ms, compute_ms, total_ms, spent_ms = (quantiles(new - old) for new, old in zip(counts, self._counts, strict=True))
        self._proxies = {name: seen for name, seen in self._proxies.items() if now - seen[0] < PROXY_FORGOTTEN_S}
        self.last = {
            "pipeline": self.pipeline,
            "stage": self.stage,
            "sequence": self._sequence,
            "at_ms": at_ms,
            "interval_s": round(now - self._at, 6) if self._at is not None else 0.0,
            "slo_ms": self.slo_ms,
            **_interval(self.tally, self._before),
            "queued": lanes.queued,
            "aside": lanes.aside,
            "in_flight": lanes.in_flight,
            "queue_ms": queue_ms,
            "compute_ms": compute_ms,
            "total_ms": total_ms,
            "spent_ms": spent_ms,
            "service_time": _service_time(lanes.service_time),
            "setting": setting_of(lanes),
            "lanes": [self._lane(lane) for lane in lanes.lanes],
            "replicas_ready": lanes.ready,
            "proxies": {name: counters for name, (_, counters) in self._proxies.items()},
            "scatter": self.scatter.take(),
        }
        self._sequence += 1
        self._at, self._counts = now, counts
        self._before = self.tally.plus(Tally())
        self._lanes_before = {key: (ledger.tally.plus(Tally()), ledger.total_ms.counts.copy()) for key, ledger in self.ledgers.items()}
        return self.last

    def current(self, lanes: Lanes) -> dict[str, Any]:
        """The last record, with what is known better by now."""
        now = {"queued": lanes.queued, "in_flight": lanes.in_flight, "setting": setting_of(lanes), "replicas_ready": lanes.ready}
        return {"pipeline": self.pipeline, "stage": self.stage, **(self.last or {}), **now, "lanes": [self._lane(lane) for lane in lanes.lanes]}

    def _whole(self) -> list[Histogram]:
        whole = Ledger()
        for ledger in (self._older, *self.ledgers.values()):
            whole.add_all(ledger)
        return list(whole.histograms)

    def _lane(self, lane: Lane) -> dict[str, Any]:
        """A lane now, and what its version did since the last record."""
        ledger = self.ledger(lane.variant)
        tally, counts = self._lanes_before.get(lane.variant.served, (Tally(), np.zeros(BINS, np.int64)))
        stage = lane.stage
        return {
            **_described(stage.setting),
            "share": lane.share,
            "state": _state(lane),
            "ready": stage.ready,
            "queued": stage.queued,
            "in_flight": stage.in_flight,
            **{name: value for name, value in _interval(ledger.tally, tally).items() if name in ("answered", "late", "failed", "expired", "batches")},
            "total_ms": quantiles(ledger.total_ms.counts - counts),
            "service_time": _service_time(stage.service_time),
        }


def _rows_of_batch(answer: Answer) -> int | None:
    """Of the batch that a replica computed, told by the last of its answers; None by the others."""
    if answer.result is None or answer.result.payload is None or answer.part + 1 < len(answer.result.payload.sizes):
        return None
    return answer.first + len(answer.run)


def _interval(now: Tally, before: Tally) -> dict[str, Any]:
    since = asdict(now.plus(before, -1))
    released = since.pop("released")
    return {**since, "released": released}


def _state(lane: Lane) -> str:
    if lane.leaving:
        return "leaving"
    if not lane.proven:
        return "loading"
    return "shadow" if lane.shadow else "serving"


def _service_time(learned: ServiceTime) -> Mapping[str, float] | None:
    if learned.fixed_s is None or learned.per_row_s is None:
        return None
    return {"fixed_ms": learned.fixed_s * 1e3, "per_row_ms": learned.per_row_s * 1e3}


def setting_of(lanes: Lanes) -> dict[str, Any]:
    """The primary lane's setting, which is the stage's while it has one lane, and all wanted lanes with their shares."""
    wanted = [{**_described(one.setting), "share": one.share, "shadow": one.shadow} for one in lanes.settings]
    return {**_described(lanes.setting), "window": lanes.setting.window, "spares": lanes.setting.spares, "lanes": wanted}


def _described(setting: Setting) -> dict[str, Any]:
    return {
        "variant": setting.variant.name,
        "version": setting.variant.version,
        "batch": setting.batch,
        "cores": setting.cores,
        "replicas": setting.replicas,
    }
