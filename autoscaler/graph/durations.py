"""Durations as a pipeline file writes them (`100 ms`, `1.5 s`, `2 min`); inside, milliseconds as float."""

from __future__ import annotations

import re

MS_PER_UNIT = {"ms": 1.0, "s": 1000.0, "min": 60_000.0}
LONGEST_MS = 24 * 60 * 60_000.0  # a day: what is longer is a slip of the unit

_DURATION = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,12})?) ?([A-Za-z]+)")


def parse_duration(text: str) -> float:
    """Milliseconds, more than zero and at most a day; ValueError says what the text should have been."""
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        raise ValueError("write a number and a unit, as in 100 ms")
    number, unit = match.groups()
    if unit not in MS_PER_UNIT:
        raise ValueError("use the unit ms, s or min")
    duration_ms = float(number) * MS_PER_UNIT[unit]
    if not 0 < duration_ms <= LONGEST_MS:
        raise ValueError("use more than 0 ms and at most 1440 min")
    return duration_ms


def format_duration(duration_ms: float) -> str:
    """In the largest unit that needs no fraction, else in milliseconds; reads back as the same number."""
    for unit in ("min", "s"):
        amount = duration_ms / MS_PER_UNIT[unit]
        if amount.is_integer():
            return f"{int(amount)} {unit}"
    return f"{duration_ms:.12f}".rstrip("0").rstrip(".") + " ms"
