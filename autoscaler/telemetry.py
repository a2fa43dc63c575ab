"""What a stage says of itself once a second, and the last seconds of it.

`parse` turns one record of the telemetry topic (docs/design.md, "The service") into a `StageTelemetry` or raises `WrongRecord`
with the reason it is counted under. `StageWindow` keeps the records of the last seconds in the order they were taken. A window
reads no clock: `now_s` is Unix time in seconds, the scale of the records' own `at_ms`.
"""

from __future__ import annotations

import bisect
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from statistics import median

CLOCK_AHEAD_S = 5.0  # a record taken further in the future than this comes from a wrong clock and would outlive every other
SHORTEST_BATCH_MS = 1e-6  # keeps a capacity finite where the clock saw no time pass
SPENT_S = 5.0  # of what rows used on the way, so many seconds
SHORTEST_INTERVAL_S = 0.2  # a rate over less than this is noise


class WrongRecord(ValueError):
    """A telemetry record that cannot be used: its writer's fault, never worth a retry. reason: the word it is counted under."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason


class Outcome(StrEnum):
    """What became of a well-formed record. LATE: out of order but still of use. EXPIRED: older than the window."""

    ACCEPTED = "accepted"
    LATE = "late"
    REPEATED = "repeated"
    EXPIRED = "expired"
    FUTURE = "future"


@dataclass(frozen=True, slots=True)
class Quantiles:
    """Milliseconds."""

    p50: float
    p95: float
    p99: float


@dataclass(frozen=True, slots=True)
class LearnedTime:
    """l(b) = fixed_ms + per_row_ms * b, of a batch of b rows on one replica."""

    fixed_ms: float
    per_row_ms: float

    def batch_ms(self, rows: int) -> float:
        return self.fixed_ms + self.per_row_ms * rows

    def capacity_rps(self, batch: int) -> float:
        """Rows/s of one replica that runs full batches."""
        return batch * 1000.0 / max(self.batch_ms(batch), SHORTEST_BATCH_MS)


@dataclass(frozen=True, slots=True)
class StageSetting:
    """variant and version: None when the stage has none. batch, window: rows. cores: of one replica."""

    variant: str | None
    version: str | None
    batch: int
    cores: float
    replicas: int
    window: int


@dataclass(frozen=True, slots=True)
class Lane:
    """One variant and version of a stage. share: of the rows. state: serving, loading, leaving or shadow. ready: replicas that serve."""

    variant: str
    version: str | None
    batch: int
    cores: float
    replicas: int
    share: float
    state: str
    ready: int

    @property
    def is_wanted(self) -> bool:
        """It takes rows, or will once it has loaded."""
        return self.state in ("serving", "loading")


@dataclass(frozen=True, slots=True)
class ProxyCounters:
    """Rows, of one subtask of the job. received: since it started; in_flight: unanswered; waiting: those of them that are not sent yet."""

    received: int
    in_flight: int
    waiting: int

    @property
    def sent(self) -> int:
        """Sent and unanswered: what the window bounds."""
        return max(0, self.in_flight - self.waiting)


@dataclass(frozen=True, slots=True)
class Released:
    """Batches by why they left."""

    full: int
    deadline: int
    idle: int
    flush: int


@dataclass(frozen=True, slots=True)
class StageTelemetry:
    """One interval of one stage; fields and units as in docs/design.md. Quantiles are None when no row was answered."""

    pipeline: str
    stage: str
    sequence: int
    at_ms: int
    interval_s: float
    slo_ms: float
    arrivals: int
    answered: int
    late: int
    failed: int
    expired: int
    queued: int
    in_flight: int
    queue_ms: Quantiles | None
    compute_ms: Quantiles | None
    total_ms: Quantiles | None
    batches: int
    batch_rows: int
    released: Released
    service_time: LearnedTime | None
    setting: StageSetting
    replicas_ready: int
    replica_restarts: int
    proxies: Mapping[str, ProxyCounters]
    lanes: tuple[Lane, ...] = ()
    aside: int = 0
    """Of the queued rows, those that can no longer be in time."""
    scatter: tuple[tuple[float, float, int], ...] = ()
    """Slices of about 100 ms: rows in the service that are not set aside, rows/s answered, replicas ready."""
    spent_ms: Quantiles | None = None
    """Of the SLO, that rows had used when they arrived."""

    @property
    def at_s(self) -> float:
        return self.at_ms / 1000.0

    @property
    def arrival_rps(self) -> float:
        return self.arrivals / max(self.interval_s, SHORTEST_INTERVAL_S)

    @property
    def backlog_rows(self) -> int:
        """Rows that arrived and that no replica has taken up: in the service's queue and in the proxies."""
        return self.queued + sum(proxy.waiting for proxy in self.proxies.values())

    @property
    def capacity_rps(self) -> float | None:
        """Rows/s that the ready replicas carry with full batches; None until the service has learned its times."""
        return None if self.service_time is None else self.replicas_ready * self.service_time.capacity_rps(self.setting.batch)

    @property
    def busy_share(self) -> float | None:
        """0..1, share of the ready replicas' time that the interval's batches took."""
        if self.service_time is None or not self.replicas_ready:
            return None
        busy_ms = self.batches * self.service_time.fixed_ms + self.batch_rows * self.service_time.per_row_ms
        return min(1.0, busy_ms / (1000.0 * max(self.interval_s, SHORTEST_INTERVAL_S) * self.replicas_ready))

    @property
    def violation_share(self) -> float:
        """0..1, of the rows that ended in the interval or will be late: late, expired or failed."""
        ended = self.answered + self.expired + self.failed + self.aside
        return min(1.0, (self.late + self.expired + self.failed + self.aside) / ended) if ended else 0.0


def parse(value: bytes | str | None) -> StageTelemetry:
    """The record in that message; `WrongRecord` when it is not one. Fields it does not know are ignored."""
    try:
        record = json.loads(value or b"", parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise WrongRecord("malformed", str(error)) from error
    return parse_record(record)


def parse_record(record: object) -> StageTelemetry:
    """The same of a decoded JSON value, as the service's HTTP answers hold it."""
    fields = _Fields("", record)
    return StageTelemetry(
        pipeline=fields.name("pipeline"), stage=fields.name("stage"), sequence=fields.count("sequence"), at_ms=fields.count("at_ms"),
        interval_s=fields.number("interval_s"), slo_ms=fields.above_zero("slo_ms"), arrivals=fields.count("arrivals"),
        answered=fields.count("answered"), late=fields.count("late"), failed=fields.count("failed"), expired=fields.count("expired"),
        queued=fields.count("queued"), in_flight=fields.count("in_flight"),
        queue_ms=_quantiles(fields, "queue_ms"), compute_ms=_quantiles(fields, "compute_ms"), total_ms=_quantiles(fields, "total_ms"),
        batches=fields.count("batches"), batch_rows=fields.count("batch_rows"), released=_released(fields.group("released")),
        service_time=_learned(fields), setting=_setting(fields.group("setting")), replicas_ready=fields.count("replicas_ready"),
        replica_restarts=fields.count("replica_restarts"), proxies=_proxies(fields.group("proxies")), lanes=_lanes(fields),
        aside=fields.count("aside") if "aside" in fields.names() else 0, scatter=_scatter(fields),
        spent_ms=_quantiles(fields, "spent_ms") if "spent_ms" in fields.names() else None)


def parse_lanes(record: object) -> tuple[Lane, ...]:
    """Those of a stage's whole record, as `GET /sluice/v1/stages` has them; none where it names none."""
    return _lanes(_Fields("", record))


def parse_setting(record: object) -> StageSetting:
    """The setting that `GET` and `PATCH /sluice/v1/stages/{stage}` answer with."""
    return _setting(_Fields("setting.", record))


def _no_constant(name: str) -> object:
    raise ValueError(f"{name} is not JSON")


class _Fields:
    """A JSON object whose fields are read one by one, each with its check."""

    def __init__(self, path: str, record: object) -> None:
        if not isinstance(record, dict):
            raise WrongRecord("type" if path else "malformed", f"{path or 'the record '}is {type(record).__name__}, not an object")
        self._path, self._record = path, record

    def names(self) -> Iterable[str]:
        return self._record.keys()

    def raw(self, key: str) -> object:
        if key not in self._record:
            raise WrongRecord("missing", self._path + key)
        return self._record[key]

    def group(self, key: str) -> _Fields:
        return _Fields(f"{self._path}{key}.", self.raw(key))

    def groups(self, key: str) -> list[_Fields]:
        """The objects in the list under `key`; none where it is absent."""
        listed = self._record.get(key, [])
        if not isinstance(listed, list):
            raise self._wrong("type", key, "a list")
        return [_Fields(f"{self._path}{key}[{number}].", item) for number, item in enumerate(listed)]

    def name_or_empty(self, key: str) -> str | None:
        """None for empty text too: a version that is still open."""
        return None if self.raw(key) == "" else self.name_or_none(key)

    def name(self, key: str) -> str:
        value = self.raw(key)
        if not isinstance(value, str):
            raise self._wrong("type", key, "text")
        if not value:
            raise self._wrong("range", key, "not empty")
        return value

    def name_or_none(self, key: str) -> str | None:
        return None if self.raw(key) is None else self.name(key)

    def number(self, key: str) -> float:
        value = self.raw(key)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self._wrong("type", key, "a number")
        if not 0 <= value < math.inf:
            raise self._wrong("range", key, "0 or more")
        return float(value)

    def above_zero(self, key: str) -> float:
        value = self.number(key)
        if value == 0:
            raise self._wrong("range", key, "above 0")
        return value

    def count(self, key: str, least: int = 0) -> int:
        value = self.raw(key)
        if isinstance(value, bool) or not isinstance(value, int):
            raise self._wrong("type", key, "a whole number")
        if not least <= value < 2**63:
            raise self._wrong("range", key, f"{least} or more")
        return value

    def _wrong(self, reason: str, key: str, must: str) -> WrongRecord:
        return WrongRecord(reason, f"{self._path}{key} is {self._record[key]!r:.80}; it must be {must}")


def _quantiles(fields: _Fields, key: str) -> Quantiles | None:
    if fields.raw(key) is None:
        return None
    group = fields.group(key)
    if all(group.raw(quantile) is None for quantile in ("p50", "p95", "p99")):
        return None
    return Quantiles(group.number("p50"), group.number("p95"), group.number("p99"))


def _learned(fields: _Fields) -> LearnedTime | None:
    if fields.raw("service_time") is None:
        return None
    group = fields.group("service_time")
    if group.raw("fixed_ms") is None or group.raw("per_row_ms") is None:
        return None
    return LearnedTime(group.number("fixed_ms"), group.number("per_row_ms"))


def _released(group: _Fields) -> Released:
    return Released(group.count("full"), group.count("deadline"), group.count("idle"), group.count("flush"))


def _setting(group: _Fields) -> StageSetting:
    return StageSetting(
        variant=group.name_or_none("variant"), version=group.name_or_none("version"), batch=group.count("batch", 1),
        cores=_cores(group), replicas=group.count("replicas"), window=group.count("window"))


def _cores(group: _Fields) -> float:
    """A whole number as int."""
    cores = group.above_zero("cores")
    return int(cores) if cores == int(cores) else cores


def _lanes(fields: _Fields) -> tuple[Lane, ...]:
    return tuple(
        Lane(lane.name("variant"), lane.name_or_empty("version"), lane.count("batch", 1), _cores(lane), lane.count("replicas"),
             lane.number("share"), lane.name("state"), lane.count("ready"))
        for lane in fields.groups("lanes"))


def _scatter(fields: _Fields) -> tuple[tuple[float, float, int], ...]:
    return tuple((one.number("rows"), one.number("rate"), one.count("ready")) for one in fields.groups("scatter"))


def _proxies(group: _Fields) -> dict[str, ProxyCounters]:
    proxies = {}
    for name in group.names():
        counters = group.group(name)
        proxies[name] = ProxyCounters(counters.count("received"), counters.count("in_flight"), counters.count("waiting"))
    return proxies


class StageWindow:
    """The records of one stage taken within the last `length_s`.

    Sequence numbers rise by one a record; a lower one taken later than all before is a service that started again. missing: records
    the sequence skipped, counted when the next one came (one that then does come is counted as late as well).
    """

    def __init__(self, length_s: float) -> None:
        self.length_s = length_s
        self.missing = 0
        self.counts: dict[Outcome, int] = dict.fromkeys(Outcome, 0)
        self._records: list[StageTelemetry] = []
        self._newest: StageTelemetry | None = None

    def observe(self, record: StageTelemetry, now_s: float) -> Outcome:
        """Takes the record in, unless it is of no use; says which."""
        outcome = self._place(record, now_s)
        self.counts[outcome] += 1
        return outcome

    def _place(self, record: StageTelemetry, now_s: float) -> Outcome:
        if record.at_s > now_s + CLOCK_AHEAD_S:
            return Outcome.FUTURE
        if record.at_s < now_s - self.length_s:
            return Outcome.EXPIRED
        if any(record.sequence == seen.sequence and record.at_ms == seen.at_ms for seen in self._records):
            return Outcome.REPEATED
        newest = self._newest
        if newest is None or record.at_ms > newest.at_ms:
            if newest is not None and record.sequence == newest.sequence:
                return Outcome.REPEATED
            if newest is not None:
                self.missing += max(0, record.sequence - newest.sequence - 1)
            self._newest = record
            self._records = [*self.records(now_s), record]
            return Outcome.ACCEPTED
        bisect.insort(self._records, record, key=lambda seen: seen.at_ms)
        return Outcome.LATE

    def records(self, now_s: float) -> list[StageTelemetry]:
        """Oldest first."""
        return [record for record in self._records if record.at_s >= now_s - self.length_s]

    @property
    def latest(self) -> StageTelemetry | None:
        """The newest record ever, however old by now."""
        return self._newest

    def staleness_s(self, now_s: float) -> float | None:
        """Age of the newest record; None while there is none."""
        return None if self._newest is None else max(0.0, now_s - self._newest.at_s)

    def arrival_rps(self, now_s: float) -> float | None:
        """Mean rate over the records' own intervals."""
        return self._mean_rps([record.arrivals for record in self.records(now_s)], now_s)

    def peak_arrival_rps(self, now_s: float) -> float | None:
        return max((record.arrival_rps for record in self.records(now_s)), default=None)

    def answered_rps(self, now_s: float) -> float | None:
        return self._mean_rps([record.answered for record in self.records(now_s)], now_s)

    def _mean_rps(self, rows: list[int], now_s: float) -> float | None:
        seconds = sum(record.interval_s for record in self.records(now_s))
        return sum(rows) / max(seconds, SHORTEST_INTERVAL_S) if rows else None

    def released(self, now_s: float) -> Released:
        """Batches of the window by why they left."""
        seen = [record.released for record in self.records(now_s)]
        return Released(*(sum(getattr(one, name) for one in seen) for name in Released.__slots__))

    def spent_ms(self, now_s: float) -> float | None:
        """What rows had used of their SLO on the way here: the median of the last seconds' p95s, so that one bad second moves nothing. Not of records
        in which rows waited in a proxy, or came late already: that is time that more capacity gives back, or that nothing does."""
        seen = [record.spent_ms.p95 for record in self.records(now_s)
                if record.spent_ms is not None and record.at_s >= now_s - SPENT_S
                and record.spent_ms.p95 < record.slo_ms and not any(proxy.waiting for proxy in record.proxies.values())]
        return median(seen) if seen else None

    def mean_batch_rows(self, now_s: float) -> float | None:
        records = self.records(now_s)
        batches = sum(record.batches for record in records)
        return sum(record.batch_rows for record in records) / batches if batches else None

    def violation_share(self, now_s: float) -> float:
        """0..1, of the rows that ended in the window or will be late: late, expired or failed."""
        records = self.records(now_s)
        aside = records[-1].aside if records else 0
        ended = sum(record.answered + record.expired + record.failed for record in records) + aside
        return min(1.0, (sum(record.late + record.expired + record.failed for record in records) + aside) / ended) if ended else 0.0

    def by_concurrency(self, now_s: float) -> dict[int, float]:
        """Mean answered rows/s by rows in flight or queued, these to the next power of two upwards: what more of them bring."""
        found: dict[int, list[float]] = {}
        for record in self.records(now_s):
            rows = record.in_flight + record.queued
            found.setdefault(1 << max(0, rows - 1).bit_length(), []).append(record.answered / max(record.interval_s, SHORTEST_INTERVAL_S))
        return {rows: sum(rates) / len(rates) for rows, rates in sorted(found.items())}

    def worst_total_ms(self, now_s: float) -> Quantiles | None:
        """The largest of each quantile: an upper bound of the window's own, which the records do not hold."""
        return _worst(record.total_ms for record in self.records(now_s))

    def worst_queue_ms(self, now_s: float) -> Quantiles | None:
        return _worst(record.queue_ms for record in self.records(now_s))


def _worst(seen: Iterable[Quantiles | None]) -> Quantiles | None:
    known = [quantiles for quantiles in seen if quantiles is not None]
    if not known:
        return None
    return Quantiles(max(q.p50 for q in known), max(q.p95 for q in known), max(q.p99 for q in known))
