"""Telemetry records to Kafka, from a thread of its own: a broker that is away costs records, never serving."""

from __future__ import annotations

import json
import logging
import queue
import threading
from collections.abc import Mapping
from typing import Any

log = logging.getLogger(__name__)

TOPIC = "sluice-telemetry"
KEPT = 120  # records that wait for the broker; the oldest go first
RETRY_S = 5.0
PRODUCER = {"acks": 1, "linger_ms": 50, "max_block_ms": 5000, "bootstrap_timeout_ms": 5000}


class Publisher:
    """settings: keyword arguments of kafka-python's producer, at least bootstrap_servers."""

    def __init__(self, settings: Mapping[str, Any], topic: str = TOPIC) -> None:
        self._settings = dict(settings)
        self._topic = topic
        self._records: queue.Queue[dict[str, Any] | None] = queue.Queue(KEPT)
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="telemetry", daemon=True)
        self._thread.start()

    def publish(self, record: dict[str, Any]) -> None:
        """Never waits."""
        self._put(record)

    def close(self, timeout_s: float = 2.0) -> None:
        """Sends what waits, if a broker is there, and ends."""
        self._closing.set()
        self._put(None)
        self._thread.join(timeout_s)

    def _put(self, record: dict[str, Any] | None) -> None:
        while True:
            try:
                self._records.put_nowait(record)
                return
            except queue.Full:
                try:
                    self._records.get_nowait()
                except queue.Empty:
                    continue

    def _run(self) -> None:
        producer = None
        while (record := self._records.get()) is not None:
            producer = producer or self._connected()
            if producer is None:
                return
            key = f"{record['pipeline']}/{record['stage']}".encode()
            try:
                producer.send(self._topic, key=key, value=json.dumps(record).encode())
            except Exception as error:  # the client's errors have no useful common base
                log.warning("telemetry was not published: %s", error)
        if producer is not None:
            producer.close(timeout=1)

    def _connected(self) -> Any:
        """A producer, however long that takes; None when there was none until the end."""
        from kafka import KafkaProducer

        logging.getLogger("kafka").setLevel(logging.CRITICAL)
        said = False
        while not self._closing.is_set():
            try:
                return KafkaProducer(**{**PRODUCER, **self._settings})
            except Exception as error:  # as above
                if not said:
                    log.warning("telemetry waits for the broker: %s", error)
                said = True
                self._closing.wait(RETRY_S)
        return None
