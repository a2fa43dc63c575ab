"""The command that trains the examples' models: `sluice train`."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from jobs.options import Models
from operators import repository


def train(
    force: Annotated[bool, typer.Option("--force", help="Train again what is stored already, as the next version.")] = False,
    models: Models = None,
) -> None:
    """Train the digit classifiers of the example pipelines; what is stored already is verified and kept."""
    from operators.training import train_all  # torch takes seconds to import: not for the sake of --help

    root = models or repository.default_root()
    started_s = time.perf_counter()
    try:
        train_all(root, force=force, say=typer.echo)
    except (repository.RepositoryError, OSError) as error:
        typer.echo(error, err=True)
        raise typer.Exit(1) from error
    typer.echo(f"models in {root}, {time.perf_counter() - started_s:.1f} s")
