"""The `sluice` command: one verb for each thing a person does."""

from __future__ import annotations

import logging
import signal
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import click
import typer
import typer.core
import typer.main

from jobs.options import LOCAL_FLINK, LOCAL_KAFKA, BootstrapServers, Flink, KafkaConfig, PipelineFile, Topic, port
from jobs.shape import Shape

if TYPE_CHECKING:
    from jobs.broker import ClientSettings
    from jobs.consumer import TopicReader

ELSEWHERE = {
    "check": ("autoscaler.graph.cli", "Check a pipeline file and print its graph."),
    "plan": ("autoscaler.planner.cli", "Plan every stage for a rate."),
    "compare": ("autoscaler.planner.cli", "Compare where policies come to rest over a range of rates."),
    "simulate": ("simulator.cli", "Simulate what policies would make of a load."),
    "profile": ("operators.profile_cli", "Measure a pipeline's stages on this machine, for the planner."),
    "train": ("operators.train_cli", "Train the example models into the model repository."),
    "forecast": ("autoscaler.forecast.cli", "Train the forecasters of the load."),
    "operator": ("operators.cli", "Serve a pipeline's operators, and what belongs to that."),
    "update": ("operators.update_cli", "Let another version of a stage's model take over while it serves."),
    "rollback": ("operators.update_cli", "End an update, or bring back the version before."),
    "versions": ("operators.update_cli", "List a stage's versions, and which of them serve."),
    "conformance": ("operators.conformance_cli", "Say what an Open Inference Protocol endpoint gets wrong."),
    "explain": ("autoscaler.history_cli", "Say why the autoscaler decided as it did."),
    "replay": ("autoscaler.history_cli", "Decide recorded history again, by another policy."),
    "autoscaler": ("autoscaler.cli", "Run the autoscaler sidecar; pause, resume or advise one that runs."),
}
"""Verbs whose commands other packages define; imported only when one is used, so that the rest starts fast."""

PATIENCE_MS = 10_000
"""How long a command waits for brokers that do not answer."""
SHORT_HELP = 120
ORDER = ("run", "check", "profile", "plan", "compare", "simulate", "train", "forecast", "operator", "update", "rollback", "versions", "conformance",
         "autoscaler", "explain", "replay", "start", "stop", "produce", "consume", "dead-letters")

PLAIN: dict[str, Any] = {"add_completion": False, "pretty_exceptions_show_locals": False, "rich_markup_mode": None}


class Verbs(typer.core.TyperGroup):
    """The commands of this file, and those of ELSEWHERE, imported when asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*self.commands, *ELSEWHERE}, key=ORDER.index)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in ELSEWHERE:
            return super().get_command(ctx, name)
        return _imported(name, ELSEWHERE[name][0])

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        meanings = {name: command.get_short_help_str(SHORT_HELP) for name, command in self.commands.items()}
        meanings |= {name: meaning for name, (_, meaning) in ELSEWHERE.items()}
        with formatter.section("Commands"):
            formatter.write_dl([(name, meanings[name]) for name in self.list_commands(ctx)])


def _imported(name: str, module: str) -> click.Command:
    """The command of a module: its typer app, or its function of that name."""
    try:
        found = import_module(module)
    except ModuleNotFoundError as error:
        if error.name is not None and module.startswith(error.name):
            raise click.ClickException(f"`sluice {name}` is not part of this installation ({module} is missing)") from error
        raise
    own = getattr(found, "app", None)
    if own is None:
        own = typer.Typer(**PLAIN)
        own.command(name)(getattr(found, name))
    return typer.main.get_command(own)


app = typer.Typer(cls=Verbs, no_args_is_help=True, help="Deep-learning inference as a stream: Kafka, Flink, and models outside Flink.",
                  context_settings={"max_content_width": 110}, **PLAIN)
letters = typer.Typer(no_args_is_help=True, help="List dead letters, or send their events again.", **PLAIN)
app.add_typer(letters, name="dead-letters")
Inputs = typer.Option(metavar="NAME|PATH", help="digits, scenes, cards, a file of lines or a directory of files.")


@app.command()
def run(
    pipeline: Annotated[Path, typer.Option(metavar="FILE", help="Pipeline file (YAML).")] = Path("pipelines/digits.yaml"),
    duration: Annotated[float, typer.Option(metavar="SECONDS", help="How long events are sent.")] = 60.0,
    rate: Annotated[float, typer.Option(metavar="NUMBER", help="Mean rate in events/s.")] = 200.0,
    shape: Annotated[Shape, typer.Option(help="How the rate goes up and down.")] = Shape.BURSTS,
    count: Annotated[int | None, typer.Option(metavar="NUMBER", help="Events at most.")] = None,
    seed: Annotated[int, typer.Option(metavar="NUMBER", help="Of the order of the inputs.")] = 1,
    inputs: Annotated[str | None, Inputs] = None,
    wait: Annotated[float, typer.Option(metavar="SECONDS", help="Longest wait for the last answers.")] = 60.0,
    keep: Annotated[bool, typer.Option("--keep", help="Keep logs and topics although all went well.")] = False,
    kafka_port: Annotated[int, port("Kafka broker; 0 = any free one, so for every port.")] = 9092,
    controller_port: Annotated[int, port("Kafka controller.")] = 9093,
    zookeeper_port: Annotated[int, port("ZooKeeper, where Flink keeps what it must know after a crash.")] = 2181,
    flink_port: Annotated[int, port("Flink's REST interface and web page.")] = 8081,
    flink_metrics_port: Annotated[int, port("Flink's metrics: the JobManager's; the TaskManager's is the next one.")] = 9249,
    grpc_port: Annotated[int, port("Operator service, gRPC.")] = 8001,
    http_port: Annotated[int, port("Operator service, HTTP.")] = 8000,
    metrics_port: Annotated[int, port("Operator service, metrics.")] = 8002,
    sidecar_metrics_port: Annotated[int, port("Autoscaler sidecar, metrics.")] = 8003,
) -> None:
    """Everything on this machine: broker, Flink, operator service, sidecar, a load, a live view and a summary."""
    from autoscaler.graph.errors import PipelineError
    from jobs.embedded.run import Ports, RunConfig
    from jobs.embedded.run import run as run_all
    from jobs.producer import Load, check_inputs

    chosen = Ports(
        kafka_port, controller_port, zookeeper_port, flink_port, flink_metrics_port, grpc_port, http_port, metrics_port, sidecar_metrics_port
    )
    try:
        load = Load(rate, shape, duration, count, seed)
        if inputs is not None:
            check_inputs(inputs)
    except ValueError as error:
        _fail(error)
    try:
        status = run_all(RunConfig(pipeline, load, inputs, chosen, wait, keep), lambda line: print(line, flush=True))
    except (PipelineError, OSError) as error:
        _fail(error)
    raise typer.Exit(status)


@app.command()
def produce(
    topic: Topic,
    inputs: Annotated[str, Inputs] = "digits",
    rate: Annotated[float, typer.Option(metavar="NUMBER", help="Mean rate in events/s.")] = 200.0,
    shape: Annotated[Shape, typer.Option(help="How the rate goes up and down.")] = Shape.BURSTS,
    duration: Annotated[float | None, typer.Option(metavar="SECONDS", help="How long; default without a count: 60.")] = None,
    count: Annotated[int | None, typer.Option(metavar="NUMBER", help="Events at most.")] = None,
    seed: Annotated[int, typer.Option(metavar="NUMBER", help="Of the order of the inputs.")] = 1,
    prefix: Annotated[str | None, typer.Option(metavar="TEXT", help="Of the event ids; default from the time.")] = None,
    start_when: Annotated[Path | None, typer.Option(metavar="FILE", help="Get ready, but begin only once this file is there.")] = None,
    bootstrap_servers: BootstrapServers = LOCAL_KAFKA,
    kafka_config: KafkaConfig = None,
) -> None:
    """Replay inputs at a bursty rate; the record's timestamp is the moment it was due."""
    from jobs.producer import Load, Replay, samples_named

    try:
        load = Load(rate, shape, 60.0 if duration is None and count is None else duration, count, seed)
        replay = Replay(topic, samples_named(inputs, seed), load, _client(bootstrap_servers, kafka_config), prefix, start_when)
    except (ValueError, OSError) as error:
        _fail(error)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: replay.stop())
    with _failures():
        sent = replay.run()
    print(f"{len(sent.intended_ms)} events sent to {topic}, {len(sent.failed)} not acknowledged, at most {sent.behind_ms:.0f} ms behind")
    raise typer.Exit(1 if sent.failed else 0)


@app.command()
def consume(
    topic: Topic,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what comes.")] = False,
    from_end: Annotated[bool, typer.Option("--from-end", help="Only what comes from now on; with --follow.")] = False,
    limit: Annotated[int | None, typer.Option(metavar="NUMBER", help="Records at most.")] = None,
    bootstrap_servers: BootstrapServers = LOCAL_KAFKA,
    kafka_config: KafkaConfig = None,
) -> None:
    """Print the committed records of a topic with their headers."""
    from itertools import islice

    from jobs.consumer import shown

    try:
        with reading(topic, bootstrap_servers, kafka_config, from_end) as reader:
            for record in islice(reader.follow() if follow else reader.to_end(), limit):
                print(shown(record), flush=follow)
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


Reasons = Annotated[list[str] | None, typer.Option("--reason", metavar="REASON", help="Only with this reason; may be given more than once.")]
StageNames = Annotated[list[str] | None, typer.Option("--stage", metavar="STAGE", help="Only of this stage; may be given more than once.")]
Ids = Annotated[list[str] | None, typer.Option("--event-id", metavar="ID", help="Only this event; may be given more than once.")]


@letters.command("list")
def list_letters(
    topic: Topic,
    reason: Reasons = None,
    stage: StageNames = None,
    event_id: Ids = None,
    totals: Annotated[bool, typer.Option("--totals", help="Only how many, by reason and stage.")] = False,
    bootstrap_servers: BootstrapServers = LOCAL_KAFKA,
    kafka_config: KafkaConfig = None,
) -> None:
    """Print dead letters, oldest first within each partition."""
    from jobs import dead_letters
    from jobs.consumer import shown

    with _failures():
        found = dead_letters.chosen(topic, _client(bootstrap_servers, kafka_config), _choice(reason, stage, event_id))
        if totals:
            for (why, where), number in dead_letters.counted(found).most_common():
                print(f"{number:8d}  {why}  {where}")
            return
        for record in found:
            print(shown(record))


@letters.command("replay")
def replay_letters(
    topic: Annotated[str, typer.Argument(metavar="TOPIC", help="Topic of the dead letters.", show_default=False)],
    to: Annotated[str, typer.Option("--to", metavar="TOPIC", help="Topic to send the events to: the pipeline's source.")],
    reason: Reasons = None,
    stage: StageNames = None,
    event_id: Ids = None,
    without_header: Annotated[
        list[str] | None, typer.Option("--without-header", metavar="NAME", help="Leave this header away, as a wrong one; may be given more than once.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be sent.")] = False,
    progress: Annotated[Path | None, typer.Option(metavar="FILE", help="What was sent already; default .sluice/replays/TOPIC.jsonl.")] = None,
    bootstrap_servers: BootstrapServers = LOCAL_KAFKA,
    kafka_config: KafkaConfig = None,
) -> None:
    """Send the original events again, with their ids; a broken replay goes on where it was."""
    from aiokafka.errors import KafkaError as AioKafkaError

    from jobs import dead_letters
    from jobs.consumer import shown

    client, settings = _client(bootstrap_servers, kafka_config), _settings(kafka_config)
    path = progress or Path(".sluice") / "replays" / f"{topic}.jsonl"
    with _failures(AioKafkaError):
        records = dead_letters.chosen(topic, client, _choice(reason, stage, event_id))
        if dry_run:
            done = dead_letters.Progress(path, topic).done if path.exists() else set()
            would = [r for r in records if (r.partition, r.offset) not in done and dead_letters.is_replayable(r)]
            for record in would:
                print(shown(record))
            print(f"{len(would)} would be sent to {to}")
            return
        producer = {"bootstrap_servers": bootstrap_servers.split(","), **settings.aiokafka()}
        told = dead_letters.replay(records, to, producer, dead_letters.Progress(path, topic), frozenset(without_header or ()))
    print(f"{told.sent} sent to {to}, {told.done_before} had been sent before, {told.not_replayable} cannot be (stubs and parts of events)")


@app.command()
def stop(
    job: Annotated[str | None, typer.Option(metavar="ID|NAME", help="Which one; default the only one that runs.")] = None,
    savepoint_dir: Annotated[str | None, typer.Option(metavar="DIRECTORY", help="Where the savepoint goes; default the cluster's own.")] = None,
    drain: Annotated[bool, typer.Option("--drain", help="Let timers and open windows fire; the job is not to be resumed.")] = False,
    flink: Flink = LOCAL_FLINK,
) -> None:
    """Stop a job with a savepoint and print where it lies."""
    from jobs import lifecycle
    from jobs.embedded.rest import FlinkRest, RestError

    try:
        stopped, location = lifecycle.stop(FlinkRest(flink), job, savepoint_dir, drain=drain)
    except RestError as error:
        _fail(error if error.status is not None else f"{error}; name the cluster with --flink HOST:PORT")
    except lifecycle.LifecycleError as error:
        _fail(error)
    what = "drained, so nothing should start from its savepoint," if drain else "start it again with --from"
    print(f"stopped {stopped.name} ({stopped.id}); {what} {location}")


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def start(
    ctx: typer.Context,
    pipeline: PipelineFile,
    from_where: Annotated[str | None, typer.Option("--from", metavar="SNAPSHOT", help="A savepoint or retained checkpoint.")] = None,
    checkpoints: Annotated[
        list[str] | None,
        typer.Option(envvar="SLUICE_CHECKPOINTS", metavar="DIRECTORY", help="Where to find the newest one; may be given more than once."),
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Without state, from the topic's beginning.")] = False,
    flink: Flink = LOCAL_FLINK,
) -> None:
    """Submit a pipeline's job from a savepoint or its newest checkpoint; further options go to jobs/pipeline.py."""
    from jobs import lifecycle

    try:
        snapshot = lifecycle.snapshot(from_where, checkpoints or [], fresh=fresh)
    except lifecycle.LifecycleError as error:
        _fail(error)
    print(f"starting from {snapshot}" if snapshot else "starting fresh", flush=True)
    raise typer.Exit(lifecycle.flink_run(flink, snapshot, ["--pipeline", str(pipeline.resolve()), *ctx.args]))


@contextmanager
def _failures(*kinds: type[Exception]) -> Iterator[None]:
    """What a command that talks to the brokers may fail of is said on one line; kinds: beside those of kafka-python."""
    from kafka.errors import KafkaError

    from jobs.broker import SettingsError

    heard = _Why()
    logging.getLogger("kafka").addHandler(heard)
    try:
        yield
    except (LookupError, ValueError) as error:
        _fail(error.args[0])
    except (KafkaError, SettingsError, *kinds) as error:
        mend = ["name the brokers with --bootstrap-servers HOST:PORT,..., what else they ask for with --kafka-config FILE"]
        away = "bootstrap" in str(error)
        _fail("\n".join([f"Kafka: {error}" if str(error) else f"Kafka: {type(error).__name__}", *heard.text, *(mend if away else [])]))
    finally:
        logging.getLogger("kafka").removeHandler(heard)


class _Why(logging.Handler):
    """kafka-python's error for a connection that fails says only that it did; why is in its log: the first reason, or that of a refused login."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.text: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        said = record.getMessage()
        is_first = "connection to" in said and not self.text
        if is_first or "AuthenticationFailed" in said:
            self.text = [said]


def _settings(config: Path | None) -> ClientSettings:
    from jobs.broker import SettingsError, read_settings

    try:
        return read_settings(config)
    except SettingsError as error:
        _fail(error)


@contextmanager
def reading(topic: str, bootstrap_servers: str, kafka_config: Path | None, from_end: bool = False) -> Iterator[TopicReader]:
    """The topic's records; a topic that is not there and brokers that do not answer are said on one line, with exit status 2."""
    from jobs.consumer import TopicReader

    with _failures(), TopicReader([topic], _client(bootstrap_servers, kafka_config), from_end=from_end) as reader:
        yield reader


def _client(bootstrap_servers: str, config: Path | None) -> dict[str, Any]:
    from jobs.broker import SettingsError

    try:
        return {"bootstrap_servers": bootstrap_servers.split(","), "bootstrap_timeout_ms": PATIENCE_MS, **_settings(config).kafka_python()}
    except SettingsError as error:
        _fail(error)


def _choice(reasons: Iterable[str] | None, stages: Iterable[str] | None, ids: Iterable[str] | None) -> Any:
    from jobs.dead_letters import Choice

    return Choice(*(frozenset(some) if some else None for some in (reasons, stages, ids)))


def _fail(what: object) -> NoReturn:
    typer.echo(what, err=True)
    raise typer.Exit(2)


if __name__ == "__main__":
    app()
