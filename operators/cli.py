"""`sluice operator ...`."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, pretty_exceptions_show_locals=False, help="The operator service: runs the operators of a pipeline outside Flink.")


@app.callback()
def main() -> None:
    """The operator service."""


@app.command()
def serve(
    pipeline: Annotated[Path, typer.Argument(help="The pipeline file.", envvar="SLUICE_PIPELINE", exists=True, dir_okay=False)],
    host: Annotated[str, typer.Option(help="Address to listen on.", envvar="SLUICE_HOST")] = "127.0.0.1",
    grpc_port: Annotated[int, typer.Option(help="Port of the Open Inference Protocol; 0 = any.", envvar="SLUICE_GRPC_PORT")] = 8001,
    http_port: Annotated[int, typer.Option(help="Port of health, telemetry and settings; 0 = any.", envvar="SLUICE_HTTP_PORT")] = 8000,
    metrics_port: Annotated[int, typer.Option(help="Port of Prometheus metrics; 0 = any.", envvar="SLUICE_METRICS_PORT")] = 8002,
    unix: Annotated[str | None, typer.Option(help="Path of a further gRPC socket.", envvar="SLUICE_UNIX")] = None,
    bootstrap: Annotated[
        str | None,
        typer.Option(
            "--bootstrap-servers",
            help="Kafka brokers that telemetry goes to; none = HTTP only.",
            envvar="SLUICE_BOOTSTRAP_SERVERS",
            metavar="HOST:PORT,...",
        ),
    ] = None,
    kafka_config: Annotated[Path | None, typer.Option("--kafka-config", help="Kafka client properties.", envvar="SLUICE_KAFKA_CONFIG", metavar="FILE")] = None,
    models: Annotated[Path | None, typer.Option(help="Directory of stored models.", envvar="SLUICE_MODELS")] = None,
    log_level: Annotated[str, typer.Option(help="debug, info, warning or error.", envvar="SLUICE_LOG_LEVEL")] = "info",
) -> None:
    """Serve the operators of PIPELINE until SIGTERM."""
    from jobs.broker import SettingsError
    from operators import serve as serving
    from operators.serving import StartError

    try:
        logging.basicConfig(level=log_level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s")
        logging.getLogger("kafka").setLevel(logging.ERROR)
        serving.serve(
            pipeline,
            grpc_port=grpc_port,
            http_port=http_port,
            metrics_port=metrics_port,
            host=host,
            bootstrap=bootstrap,
            repository=models,
            unix=unix,
            kafka=_kafka(kafka_config),
        )
    except (StartError, SettingsError, OSError, ValueError) as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from error


def _kafka(path: Path | None) -> dict[str, object]:
    if path is None:
        return {}
    from jobs.broker import read_settings

    return dict(read_settings(path).kafka_python())


if __name__ == "__main__":
    app()
