"""The command that says what a v2 endpoint gets wrong: `sluice conformance URL --model NAME`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def conformance(
    url: Annotated[str, typer.Argument(metavar="URL", help="HOST:PORT of a gRPC endpoint, or http://HOST:PORT.", show_default=False)],
    model: Annotated[str, typer.Option(metavar="NAME", help="The model to ask, as the endpoint calls it.", show_default=False)],
    row: Annotated[list[str] | None, typer.Option(metavar="TEXT", help="A row that the model takes, where its input is BYTES; more than once.")] = None,
    rows: Annotated[Path | None, typer.Option(metavar="FILE", help="A file of such rows, one a line.")] = None,
) -> None:
    """Say what an Open Inference Protocol endpoint gets wrong. The exit status is 1 if anything is."""
    from operators.conformance import Result, Verdict, run
    from operators.endpoints import endpoint

    try:
        given = [text.encode() for text in row or []] + (rows.read_bytes().splitlines() if rows is not None else [])
        asked = endpoint(url)
    except (OSError, ValueError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from error
    results: list[Result] = []
    for result in run(asked, model, given):
        results.append(result)
        typer.echo(f"{result.verdict:8}{result.check:36}{result.detail}".rstrip())
    asked.close()
    counts = {verdict: sum(result.verdict is verdict for result in results) for verdict in Verdict}
    typer.echo(f"{counts[Verdict.OK]} ok, {counts[Verdict.WRONG]} wrong, {counts[Verdict.SKIPPED]} skipped")
    raise typer.Exit(1 if counts[Verdict.WRONG] else 0)
