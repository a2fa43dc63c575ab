"""`sluice simulate FILE --trace T --policy A,B`: what each policy would make of a load."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.table import Table

from autoscaler.graph.pipeline import Pipeline
from autoscaler.graph.reader import read_pipeline
from autoscaler.planner.profile import Profile, profile_path, read_profile
from autoscaler.policies.registry import POLICIES
from jobs.options import LOCAL_KAFKA, BootstrapServers, KafkaConfig
from simulator.arrivals import Network
from simulator.figures import png
from simulator.parallel import Job, run_all
from simulator.report import COLUMNS, figures, html
from simulator.traces import Kind, Load, from_stamps, parse_load, parse_series
from simulator.what_if import Answer, Forecasts, Question

KAFKA = "kafka:"
LARGEST_BYTES = 256 << 20
MOST_SEEDS = 1000


def simulate(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Pipeline file (YAML).", show_default=False)],
    trace: Annotated[str, typer.Option(metavar="FILE|kafka:TOPIC", help="CSV of events per second or of time stamps, or a topic's history.")],
    policy: Annotated[str, typer.Option(metavar="NAME,...", help="Policies to compare.")] = "sluice,static",
    seeds: Annotated[int, typer.Option(metavar="NUMBER", min=1, max=MOST_SEEDS, help="Runs of each policy, of as many seeds.")] = 1,
    seed: Annotated[int, typer.Option(metavar="NUMBER", min=0, help="The first seed.")] = 1,
    scale: Annotated[float, typer.Option(metavar="FACTOR", help="Multiply the events of each second.")] = 1.0,
    speed_up: Annotated[float, typer.Option("--speed-up", metavar="FACTOR", help="Play the load that many times as fast.")] = 1.0,
    kind: Annotated[Kind | None, typer.Option(help="What the trace holds; default as its heading says, counts without one.")] = None,
    column: Annotated[str | None, typer.Option(metavar="NAME", help="Column of the trace; default the first with a known name.")] = None,
    even: Annotated[bool, typer.Option("--even", help="Space counted events evenly; default a Poisson process.")] = False,
    forecast: Annotated[Forecasts, typer.Option(help="What policies know of the load to come.")] = Forecasts.MAX,
    bandwidth: Annotated[Path | None, typer.Option(metavar="CSV", help="Bytes/s of each second between senders and the source topic.")] = None,
    payload: Annotated[float, typer.Option(metavar="BYTES", help="Size of an event; with --bandwidth.")] = 0.0,
    profile: Annotated[Path | None, typer.Option("--profile", metavar="FILE", help="Measured profile; default the one beside FILE.")] = None,
    plot: Annotated[Path | None, typer.Option(metavar="PNG", help="Draw the runs over time.")] = None,
    report: Annotated[Path | None, typer.Option("--html", metavar="FILE", help="Write a report that needs nothing beside it.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object instead of a table.")] = False,
    bootstrap_servers: BootstrapServers = LOCAL_KAFKA,
    kafka_config: KafkaConfig = None,
) -> None:
    """Say what each policy would make of a load, by simulating the pipeline as it was measured; exit status 2 when the input is wrong."""
    names = _names(policy)
    with _failing():
        pipeline = read_pipeline(file)
        load = _load(trace, kind, column, bootstrap_servers, kafka_config)
        load = _played(load, scale, speed_up)
        question = Question(pipeline, _profile(file, pipeline, profile), load, forecast, even, _network(bandwidth, payload))
        assumed = question.model().assumed
        jobs = [Job(number, name, one, one == seed) for number, (one, name) in enumerate((one, name) for one in range(seed, seed + seeds) for name in names)]
        answers = run_all(question, jobs)
        ordered = sorted(answers, key=lambda one: (names.index(one.policy), one.seed))
        title = f"{pipeline.name}: {', '.join(names)}"
        facts = _facts(question, trace, scale, speed_up, seeds, seed)
        picture = png(ordered, pipeline.slo_ms, title) if plot is not None or report is not None else None
        if plot is not None and picture is not None:
            plot.write_bytes(picture)
        if report is not None:
            report.write_text(html(title, facts, [*(f"Assumed: {one}." for one in assumed), *NOTES], ordered, picture), encoding="utf-8")
    if as_json:
        typer.echo(json.dumps(_data(pipeline, facts, assumed, ordered), allow_nan=False))
    else:
        _print(title, facts, assumed, ordered)
    for path in (plot, report):
        if path is not None:
            typer.echo(f"written to {path}", err=True)


NOTES = (
    "Batch times are the profile's, with its spread; they were measured stage by stage on the profile's machine, so replicas that share cores, "
    "memory or caches there are slower in truth than here.",
    "Flink and Kafka take no time of their own here, beyond micro-batches that are gathered, and stalls when the job is rescaled.",
    "Accuracies are the pipeline file's, taken as independent from stage to stage.",
)


# what is asked


def _names(policies: str) -> list[str]:
    names = list(dict.fromkeys(name.strip() for name in policies.split(",") if name.strip()))
    for name in names:
        if name not in POLICIES:
            _fail(f"no policy is called {name!r}; use some of {', '.join(sorted(POLICIES))}")
    if not names:
        _fail(f"--policy names none; use some of {', '.join(sorted(POLICIES))}")
    return names


def _profile(file: Path, pipeline: Pipeline, named: Path | None) -> Profile:
    beside = profile_path(file)
    if named is None and not beside.exists():
        _fail(f"{beside}: there is no profile of {pipeline.name}; measure this machine with `sluice profile {file}` or name one with --profile")
    return read_profile(named or beside)


def _load(trace: str, kind: Kind | None, column: str | None, bootstrap_servers: str, kafka_config: Path | None) -> Load:
    if not trace.startswith(KAFKA):
        return parse_load(_text(Path(trace)), trace, kind, column)
    from jobs.cli import reading
    from jobs.history import stamps_s

    topic = trace.removeprefix(KAFKA)
    with reading(topic, bootstrap_servers, kafka_config) as reader, Console(stderr=True).status(f"reading {topic}") as status:
        stamps = stamps_s(reader, lambda count: status.update(f"reading {topic}: {count:,} events"))
    return from_stamps(stamps, trace)


def _text(path: Path) -> str:
    if path.stat().st_size > LARGEST_BYTES:
        raise ValueError(f"{path}: it has more than {LARGEST_BYTES >> 20} MiB; a load of counts per second is shorter")
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: it is not text (byte {error.start}); name a CSV file") from error


def _played(load: Load, scale: float, speed_up: float) -> Load:
    for name, factor in (("--scale", scale), ("--speed-up", speed_up)):
        if not (math.isfinite(factor) and factor > 0):
            raise ValueError(f"{name} is {factor:g}; use a number above 0")
    if scale != 1:
        load = load.scaled(scale)
    return load if speed_up == 1 else load.faster(speed_up)


def _network(bandwidth: Path | None, payload: float) -> Network | None:
    if bandwidth is None:
        if payload:
            raise ValueError("--payload says how large an event is on its way; say with --bandwidth how fast the way is")
        return None
    if not (math.isfinite(payload) and payload > 0):
        raise ValueError(f"--payload is {payload:g}; with --bandwidth say how many bytes an event has")
    return Network(parse_series(_text(bandwidth), str(bandwidth), "bandwidth"), payload)


@contextmanager
def _failing() -> Iterator[None]:
    """What the user can mend, as one line and exit status 2."""
    try:
        yield
    except ModuleNotFoundError as error:
        _fail(f"a figure needs {error.name}, which is not installed; `pip install {error.name}`")
    except OSError as error:
        _fail(f"{error.filename}: {error.strerror}" if error.filename else str(error))
    except ValueError as error:
        _fail(error)


def _fail(what: object) -> NoReturn:
    typer.echo(what, err=True)
    raise typer.Exit(2)


# what is said


def _facts(question: Question, trace: str, scale: float, speed_up: float, seeds: int, seed: int) -> dict[str, str]:
    pipeline, profile, load = question.pipeline, question.profile, question.load
    rates = load.rates
    changed = [f"times {scale:g}"] * (scale != 1) + [f"{speed_up:g} times as fast"] * (speed_up != 1)
    kind = "time stamps" if load.kind is Kind.STAMPS else "counts, evenly spaced" if question.even else "counts, as a Poisson process"
    return {
        "pipeline": f"{pipeline.name}, SLO {pipeline.slo_ms:g} ms",
        "profile": f"of {profile.at or 'an unknown day'}, {profile.machine or 'an unknown machine'}",
        "load": f"{trace}{''.join(f', {one}' for one in changed)}: {kind}, {load.seconds} s, {rates.mean():.4g} events/s on average, {rates.max():.4g} at most",
        "forecast": question.forecasts.value,
        "seeds": f"{seed} to {seed + seeds - 1}" if seeds > 1 else str(seed),
    }


def _print(title: str, facts: Mapping[str, str], assumed: Sequence[str], answers: Sequence[Answer]) -> None:
    table = Table(title=title)
    table.add_column("policy")
    for column in COLUMNS:
        table.add_column(column.title, justify="right")
    for name, of in figures(answers).items():
        table.add_row(name, *(of[column.key].text(column.shown) for column in COLUMNS))
    console = Console()
    (console if console.is_terminal else Console(width=200)).print(table)
    for name in ("load", "profile"):
        typer.echo(f"{name}: {facts[name]}")
    for one in assumed:
        typer.echo(f"assumed: {one}")


def _data(pipeline: Pipeline, facts: Mapping[str, str], assumed: Sequence[str], answers: Sequence[Answer]) -> dict[str, Any]:
    policies = {name: {**{key: _plain(of.mean) for key, of in columns.items()}, "runs": [_run(one) for one in answers if one.policy == name]}
                for name, columns in figures(answers).items()}
    return {"pipeline": pipeline.name, "slo_ms": pipeline.slo_ms, "facts": dict(facts), "assumed": list(assumed), "policies": policies}


def _run(answer: Answer) -> dict[str, Any]:
    figures = {column.key: _plain(column.of(answer.statistics)) for column in COLUMNS}
    return {"seed": answer.seed, "events": answer.statistics.events, **figures}


def _plain(value: float | None) -> float | None:
    """None where there is none, or no end to it."""
    return value if value is not None and math.isfinite(value) else None
