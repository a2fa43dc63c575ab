"""Load, capacity, units and violations over time, a line for each policy: the first repeat that counts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from bench.live.events import smoothed
from bench.live.store import Run

SMOOTH_S = 10
OURS = "sluice"


def draw(runs: Mapping[str, Run], title: str, path: Path) -> Path:
    """runs: by policy."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure((12.0, 9.0), 110, layout="constrained")
    FigureCanvasAgg(figure)
    capacity, units, violations = figure.subplots(3, 1, sharex=True)
    for number, (name, run) in enumerate(runs.items()):
        look = {"label": name, "lw": 2.0 if name == OURS else 0.9, "color": f"C{number % 10}", "ls": "-" if number < 10 else "--"}
        if not number:
            capacity.fill_between(np.arange(len(run["sent_by_second"])), run["sent_by_second"], color="0.85", step="mid", label="load")
        capacity.plot(run["capacity_by_second"], **look)
        units.plot(run["units_by_second"], **look)
        shares = smoothed(run["missed_by_second"], run["sent_by_second"], SMOOTH_S)
        violations.plot([np.nan if share is None else 100 * share for share in shares], **look)
    capacity.set_ylabel("load, and capacity of what is ready, events/s")
    units.set_ylabel("units held")
    violations.set_ylabel(f"violations, % of the last {SMOOTH_S} s")
    violations.set_yscale("symlog", linthresh=1.0)
    violations.set_ylim(bottom=0)
    violations.set_xlabel("s")
    for axis in (capacity, units, violations):
        axis.grid(alpha=0.3)
    capacity.legend(fontsize="x-small", ncols=6)
    figure.suptitle(title, fontsize="small")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, format="png")
    return path
