"""What surrounds a figure: the machine, the versions, a line of progress."""

from __future__ import annotations

import os
import platform
import sys
import time
from importlib.metadata import version

_STARTED = time.monotonic()


def environment() -> dict:
    """Machine and versions, for the JSON line."""
    packages = ("apache-flink", "torch", "grpcio", "numpy", "kafka-python")
    return {"machine": {"cores": os.cpu_count(), "cpu": _cpu_model(), "python": platform.python_version(), "system": platform.platform()},
            "versions": {name: version(name) for name in packages}}


def progress(text: str) -> None:
    """A line to stderr with the seconds since the start."""
    print(f"[{time.monotonic() - _STARTED:6.1f} s] {text}", file=sys.stderr, flush=True)


def table(headings: list[str], rows: list[list[object]]) -> str:
    """Rows under headings, columns aligned: text left, numbers right."""
    cells = [[_cell(value) for value in row] for row in rows]
    widths = [max(len(line[column]) for line in [headings, *cells]) for column in range(len(headings))]
    lines = ["  ".join(name.ljust(width) for name, width in zip(headings, widths, strict=True))]
    for row, line in zip(rows, cells, strict=True):
        lines.append("  ".join(text.ljust(width) if isinstance(value, str) else text.rjust(width)
                               for value, text, width in zip(row, line, widths, strict=True)))
    return "\n".join(lines)


def _cell(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:,.1f}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)


def _cpu_model() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown")
    except OSError:
        return "unknown"
