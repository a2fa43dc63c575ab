"""The command that trains forecasters: `sluice forecast train`, the same as `python -m autoscaler.forecast.training`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from operators import repository

PIECES = 60
CHOOSING_PIECES = 10
SEED = 1

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_show_locals=False, rich_markup_mode=None, help="Forecasters of the load.")


@app.callback()
def _commands() -> None:
    """Keeps `train` a command of its own, beside others to come."""


@app.command()
def train(
    trace: Annotated[
        Path | None, typer.Option(metavar="CSV", help="A load to train on, as `sluice simulate` reads it; default a generated one.", show_default=False)
    ] = None,
    horizon: Annotated[float, typer.Option(metavar="SECONDS", min=1, max=600, help="How far ahead.")] = 10.0,
    start: Annotated[float, typer.Option(metavar="SECONDS", help="From a midnight to the trace's first second.")] = 0.0,
    seed: Annotated[int, typer.Option(metavar="NUMBER", help="Of the generated load and the networks.")] = SEED,
    force: Annotated[bool, typer.Option("--force", help="Train again what is stored already, as the next version.")] = False,
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIRECTORY", help="Model repository; default $SLUICE_MODELS or ~/.cache/sluice/models.", show_default=False),
    ] = None,
) -> None:
    """Train the forecasters of one horizon and store them in the model repository; without a trace, what is stored already is verified and kept."""
    from autoscaler.forecast import store  # numpy, and torch below, take seconds to import: not for the sake of --help

    root = out or repository.default_root()
    try:
        if trace is None and not force and store.has(root, horizon):
            typer.echo(f"forecasters for {horizon:g} s: there")
            return
        typer.echo(f"forecasters in {_trained(root, trace, horizon, start, seed)}")
    except (repository.RepositoryError, OSError, ValueError) as error:
        typer.echo(error, err=True)
        raise typer.Exit(1) from error


def _trained(root: Path, trace: Path | None, horizon_s: float, start_s: float, seed: int) -> Path:
    import numpy as np

    from autoscaler.forecast import store
    from autoscaler.forecast.examples import Load
    from autoscaler.forecast.generated import generated
    from autoscaler.forecast.training import Slices, split
    from autoscaler.forecast.training import train as train_all
    from simulator.traces import parse_load

    started_s = time.perf_counter()
    if trace is None:
        random = np.random.default_rng(seed)
        slices = Slices(generated(PIECES, random), generated(CHOOSING_PIECES, random))
    else:
        slices = split(Load(parse_load(trace.read_text(encoding="utf-8-sig"), str(trace)).rates, start_s))
    trained = train_all(slices, horizon_s, seed, say=lambda text: typer.echo(f"[{time.perf_counter() - started_s:5.1f} s] {text}"))
    facts = {"trained_on": "generated" if trace is None else trace.name, "seed": seed, "training_s": round(time.perf_counter() - started_s, 1)}
    return store.save(root, trained, facts)
