"""The commands that look back: `sluice explain PIPELINE --last` and `sluice replay FILE --pipeline PIPELINE --policy NAME`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from autoscaler.choice import NOMINAL_RATE, REACTIVE, built, choice
from autoscaler.control.records import WrongDecision, is_decision, lines, parse, recorded
from autoscaler.control.replay import Again
from autoscaler.control.replay import replay as decide_again
from autoscaler.graph.errors import PipelineError
from autoscaler.graph.reader import read_pipeline
from autoscaler.planner.explain import explain as explained
from autoscaler.planner.explain import text
from autoscaler.planner.frontier import attempt
from autoscaler.planner.model import Problem
from jobs.options import LOCAL_KAFKA, BootstrapServers, KafkaConfig, PipelineFile

TOPIC = "sluice-decisions"
SHOWN = 20
"""Differences that `replay` shows one by one."""

ProfileFile = Annotated[Path | None, typer.Option("--profile", metavar="FILE", help="Measured profile; default the one beside the pipeline file.")]
Json = Annotated[bool, typer.Option("--json", help="JSON lines instead of text.")]


def explain(
    pipeline: PipelineFile,
    last: Annotated[int, typer.Option("--last", metavar="NUMBER", min=1, help="How many decisions, counted back from the newest.")] = 1,
    changes: Annotated[bool, typer.Option("--changes", help="Only those that changed something, or wanted to.")] = False,
    as_json: Json = False,
    profile: ProfileFile = None,
    bootstrap_servers: BootstrapServers = LOCAL_KAFKA,
    kafka_config: KafkaConfig = None,
) -> None:
    """Say what the autoscaler saw, forecast, planned and did, from its records; `--json` writes what `replay` reads."""
    try:
        described = read_pipeline(pipeline)
        found = list(_of_topic(described.name, bootstrap_servers, kafka_config))
        name = next((str(one["policy"]) for one in reversed(found) if is_decision(one)), None)
        problem = choice(pipeline, described, name, profile).problem
    except (PipelineError, ValueError, OSError) as error:
        _fail(error)
    chosen = [one for one in found if not changes or any(stage.get("actions") for stage in one["stages"].values())][-last:]
    if not chosen:
        _fail(f"{TOPIC} holds no such decision of {described.name}")
    for one in chosen:
        typer.echo(json.dumps(one) if as_json else "\n".join([_when(one), *lines(one)]))
    if not as_json and problem is not None and is_decision(chosen[-1]):
        typer.echo("\n".join(_why(chosen[-1], problem)))


def replay(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Decision records, a JSON line each, as `sluice explain --json` writes them.")],
    pipeline: Annotated[Path, typer.Option("--pipeline", metavar="PIPELINE", help="Pipeline file (YAML) that they are of.")],
    policy: Annotated[str | None, typer.Option(metavar="NAME", help="Who decides now; default the policy that decided then.")] = None,
    profile: ProfileFile = None,
    as_json: Json = False,
) -> None:
    """Show the same states to another policy and say where it decides otherwise; exit status 2 when the input is wrong."""
    try:
        described = read_pipeline(pipeline)
        told = [one for one in _of_lines(file) if is_decision(one) and one["pipeline"] == described.name]
        if not told:
            _fail(f"{file} holds no decision that a policy made for {described.name}")
        name = policy or str(told[0]["policy"])
        chosen = choice(pipeline, described, name, profile)
        if chosen.problem is None:
            _fail(f"policy {REACTIVE} does not decide by these records")
        found = [recorded(one, chosen.problem) for one in told]
        again = list(decide_again(found, built(name, chosen.problem, chosen.times, None)))
    except (PipelineError, ValueError, OSError) as error:
        _fail(error)
    different = [one for one in again if not one.is_same]
    if as_json:
        for one in again:
            typer.echo(json.dumps(_again(one, name)))
        return
    typer.echo(f"{len(again)} decisions of {found[0].policy} again by {name}: {len(again) - len(different)} the same, {len(different)} not")
    for one in different[:SHOWN]:
        typer.echo(f"{_clock(one.recorded.state.now_s)}  then: {one.recorded.reason}\n{'':>23}  now:  {one.reason}")
        for stage in one.recorded.state.stages:
            then, now = one.wanted(stage, dict(one.recorded.targets)), one.wanted(stage, one.now)
            if then != now:
                typer.echo(f"{'':>23}  {stage}: {_words(then)} -> {_words(now)}")
    if len(different) > SHOWN:
        typer.echo(f"and {len(different) - SHOWN} more; --json has all")


def _of_topic(pipeline: str, bootstrap_servers: str, kafka_config: Path | None) -> Iterator[dict[str, Any]]:
    from jobs.cli import reading

    with reading(TOPIC, bootstrap_servers, kafka_config) as reader:
        for one in reader.to_end():
            try:
                found = parse(one.value)
            except WrongDecision:
                continue
            if found.get("pipeline") == pipeline:
                yield found


def _of_lines(file: Path) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
        if line.strip():
            try:
                yield parse(line)
            except WrongDecision as error:
                raise ValueError(f"{file}:{number}: {error}") from error


def _why(one: Mapping[str, Any], problem: Problem) -> list[str]:
    """What bound the plan, at the rate that it was made for."""
    plan, entry = one["plan"], next((stage.name for stage in problem.stages if not stage.after), None)
    if plan is None or entry is None:
        return []
    rate = plan["stages"][entry]["rate"]
    asked = replace(problem, rate=rate or NOMINAL_RATE)
    return [f"the best plan for {rate:.0f} events/s, if nothing had to be changed:", text(explained(asked, attempt(asked)))]


def _again(one: Again, policy: str) -> dict[str, Any]:
    stages = one.recorded.state.stages
    return {"at_ms": round(one.recorded.state.now_s * 1000), "policy": policy, "same": one.is_same, "reason": one.reason,
            "then": {name: one.wanted(name, dict(one.recorded.targets)) for name in stages}, "now": {name: one.wanted(name, one.now) for name in stages}}


def _when(one: Mapping[str, Any]) -> str:
    return _clock(one["at_ms"] / 1000)


def _clock(at_s: float) -> str:
    return datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%d %H:%M:%S") + f".{int(at_s * 1000) % 1000:03d}"


def _words(shares: tuple[object, ...]) -> str:
    return ", ".join(f"{replicas} x {variant} ({units:g} units, batch {batch})" for variant, units, batch, replicas in shares) or "nothing"  # type: ignore[misc]


def _fail(what: object) -> NoReturn:
    typer.echo(what, err=True)
    raise typer.Exit(2)
