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
    """The shortest spelling that reads back as the same number of milliseconds."""
    spellings = [f"{_plain(duration_ms / factor)} {unit}" for unit, factor in MS_PER_UNIT.items()]
    exact = [text for text in spellings if _reads_back(text, duration_ms)]
    return min(exact, key=len) if exact else f"{duration_ms!r} ms"


def _plain(number: float) -> str:
    return str(int(number)) if number.is_integer() else f"{number:.12f}".rstrip("0").rstrip(".")


def _reads_back(text: str, duration_ms: float) -> bool:
    try:
        return parse_duration(text) == duration_ms
    except ValueError:
        return False
