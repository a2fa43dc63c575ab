"""A load from a CSV file: events in each second, in the last column; with two columns the first is the second, and no second is missing."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import numpy as np

from autoscaler.forecast.forecaster import Series


def read_trace(path: Path) -> Series:
    """Shape (seconds,). The first line may be a heading. ValueError with file and line, OSError."""
    with path.open(encoding="utf-8", newline="") as lines:
        rows = [(number, row) for number, row in enumerate(csv.reader(lines), start=1) if row]
    if rows and all(_number(cell) is None for cell in rows[0][1]):
        del rows[0]
    if not rows:
        raise ValueError(f"{path}: no counts in it; write events per second, a line for each second")
    counts = np.empty(len(rows))
    for index, (number, row) in enumerate(rows):
        if len(row) not in (1, 2):
            raise ValueError(f"{path}:{number}: {len(row)} columns; write the events of a second, or the second and its events")
        count = _number(row[-1])
        if count is None or count < 0:
            raise ValueError(f"{path}:{number}: {row[-1]!r} is no number of events; write a number that is 0 or more")
        if len(row) == 2 and _number(row[0]) != (_number(rows[0][1][0]) or 0.0) + index:
            raise ValueError(f"{path}:{number}: second {row[0]!r} does not follow the one before; write every second, in order")
        counts[index] = count
    return counts


def _number(cell: str) -> float | None:
    try:
        value = float(cell)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
