"""The figures of `sluice simulate`: what policies make of a load over time."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np

from simulator.over_time import OverTime
from simulator.what_if import Answer

WIDTH_IN, ROW_IN, DPI = 11.0, 2.1, 110
LATE_SHOWN = 10.0
"""Latencies beyond that many SLOs are drawn there."""


def png(answers: Sequence[Answer], slo_ms: float, title: str) -> bytes:
    """One picture, a row for each figure, a line for each policy. answers: with their runs over time. ModuleNotFoundError without matplotlib."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = ("load and capacity, events/s", "violations, %", "p95 latency, ms", "cost", "accuracy", "rows waiting")
    figure = Figure((WIDTH_IN, ROW_IN * len(rows)), DPI, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(rows), 1, sharex=True)
    drawn = [(answer.policy, answer.over_time) for answer in answers if answer.over_time is not None]
    for name, over in drawn:
        for ax, values in zip(axes, _lines(over, slo_ms), strict=True):
            ax.plot(over.at_s, values, lw=1.0, label=name)
    if drawn:
        first = drawn[0][1]
        axes[0].fill_between(first.at_s, first.load, color="0.85", step="mid", label="load")
        axes[0].set_ylim(0, 3 * max(1.0, float(first.load.max())))
    axes[2].axhline(slo_ms, color="grey", ls="--", lw=0.8)
    for ax, label in zip(axes, rows, strict=True):
        ax.set_ylabel(label, fontsize="small")
        ax.grid(alpha=0.3)
    axes[1].set_ylim(bottom=0)
    axes[0].legend(fontsize="small", ncols=4)
    axes[-1].set_xlabel("s since the load began")
    figure.suptitle(title, fontsize="medium")
    written = io.BytesIO()
    figure.savefig(written, format="png")
    return written.getvalue()


def _lines(over: OverTime, slo_ms: float) -> tuple[np.ndarray, ...]:
    latency = np.minimum(1000 * over.p95_s, LATE_SHOWN * slo_ms)
    return over.capacity, 100 * over.violations, latency, over.cost, over.accuracy, over.queued
