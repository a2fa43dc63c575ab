"""The command that reads and draws a pipeline file: `sluice check FILE`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from autoscaler.graph.draw import draw
from autoscaler.graph.errors import PipelineError
from autoscaler.graph.reader import read_pipeline


def check(file: Annotated[Path, typer.Argument(metavar="PIPELINE", help="Pipeline file (YAML).", show_default=False)]) -> None:
    """Check a pipeline file and print its graph; exit status 2 when the file is wrong."""
    try:
        pipeline = read_pipeline(file)
    except PipelineError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from error
    typer.echo(draw(pipeline))
