"""What a run looks like while it runs: a table on a terminal, a line every few seconds anywhere else."""

from __future__ import annotations

import json
import time
import urllib.request
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from jobs.embedded.processes import ChildState
from jobs.embedded.summary import quantile

PLAIN_EVERY_S = 5.0
LATENCY_WINDOW_S = 10.0
EVENTS_SHOWN = 4


@dataclass(frozen=True, slots=True)
class StageLine:
    """One stage as shown. Rates in rows/s; quantiles None when no row was answered; violations since the start."""

    name: str
    in_rps: float
    out_rps: float
    in_flight: int
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    violations: int
    variant: str
    batch: int
    cores: float
    replicas: str


class Stages:
    """Turns what the service says each second into lines, and adds up violations."""

    def __init__(self) -> None:
        self._violations: dict[str, int] = {}
        self._seen: dict[str, int] = {}

    def lines(self, telemetry: Sequence[Mapping[str, Any]]) -> list[StageLine]:
        return [self._line(one) for one in telemetry]

    def _line(self, one: Mapping[str, Any]) -> StageLine:
        name, setting, total = one["stage"], one["setting"], one.get("total_ms") or {}
        if self._seen.get(name) != one["sequence"]:
            self._seen[name] = one["sequence"]
            missed = one["late"] + one["failed"] + one["expired"]
            self._violations[name] = self._violations.get(name, 0) + missed
        seconds = one["interval_s"] or 1.0
        ready, wanted = one["replicas_ready"], setting["replicas"]
        return StageLine(
            name=name,
            in_rps=one["arrivals"] / seconds,
            out_rps=one["answered"] / seconds,
            in_flight=one["queued"] + one["in_flight"],
            p50_ms=total.get("p50"),
            p95_ms=total.get("p95"),
            p99_ms=total.get("p99"),
            violations=self._violations[name],
            variant=f"{setting['variant']}:{setting['version']}" if setting.get("variant") else "-",
            batch=setting["batch"],
            cores=setting["cores"],
            replicas=str(wanted) if ready == wanted else f"{ready} of {wanted}",
        )


def stages_of(address: str, timeout_s: float = 1.0) -> list[dict[str, Any]]:
    """The service's telemetry of all stages; empty while it does not answer."""
    try:
        with urllib.request.urlopen(f"http://{address}/sluice/v1/stages", timeout=timeout_s) as response:
            found = json.load(response)
    except (OSError, ValueError):
        return []
    found = found.get("stages", found) if isinstance(found, dict) else found
    return list(found.values()) if isinstance(found, dict) else found


@dataclass(slots=True)
class EndToEnd:
    """Counts of what came out, and the latencies (ms) of the last seconds, by when they were read."""

    out: int = 0
    dead: int = 0
    recent: deque[tuple[float, float | None]] = field(default_factory=deque)

    def add(self, latency_ms: float | None, now_s: float) -> None:
        """latency_ms: None when the record does not say when it was due."""
        self.out += 1
        self.recent.append((now_s, latency_ms))

    def quantiles(self, now_s: float) -> tuple[float | None, float | None, float | None]:
        while self.recent and self.recent[0][0] < now_s - LATENCY_WINDOW_S:
            self.recent.popleft()
        latencies = [latency for _, latency in list(self.recent) if latency is not None]
        return quantile(latencies, 0.5), quantile(latencies, 0.95), quantile(latencies, 0.99)

    def rate(self, now_s: float) -> float:
        since = [t for t, _ in list(self.recent) if t >= now_s - 2.0]
        return len(since) / 2.0


@dataclass(frozen=True, slots=True)
class Picture:
    """Everything one refresh shows."""

    title: str
    stages: list[StageLine]
    end_to_end: str
    decision: str
    children: list[ChildState]
    events: list[str]


def end_to_end_line(seen: EndToEnd, now_s: float, slo_ms: float) -> str:
    p50, p95, p99 = (_number(value) for value in seen.quantiles(now_s))
    dead = f", {seen.dead} dead-lettered" if seen.dead else ""
    return f"{seen.out} out{dead}, {seen.rate(now_s):.0f}/s, p50 {p50} p95 {p95} p99 {p99} ms, SLO {slo_ms:g} ms"


class PlainView:
    """A few lines every PLAIN_EVERY_S seconds, for logs and pipes."""

    def __init__(self, write: Callable[[str], None], now: Callable[[], float] = time.monotonic) -> None:
        self._write, self._now = write, now
        self._next = 0.0
        self._told: set[str] = set()

    def __enter__(self) -> PlainView:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def show(self, picture: Picture) -> None:
        for event in picture.events:
            if event not in self._told:
                self._told.add(event)
                self._write(event)
        if self._now() < self._next:
            return
        self._next = self._now() + PLAIN_EVERY_S
        self._write(f"{picture.title}: {picture.end_to_end}")
        for s in picture.stages:
            self._write(
                f"  {s.name}: in {s.in_rps:.0f}/s out {s.out_rps:.0f}/s, {s.in_flight} in flight, p50 {_number(s.p50_ms)} "
                f"p95 {_number(s.p95_ms)} p99 {_number(s.p99_ms)} ms, {s.violations} over SLO, {s.variant}, "
                f"batch {s.batch}, {s.cores} cores, {s.replicas} replicas"
            )
        if picture.decision:
            self._write(f"  sidecar: {picture.decision}")


class LiveView:
    """A table that stays in place."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.live import Live

        self._live = Live(console=Console(), auto_refresh=False, transient=False)

    def __enter__(self) -> LiveView:
        self._live.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._live.__exit__(*error)

    def show(self, picture: Picture) -> None:
        self._live.update(_rendered(picture), refresh=True)


def view(is_terminal: bool, write: Callable[[str], None]) -> PlainView | LiveView:
    return LiveView() if is_terminal else PlainView(write)


def _rendered(picture: Picture) -> Any:
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    table = Table(title=picture.title, title_justify="left")
    for column in ("stage", "in/s", "out/s", "in flight", "p50 ms", "p95", "p99", "over SLO", "variant", "batch", "cores", "replicas"):
        table.add_column(column, justify="left" if column in ("stage", "variant") else "right", no_wrap=True)
    for s in picture.stages:
        quantiles = [_number(value) for value in (s.p50_ms, s.p95_ms, s.p99_ms)]
        rates = [f"{s.in_rps:.0f}", f"{s.out_rps:.0f}", str(s.in_flight)]
        table.add_row(s.name, *rates, *quantiles, str(s.violations), s.variant, str(s.batch), str(s.cores), s.replicas)
    below = [Text(f"end to end  {picture.end_to_end}"), Text(f"sidecar     {picture.decision or 'no decision yet'}")]
    down = [f"{c.name} ({c.last_exit})" for c in picture.children if c.pid is None and c.restarts]
    restarted = [f"{c.name} x{c.restarts}" for c in picture.children if c.restarts]
    if down:
        below.append(Text("down        " + ", ".join(down), style="red"))
    if restarted:
        below.append(Text("restarted   " + ", ".join(restarted), style="yellow"))
    below += [Text("            " + event, style="dim") for event in picture.events[-EVENTS_SHOWN:]]
    return Group(table, *below)


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.1f}" if value < 10 else f"{value:.0f}"
