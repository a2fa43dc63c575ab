"""An open loop of digits into a topic, and what came of each event: intended send times are fixed beforehand, and a sender that falls behind
does not shift them, it catches up."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable
from typing import TypeVar

from aiokafka.structs import ConsumerRecord
from kafka import KafkaProducer

from bench import topics
from operators.datasets import digits

Took = TypeVar("Took")
LIMIT_S = 20.0


def poisson(rate: float, seconds: float, seed: int) -> list[float]:
    """Seconds from the start, ascending, of a Poisson process of that rate."""
    rng = random.Random(seed)
    times, at = [0.0], rng.expovariate(rate)
    while at < seconds:
        times.append(at)
        at += rng.expovariate(rate)
    return times


def send(bootstrap: str, topic: str, prefix: str, times_s: Iterable[float]) -> dict[bytes, int]:
    """Sends an event at each time from now, and returns when all are acknowledged. The intended send time, Unix ms, of each event id."""
    held_out = digits()[1]
    rows = [held_out.row(index) for index in range(len(held_out))]
    sent: dict[bytes, int] = {}
    producer = KafkaProducer(bootstrap_servers=bootstrap, linger_ms=0, acks=1)
    producer.partitions_for(topic)  # connected before the first event is due
    begun_s = time.time()
    for number, at_s in enumerate(times_s):
        ahead_s = begun_s + at_s - time.time()
        if ahead_s > 0:
            time.sleep(ahead_s)  # the open loop's own pace
        event_id = f"{prefix}-{number}".encode()
        sent[event_id] = round((begun_s + at_s) * 1000)
        producer.send(topic, rows[number % len(rows)], key=event_id, headers=[("event-id", event_id)], timestamp_ms=sent[event_id])
    producer.flush()
    producer.close()
    return sent


def answers(bootstrap: str, topic: str, prefix: str, count: int, take: Callable[[ConsumerRecord], Took]) -> dict[bytes, Took]:
    """What `take` makes of the output of each event with that prefix: of `count`, or as many as are there within LIMIT_S."""
    found: dict[bytes, Took] = {}
    until_s = time.monotonic() + LIMIT_S
    start = prefix.encode() + b"-"
    while len(found) < count and time.monotonic() < until_s:
        topics.read(bootstrap, topic, lambda records: found.update({one.key: take(one) for one in records if one.key.startswith(start)}))
    return found
