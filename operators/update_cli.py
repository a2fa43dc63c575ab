"""`sluice update`, `sluice rollback` and `sluice versions`: hot updates of a running service's stages, by its HTTP interface."""

from __future__ import annotations

import json
import sys
import time
import urllib.error
import urllib.request
from typing import Annotated, Any, NoReturn

import typer

from autoscaler.graph.durations import parse_duration
from jobs.options import LOCAL_SERVICE_HTTP, ServiceHttp

TIMEOUT_S = 30.0
ASK_S = 0.25
StageName = Annotated[str, typer.Argument(metavar="STAGE", help="As the pipeline file names it.", show_default=False)]


def update(
    stage: StageName,
    version: Annotated[str | None, typer.Option(metavar="V", help="Of the stored model; default the newest.")] = None,
    variant: Annotated[str | None, typer.Option(metavar="NAME", help="Of the pipeline file; default the one that has most rows now.")] = None,
    canary: Annotated[str, typer.Option(metavar="SHARE", help="First let it answer that share of the rows, such as 5%.")] = "0",
    shadow: Annotated[str, typer.Option(metavar="SHARE", help="Before that let it answer copies of that share, which are only compared.")] = "0",
    lasting: Annotated[str | None, typer.Option("--for", metavar="TIME", help="How long each of these lasts at least, such as 60s.")] = None,
    rows: Annotated[int, typer.Option(metavar="NUMBER", help="And of how many rows of the new version.")] = 0,
    agreement: Annotated[str | None, typer.Option(metavar="SHARE", help="Of the shadow's answers, those that must be as the old version's.")] = None,
    detach: Annotated[bool, typer.Option("--detach", help="Do not wait for the end; `sluice versions` says how far it is.")] = False,
    service_http: ServiceHttp = LOCAL_SERVICE_HTTP,
) -> None:
    """Load a version beside the one that serves, and let it take over in one step. The exit status is 1 if it was rolled back."""
    try:
        wanted: dict[str, Any] = {"canary": _share("--canary", canary), "shadow": _share("--shadow", shadow), "for_rows": rows}
        wanted |= {} if agreement is None else {"agreement": _share("--agreement", agreement)}
        wanted |= {} if lasting is None else {"for_s": _seconds(lasting)}
    except ValueError as error:
        _fail(str(error))
    wanted |= {key: value for key, value in (("version", version), ("variant", variant)) if value is not None}
    said = _ask(service_http, "POST", stage, "update", wanted)
    if detach:
        typer.echo(said["text"])
        return
    try:
        said = _follow(service_http, stage, said)
    except KeyboardInterrupt:
        typer.echo(f"\nit goes on by itself; to end it: sluice rollback {stage}", err=True)
        raise typer.Exit(130) from None
    raise typer.Exit(0 if said["phase"] == "done" else 1)


def rollback(stage: StageName, service_http: ServiceHttp = LOCAL_SERVICE_HTTP) -> None:
    """End the update that is on its way; without one, bring back the version before the last that took over."""
    said = _ask(service_http, "POST", stage, "rollback", {})
    said = _follow(service_http, stage, said)
    raise typer.Exit(0 if said["phase"] == "done" or said["reason"] == "asked for" else 1)


def versions(stage: StageName, service_http: ServiceHttp = LOCAL_SERVICE_HTTP) -> None:
    """List a stage's stored versions, which of them serve, and the last update."""
    found = _ask(service_http, "GET", stage, "versions")
    typer.echo(f"{'variant':16}{'version':12}{'replicas':>8}  {'rows':<8}")
    for one in found:
        rows = "copies" if one["shadow"] else f"{one['share']:.0%}" if one["ready"] else "-"
        typer.echo(f"{one['variant']:16}{one['version']:12}{one['ready']:>8}  {rows}".rstrip())
    last = _ask(service_http, "GET", stage, "update", missing={})
    if last:
        typer.echo(f"last update: {_counted(last)}")


def _follow(service_http: str, stage: str, said: dict[str, Any]) -> dict[str, Any]:
    """Says each phase, and on a terminal what is counted meanwhile, until the end."""
    phase = None
    while True:
        if said["phase"] != phase or said["ended"]:
            typer.echo(f"\r\033[K{_counted(said)}" if sys.stdout.isatty() else _counted(said))
            phase = said["phase"]
        elif sys.stdout.isatty():
            typer.echo(f"\r\033[K{_counted(said)}", nl=False)
        if said["ended"]:
            return said
        time.sleep(ASK_S)
        said = _ask(service_http, "GET", stage, "update")


def _counted(said: dict[str, Any]) -> str:
    parts = [said["text"]]
    for side in ("new", "old"):
        one = said[side]
        if one["rows"] and said["phase"] != "done":
            labelled = f", {one['right']} of {one['labelled']} labelled right" if one["labelled"] else ""
            parts.append(f"{side} {one['rows']} rows, {one['failed']} failed{labelled}")
    if said["copies"]["compared"]:
        parts.append(f"{said['copies']['agreed']} of {said['copies']['compared']} copies agree")
    return "; ".join([*parts, f"{said['seconds']:.1f} s"])


def _ask(service_http: str, method: str, stage: str, what: str, body: dict[str, Any] | None = None, missing: Any = None) -> Any:
    """missing: the answer where there is none (404)."""
    url = f"http://{service_http}/sluice/v1/stages/{stage}/{what}"
    content = None if body is None else json.dumps(body).encode()
    try:
        with urllib.request.urlopen(urllib.request.Request(url, content, method=method), timeout=TIMEOUT_S) as answer:
            return json.loads(answer.read())
    except urllib.error.HTTPError as error:
        if error.code == 404 and missing is not None:
            return missing
        _fail(_text(error))
    except (OSError, ValueError) as error:
        _fail(f"the operator service at {service_http}: {getattr(error, 'reason', error)}; name it with --service-http HOST:PORT")


def _text(error: urllib.error.HTTPError) -> str:
    content = error.read()
    try:
        return str(json.loads(content)["error"])
    except (ValueError, KeyError, TypeError):
        return f"{error.code} {error.reason}: {content[:200].decode(errors='replace')}"


def _share(flag: str, text: str) -> float:
    try:
        return float(text[:-1]) / 100 if text.endswith("%") else float(text)
    except ValueError:
        raise ValueError(f"{flag} is {text!r}; use a share such as 5% or 0.05") from None


def _seconds(text: str) -> float:
    try:
        return parse_duration(text) / 1000
    except ValueError as error:
        raise ValueError(f"--for is {text!r}: {error}") from None


def _fail(text: str) -> NoReturn:
    typer.echo(text, err=True)
    raise typer.Exit(2)
