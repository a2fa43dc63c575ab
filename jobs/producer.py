"""A replayed load: events sent at the moments a schedule says, whether or not anybody keeps up (open loop).

The intended send time is the record's timestamp, so whatever the producer itself is late by counts into the latency.

Shapes. r is the mean rate in events/s, t seconds since the start, T the period (PERIOD_S), n = 0, 1, 2, ...; the rate
r(t) integrates to r*T over every period, and event n is sent when its integral reaches n:

    steady   r(t) = r
    wave     r(t) = r * (1 + 0.8 * sin(2 pi t / T))
    bursts   r(t) = 3 r   in the first BURST_S of each period of T seconds,   r * (T - 3 BURST_S) / (T - BURST_S)   else
    poisson  gaps between events are exponential with mean 1/r, from the seed
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from jobs.shape import Shape

PERIOD_S = 10.0
BURST_S = 2.0
BURST_FACTOR = 3.0
WAVE_DEPTH = 0.8
SCENES = 400
"""Different scenes composed; longer runs repeat them."""
PAYMENTS = 20_000
"""Payments made; longer runs repeat them, times included."""


@dataclass(frozen=True, slots=True)
class Load:
    """rate: mean events/s. duration_s or count ends it; with both, what comes first."""

    rate: float = 200.0
    shape: Shape = Shape.BURSTS
    duration_s: float | None = 60.0
    count: int | None = None
    seed: int = 1

    def __post_init__(self) -> None:
        if not self.rate > 0:
            raise ValueError(f"the rate is {self.rate}; it must be above 0 events/s")
        if self.duration_s is None and self.count is None:
            raise ValueError("a load needs a duration or a count")
        if self.duration_s is not None and not self.duration_s > 0:
            raise ValueError(f"the duration is {self.duration_s}; it must be above 0 s")
        if self.count is not None and self.count < 1:
            raise ValueError(f"the count is {self.count}; it must be at least 1")


@dataclass(frozen=True, slots=True)
class Sample:
    """One value to send and the right answer to it, None when unknown. dated: it holds a time, so samples go in their order."""

    value: bytes
    truth: str | None = None
    key: bytes | None = None
    dated: bool = False


def send_times(load: Load) -> Iterator[float]:
    """When each event is due, in seconds from the start, ascending."""
    gaps = np.random.default_rng(load.seed) if load.shape is Shape.POISSON else None
    due, number = 0.0, 0
    while True:
        if gaps is None:
            due = due_at(load.shape, load.rate, number)
        if load.duration_s is not None and due >= load.duration_s:
            return
        if load.count is not None and number >= load.count:
            return
        yield due
        number += 1
        if gaps is not None:
            due += float(gaps.exponential(1.0 / load.rate))


def turns(samples: int, seed: int) -> Iterator[int]:
    """Which sample event 0, 1, ... is: every one once in a random order, then again in another."""
    rng = np.random.default_rng(seed)
    while True:
        yield from map(int, rng.permutation(samples))


def order_of(samples: Sequence[Sample], seed: int) -> Iterator[int]:
    """Which sample event 0, 1, ... is."""
    return itertools.cycle(range(len(samples))) if samples[0].dated else turns(len(samples), seed)


def due_at(shape: Shape, rate: float, number: int) -> float:
    """Seconds at which event `number` is due: the inverse of the integral of the shape's rate."""
    if shape is Shape.STEADY:
        return number / rate
    periods, rest = divmod(number, rate * PERIOD_S)
    if shape is Shape.BURSTS:
        in_burst = BURST_FACTOR * rate * BURST_S
        if rest < in_burst:
            within = rest / (BURST_FACTOR * rate)
        else:
            within = BURST_S + (rest - in_burst) / (rate * (PERIOD_S - BURST_FACTOR * BURST_S) / (PERIOD_S - BURST_S))
    elif shape is Shape.WAVE:
        within = _wave_inverse(rest / rate)
    else:
        raise ValueError(f"{shape} has no closed form")
    return periods * PERIOD_S + within


def _wave_inverse(area: float) -> float:
    """t with t + (0.8 T / 2 pi) (1 - cos(2 pi t / T)) = area, by bisection: the left side rises with t."""
    low, high = 0.0, PERIOD_S
    for _ in range(50):
        middle = (low + high) / 2
        reached = middle + WAVE_DEPTH * PERIOD_S / (2 * math.pi) * (1 - math.cos(2 * math.pi * middle / PERIOD_S))
        low, high = (middle, high) if reached < area else (low, middle)
    return low


def digit_samples() -> list[Sample]:
    """The held-out half of the handwritten digits."""
    from operators.datasets import digits

    _, held_out = digits()
    return [Sample(held_out.row(i), str(int(held_out.labels[i]))) for i in range(len(held_out))]


def scene_samples(seed: int = 1, count: int = SCENES) -> list[Sample]:
    """Scenes composed of held-out digits; the truth is the number they spell."""
    from operators.datasets import compose_scenes, digits

    _, held_out = digits()
    return [Sample(scene.row(), scene.number) for scene in compose_scenes(seed, held_out, count)]


def card_samples(seed: int = 1, count: int = PAYMENTS) -> list[Sample]:
    """Payments by card, in the order of their times."""
    from operators.cards import payment_rows, payments

    made = payments(seed, count)
    return [Sample(row, key=payment.card.encode(), dated=True) for payment, row in zip(made, payment_rows(made), strict=True)]


def line_samples(path: Path) -> list[Sample]:
    """Each line of a file, without its end."""
    return [Sample(line) for line in path.read_bytes().splitlines()]


def file_samples(directory: Path) -> list[Sample]:
    """Each file of a directory, by name; the name is the key."""
    return [Sample(p.read_bytes(), key=p.name.encode()) for p in sorted(directory.iterdir()) if p.is_file()]


def check_inputs(name: str) -> None:
    """ValueError unless there are inputs of that name."""
    if name not in ("digits", "scenes", "cards") and not Path(name).exists():
        raise ValueError(f"there are no inputs {name!r}; use digits, scenes, cards, a file of lines or a directory of files")


def samples_named(name: str, seed: int = 1) -> list[Sample]:
    """`digits`, `scenes`, `cards`, a file of lines or a directory of files."""
    if name == "digits":
        return digit_samples()
    if name == "scenes":
        return scene_samples(seed)
    if name == "cards":
        return card_samples(seed)
    check_inputs(name)
    path = Path(name)
    found = file_samples(path) if path.is_dir() else line_samples(path)
    if not found:
        raise ValueError(f"{name} holds nothing to send")
    return found


@dataclass(frozen=True, slots=True)
class Sent:
    """What a replay has sent. intended_ms and truth by event id; failed: never acknowledged, so it may or may not be in the topic."""

    intended_ms: dict[str, int]
    truth: dict[str, str]
    failed: set[str]
    behind_ms: float


class Replay:
    """Sends samples in a seeded order on a load's schedule. `stop()` from any thread ends it early."""

    def __init__(
        self,
        topic: str,
        samples: Sequence[Sample],
        load: Load,
        client: Mapping[str, Any],
        prefix: str | None = None,
        start_when: Path | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.topic, self.samples, self.load = topic, samples, load
        self._client, self._now, self._start_when = client, now, start_when
        self._prefix = prefix or f"{int(now() * 1000):x}"
        self._stopped = False
        self.intended_ms: dict[str, int] = {}
        self.truth: dict[str, str] = {}
        self.failed: set[str] = set()
        self.behind_s = 0.0

    def stop(self) -> None:
        self._stopped = True

    def run(self) -> Sent:
        """Returns when all is sent and acknowledged."""
        from kafka import KafkaProducer

        producer = KafkaProducer(**{"linger_ms": 1, "delivery_timeout_ms": 600_000, **self._client})
        try:
            producer.partitions_for(self.topic)  # so that the first event does not wait for it
            while not (self._stopped or self._start_when is None or self._start_when.exists()):
                time.sleep(0.02)
            self._send_all(producer)
            producer.flush(timeout=600)
        finally:
            producer.close(timeout=10)
        return Sent(self.intended_ms, self.truth, self.failed, self.behind_s * 1000)

    def _send_all(self, producer: Any) -> None:
        order = order_of(self.samples, self.load.seed)
        start = self._now()
        for number, due in enumerate(send_times(self.load)):
            if not self._wait_until(start + due):
                return
            self._send(producer, self.samples[next(order)], number, int((start + due) * 1000))

    def _wait_until(self, due: float) -> bool:
        while not self._stopped:
            left = due - self._now()
            if left <= 0:
                self.behind_s = max(self.behind_s, -left)
                return True
            time.sleep(min(left, 0.2))
        return False

    def _send(self, producer: Any, sample: Sample, number: int, intended_ms: int) -> None:
        event_id = f"{self._prefix}-{number}"
        self.intended_ms[event_id] = intended_ms
        if sample.truth is not None:
            self.truth[event_id] = sample.truth
        sent = producer.send(
            self.topic,
            value=sample.value,
            key=sample.key,
            headers=[("event-id", event_id.encode())],
            timestamp_ms=intended_ms,
        )
        sent.add_errback(lambda _, lost=event_id: self.failed.add(lost))
