"""`sluice operator ...`."""

from __future__ import annotations

import logging
import sys
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

    _look_for_operators_in(pipeline.resolve().parent)
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


@app.command()
def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Of the operator: a Python name.", show_default=False)],
    into: Annotated[Path, typer.Option("--into", metavar="DIRECTORY", help="Where to write it.")] = Path(),
) -> None:
    """Write an operator NAME to start from, its test and a pipeline file; nothing that is there already is touched."""
    from operators.template import write

    try:
        written = write(name, into)
    except (ValueError, OSError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from error
    for path in written:
        typer.echo(path)
    typer.echo(f"try it: sluice operator try {name}:{name} --rows {into / f'{name}.rows'}")


@app.command("try")
def try_rows(
    operator: Annotated[str, typer.Argument(metavar="MODULE:NAME", help="As a pipeline file names it.", show_default=False)],
    row: Annotated[list[str] | None, typer.Argument(metavar="[ROW]...", help="Rows, as text.", show_default=False)] = None,
    rows: Annotated[Path | None, typer.Option(metavar="FILE", help="A file of rows, one a line.")] = None,
    option: Annotated[
        list[str] | None, typer.Option(metavar="KEY=VALUE", help="An option of the variant, its value as in YAML; more than once.")
    ] = None,
    variant: Annotated[str, typer.Option(metavar="NAME", help="Of the variant, which a stored model goes by.")] = "default",
    models: Models = None,
) -> None:
    """Run an operator on sample rows in this process and print an answer per row; the exit status is 1 if a row fails."""
    from operators import repository, trying

    _look_for_operators_in(Path.cwd())
    try:
        given = [text.encode() for text in row or []] + (rows.read_bytes().splitlines() if rows is not None else [])
        outcome = trying.try_rows(operator, given, trying.options_of(option or []), variant, models or repository.default_root())
    except (trying.TryError, OSError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from error
    for line in outcome.lines:
        typer.echo(line)
    raise typer.Exit(1 if outcome.failed else 0)


def _look_for_operators_in(folder: Path) -> None:
    """Modules there are found, after all that are installed; replica processes look where this one does."""
    if str(folder) not in sys.path:
        sys.path.append(str(folder))


if __name__ == "__main__":
    app()
