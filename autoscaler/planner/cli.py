"""The commands that plan: `sluice plan FILE --rate 120` and `sluice compare FILE --rates 10:500`."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.table import Table

from autoscaler.graph.pipeline import Pipeline
from autoscaler.graph.reader import read_pipeline
from autoscaler.planner.catalogue import problem as problem_of
from autoscaler.planner.catalogue import starting
from autoscaler.planner.compare import Row, pareto, settle, sweep
from autoscaler.planner.explain import explain, refusal, text
from autoscaler.planner.frontier import plan as best_plan
from autoscaler.planner.model import Infeasible, Plan, Problem
from autoscaler.planner.profile import profile_path, read_profile
from autoscaler.policies.policy import Policy
from autoscaler.policies.registry import POLICIES

POINTS = 8
"""Rates of a range that names no step."""
MOST_RATES = 1000

PipelineFile = Annotated[Path, typer.Argument(metavar="FILE", help="Pipeline file (YAML).", show_default=False)]
ProfileFile = Annotated[Path | None, typer.Option("--profile", metavar="FILE", help="Measured profile; default the one beside the pipeline file.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON object instead of tables.")]


def plan(
    file: PipelineFile,
    rate: Annotated[float, typer.Option(metavar="NUMBER", help="Events/s to plan for.")],
    policy: Annotated[str | None, typer.Option(metavar="NAME", help="Where this policy comes to rest; default the best plan there is.")] = None,
    profile: ProfileFile = None,
    explained: Annotated[bool, typer.Option("--explain", help="Say what binds, what each stage takes, and what else there would be.")] = False,
    as_json: Json = False,
) -> None:
    """Plan every stage of a pipeline for a rate; exit status 1 when no plan carries it, 2 when the input is wrong."""
    if not (math.isfinite(rate) and rate > 0):
        _fail(f"--rate is {rate:g}; use a number above 0")
    pipeline, problem = _read(file, profile, rate)
    met, missed = True, ()
    if policy is None:
        found = best_plan(problem)
    else:
        standing, _ = settle(problem, _builder(policy)(problem), starting(pipeline, problem))
        found, met, missed = standing.plan, standing.serves, standing.broken
    if as_json:
        typer.echo(json.dumps({"pipeline": pipeline.name, "rate": rate, "policy": policy, **_plan_data(found, problem, explained),
                               "meets": met and isinstance(found, Plan), "missed": [str(one) for one in missed]}, default=str))
    elif isinstance(found, Infeasible):
        typer.echo("\n".join(refusal(found, rate, problem.slo_ms)))
    else:
        _print_plan(pipeline, problem, found, policy)
        for one in missed:
            typer.echo(f"not met: {one}")
        if explained:
            typer.echo("\n" + text(explain(problem, found)))
    if isinstance(found, Infeasible) or not met:
        raise typer.Exit(1)


def compare(
    file: PipelineFile,
    rates: Annotated[str, typer.Option(metavar="FROM:TO[:STEP]", help="Events/s, both ends included; without a step about eight of them.")],
    policies: Annotated[str | None, typer.Option(metavar="NAME,...", help="Which ones; default all that the pipeline suits.")] = None,
    profile: ProfileFile = None,
    plot: Annotated[Path | None, typer.Option(metavar="PNG", help="Draw accuracy and latency against cost.")] = None,
    as_json: Json = False,
) -> None:
    """Show where each policy comes to rest at each rate, and what that costs; exit status 2 when the input is wrong."""
    try:
        asked = parse_rates(rates)
    except ValueError as error:
        _fail(f"--rates is {rates!r}: {error}")
    names = [name.strip() for name in policies.split(",")] if policies else list(POLICIES)
    builders = {name: _builder(name) for name in names}
    pipeline, problem = _read(file, profile, asked[0])
    rows = sweep(problem, builders, asked, starting(pipeline, problem))
    if as_json:
        typer.echo(json.dumps({"pipeline": pipeline.name, "slo_ms": problem.slo_ms, "rows": _row_data(rows)}))
    else:
        _print_rows(pipeline, problem, rows)
    if plot is not None:
        _plot(rows, problem, pipeline, plot)


def parse_rates(text: str) -> tuple[float, ...]:
    """FROM:TO[:STEP], both ends included. ValueError with the mend."""
    parts = text.split(":")
    if len(parts) not in (2, 3):
        raise ValueError("write FROM:TO or FROM:TO:STEP, e.g. 10:500 or 10:500:50")
    try:
        first, last, *given = (float(part) for part in parts)
    except ValueError:
        raise ValueError("FROM, TO and STEP are numbers, e.g. 10:500:50") from None
    if not (math.isfinite(first) and math.isfinite(last) and 0 < first <= last):
        raise ValueError("use numbers above 0, the smaller one first")
    step = given[0] if given else (last - first) / (POINTS - 1)
    if given and not (math.isfinite(step) and step > 0):
        raise ValueError("use a step above 0")
    if step and (last - first) / step > MOST_RATES:
        raise ValueError(f"these are more than {MOST_RATES} rates; use a larger step")
    count = int((last - first) / step + 1e-9) + 1 if step else 1
    found = [first + number * step for number in range(count)]
    return (*found, last) if last - found[-1] > 1e-9 * last else tuple(found)


def _read(file: Path, profile: Path | None, rate: float) -> tuple[Pipeline, Problem]:
    try:
        pipeline = read_pipeline(file)
        beside = profile_path(file)
        if profile is None and not beside.exists():
            _fail(f"{beside}: there is no profile of {pipeline.name}; measure this machine with `sluice profile {file}` or name one with --profile")
        return pipeline, problem_of(pipeline, read_profile(profile or beside), rate)
    except ValueError as error:
        _fail(str(error))


def _builder(name: str) -> Callable[[Problem], Policy]:
    if name not in POLICIES:
        _fail(f"no policy is called {name!r}; use one of {', '.join(sorted(POLICIES))}")
    return POLICIES[name].build


def _fail(what: str) -> NoReturn:
    typer.echo(what, err=True)
    raise typer.Exit(2)


def _print_plan(pipeline: Pipeline, problem: Problem, found: Plan, policy: str | None) -> None:
    table = Table(title=f"{pipeline.name} at {problem.rate:g} events/s" + (f", policy {policy}" if policy else ""))
    for name, where in (("stage", "left"), ("variant", "left"), ("rows", "right"), ("replicas", "right"), ("each on", "left"), ("batch", "right"),
                        ("rows/s", "right"), ("ms", "right"), ("cost", "right")):
        table.add_column(name, justify=where)  # type: ignore[arg-type]
    for stage in found.stages:
        for share in stage.shares:
            option = share.option
            table.add_row(stage.name, option.variant, f"{share.share:.0%}", str(share.replicas), f"{option.units:g} {option.device}", str(option.batch),
                          f"{stage.rate * share.share:.4g}", f"{stage.time_ms:.4g}", f"{option.cost * share.replicas:.4g}")
    _console().print(table)
    used = ", ".join(f"{units:g} {kind}" + (f" of {problem.devices[kind]:g}" if kind in problem.devices else "")
                     for kind, units in found.totals.used.items())
    typer.echo(f"latency {found.latency_ms:.4g} of {problem.slo_ms:g} ms; accuracy {found.totals.accuracy:.4f}; cost {found.totals.cost:.4g}; {used}")
    if policy is None:
        typer.echo("proven the best" if found.exact else f"not proven the best; another may be better by {found.gap:.4g} at most")


def _print_rows(pipeline: Pipeline, problem: Problem, rows: tuple[Row, ...]) -> None:
    best = pareto(rows)
    table = Table(title=f"{pipeline.name}: where each policy comes to rest, SLO {problem.slo_ms:g} ms")
    for name, where in (("events/s", "right"), ("policy", "left"), ("cost", "right"), ("accuracy", "right"), ("ms", "right"), ("", "left"),
                        ("what runs", "left")):
        table.add_column(name, justify=where)  # type: ignore[arg-type]
    before = None
    for row in rows:
        if before not in (None, row.rate):
            table.add_section()
        mark = ("*" if (row.policy, row.rate) in best else "") if row.meets else "misses " + ", ".join(row.missed)
        table.add_row("" if row.rate == before else f"{row.rate:.4g}", row.policy, f"{row.cost:.4g}", f"{row.accuracy:.4f}",
                      f"{row.latency_ms:.4g}" if math.isfinite(row.latency_ms) else "grows", mark if row.rested else f"{mark} (restless)",
                      "\n".join(row.choices))
        before = row.rate
    _console().print(table)
    typer.echo("* no other policy that meets this rate is cheaper and as accurate, or more accurate and as cheap; steady load, no cold starts")


def _console() -> Console:
    """Of the terminal's width, and wide where there is none, so that a file or a pipe gets whole lines."""
    console = Console()
    return console if console.is_terminal else Console(width=160)


def _plan_data(found: Plan | Infeasible, problem: Problem, explained: bool) -> dict[str, Any]:
    if isinstance(found, Infeasible):
        return {"plan": None, "infeasible": asdict(found)}
    return {"plan": asdict(found), "explanation": explain(problem, found).data() if explained else None}


def _row_data(rows: tuple[Row, ...]) -> list[Mapping[str, Any]]:
    best = pareto(rows)
    return [{**asdict(row), "latency_ms": row.latency_ms if math.isfinite(row.latency_ms) else None, "pareto": (row.policy, row.rate) in best}
            for row in rows]


def _plot(rows: tuple[Row, ...], problem: Problem, pipeline: Pipeline, path: Path) -> None:
    from autoscaler.planner.plot import draw

    try:
        draw(rows, problem.slo_ms, pipeline.name, path)
    except ModuleNotFoundError as error:
        _fail(f"--plot needs {error.name}, which is not installed; `pip install {error.name}`")
    except OSError as error:
        _fail(f"--plot {path}: {error.strerror}; name a file that can be written")
    typer.echo(f"drawn to {path}", err=True)
