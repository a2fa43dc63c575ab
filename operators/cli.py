"""`sluice operator ...`."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated, Literal

import typer

from autoscaler.graph.errors import PipelineError
from jobs.options import BOOTSTRAP_SERVERS, LOOPBACK, Host, KafkaConfig, Models, port

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_show_locals=False,
    rich_markup_mode=None,
    help="The operator service: runs the operators of a pipeline outside Flink.",
)


@app.callback()
def main() -> None:
    """The operator service: runs the operators of a pipeline outside Flink."""


@app.command()
def serve(
    pipeline: Annotated[Path, typer.Argument(metavar="PIPELINE", help="Pipeline file (YAML).", envvar="SLUICE_PIPELINE", show_default=False)],
    host: Host = LOOPBACK,
    grpc_port: Annotated[int, port("Open Inference Protocol, gRPC; 0 = any free one.", envvar="SLUICE_GRPC_PORT")] = 8001,
    http_port: Annotated[int, port("Health, telemetry and settings, HTTP; 0 = any free one.", envvar="SLUICE_HTTP_PORT")] = 8000,
    metrics_port: Annotated[int, port("Metrics for Prometheus; 0 = any free one.", envvar="SLUICE_METRICS_PORT")] = 8002,
    unix: Annotated[str | None, typer.Option(metavar="PATH", help="A further gRPC socket.", envvar="SLUICE_UNIX")] = None,
    bootstrap_servers: Annotated[
        str | None,
        typer.Option("--bootstrap-servers", help="Kafka brokers that telemetry goes to; default none: by HTTP only.", **BOOTSTRAP_SERVERS),
    ] = None,
    kafka_config: KafkaConfig = None,
    models: Models = None,
    remote_control: Annotated[
        bool, typer.Option("--remote-control", help="Let callers on other machines load and unload stages and register shared memory.")
    ] = False,
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"], typer.Option(help="The least that is logged.", envvar="SLUICE_LOG_LEVEL")
    ] = "info",
) -> None:
    """Serve the operators of PIPELINE until SIGTERM."""
    from jobs.broker import SettingsError, read_settings
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
            bootstrap=bootstrap_servers,
            repository=models,
            unix=unix,
            kafka=read_settings(kafka_config).kafka_python(),
            remote_control=remote_control,
        )
    except (PipelineError, SettingsError, FileNotFoundError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from error
    except (StartError, OSError, ValueError) as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from error


if __name__ == "__main__":
    app()
