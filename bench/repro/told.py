"""What a run of a study says: as JSON, and as the rows of its tables."""

from __future__ import annotations

from math import isfinite

from bench.repro.row import LESS_IS_BETTER
from bench.repro.runs import BOUND, Found, Rows
from bench.repro.study import Study
from bench.repro.verdict import targets

HEADINGS = ("system", "role", "violations %", "late %", "lost %", "unavoidable %", "cost", "cores", "used", "accuracy", "over all", "goodput/s",
            "p50 ms", "p95 ms", "p99 ms", "actions", "decision ms")
STEP_HEADINGS = ("system", "of each step", "published", "reproduced", "apart", "steps")


def figures(study: Study, found: Found) -> dict:
    """{case: {system: {metric: mean, interval, against the paper's}}, published, levels, curves, targets, findings}."""
    told: dict = {name: _case(study, rows) for name, rows in found.headline.items()}
    told["published"] = dict(study.published)
    told["levels"] = {}
    for (case, level), rows in found.levels.items():
        told["levels"].setdefault(level, {})[case] = _case(study, rows)
    told["curves"] = {}
    for (curve, x), rows in found.curves.items():
        told["curves"].setdefault(curve, {})[f"{x:g}"] = _case(study, rows)
    told["targets"] = {name: targets(rows, study.metrics) for name, rows in found.headline.items()}
    told["findings"] = study.findings(found)
    return told


def _case(study: Study, rows: Rows) -> dict:
    told = {}
    for name, by_seed in rows.by_seed.items():
        metrics = list(by_seed[0])
        spreads = {metric: rows.spread(name, metric) for metric in metrics}
        told[name] = {metric: _number(one.mean) for metric, one in spreads.items()}
        told[name]["interval"] = {metric: one.half for metric, one in spreads.items() if metric in (*study.metrics, "p99_s")}
        told[name]["seeds"] = len(by_seed)
        if rows.case.steps is not None and name in rows.series:
            told[name]["steps"] = rows.case.steps.apart(name, rows.series[name])
        if name not in (rows.case.paper, BOUND) and rows.case.paper is not None:
            told[name]["against_paper"] = {}
            for metric in study.metrics:
                one = rows.against(name, rows.case.paper, metric)
                word = "same" if one.sign == 0 else "worse" if (one.sign > 0) == (metric in LESS_IS_BETTER) else "better"
                told[name]["against_paper"][metric] = {"difference": _number(one.mean), "half": one.half, "significantly": word}
    return told


def table_rows(rows: Rows) -> list[list[object]]:
    """One row a system, under HEADINGS; the bound's has only what it bounds."""
    roles = {one.name: str(one.role) for one in rows.case.contenders}
    return [_row(rows, name, roles.get(name, "bound")) for name in rows.by_seed]


def level_cells(rows: Rows, name: str, cost_digits: int) -> list[str]:
    """Violations and accuracy in %, cost between them; - where it has none: a bound need not bound everything."""

    def of(metric: str, factor: float = 100.0, digits: int = 2) -> str:
        return f"{factor * rows.spread(name, metric).mean:.{digits}f}" if metric in rows.by_seed[name][0] else "-"

    return [of("violation_share"), of("cost", 1.0, cost_digits), of("accuracy")]


def _row(rows: Rows, name: str, role: str) -> list[object]:
    known = rows.by_seed[name][0]

    def of(metric: str, factor: float = 1.0, digits: int = 1) -> str:
        if metric not in known:
            return "-"
        one = rows.spread(name, metric)
        if not isfinite(one.mean):
            return "never"
        half = f" ±{factor * one.half:.{digits}f}" if one.half is not None and metric in ("violation_share", "cost", "accuracy") else ""
        return f"{factor * one.mean:.{digits}f}{half}"

    return [name, role, of("violation_share", 100, 2), of("late_share", 100, 2), of("lost_share", 100, 2), of("unavoidable_share", 100, 2),
            of("cost"), of("cores", 1, 2), of("used_cores", 1, 2), of("accuracy", 100, 2), of("accuracy_all", 100, 2), of("goodput"),
            of("p50_s", 1000, 0), of("p95_s", 1000, 0), of("p99_s", 1000, 0), of("actions", 1, 0), of("decision_ms")]


def _number(value: float) -> float | None:
    return value if isfinite(value) else None


def step_rows(rows: Rows) -> list[list[object]]:
    """One row for each contender and panel that the paper's figure shows, under STEP_HEADINGS."""
    if rows.case.steps is None:
        return []
    return [[name, panel, f"{one['published']:.2f}", f"{one['reproduced']:.2f}", f"{one['apart']:.2f}", str(one["steps"])]
            for name, series in rows.series.items() for panel, one in rows.case.steps.apart(name, series).items()]
