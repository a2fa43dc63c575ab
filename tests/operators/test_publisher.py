import threading
import time

from kafka import KafkaProducer

from operators.publisher import KEPT, PRODUCER, Publisher

RECORD = {"pipeline": "p", "stage": "s"}


def test_a_broker_that_is_away_holds_up_nothing():
    publisher = Publisher({"bootstrap_servers": "127.0.0.1:1", "bootstrap_timeout_ms": 100})
    began = time.monotonic()
    for _ in range(3 * KEPT):
        publisher.publish(RECORD)
    publisher.close()
    assert time.monotonic() - began < 2.0
    assert not any(thread.name == "telemetry" for thread in threading.enumerate())


def test_the_client_knows_our_settings():
    assert set(PRODUCER) <= set(KafkaProducer.DEFAULT_CONFIG)
