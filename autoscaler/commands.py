"""What people tell a running sidecar: pause, resume, advise. A record of the commands topic for each, its key the pipeline.

The topic is compacted, so the last word holds for a sidecar that starts later too.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from autoscaler.control.restraint import Mode

COMMANDS_TOPIC = "sluice-commands"
VERSION = 1


def command(pipeline: str, mode: Mode) -> tuple[bytes, bytes]:
    """Key and value."""
    return pipeline.encode(), json.dumps({"version": VERSION, "pipeline": pipeline, "mode": mode.value}).encode()


def mode_of(value: bytes | None, pipeline: str) -> Mode | None:
    """What it tells that pipeline's sidecar; None where it is another's, or nothing that is understood."""
    try:
        found: Mapping[str, Any] = json.loads(value or b"")
        return Mode(found["mode"]) if found["version"] == VERSION and found["pipeline"] == pipeline else None
    except (ValueError, KeyError, TypeError):
        return None


def tell(client: Mapping[str, Any], pipeline: str, mode: Mode) -> None:
    """client: keyword arguments of kafka-python's producer. KafkaError where the broker does not take it."""
    from kafka import KafkaProducer

    producer = KafkaProducer(**client, max_block_ms=10_000)
    try:
        key, value = command(pipeline, mode)
        producer.send(COMMANDS_TOPIC, key=key, value=value).get(timeout=10)
    finally:
        producer.close(timeout=5)
