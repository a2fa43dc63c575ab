"""Loads as people have them, read from text: counts of events per second, or a time stamp for each event.

    counts   one number >= 0 for each second, a line each; it need not be whole
    stamps   one number for each event, ascending, a line each: seconds since any moment, or ms where the column's name ends in _ms

One column may stand alone, then it holds counts unless the caller says otherwise. Of several, separated by commas, a heading says which is
which: the first of a known name counts, or the one the caller names. Beside counts a column `second` must go up by 1. Empty lines and
those that begin with # are passed over.

A wrong file raises PipelineError: `file:line: what is wrong; the mend`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from math import inf, isfinite

import numpy as np
from numpy.typing import NDArray

from autoscaler.graph.errors import PipelineError
from simulator.arrivals import Even, Poisson, Stamps, Trace

COUNTS = ("count", "counts", "events", "requests", "rate", "rps", "raw_rps", "rate_rps", "events_per_s", "requests_per_s")
STAMPS = ("timestamp", "timestamp_ms", "time", "time_s", "time_ms", "stamp", "stamp_s", "stamp_ms", "sent_s", "arrived_s", "arrival_s")
SECOND = "second"
LONGEST_LINE = 4096
"""Characters; a line of a trace is a few numbers."""
MOST_RATE = 1e7
"""Events/s; above that a file is not what it was taken for."""
MOST_SECONDS = 31 * 86_400


class Kind(StrEnum):
    COUNTS = "counts"
    STAMPS = "stamps"


@dataclass(frozen=True, slots=True, eq=False)
class Load:
    """values: events/s of each second, or seconds from 0, ascending."""

    kind: Kind
    values: NDArray[np.float64]

    @property
    def seconds(self) -> int:
        if self.kind is Kind.COUNTS:
            return len(self.values)
        return int(self.values[-1]) + 1

    @property
    def rates(self) -> NDArray[np.float64]:
        """Events/s in each second; shape (seconds,)."""
        if self.kind is Kind.COUNTS:
            return self.values
        return np.bincount(self.values.astype(np.int64), minlength=self.seconds).astype(float)

    def scaled(self, factor: float) -> Load:
        """Counts times the factor. ValueError for stamps."""
        if self.kind is Kind.STAMPS:
            raise ValueError("events with time stamps cannot be multiplied; play them faster instead (--speed-up)")
        return replace(self, values=self.values * factor)

    def faster(self, factor: float) -> Load:
        """Played that many times as fast: as many events in less time."""
        if self.kind is Kind.STAMPS:
            return replace(self, values=self.values / factor)
        totals = np.concatenate([[0.0], np.cumsum(self.values)])
        seconds = max(1, round(self.seconds / factor))
        edges = np.linspace(0.0, self.seconds, seconds + 1)
        return replace(self, values=np.diff(np.interp(edges, np.arange(self.seconds + 1.0), totals)))

    def trace(self, even: bool = False) -> Trace:
        """Of counts a Poisson process of that rate, or evenly spaced; stamps as they are."""
        if self.kind is Kind.STAMPS:
            return Stamps(self.values)
        return Even(self.values.tolist()) if even else Poisson(self.values.tolist())


def from_stamps(stamps_s: Sequence[float] | NDArray[np.float64], name: str) -> Load:
    """Of time stamps in any order, e.g. of a topic's partitions one after the other. ValueError when there are none."""
    if not len(stamps_s):
        raise ValueError(f"{name}: there is no event in it; a load needs at least one")
    values = np.sort(np.asarray(stamps_s, float))
    values -= values[0]
    if values[-1] > MOST_SECONDS:
        raise ValueError(f"{name}: from the first to the last event there are {values[-1] / 86_400:.0f} days; use at most {MOST_SECONDS // 86_400}")
    return Load(Kind.STAMPS, values)


def parse_load(text: str, name: str, kind: Kind | None = None, column: str | None = None) -> Load:
    """The load in that text; `name` is what errors call the file. kind, column: None = as the heading says, counts without one."""
    rows = _rows(text, name)
    first = next(rows, None)
    if first is None:
        raise PipelineError(name, 1, "there is nothing in it", "write one number a line: events of each second, or the time of each event")
    number, cells = first
    at, kind, scale, heading = _chosen(name, number, cells, kind, column)
    rows = rows if heading else _with(first, rows)
    if kind is Kind.COUNTS:
        if heading and SECOND in cells and cells.index(SECOND) != at:
            rows = _following(name, rows, cells.index(SECOND))
        values = _counts(name, (_cell(name, line, row, at) for line, row in rows))
    else:
        values = _stamps(name, (_cell(name, line, row, at) for line, row in rows), scale)
    if not values:
        raise PipelineError(name, number, "there is a heading and nothing below it", "write one number a line")
    if kind is Kind.COUNTS and not sum(values) > 0:
        raise PipelineError(name, number, "all counts are 0", "a load needs at least one event")
    found = np.array(values)
    return Load(kind, found if kind is Kind.COUNTS else found - found[0])


def parse_series(text: str, name: str, what: str) -> list[float]:
    """One number >= 0 for each second: the first column, or the last where the first counts the seconds. what: for errors."""
    found = []
    for line, cells in _rows(text, name):
        if not found and not any(_is_number(cell) for cell in cells):
            continue
        value = _number(name, line, cells[-1])
        if value < 0:
            raise PipelineError(name, line, f"the {what} is {value:g}", "use numbers from 0 up")
        found.append(value)
    if not found:
        raise PipelineError(name, 1, f"there is no {what} in it", "write one number a line, for each second")
    return found


def _rows(text: str, name: str) -> Iterator[tuple[int, list[str]]]:
    for line, content in enumerate(text.splitlines(), 1):
        if len(content) > LONGEST_LINE:
            raise PipelineError(name, line, f"the line has {len(content)} characters", f"a line is a few numbers, {LONGEST_LINE} characters at most")
        content = content.strip()
        if content and not content.startswith("#"):
            yield line, [cell.strip() for cell in content.split(",")]


def _with(first: tuple[int, list[str]], rest: Iterator[tuple[int, list[str]]]) -> Iterator[tuple[int, list[str]]]:
    yield first
    yield from rest


def _chosen(name: str, line: int, cells: list[str], kind: Kind | None, column: str | None) -> tuple[int, Kind, float, bool]:
    """Which column, what it holds, seconds of its unit, and whether the row is a heading."""
    heading = not any(_is_number(cell) for cell in cells)
    if column is None and not heading:
        if len(cells) > 1:
            raise PipelineError(name, line, f"there are {len(cells)} columns and no heading", "name the columns in a first line, e.g. second,count")
        return 0, kind or Kind.COUNTS, 1.0, False
    words = [cell.strip('"').lower() for cell in cells]
    if column is not None:
        if not heading or column.lower() not in words:
            there = f"the columns are {', '.join(cells)}" if heading else "there is no heading"
            raise PipelineError(name, line, f"there is no column {column!r}: {there}", "name one that is there")
        at = words.index(column.lower())
    else:
        known = {Kind.COUNTS: COUNTS, Kind.STAMPS: STAMPS}
        wanted = known[kind] if kind else (*COUNTS, *STAMPS)
        found = [place for place, word in enumerate(words) if word in wanted]
        if not found and len(words) > 1:
            raise PipelineError(name, line, f"none of the columns {', '.join(cells)} has a name of counts or time stamps",
                                "name one of them `count` or `timestamp`, or say which it is (--column)")
        at = min(found, key=lambda place: words[place] in STAMPS) if found else 0
    kind = kind or (Kind.STAMPS if words[at] in STAMPS else Kind.COUNTS)
    return at, kind, 1e-3 if words[at].endswith("_ms") else 1.0, True


def _cell(name: str, line: int, cells: list[str], at: int) -> tuple[int, float]:
    if at >= len(cells):
        raise PipelineError(name, line, f"there are only {len(cells)} columns", f"column {at + 1} is needed")
    return line, _number(name, line, cells[at])


def _following(name: str, rows: Iterator[tuple[int, list[str]]], at: int) -> Iterator[tuple[int, list[str]]]:
    before: float | None = None
    for line, cells in rows:
        _, second = _cell(name, line, cells, at)
        if before is not None and second != before + 1:
            raise PipelineError(name, line, f"second {second:.15g} does not follow {before:.15g}", "write every second, 0 where nothing came")
        before = second
        yield line, cells


def _counts(name: str, cells: Iterator[tuple[int, float]]) -> list[float]:
    found = []
    for line, value in cells:
        if not 0 <= value <= MOST_RATE:
            raise PipelineError(name, line, f"the count is {value:g}", f"use numbers from 0 to {MOST_RATE:g}: the events of each second")
        found.append(value)
    if len(found) > MOST_SECONDS:
        raise PipelineError(name, 1, f"there are {len(found)} seconds", f"use at most {MOST_SECONDS}, {MOST_SECONDS // 86_400} days")
    return found


def _stamps(name: str, cells: Iterator[tuple[int, float]], scale: float) -> list[float]:
    found: list[float] = []
    before = -inf
    for line, value in cells:
        if value < before:
            raise PipelineError(name, line, f"the time {value:.15g} comes before {before:.15g} in the line above", "sort the lines by time")
        before = value
        found.append(value * scale)
        if found[-1] - found[0] > MOST_SECONDS:
            raise PipelineError(name, line, f"the time {value:.15g} is more than {MOST_SECONDS // 86_400} days after the first",
                                "times are seconds; a column in ms has a name that ends in _ms")
    return found


def _number(name: str, line: int, cell: str) -> float:
    try:
        value = float(cell.strip('"'))
    except ValueError:
        raise PipelineError(name, line, f"{cell[:40]!r} is not a number", "write numbers with a point, without units") from None
    if not isfinite(value):
        raise PipelineError(name, line, f"{cell!r} is not a finite number", "write 0 where nothing came, or leave the line out of time stamps")
    return value


def _is_number(cell: str) -> bool:
    try:
        float(cell.strip('"'))
    except ValueError:
        return False
    return True
