"""Topics of a bench: filled beforehand, watched while a job writes, read back and checked row by row afterwards."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection

import numpy as np
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka import TopicPartition as AioPartition
from kafka import KafkaConsumer, TopicPartition

POLL_S = 0.5
BATCH_BYTES = 512 << 10
PARTITIONS = (0, 1)
IDLE_S = 5.0


def fill(bootstrap: str, topic: str, count: int, value: Callable[[int], bytes], key: Callable[[int], bytes] | None = None,
         partitions: Sequence[Sequence[int]] | None = None) -> None:
    """Appends events 0..count-1, each with the header `event-id` = its number, which is its key too unless one is given, spread over the topic's
    two partitions in turn, or as told: the numbers of each."""
    spread = partitions or [range(parity, count, 2) for parity in (0, 1)]
    asyncio.run(_fill(bootstrap, topic, spread, value, key))


async def _fill(bootstrap: str, topic: str, spread: Sequence[Sequence[int]], value: Callable[[int], bytes], key: Callable[[int], bytes] | None) -> None:
    """In whole batches, built by hand: record by record, a producer takes ten times as long."""
    async with AIOKafkaProducer(bootstrap_servers=bootstrap, max_batch_size=BATCH_BYTES, max_request_size=4 << 20, acks=1) as producer:
        for partition, numbers in enumerate(spread):
            batch, appended = producer.create_batch(), []
            for number in numbers:
                text, record = b"%d" % number, value(number)
                headers, named = [("event-id", text)], text if key is None else key(number)
                if batch.append(key=named, value=record, timestamp=None, headers=headers) is None:
                    appended.append(await producer.send_batch(batch, topic, partition=partition))
                    batch = producer.create_batch()
                    batch.append(key=named, value=record, timestamp=None, headers=headers)
            appended.append(await producer.send_batch(batch, topic, partition=partition))
            await asyncio.gather(*appended)


def end_offsets(consumer: KafkaConsumer, topic: str) -> int:
    """Sum of the end offsets of the topic's partitions."""
    partitions = [TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic) or ()]
    return sum(consumer.end_offsets(partitions).values())


@dataclass(frozen=True, slots=True)
class Steady:
    """events/s between the first and the last of the samples taken once output had begun and the ramp had passed."""

    events_per_s: float
    seconds: float
    events: int


def watch(bootstrap: str, topic: str, *, ramp_s: float, steady_s: float, limit_s: float, total: int,
          on_steady: Callable[[], object] = lambda: None) -> Steady:
    """Follows the topic's growth: the rate over `steady_s` after `ramp_s` of output. TimeoutError when nothing came within limit_s;
    ValueError when the input ran out before."""
    consumer = KafkaConsumer(bootstrap_servers=bootstrap)
    try:
        started = time.monotonic()
        while end_offsets(consumer, topic) == 0:
            if time.monotonic() - started > limit_s:
                raise TimeoutError(f"no output in {topic} after {limit_s:.0f} s")
            time.sleep(POLL_S / 5)
        time.sleep(ramp_s)
        on_steady()
        first, begun = end_offsets(consumer, topic), time.monotonic()
        last, at = first, begun
        while at - begun < steady_s:
            time.sleep(POLL_S)
            last, at = end_offsets(consumer, topic), time.monotonic()
            if last >= total:
                raise ValueError(f"the {total:,} events of the input were used up after {at - begun:.1f} s of steady state")
        return Steady((last - first) / (at - begun), at - begun, last - first)
    finally:
        consumer.close()


def read(bootstrap: str, topic: str, take: Callable[[list], None], idle_s: float = IDLE_S) -> None:
    """Gives `take` all records of a topic, a list at a time, until its end offsets as of now are reached."""
    asyncio.run(_read(bootstrap, topic, take, idle_s, PARTITIONS))


async def _read(bootstrap: str, topic: str, take: Callable[[list], None], idle_s: float, numbers: Sequence[int]) -> None:
    async with AIOKafkaConsumer(bootstrap_servers=bootstrap, enable_auto_commit=False, fetch_max_bytes=64 << 20,
                                max_partition_fetch_bytes=4 << 20) as consumer:
        partitions = [AioPartition(topic, number) for number in numbers]
        ends = await consumer.end_offsets(partitions)
        consumer.assign(partitions)
        await consumer.seek_to_beginning()
        last = time.monotonic()
        while time.monotonic() - last < idle_s:
            for records in (await consumer.getmany(timeout_ms=200, max_records=10_000)).values():
                last = time.monotonic()
                take(records)
            if all([await consumer.position(partition) >= ends[partition] for partition in partitions]):
                return


def verify(bootstrap: str, topic: str, count: int, expected: Callable[[int], bytes | None],
           is_alike: Callable[[bytes, bytes], bool] = bytes.__eq__) -> dict[str, int]:
    """Checks every record of the output: its id is one of the input's, its value is what it must be, or like it. Counts, all of them. A process
    for each partition: reading takes longer than what was measured."""
    forked = get_context("fork")  # what is expected need not have a name to import it by

    def check(partition: int, answer: Connection) -> None:
        answer.send(_checked(bootstrap, topic, partition, count, expected, is_alike))

    answers = []
    for partition in PARTITIONS:
        answer, end = forked.Pipe(duplex=False)
        forked.Process(target=check, args=(partition, end), daemon=True).start()
        end.close()
        answers.append(answer)
    parts = [answer.recv() for answer in answers]
    seen = sum(part[1].astype(np.uint32) for part in parts)
    found = Counter[str]()
    for counts, _ in parts:
        found.update(counts)
    return {**{name: found[name] for name in ("records", "wrong_value", "unknown_id")},
            "distinct": int((seen > 0).sum()), "repeated": int((seen > 1).sum()), "contiguous": _contiguous(seen)}


def _checked(bootstrap: str, topic: str, partition: int, count: int,
             expected: Callable[[int], bytes | None], is_alike: Callable[[bytes, bytes], bool]) -> tuple[dict[str, int], np.ndarray]:
    """Of one partition: what was found, and how often each number, at most 255 times."""
    seen = np.zeros(count, np.uint8)
    counts = dict.fromkeys(("records", "wrong_value", "unknown_id"), 0)

    def take(records: list) -> None:
        counts["records"] += len(records)
        for record in records:
            number = int(record.key)
            if not 0 <= number < count:
                counts["unknown_id"] += 1
                continue
            seen[number] += seen[number] < 255
            wanted = expected(number)
            if wanted is not None and record.value != wanted and not is_alike(record.value, wanted):
                counts["wrong_value"] += 1

    asyncio.run(_read(bootstrap, topic, take, IDLE_S, [partition]))
    return counts, seen


def _contiguous(seen: np.ndarray) -> int:
    """Rows answered before the first gap, over both partitions; tells lost rows from rows not yet reached."""
    reached = 0
    for parity in (0, 1):
        part = seen[parity::2] > 0
        reached += int(part.size if part.all() else part.argmin())
    return reached
