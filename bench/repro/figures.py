"""Figures: each case over time as its paper shows it, each curve along its constant. PNG, below `.sluice/bench/repro/NAME/`."""

from __future__ import annotations

import re
from pathlib import Path

from bench.repro.runs import Found, Rows
from bench.repro.study import Curve, Role, Study
from jobs.embedded.paths import SLUICE_DIR

LABELS = {"rate": "events/s", "violations": "violations, share", "cost": "cost", "cores": "cores held", "accuracy": "accuracy, %", "latency": "p99, s"}
WIDTHS = {Role.PAPER: 1.8, Role.SAME: 1.8, Role.ALL: 1.8}


def folder(study: str) -> Path:
    return SLUICE_DIR / "bench" / "repro" / study


def draw(study: Study, found: Found) -> list[Path]:
    """The files written."""
    import matplotlib as mpl

    mpl.use("Agg")
    at = folder(study.name)
    at.mkdir(parents=True, exist_ok=True)
    files = [_over_time(study, rows, at / f"{_file(case)}.png") for case, rows in found.headline.items() if rows.series]
    return files + [(_trade if curve.trade else _curve)(study, curve, found, at / f"curve_{_file(curve.name)}.png") for curve in study.curves]


def _over_time(study: Study, rows: Rows, path: Path) -> Path:
    from matplotlib import pyplot as plt

    roles = {one.name: one.role for one in rows.case.contenders}
    figure, axes = plt.subplots(len(study.panels), 1, figsize=(9, 2 * len(study.panels)), sharex=True, layout="constrained", squeeze=False)
    for axis, panel in zip(axes[:, 0], study.panels, strict=True):
        for name, over_time in rows.series.items():
            (line,) = axis.plot(over_time[panel], label=name, linewidth=WIDTHS.get(roles[name], 0.8))
            if panel == "rate":
                break  # the same for all
            if rows.case.steps is not None and panel in rows.case.steps.values.get(name, {}):
                axis.plot(rows.case.steps.by_second(name, panel)[: len(over_time[panel])], color=line.get_color(), linestyle=":", linewidth=0.8)
        axis.set_ylabel(LABELS[panel])
        axis.grid(visible=True, linewidth=0.3)
    axes[-1, 0].set_xlabel("s")
    axes[-1, 0].legend(fontsize="x-small", ncols=3)
    published = ", dotted as published" if rows.case.steps is not None else ""
    figure.suptitle(f"{study.title}: {rows.case.name}, one seed{published}", fontsize="small")
    figure.savefig(path, dpi=110)
    plt.close(figure)
    return path


def _curve(study: Study, curve: Curve, found: Found, path: Path) -> Path:
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, len(study.metrics), figsize=(4.5 * len(study.metrics), 3.4), layout="constrained", squeeze=False)
    for axis, metric in zip(axes[0], study.metrics, strict=True):
        for contender in curve.points[0][1].contenders:
            at = [x for x, case in curve.points if contender.name in found.curves[curve.name, x].by_seed]
            spreads = [found.curves[curve.name, x].spread(contender.name, metric) for x in at]
            axis.errorbar(at, [one.mean for one in spreads], [one.half or 0.0 for one in spreads], label=contender.name, marker="o", capsize=2,
                          linewidth=WIDTHS.get(contender.role, 0.8))
        if metric.endswith("_share"):
            axis.set_yscale("symlog", linthresh=1e-3)
            axis.set_ylim(bottom=0)
        if curve.measured is not None:
            axis.axvline(curve.measured, linestyle=":", color="black", linewidth=0.8)
        axis.set_xlabel(curve.x)
        axis.set_ylabel(metric)
        axis.grid(visible=True, linewidth=0.3)
    axes[0, 0].legend(fontsize="x-small")
    figure.suptitle(f"{study.title}: {curve.name}", fontsize="small")
    figure.savefig(path, dpi=110)
    plt.close(figure)
    return path


def _trade(study: Study, curve: Curve, found: Found, path: Path) -> Path:
    from matplotlib import pyplot as plt

    figure, axis = plt.subplots(figsize=(6, 4), layout="constrained")
    over, metric = study.metrics[1], study.metrics[0]
    for contender in curve.points[0][1].contenders:
        rows = [found.curves[curve.name, x] for x, _ in curve.points]
        axis.plot([one.spread(contender.name, over).mean for one in rows], [one.spread(contender.name, metric).mean for one in rows],
                  label=contender.name, marker="o", linewidth=WIDTHS.get(contender.role, 0.8))
    axis.set_yscale("symlog", linthresh=1e-3)
    axis.set_ylim(bottom=0)
    axis.set_xlabel(over)
    axis.set_ylabel(metric)
    axis.grid(visible=True, linewidth=0.3)
    axis.legend(fontsize="x-small")
    figure.suptitle(f"{study.title}: {curve.name}", fontsize="small")
    figure.savefig(path, dpi=110)
    plt.close(figure)
    return path


def _file(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
