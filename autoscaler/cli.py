"""The autoscaler's command line: `python -m autoscaler.cli run pipelines/digits.yaml`."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import time
import traceback
from collections.abc import Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from autoscaler.actuator import ServiceActuator
from autoscaler.choice import Forecasts, built, choice, forecaster
from autoscaler.control.restraint import Mode
from autoscaler.flink import TIMEOUT_S as FLINK_TIMEOUT_S
from autoscaler.flink import FlinkJob
from autoscaler.graph.errors import PipelineError
from autoscaler.graph.reader import read_pipeline
from autoscaler.loop import ControlLoop
from autoscaler.metrics import SidecarMetrics
from autoscaler.planned import Plant, PolicyLoop
from autoscaler.reactive import ReactiveSettings
from jobs.broker import SettingsError, read_settings
from jobs.embedded.rest import FlinkRest
from jobs.options import LOCAL_KAFKA, LOCAL_SERVICE_HTTP, LOOPBACK, BootstrapServers, Host, KafkaConfig, Models, PipelineFile, ServiceHttp, port
from operators.repository import default_root

if TYPE_CHECKING:
    from autoscaler.sidecar import KafkaAccess

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_show_locals=False,
    rich_markup_mode=None,
    help="The autoscaler sidecar of a pipeline, and what it is told.",
)

QUIET = ("aiokafka", "faust", "mode", "kafka", "asyncio")  # they repeat a broken connection ten times a second


@app.command()
def run(
    pipeline: Annotated[Path, typer.Argument(metavar="PIPELINE", help="Pipeline file (YAML).", envvar="SLUICE_PIPELINE", show_default=False)],
    policy: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Who decides: reactive, or one that `sluice compare` lists; default as the file "
                     "says, else sluice with --profile, else reactive."),
    ] = None,
    profile: Annotated[Path | None, typer.Option("--profile", metavar="FILE", help="Measured profile; default the one beside PIPELINE.")] = None,
    bootstrap_servers: BootstrapServers = LOCAL_KAFKA,
    kafka_config: KafkaConfig = None,
    service_http: ServiceHttp = LOCAL_SERVICE_HTTP,
    flink: Annotated[
        str | None,
        typer.Option("--flink", envvar="SLUICE_FLINK", metavar="HOST:PORT", help="Flink's REST address; without it the job is left alone."),
    ] = None,
    host: Host = LOOPBACK,
    metrics_port: Annotated[int, port("Metrics for Prometheus.", envvar="SLUICE_AUTOSCALER_METRICS_PORT", least=1)] = 8003,
    stabilization_interval: Annotated[
        float | None,
        typer.Option(
            envvar="SLUICE_STABILIZATION_INTERVAL", metavar="SECONDS", min=1,
            help="How long the load must be lower before anything goes down; default 30 for reactive, 10 for sluice, else the policy's own.",
        ),
    ] = None,
    state_dir: Annotated[
        Path | None,
        typer.Option(envvar="SLUICE_AUTOSCALER_STATE_DIR", metavar="DIRECTORY", help="Scratch directory; default a temporary one."),
    ] = None,
    models: Models = None,
    forecast: Annotated[
        Forecasts, typer.Option(help="What a policy is told of the load to come: by trained forecasters, the most of two minutes, the last second.")
    ] = Forecasts.TRAINED,
    advice: Annotated[bool, typer.Option("--advice", envvar="SLUICE_ADVICE", help="Decide and record, but change nothing.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", help="Say more, Kafka's client included.")] = False,
) -> None:
    """Read telemetry and the source's offsets, decide what each stage runs, and write every decision to the topic sluice-decisions.

    It waits for broker and service if they are away. SIGTERM ends it; the exit status is then 0.
    """
    _log(verbose)
    from autoscaler.sidecar import KafkaAccess  # Faust takes a second to import; --help need not wait for it

    try:
        described = read_pipeline(pipeline)
        chosen = choice(pipeline, described, policy, profile)
        kafka = KafkaAccess(bootstrap_servers, read_settings(kafka_config).aiokafka(), state_dir=state_dir)
        kafka.credentials()
    except (PipelineError, SettingsError, OSError, ValueError) as error:
        _fail(str(error), 2)
    if chosen.note is not None:
        logging.getLogger("sluice.autoscaler").warning("%s", chosen.note)
    metrics = SidecarMetrics(described.name)
    _serve(metrics, metrics_port, host)
    actuator = ServiceActuator(service_http if "://" in service_http else f"http://{service_http}")
    loop: ControlLoop | PolicyLoop
    if chosen.problem is None:
        loop = ControlLoop(described, actuator, metrics, ReactiveSettings(stabilization_s=stabilization_interval or 30.0),
                           advice or not described.autoscaler.enabled)
    else:
        decides = built(chosen.policy, chosen.problem, chosen.times, stabilization_interval)
        job = FlinkJob(described, FlinkRest(flink, timeout_s=FLINK_TIMEOUT_S)) if flink is not None else None
        plant = Plant(described, chosen.problem, decides, forecaster(forecast, models or default_root()), actuator, job)
        loop = PolicyLoop(plant, metrics, time.perf_counter, Mode.ADVICE if advice else None)
    logging.getLogger("sluice.autoscaler").info("policy %s decides for pipeline %s", chosen.policy, described.name)
    _until_it_ends(_run(loop, actuator, kafka))


@app.command()
def pause(pipeline: PipelineFile, bootstrap_servers: BootstrapServers = LOCAL_KAFKA, kafka_config: KafkaConfig = None) -> None:
    """Tell the pipeline's sidecar to decide nothing; what runs stays, until `resume`, also when the sidecar starts again."""
    _tell(pipeline, Mode.PAUSED, bootstrap_servers, kafka_config)


@app.command()
def advise(pipeline: PipelineFile, bootstrap_servers: BootstrapServers = LOCAL_KAFKA, kafka_config: KafkaConfig = None) -> None:
    """Tell the pipeline's sidecar to decide and record, but to change nothing, until `resume`."""
    _tell(pipeline, Mode.ADVICE, bootstrap_servers, kafka_config)


@app.command()
def resume(pipeline: PipelineFile, bootstrap_servers: BootstrapServers = LOCAL_KAFKA, kafka_config: KafkaConfig = None) -> None:
    """Tell the pipeline's sidecar to act again."""
    _tell(pipeline, Mode.ACT, bootstrap_servers, kafka_config)


def _tell(pipeline: Path, mode: Mode, bootstrap_servers: str, kafka_config: Path | None) -> None:
    from kafka.errors import KafkaError

    from autoscaler.commands import tell

    try:
        name = read_pipeline(pipeline).name
        client = {"bootstrap_servers": bootstrap_servers.split(","), **read_settings(kafka_config).kafka_python()}
        tell(client, name, mode)
    except (PipelineError, SettingsError, OSError, KafkaError) as error:
        _fail(str(error) or type(error).__name__, 2)
    typer.echo(f"{name}: told to {'resume' if mode is Mode.ACT else mode.value}")


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


async def _run(loop: ControlLoop | PolicyLoop, actuator: ServiceActuator, kafka: KafkaAccess) -> None:
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
