"""Flags that several commands share: one name, one environment variable and one help text each."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

LOCAL_KAFKA = "127.0.0.1:9092"
LOCAL_FLINK = "127.0.0.1:8081"
LOCAL_SERVICE_HTTP = "127.0.0.1:8000"
LOOPBACK = "127.0.0.1"

BOOTSTRAP_SERVERS: dict[str, Any] = {"envvar": "SLUICE_BOOTSTRAP_SERVERS", "metavar": "HOST:PORT,..."}

BootstrapServers = Annotated[str, typer.Option("--bootstrap-servers", help="Kafka brokers.", **BOOTSTRAP_SERVERS)]
KafkaConfig = Annotated[
    Path | None,
    typer.Option(
        "--kafka-config",
        envvar="SLUICE_KAFKA_CONFIG",
        metavar="FILE",
        help="Kafka client properties (security.protocol, sasl.*, ssl.*); values may be ${env:NAME} or ${file:PATH}.",
    ),
]
Flink = Annotated[str, typer.Option("--flink", envvar="SLUICE_FLINK", metavar="HOST:PORT", help="Flink's REST address.")]
ServiceHttp = Annotated[
    str, typer.Option("--service-http", envvar="SLUICE_SERVICE_HTTP", metavar="HOST:PORT", help="HTTP address of the operator service.")
]
Host = Annotated[str, typer.Option("--host", envvar="SLUICE_HOST", metavar="ADDRESS", help="Address to listen on; 0.0.0.0 = all.")]
Models = Annotated[
    Path | None,
    typer.Option("--models", envvar="SLUICE_MODELS", metavar="DIRECTORY", help="Model repository; default ~/.cache/sluice/models."),
]
PipelineFile = Annotated[Path, typer.Argument(metavar="PIPELINE", help="Pipeline file (YAML).", show_default=False)]
Topic = Annotated[str, typer.Argument(metavar="TOPIC", help="Kafka topic.", show_default=False)]


def port(text: str, *names: str, least: int = 0, **more: Any) -> Any:
    """The flag of a port to listen on."""
    return typer.Option(*names, min=least, max=65535, metavar="PORT", help=text, **more)
