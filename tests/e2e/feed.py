"""Events into a running pipeline and what became of each: one feed per test, told apart by its prefix."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from aiokafka import AIOKafkaProducer
from kafka import KafkaProducer
from kafka.errors import KafkaError

from jobs.consumer import Record, TopicReader
from jobs.embedded.rest import RestError

POLL_S = 0.05


def wait_for(condition: Callable[[], bool], what: str, limit_s: float = 120.0) -> None:
    """Returns once the condition holds; AssertionError naming it when it does not within the limit. A Flink that cannot say is asked again."""
    until = time.monotonic() + limit_s
    while True:
        try:
            if condition():
                return
            seen = ""
        except RestError as error:
            seen = f" ({error})"
        assert time.monotonic() < until, f"not within {limit_s:.0f} s: {what}{seen}"
        time.sleep(POLL_S)


class Feed(threading.Thread):
    """Appends `count` events at `rate` per second (idempotent, so exactly these are in the topic). Use as a context manager."""

    def __init__(self, bootstrap: str, topic: str, prefix: str, count: int, rate: float,
                 value: Callable[[int], bytes] = lambda number: b"row-%d" % number, key: Callable[[int], bytes] | None = None) -> None:
        super().__init__(name=f"feed-{prefix}", daemon=True)
        self.prefix, self.count = prefix, count
        self.sent = 0
        self._topic, self._rate, self._value, self._key = topic, rate, value, key
        self._producer = KafkaProducer(bootstrap_servers=bootstrap, linger_ms=5, delivery_timeout_ms=300_000)
        self._futures: list = []

    def run(self) -> None:
        began = time.monotonic()
        for number in range(self.count):
            wait_s = began + number / self._rate - time.monotonic()
            if wait_s > 0:
                time.sleep(wait_s)  # the pace of the open loop, not a wait for anything
            text = f"{self.prefix}-{number}".encode()
            key = text if self._key is None else self._key(number)
            self._futures.append(self._producer.send(self._topic, key=key, value=self._value(number), headers=[("event-id", text)]))
            self.sent = number + 1

    def ids(self) -> set[str]:
        return {f"{self.prefix}-{number}" for number in range(self.count)}

    def finish(self, limit_s: float = 120.0) -> None:
        """Returns once every event is acknowledged by the broker."""
        self.join(limit_s)
        assert not self.is_alive(), f"the feed still sends after {limit_s:.0f} s"
        for future in self._futures:
            future.get(timeout=limit_s)
        self._producer.close()


class Sent:
    """A feed of hand-made records, by aiokafka, which takes null headers; `ids` are those it sent."""

    def __init__(self, stream, prefix):
        self.prefix, self._ids, self._stream = f"{prefix}{time.monotonic_ns()}", [], stream

    def send(self, value, headers=(), key=None):
        name = f"{self.prefix}-{len(self._ids)}"
        self._ids.append(name)
        asyncio.run(self._send(value, [("event-id", name.encode()), *headers], key))
        return name

    async def _send(self, value, headers, key):
        async with AIOKafkaProducer(bootstrap_servers=self._stream.bootstrap_servers, max_request_size=8 << 20) as producer:
            await producer.send_and_wait(self._stream.pipeline.source.name, value, key=key, headers=headers)

    def ids(self):
        return set(self._ids)


@dataclass
class Outcome:
    """Where the events of one prefix ended, by event id. values, late, order: of the output's records; order: numbers, each when it first came."""

    output: Counter = field(default_factory=Counter)
    dead: Counter = field(default_factory=Counter)
    values: dict[str, bytes | None] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    late: set[str] = field(default_factory=set)
    records: dict[str, Record] = field(default_factory=dict)
    order: list[int] = field(default_factory=list)

    def ended(self) -> set[str]:
        return self.output.keys() | self.dead.keys()

    def repeated(self) -> int:
        return sum(self.output.values()) + sum(self.dead.values()) - len(self.ended())


def collect(bootstrap: str, output: str, dead_letters: str, feed: Feed, limit_s: float = 120.0) -> Outcome:
    """Reads both topics, committed records only, until each event of the feed has ended somewhere."""
    outcome, wanted = Outcome(), feed.ids()
    until = time.monotonic() + limit_s
    while True:
        try:
            with TopicReader([output, dead_letters], {"bootstrap_servers": bootstrap}) as reader:
                outcome = Outcome()
                while not wanted <= outcome.ended():
                    missing = sorted(wanted - outcome.ended())
                    assert time.monotonic() < until, f"{len(missing)} of {len(wanted)} events are nowhere, among them {missing[:5]}"
                    _take(outcome, reader.poll(), dead_letters, feed.prefix)
                _take(outcome, reader.to_end(), dead_letters, feed.prefix)  # what a repeat may have put behind
                return outcome
        except KafkaError:
            assert time.monotonic() < until, "the broker does not answer"
            time.sleep(POLL_S)


def _take(outcome: Outcome, records: Iterable[Record], dead_letters: str, prefix: str) -> None:
    for record in records:
        event_id = record.event_id
        if event_id.rpartition("-")[0].partition("/")[0] != prefix:
            continue
        if record.topic == dead_letters:
            outcome.records.setdefault(event_id, record)  # output wins
            outcome.dead[event_id] += 1
            outcome.reasons[event_id] = record.header("dead-letter-reason") or ""
        else:
            if event_id not in outcome.output:
                outcome.order.append(int(event_id.partition("/")[0].rpartition("-")[2]))
            outcome.output[event_id] += 1
            outcome.records[event_id] = record
            outcome.values[event_id] = record.value
            if record.header("late") == "true":
                outcome.late.add(event_id)


def assert_one_place(outcome: Outcome, feed: Feed, *, exactly_once: bool) -> None:
    """contracts: output and dead letters together equal the input and do not overlap, after dropping repeats by id in the one mode,
    without any repeat in the other."""
    assert outcome.ended() == feed.ids()
    overlap = outcome.output.keys() & outcome.dead.keys()
    if exactly_once:
        assert not overlap
        assert outcome.repeated() == 0
