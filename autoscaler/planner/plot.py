"""The Pareto plot of `sluice compare`: accuracy and latency against cost, a line for each policy through the rates, filled where the load is met."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path

from autoscaler.planner.compare import Row, pareto

WIDTH_IN, HEIGHT_IN, DPI = 11.0, 5.0, 130


def draw(rows: Iterable[Row], slo_ms: float, title: str, path: Path) -> None:
    """Writes a PNG. ModuleNotFoundError without matplotlib, OSError where the path cannot be written."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = tuple(rows)
    best = pareto(rows)
    figure = Figure((WIDTH_IN, HEIGHT_IN), DPI, layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    for name in dict.fromkeys(row.policy for row in rows):
        own = [row for row in rows if row.policy == name and math.isfinite(row.latency_ms)]
        for axes, height in ((left, [row.accuracy for row in own]), (right, [row.latency_ms for row in own])):
            (line,) = axes.plot([row.cost for row in own], height, lw=0.8, alpha=0.6, label=name)
            colour = line.get_color()
            for row, y in zip(own, height, strict=True):
                edge = "black" if (row.policy, row.rate) in best else colour
                axes.plot(row.cost, y, "o", ms=6, mfc=colour if row.meets else "none", mec=edge, mew=1.2)
    left.set(xlabel="cost", ylabel="accuracy", title="accuracy against cost")
    right.set(xlabel="cost", ylabel="latency, ms", title="latency against cost")
    right.axhline(slo_ms, color="grey", ls="--", lw=0.8)
    right.annotate("SLO", (0, slo_ms), xycoords=("axes fraction", "data"), xytext=(4, 3), textcoords="offset points", color="grey")
    left.legend(fontsize="small")
    figure.suptitle(f"{title}   (hollow: load, deadline or capacity missed; black edge: on the Pareto front of its rate)", fontsize="medium")
    figure.savefig(path, format="png")
