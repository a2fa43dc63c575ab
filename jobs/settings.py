"""What the job is told beside its pipeline file: where broker and service are, and the bounds of its proxies."""

from __future__ import annotations

import argparse
import os
from dataclasses import dataclass, field
from pathlib import Path

from autoscaler.graph.pipeline import Pipeline
from jobs.broker import ClientSettings, read_settings

KAFKA_DEFAULT_MAX_BYTES = 1_048_588
"""`message.max.bytes` of a broker nobody configured; used when the topic cannot be asked."""

FLINK_DEFAULTS = {
    "execution.checkpointing.interval": "1000 ms",
    "execution.checkpointing.timeout": "60000 ms",
    "execution.checkpointing.mode": "EXACTLY_ONCE",
    "execution.checkpointing.unaligned.enabled": "true",
    "execution.checkpointing.aligned-checkpoint-timeout": "0 ms",
    "execution.checkpointing.max-concurrent-checkpoints": "1",
    "execution.checkpointing.tolerable-failed-checkpoints": "1000000000",
    "execution.checkpointing.externalized-checkpoint-retention": "RETAIN_ON_CANCELLATION",
    "execution.checkpointing.num-retained": "3",
    "execution.buffer-timeout.interval": "1 ms",
    "state.backend.type": "hashmap",
    "restart-strategy.type": "exponential-delay",
    "restart-strategy.exponential-delay.initial-backoff": "200 ms",
    "restart-strategy.exponential-delay.max-backoff": "5 s",
    "restart-strategy.exponential-delay.reset-backoff-threshold": "1 min",
    "pipeline.object-reuse": "true",
}
"""What a job needs of Flink to keep to its contracts, wherever it is submitted to; what the client's own settings say wins."""


@dataclass(frozen=True, slots=True)
class ProxyBounds:
    """capacity_*: rows and bytes a proxy may hold, answered or not. window: rows sent and unanswered until the service names its own.
    max_rows, max_bytes, linger_ms: when a micro-batch leaves."""

    capacity_rows: int = 16384
    capacity_bytes: int = 64 << 20
    window: int = 8192
    max_rows: int = 2048
    max_bytes: int = 256 << 10
    linger_ms: int = 2


@dataclass(frozen=True, slots=True)
class JobSettings:
    """service: `host:port` or `unix:/path`. source_parallelism: subtasks that read the topic."""

    bootstrap_servers: str
    service: str
    client: ClientSettings
    group: str
    starting_offsets: str = "earliest"
    source_parallelism: int = 1
    checkpoint_interval_ms: int | None = None
    output_max_bytes: int = KAFKA_DEFAULT_MAX_BYTES
    dead_letter_max_bytes: int = KAFKA_DEFAULT_MAX_BYTES
    transaction_timeout_ms: int = 900_000
    connector_jar: Path = field(default_factory=lambda: default_connector_jar())
    bounds: ProxyBounds = ProxyBounds()

    @staticmethod
    def add_arguments(parser: argparse.ArgumentParser) -> None:
        env = os.environ
        parser.add_argument("--bootstrap-servers", default=env.get("SLUICE_BOOTSTRAP_SERVERS", "127.0.0.1:9092"), metavar="HOST:PORT,...")
        parser.add_argument("--service", default=env.get("SLUICE_SERVICE", "127.0.0.1:8001"), metavar="HOST:PORT|unix:PATH",
                            help="the operator service's gRPC address")
        parser.add_argument("--kafka-config", type=Path, default=env.get("SLUICE_KAFKA_CONFIG"), metavar="FILE",
                            help="Kafka client properties (security.protocol, sasl.*, ssl.*); values may be ${env:NAME} or ${file:PATH}")
        parser.add_argument("--group", default=None, help="consumer group; default sluice-PIPELINE")
        parser.add_argument("--starting-offsets", choices=("earliest", "latest"), default="earliest",
                            help="where to begin when no checkpoint or savepoint is given")
        parser.add_argument("--source-parallelism", type=_positive, default=1, metavar="N")
        parser.add_argument("--checkpoint-interval-ms", type=_positive, default=None, metavar="MS", help="default: the cluster's own")
        parser.add_argument("--transaction-timeout-ms", type=_positive, default=900_000, metavar="MS",
                            help="exactly once only: how long a transaction may stay open; at most the broker's transaction.max.timeout.ms")
        bounds = ProxyBounds()
        parser.add_argument("--capacity-rows", type=_positive, default=bounds.capacity_rows, metavar="N", help="rows a proxy may hold")
        parser.add_argument("--window", type=_positive, default=bounds.window, metavar="N", help="rows sent and unanswered at first")
        parser.add_argument("--max-rows", type=_positive, default=bounds.max_rows, metavar="N", help="rows in a micro-batch at most")
        parser.add_argument("--linger-ms", type=_positive, default=bounds.linger_ms, metavar="MS", help="longest wait for a micro-batch to fill")

    @classmethod
    def from_arguments(cls, chosen: argparse.Namespace, pipeline: Pipeline) -> JobSettings:
        client = read_settings(chosen.kafka_config)
        output_bytes, dead_bytes = topic_limits(chosen.bootstrap_servers, client, [pipeline.sink.name, pipeline.dead_letters.name])
        return cls(
            bootstrap_servers=chosen.bootstrap_servers, service=chosen.service, client=client,
            group=chosen.group or f"sluice-{pipeline.name}", starting_offsets=chosen.starting_offsets,
            source_parallelism=chosen.source_parallelism, checkpoint_interval_ms=chosen.checkpoint_interval_ms,
            output_max_bytes=output_bytes, dead_letter_max_bytes=dead_bytes, transaction_timeout_ms=chosen.transaction_timeout_ms,
            bounds=ProxyBounds(capacity_rows=chosen.capacity_rows, window=chosen.window, max_rows=chosen.max_rows,
                               linger_ms=chosen.linger_ms))


def topic_limits(bootstrap_servers: str, client: ClientSettings, topics: list[str]) -> list[int]:
    """`max.message.bytes` of each topic, in bytes; Kafka's default where the broker does not tell (no right to describe it)."""
    from kafka.admin import ConfigResource, ConfigResourceType, KafkaAdminClient
    from kafka.errors import KafkaError

    resources = [ConfigResource(ConfigResourceType.TOPIC, topic, ["max.message.bytes"]) for topic in topics]
    admin = KafkaAdminClient(bootstrap_servers=bootstrap_servers, **client.kafka_python())
    try:
        told = admin.describe_configs(resources, config_filter="all").get("topic", {})
    except KafkaError:
        told = {}
    finally:
        admin.close()
    return [int(told.get(topic, {}).get("max.message.bytes", {}).get("value", KAFKA_DEFAULT_MAX_BYTES)) for topic in topics]


def default_connector_jar() -> Path:
    """The connector's jar: $SLUICE_CONNECTOR_JAR, else where the build puts it beside this file."""
    named = os.environ.get("SLUICE_CONNECTOR_JAR")
    jar = Path(named) if named else Path(__file__).resolve().parent / "connector" / "target" / "sluice-connector.jar"
    if not jar.is_file():
        raise FileNotFoundError(f"{jar} is missing; build it with 'make setup', or point SLUICE_CONNECTOR_JAR at it")
    return jar


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a positive number")
    return value
