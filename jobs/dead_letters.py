"""Dead letters, listed and replayed.

A replay sends the original event again: its key, value and headers, without what dead-lettering has added. It keeps the
event id, so that the output can be told to be the same event's. The deadline header, if the event brought one, is kept
too; without one the new record's timestamp gives a new deadline.

The progress file names each dead letter whose replay the broker has acknowledged, by partition and offset. A replay that
breaks off is resumed with the same file; a record that was sent but not yet noted may be sent once more, as one event id.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jobs.consumer import Record, TopicReader

ADDED_BY_DEAD_LETTERING = frozenset(
    {
        "dead-letter-reason",
        "dead-letter-stage",
        "dead-letter-detail",
        "source-topic",
        "source-partition",
        "source-offset",
        "source-timestamp",
        "late",
        "stage",
    }
)
BATCH = 200
"""Replayed records between two entries in the progress file."""
LARGEST_BYTES = 256 << 20
"""Of a request; the topic's own limit is the broker's to state."""


@dataclass(frozen=True, slots=True)
class Choice:
    """Which dead letters; None = any."""

    reasons: frozenset[str] | None = None
    stages: frozenset[str] | None = None
    event_ids: frozenset[str] | None = None

    def takes(self, record: Record) -> bool:
        return (
            (self.reasons is None or record.header("dead-letter-reason") in self.reasons)
            and (self.stages is None or record.header("dead-letter-stage") in self.stages)
            and (self.event_ids is None or record.event_id in self.event_ids)
        )


def chosen(topic: str, client: Mapping[str, Any], choice: Choice) -> Iterator[Record]:
    """The dead letters of the topic as it is now that the choice takes, in the topic's order."""
    with TopicReader([topic], client) as reader:
        for record in reader.to_end():
            if choice.takes(record):
                yield record


def original_headers(record: Record) -> list[tuple[str, bytes | None]]:
    """The event's own headers, and its id even if it came without one."""
    kept = [(k, v) for k, v in record.headers if k not in ADDED_BY_DEAD_LETTERING]
    if not any(k == "event-id" for k, _ in kept):
        kept.append(("event-id", record.event_id.encode()))
    return kept


def is_replayable(record: Record) -> bool:
    """Whether it holds a whole original event: not a stub for one too large, not a part of one that fanned out."""
    return not (is_stub(record) or is_child(record))


def is_stub(record: Record) -> bool:
    """Whether it stands for a record too large even for the dead letters: size and digest instead of the value."""
    if record.header("dead-letter-reason") != "too-large":
        return False
    try:
        found = json.loads(record.value or b"")
    except ValueError:
        return False
    return isinstance(found, dict) and {"size", "sha256", "topic"} <= found.keys()


def is_child(record: Record) -> bool:
    """Whether it is one part of an event that fanned out; only whole events can be sent to the source again."""
    return record.header("parent-id") is not None


@dataclass(frozen=True, slots=True)
class Replayed:
    sent: int
    done_before: int
    not_replayable: int


class Progress:
    """The positions already replayed, one JSON array `[partition, offset]` a line; appended and flushed."""

    def __init__(self, path: Path, topic: str) -> None:
        self.path = path
        self.done: set[tuple[int, int]] = set()
        if path.exists():
            self._read(topic)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps({"dead_letters": topic}) + "\n")

    def note(self, positions: Iterable[tuple[int, int]]) -> None:
        new = sorted(positions)
        with self.path.open("a") as file:
            file.writelines(json.dumps(position) + "\n" for position in new)
            file.flush()
            os.fsync(file.fileno())
        self.done.update(new)

    def _read(self, topic: str) -> None:
        lines = self.path.read_text().splitlines(keepends=True)
        written_for = json.loads(lines[0])["dead_letters"] if lines else topic
        if written_for != topic:
            raise ValueError(f"{self.path} is the progress of replaying {written_for}, not {topic}; name another file")
        whole = [line for line in lines[1:] if line.endswith("\n")]
        self.done = {(p, o) for p, o in map(json.loads, whole)}
        if len(whole) < len(lines) - 1:  # a write that broke off
            self.path.write_text("".join([lines[0], *whole]))


def replay(
    records: Iterable[Record], to_topic: str, client: Mapping[str, Any], progress: Progress, without: frozenset[str] = frozenset()
) -> Replayed:
    """Sends each again, once acknowledged noted as done; those done before are passed over.

    client: keyword arguments of aiokafka's clients: kafka-python's producer takes no null headers. without: headers to leave away.
    """
    return asyncio.run(_replay(records, to_topic, client, progress, without))


async def _replay(
    records: Iterable[Record], to_topic: str, client: Mapping[str, Any], progress: Progress, without: frozenset[str]
) -> Replayed:
    from aiokafka import AIOKafkaProducer

    sent = done_before = not_replayable = 0
    pending: list[tuple[tuple[int, int], Any]] = []
    async with AIOKafkaProducer(**{"linger_ms": 5, "acks": "all", "max_request_size": LARGEST_BYTES, **client}) as producer:
        for record in records:
            position = (record.partition, record.offset)
            if position in progress.done:
                done_before += 1
            elif not is_replayable(record):
                not_replayable += 1
            else:
                headers = [(k, v) for k, v in original_headers(record) if k not in without]
                pending.append((position, await producer.send(to_topic, value=record.value, key=record.key, headers=headers)))
                sent += 1
            if len(pending) >= BATCH:
                await _settle(pending, progress)
        await _settle(pending, progress)
    return Replayed(sent, done_before, not_replayable)


async def _settle(pending: list[tuple[tuple[int, int], Any]], progress: Progress) -> None:
    """Notes those acknowledged; raises the first failure after that."""
    results = await asyncio.gather(*(future for _, future in pending), return_exceptions=True)
    progress.note(position for (position, _), result in zip(pending, results, strict=True) if not isinstance(result, BaseException))
    pending.clear()
    for result in results:
        if isinstance(result, BaseException):
            raise result


def counted(records: Iterable[Record]) -> Counter[tuple[str, str]]:
    """How many by (reason, stage)."""
    return Counter((r.header("dead-letter-reason") or "?", r.header("dead-letter-stage") or "-") for r in records)
