"""The autoscaler's command line: `python -m autoscaler.cli run pipelines/digits.yaml`."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import traceback
from collections.abc import Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from autoscaler.actuator import ServiceActuator
from autoscaler.graph.errors import PipelineError
from autoscaler.graph.reader import read_pipeline
from autoscaler.loop import ControlLoop
from autoscaler.metrics import SidecarMetrics
from autoscaler.reactive import ReactiveSettings
from jobs.broker import SettingsError, read_settings

if TYPE_CHECKING:
    from autoscaler.sidecar import KafkaAccess

app = typer.Typer(help="The autoscaler sidecar of a Sluice pipeline.", no_args_is_help=True, add_completion=False)

QUIET = ("aiokafka", "faust", "mode", "kafka", "asyncio")  # they repeat a broken connection ten times a second


@app.callback()
def _commands() -> None:
    """Keeps `run` a command of its own, beside others to come."""


@app.command()
def run(
    file: Annotated[Path, typer.Argument(help="The pipeline file.")],
    bootstrap_servers: Annotated[
        str, typer.Option(envvar="SLUICE_BOOTSTRAP_SERVERS", help="Kafka brokers, HOST:PORT,...")] = "127.0.0.1:9092",
    service: Annotated[str, typer.Option(envvar="SLUICE_SERVICE_HTTP", help="HTTP address of the operator service.")] = "http://127.0.0.1:8000",
    metrics_port: Annotated[
        int, typer.Option(envvar="SLUICE_AUTOSCALER_METRICS_PORT", min=1, max=65535, help="Where Prometheus reads, on 127.0.0.1.")] = 8003,
    kafka_config: Annotated[
        Path | None, typer.Option(envvar="SLUICE_KAFKA_CONFIG", help="Kafka client properties: security.protocol, sasl.*, ssl.*.")] = None,
    stabilization_interval: Annotated[
        float, typer.Option(envvar="SLUICE_STABILIZATION_INTERVAL", min=1, help="Seconds of lower load before anything goes down.")] = 30.0,
    state_dir: Annotated[
        Path | None, typer.Option(envvar="SLUICE_AUTOSCALER_STATE_DIR", help="Scratch directory; default a temporary one.")] = None,
    advice: Annotated[bool, typer.Option("--advice", envvar="SLUICE_ADVICE", help="Decide and record, but change nothing.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", help="Say more, Kafka's client included.")] = False,
) -> None:
    """Reads telemetry, sizes each stage's replicas and batch for it, and writes every decision to the topic sluice-decisions.

    Waits for broker and service if they are away. SIGTERM ends it; the exit status is then 0.
    """
    _log(verbose)
    from autoscaler.sidecar import KafkaAccess  # Faust takes a second to import; --help need not wait for it

    try:
        pipeline = read_pipeline(file)
        kafka = KafkaAccess(bootstrap_servers, read_settings(kafka_config).aiokafka(), state_dir=state_dir)
        kafka.credentials()
    except (PipelineError, SettingsError, OSError, ValueError) as error:
        _fail(str(error), 2)
    metrics = SidecarMetrics(pipeline.name)
    _serve(metrics, metrics_port)
    actuator = ServiceActuator(service)
    settings = ReactiveSettings(stabilization_s=stabilization_interval)
    _until_it_ends(_run(ControlLoop(pipeline, actuator, metrics, settings, advice), actuator, kafka))


def _until_it_ends(running: Coroutine[None, None, None]) -> NoReturn:
    """asyncio.run, but the process ends without waiting for tasks that swallow their cancellation: a Faust app that lost its broker
    leaves such behind, and neither the loop nor the interpreter would then come to an end."""
    try:
        asyncio.new_event_loop().run_until_complete(running)
    except BaseException:
        traceback.print_exc()
        status = 1
    else:
        status = 0
    logging.shutdown()
    sys.stderr.flush()
    os._exit(status)


async def _run(loop: ControlLoop, actuator: ServiceActuator, kafka: KafkaAccess) -> None:
    from autoscaler.sidecar import Sidecar, install_signals

    async with actuator:
        sidecar = Sidecar(loop, kafka)
        install_signals(sidecar)
        await sidecar.run()


def _serve(metrics: SidecarMetrics, port: int) -> None:
    try:
        metrics.serve(port)
    except OSError as error:
        _fail(f"metrics port {port}: {error.strerror}; choose another with --metrics-port", 1)


def _fail(what: str, status: int) -> NoReturn:
    typer.echo(f"autoscaler: {what}", err=True)
    raise SystemExit(status)


def _log(verbose: bool) -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.INFO if verbose else logging.CRITICAL)
    logging.getLogger("sluice").setLevel(logging.DEBUG if verbose else logging.INFO)


if __name__ == "__main__":
    app()
