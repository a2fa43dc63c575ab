"""What `sluice simulate` says: the rows of its table, and a report as one HTML file that needs nothing beside it."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from math import inf, isfinite

from autoscaler.planner.model import CPU
from simulator.cluster import COST
from simulator.statistics import Statistics
from simulator.what_if import Answer

HOUR_S = 3600.0


@dataclass(frozen=True, slots=True)
class Column:
    """key: in JSON. of: the figure of one run, None where there is none. shown: as text. meaning: a line for the report."""

    key: str
    title: str
    of: Callable[[Statistics], float | None]
    shown: str
    meaning: str


COLUMNS = (
    Column("violation_share", "violations", lambda one: one.violation_share, "{:.2%}", "events that were not answered in time, of all"),
    Column("late_share", "late", lambda one: one.late_share, "{:.2%}", "answered after their deadline"),
    Column("lost_share", "lost", lambda one: one.lost_share, "{:.2%}", "expired, failed, incomplete, or not finished when the run ended"),
    Column("unavoidable_share", "unavoidable", lambda one: one.unavoidable_share, "{:.2%}",
           "of the late and lost, what not even the fastest variant could have answered in time with nothing else to do"),
    Column("p50_ms", "p50 ms", lambda one: 1000 * one.latencies.p50_s, "{:.4g}", "from sending to the answer; an event without an answer is infinitely late"),
    Column("p95_ms", "p95 ms", lambda one: 1000 * one.latencies.p95_s, "{:.4g}", "the same, 95 % of the events"),
    Column("p99_ms", "p99 ms", lambda one: 1000 * one.latencies.p99_s, "{:.4g}", "the same, 99 % of the events"),
    Column("accuracy", "accuracy", lambda one: one.accuracy_answered, "{:.4f}", "mean over the answered events, by the accuracies of the pipeline file"),
    Column("accuracy_all", "of all", lambda one: one.accuracy_all, "{:.4f}", "the same over all events, one without an answer counting 0"),
    Column("core_hours", "core-hours", lambda one: one.allocated_s.get(CPU, 0.0) / HOUR_S, "{:.4g}",
           "held until the load ended, by replicas that still start too"),
    Column("used_hours", "used", lambda one: one.used_s / HOUR_S, "{:.4g}", "of these (and of other devices) in batches"),
    Column("cost", "cost", lambda one: one.allocated_s.get(COST, 0.0) / HOUR_S, "{:.4g}", "held, in the unit of the prices (cores), times hours"),
    Column("actions", "actions", lambda one: float(one.actions), "{:.0f}", "changes that were carried out, of replicas, sizes, variants, batches"),
    Column("decision_ms", "decision ms", lambda one: 1000 * one.decision_s / one.decisions if one.decisions else None, "{:.3g}",
           "mean wall time of one decision on this machine"),
)


@dataclass(frozen=True, slots=True)
class Figure:
    """Over the seeds of one policy; None where there is none."""

    mean: float | None
    least: float | None
    most: float | None

    def text(self, shown: str) -> str:
        if self.mean is None or self.least is None or self.most is None:
            return "-"
        mean = _text(self.mean, shown)
        spread = f" ({_text(self.least, shown)} to {_text(self.most, shown)})"
        return mean if self.least == self.most else mean + spread


def figures(answers: Sequence[Answer]) -> dict[str, dict[str, Figure]]:
    """By policy, in the order of the answers, and by column."""
    by_policy: dict[str, list[Statistics]] = {}
    for answer in answers:
        by_policy.setdefault(answer.policy, []).append(answer.statistics)
    return {policy: {column.key: _figure([column.of(one) for one in several]) for column in COLUMNS} for policy, several in by_policy.items()}


def html(title: str, facts: Mapping[str, str], notes: Sequence[str], answers: Sequence[Answer], picture: bytes | None) -> str:
    """facts: what was asked, by name. notes: sentences below. picture: a PNG."""
    rows = [f"<tr><th>{escape(policy)}</th>{''.join(f'<td>{escape(of[column.key].text(column.shown))}</td>' for column in COLUMNS)}</tr>"
            for policy, of in figures(answers).items()]
    image = "" if picture is None else f'<img alt="over time" src="data:image/png;base64,{base64.b64encode(picture).decode()}">'
    return PAGE.format(
        title=escape(title), facts="".join(f"<tr><th>{escape(name)}</th><td>{escape(fact)}</td></tr>" for name, fact in facts.items()),
        heads="".join(f'<th title="{escape(column.meaning)}">{escape(column.title)}</th>' for column in COLUMNS), rows="\n".join(rows), image=image,
        notes="".join(f"<li>{escape(note)}</li>" for note in notes),
        meanings="".join(f"<dt>{escape(column.title)}</dt><dd>{escape(column.meaning)}</dd>" for column in COLUMNS))


def _figure(values: list[float | None]) -> Figure:
    known = [value for value in values if value is not None]
    if len(known) < len(values):
        return Figure(None, None, None)
    return Figure(sum(known) / len(known), min(known), max(known))


def _text(value: float, shown: str) -> str:
    return "never" if value == inf else shown.format(value) if isfinite(value) else "-"


PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<style>
body {{ font: 14px/1.45 system-ui, sans-serif; margin: 2em auto; max-width: 1250px; padding: 0 1em; color: #222 }}
table {{ border-collapse: collapse; margin: 1em 0; display: block; overflow-x: auto }}
th, td {{ padding: .3em .6em; text-align: right; border-bottom: 1px solid #ddd; white-space: nowrap }}
tr > th:first-child, .facts td {{ text-align: left }}
img {{ max-width: 100% }} dt {{ font-weight: 600; float: left; clear: left; width: 8em }} dd {{ margin-left: 9em }}
</style></head><body>
<h1>{title}</h1>
<table class="facts">{facts}</table>
<h2>What each policy makes of it</h2>
<table><thead><tr><th>policy</th>{heads}</tr></thead><tbody>
{rows}
</tbody></table>
<p>With several seeds: the mean, and the least and the most of them.</p>
<h2>Over time</h2>
{image}
<p>Of the first seed. Capacity is what the ready replicas carry in full batches, at the stage that carries least; latencies without end are drawn at
ten times the SLO.</p>
<h2>What to know</h2>
<ul>{notes}</ul>
<dl>{meanings}</dl>
</body></html>
"""
