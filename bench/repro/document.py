"""docs/reproduction.md: a section for each study, between markers, written anew by each `--write-docs`; the rest of the page stays."""

from __future__ import annotations

import re
from pathlib import Path

from bench.repro.runs import Found, Rows
from bench.repro.study import Curve, Study
from bench.repro.told import HEADINGS, STEP_HEADINGS, level_cells, step_rows, table_rows
from bench.repro.verdict import targets, word
from jobs.embedded.paths import ROOT

PAGE = ROOT / "docs" / "reproduction.md"


def write(study: Study, found: Found, seeds: int, date: str, page: Path = PAGE) -> None:
    """Replaces the study's section, or adds it at the end."""
    text = page.read_text(encoding="utf-8") if page.is_file() else "# The papers' autoscalers side by side\n"
    page.write_text(placed(text, study.name, section(study, found, seeds, date)), encoding="utf-8")


def placed(text: str, name: str, content: str) -> str:
    begin, end = f"<!-- {name}: generated -->", f"<!-- {name}: end -->"
    block = f"{begin}\n{content.strip()}\n{end}"
    found = re.search(f"{re.escape(begin)}.*?{re.escape(end)}", text, re.DOTALL)
    return text[: found.start()] + block + text[found.end() :] if found else f"{text.rstrip()}\n\n{block}\n"


def section(study: Study, found: Found, seeds: int, date: str) -> str:
    lines = [f"## {study.title}", "", f"`python -m bench repro {study.name}`, {seeds} seeds, {date}. Means with 95 % intervals; paired by seed.", ""]
    lines += ["Published: " + "; ".join(f"{name}: {value}" for name, value in study.published.items()) + ".", ""]
    lines += [f"- {sentence}" for sentence in study.assumed] + [""] * bool(study.assumed)
    for name, rows in found.headline.items():
        lines += [f"### {name}, {rows.level.name}", "", *_markdown(HEADINGS, table_rows(rows)), "", *_targets(study, rows)]
        if steps := step_rows(rows):
            lines += ["Steps of the paper's figure, one run each:", "", *_markdown(STEP_HEADINGS, steps), ""]
    if found.levels:
        lines += ["### At other distances between truth and profile", "", *_levels(found), ""]
    for curve in study.curves:
        lines += [f"### {curve.name}", "", *_curve(study, curve, found), ""]
    findings = study.findings(found)
    if findings:
        lines += ["### What it shows", "", *[f"- {sentence}" for sentence in findings], ""]
    return "\n".join(lines)


def _targets(study: Study, rows: Rows) -> list[str]:
    lines = []
    for name, told in targets(rows, study.metrics).items():
        why = f"worse in {', '.join(told['worse'])}" if told.get("worse") else ""
        if "gains" in told:
            why = ", ".join(f"{metric} {100 * gain:+.0f} %" for metric, gain in told["gains"].items())
            why += "".join(f", bound {metric} {100 * share:+.0f} %" for metric, share in told["room"].items())
        lines.append(f"- {name}: {told['target']}: **{word(told)}**{f' ({why})' if why else ''}")
    return [*lines, ""] if lines else []


def _levels(found: Found) -> list[str]:
    rows: list[list[object]] = [[case, level, name, *level_cells(one, name, cost_digits=1)]
                                for (case, level), one in found.levels.items() for name in one.by_seed if "violation_share" in one.by_seed[name][0]]
    return _markdown(("case", "level", "system", "violations %", "cost", "accuracy"), rows)


def _curve(study: Study, curve: Curve, found: Found) -> list[str]:
    names = [one.name for one in curve.points[0][1].contenders]
    lines = []
    for metric in study.metrics:
        rows = [[name, *(_at(found.curves[curve.name, x], name, metric) for x, _ in curve.points)] for name in names]
        lines += ["", *_markdown((f"{metric}, by {curve.x}", *(f"{x:g}" for x, _ in curve.points)), rows)]
    return lines[1:]


def _at(rows: Rows, name: str, metric: str) -> str:
    if name not in rows.by_seed:
        return "-"
    share = metric.endswith("_share")
    return f"{(100 if share else 1) * rows.spread(name, metric).mean:.2f}{' %' if share else ''}"


def _markdown(headings: tuple[str, ...], rows: list[list[object]]) -> list[str]:
    return [f"| {' | '.join(headings)} |", "|" + "---|" * len(headings), *(f"| {' | '.join(str(cell) for cell in row)} |" for row in rows)]
