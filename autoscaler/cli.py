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
from jobs.options import LOCAL_KAFKA, LOCAL_SERVICE_HTTP, LOOPBACK, BootstrapServers, Host, KafkaConfig, ServiceHttp, port

if TYPE_CHECKING:
    from autoscaler.sidecar import KafkaAccess

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_show_locals=False,
    rich_markup_mode=None,
    help="The autoscaler sidecar of a pipeline.",
)

QUIET = ("aiokafka", "faust", "mode", "kafka", "asyncio")  # they repeat a broken connection ten times a second


@app.callback()
def _commands() -> None:
    """Keeps `run` a command of its own, beside others to come."""


@app.command()
def run(
    pipeline: Annotated[Path, typer.Argument(metavar="PIPELINE", help="Pipeline file (YAML).", envvar="SLUICE_PIPELINE", show_default=False)],
    bootstrap_servers: BootstrapServers = LOCAL_KAFKA,
    kafka_config: KafkaConfig = None,
    service_http: ServiceHttp = LOCAL_SERVICE_HTTP,
    host: Host = LOOPBACK,
    metrics_port: Annotated[int, port("Metrics for Prometheus.", envvar="SLUICE_AUTOSCALER_METRICS_PORT", least=1)] = 8003,
    stabilization_interval: Annotated[
        float,
        typer.Option(
            envvar="SLUICE_STABILIZATION_INTERVAL", metavar="SECONDS", min=1, help="How long the load must be lower before anything goes down."
        ),
    ] = 30.0,
    state_dir: Annotated[
        Path | None,
        typer.Option(envvar="SLUICE_AUTOSCALER_STATE_DIR", metavar="DIRECTORY", help="Scratch directory; default a temporary one."),
    ] = None,
    advice: Annotated[bool, typer.Option("--advice", envvar="SLUICE_ADVICE", help="Decide and record, but change nothing.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", help="Say more, Kafka's client included.")] = False,
) -> None:
    """Read telemetry, size each stage's replicas and batch for it, and write every decision to the topic sluice-decisions.

    It waits for broker and service if they are away. SIGTERM ends it; the exit status is then 0.
    """
    _log(verbose)
    from autoscaler.sidecar import KafkaAccess  # Faust takes a second to import; --help need not wait for it

    try:
        described = read_pipeline(pipeline)
        kafka = KafkaAccess(bootstrap_servers, read_settings(kafka_config).aiokafka(), state_dir=state_dir)
        kafka.credentials()
    except (PipelineError, SettingsError, OSError, ValueError) as error:
        _fail(str(error), 2)
    metrics = SidecarMetrics(described.name)
    _serve(metrics, metrics_port, host)
    actuator = ServiceActuator(service_http if "://" in service_http else f"http://{service_http}")
    settings = ReactiveSettings(stabilization_s=stabilization_interval)
    _until_it_ends(_run(ControlLoop(described, actuator, metrics, settings, advice), actuator, kafka))


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


def _serve(metrics: SidecarMetrics, number: int, host: str) -> None:
    try:
        metrics.serve(number, host)
    except OSError as error:
        _fail(f"metrics port {number}: {error.strerror}; choose another with --metrics-port", 1)


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
