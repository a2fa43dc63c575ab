"""Reads a topic to its end, or on and on: records as values, and as lines for people."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

POLL_MS = 200
SHOWN_BYTES = 120


@dataclass(frozen=True, slots=True)
class Record:
    """One record as Kafka gave it. timestamp_ms: append or create time, as the topic says."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]

    def header(self, name: str) -> str | None:
        """The first header of that name as text; None when there is none or it is null."""
        for key, value in self.headers:
            if key == name:
                return None if value is None else value.decode(errors="replace")
        return None

    @property
    def event_id(self) -> str:
        return self.header("event-id") or f"{self.topic}-{self.partition}-{self.offset}"


class TopicReader:
    """Reads every partition of some topics from the beginning, committed records only, without a consumer group."""

    def __init__(self, topics: Sequence[str], client: Mapping[str, Any], *, from_end: bool = False) -> None:
        from kafka import KafkaConsumer, TopicPartition

        self._consumer = KafkaConsumer(
            **{
                "group_id": None,
                "enable_auto_commit": False,
                "isolation_level": "read_committed",
                "fetch_max_wait_ms": 100,
                "max_poll_records": 5000,
                "allow_auto_create_topics": False,
                **client,
            }
        )
        self._partitions = [
            TopicPartition(topic, number) for topic in topics for number in sorted(self._consumer.partitions_for_topic(topic) or ())
        ]
        missing = set(topics) - {p.topic for p in self._partitions}
        if missing:
            self._consumer.close()
            raise LookupError(f"no topic {', '.join(sorted(missing))}")
        self._consumer.assign(self._partitions)
        if from_end:
            self._consumer.seek_to_end()
        else:
            self._consumer.seek_to_beginning()

    def __enter__(self) -> TopicReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._consumer.close()

    def poll(self, timeout_ms: int = POLL_MS) -> list[Record]:
        """What has come since, possibly nothing."""
        found = self._consumer.poll(timeout_ms=timeout_ms)
        return [_record(raw) for records in found.values() for raw in records]

    def to_end(self) -> Iterator[Record]:
        """Everything that was committed when it was called."""
        ends = self._consumer.end_offsets(self._partitions)
        while any(self._consumer.position(p) < end for p, end in ends.items()):
            yield from self.poll()

    def follow(self, until: Callable[[], bool] = lambda: False) -> Iterator[Record]:
        """Everything, as it comes, until told to end."""
        while not until():
            yield from self.poll()


def _record(raw: Any) -> Record:
    return Record(
        raw.topic, raw.partition, raw.offset, raw.timestamp, raw.key, raw.value, tuple((k, v) for k, v in raw.headers or ())
    )


def shown(record: Record) -> str:
    """A record on one line: when, where, key, headers, value."""
    when = time.strftime("%H:%M:%S", time.gmtime(record.timestamp_ms / 1000)) + f".{record.timestamp_ms % 1000:03d}Z"
    headers = " ".join(f"{k}={_text(v)}" for k, v in record.headers)
    key = "" if record.key is None else f" key={_text(record.key)}"
    return f"{when} {record.topic}-{record.partition}@{record.offset}{key} [{headers}] {_text(record.value)}"


def _text(value: bytes | None) -> str:
    if value is None:
        return "null"
    try:
        text = value.decode()
    except UnicodeDecodeError:
        text = ""
    if not text.isprintable() or (value and not text):
        return f"<{len(value)} bytes>"
    return text if len(text) <= SHOWN_BYTES else text[:SHOWN_BYTES] + "..."
