"""One mapping of a pipeline or profile file, asked key by key for a value of the right kind.

A wrong value is reported and answered with the default, so that one reading finds every fault.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator
from enum import StrEnum
from typing import TypeVar

from autoscaler.graph.durations import parse_duration
from autoscaler.graph.tree import Report

Choice = TypeVar("Choice", bound=StrEnum)

NAME = re.compile(r"[a-z][a-z0-9_-]{0,62}")
NAME_MEND = "use a-z, then up to 62 of a-z, 0-9, _ and -"


def one_of(words: Iterable[str]) -> str:
    """`a, b or c`"""
    *most, last = [str(word) for word in words]
    return f"{', '.join(most)} or {last}" if most else last


def nearest(word: str, known: Iterable[str]) -> str | None:
    return next(iter(difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)), None)


class Section:
    """The mapping at `path`; `known` are the keys it may have."""

    def __init__(self, report: Report, path: str, values: dict[str, object], known: Iterable[str] | None) -> None:
        self._report = report
        self._values = values
        self.path = path
        if known is not None:
            self._refuse_unknown(tuple(known))

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def place(self, key: str) -> str:
        return f"{self.path}.{key}" if self.path else key

    def wrong(self, key: str, what: str, mend: str) -> None:
        if self.place(key) not in self._report.broken:
            self._report.add(self.place(key), f"{self.place(key)} {what}", mend)

    def raw(self, key: str) -> object:
        return self._values.get(key)

    def need(self, *keys: str) -> None:
        for key in keys:
            if key not in self._values:
                self._report.add(self.path, f"{self.place(key)} is missing", f"add {key}")

    def section(self, key: str, known: Iterable[str] | None = None) -> Section:
        """The mapping under `key`; empty when it is absent or wrong. `known` None: any key."""
        value = self._values.get(key, {})
        if not isinstance(value, dict):
            self.wrong(key, f"is {_show(value)}", "write a mapping, key: value")
            value = {}
        return Section(self._report, self.place(key), value, known)

    def sections(self, key: str, known: Iterable[str] | None = None) -> list[Section]:
        """The mappings in the list under `key`; empty when it is absent or wrong."""
        value = self._values.get(key, [])
        if not isinstance(value, list) or (key in self._values and not value):
            self.wrong(key, f"is {_show(value)}", "write a list of mappings")
            value = []
        found = []
        for index, item in enumerate(value):
            if isinstance(item, dict):
                found.append(Section(self._report, f"{self.place(key)}[{index}]", item, known))
            else:
                self.wrong(f"{key}[{index}]", f"is {_show(item)}", "write a mapping, {key: value}")
        return found

    def text(self, key: str, default: str | None = None, *, form: re.Pattern[str] | None = None, mend: str = "") -> str | None:
        value = self._values.get(key, default)
        if key not in self._values or (isinstance(value, str) and value.strip() and (form is None or form.fullmatch(value))):
            return value if isinstance(value, str) else default
        self.wrong(key, f"is {_show(value)}", mend or "write text")
        return default

    def name(self, key: str, default: str | None = None) -> str | None:
        return self.text(key, default, form=NAME, mend=NAME_MEND)

    def flag(self, key: str, default: bool) -> bool:
        value = self._values.get(key, default)
        if isinstance(value, bool):
            return value
        self.wrong(key, f"is {_show(value)}", "use true or false")
        return default

    def whole(self, key: str, default: int | None, *, least: int = 1, most: int = 1_000_000) -> int | None:
        value = self._values.get(key, default)
        if key not in self._values:
            return default
        if isinstance(value, int) and not isinstance(value, bool) and least <= value <= most:
            return value
        self.wrong(key, f"is {_show(value)}", f"use a whole number from {least} to {most}")
        return default

    def share(self, key: str, default: float | None, *, zero: bool = True) -> float | None:
        value = self._values.get(key, default)
        if key not in self._values:
            return default
        if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1 and (zero or value > 0):
            return float(value)
        self.wrong(key, f"is {_show(value)}", "use a number from 0 to 1" if zero else "use a number above 0 and up to 1")
        return default

    def number(self, key: str, default: float | None, *, zero: bool = True) -> float | None:
        value = self._values.get(key, default)
        if key not in self._values:
            return default
        if isinstance(value, int | float) and not isinstance(value, bool) and (value > 0 or (zero and value == 0)):
            return float(value)
        self.wrong(key, f"is {_show(value)}", "use a number from 0 on" if zero else "use a number above 0")
        return default

    def eighths(self, key: str, default: float, *, most: float) -> float:
        """A multiple of 1/8; whole ones as int."""
        value = self._values.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= most or value * 8 % 1:
            self.wrong(key, f"is {_show(value)}", f"use a multiple of 0.125 from 0.125 to {most:g}")
            return default
        return int(value) if value == int(value) else value

    def duration_ms(self, key: str, default_ms: float) -> float:
        value = self._values.get(key)
        if key not in self._values:
            return default_ms
        if not isinstance(value, str):
            self.wrong(key, f"is {_show(value)}", "write a number and a unit, as in 100 ms")
            return default_ms
        try:
            return parse_duration(value)
        except ValueError as error:
            self.wrong(key, f"is {_show(value)}", str(error))
            return default_ms

    def choice(self, key: str, kind: type[Choice], default: Choice) -> Choice:
        value = self._values.get(key, default)
        try:
            return kind(value)
        except (ValueError, TypeError):
            self.wrong(key, f"is {_show(value)}", f"use {one_of(kind)}")
            return default

    def names(self, key: str) -> tuple[str, ...] | None:
        """A name or a list of names; None when absent or wrong."""
        if key not in self._values:
            return None
        value = self._values[key]
        listed = value if isinstance(value, list) else [value]
        if not listed or not all(isinstance(item, str) for item in listed):
            self.wrong(key, f"is {_show(value)}", "name a stage or a list of stages")
            return None
        if len(set(listed)) < len(listed):
            self.wrong(key, "names a stage twice", "name each once")
        return tuple(dict.fromkeys(listed))

    def _refuse_unknown(self, known: tuple[str, ...]) -> None:
        for key in self._values:
            if key not in known:
                meant = nearest(key, known)
                mend = f"did you mean {meant}?" if meant else f"use {one_of(known)}"
                self.wrong(key, f"is not a key of the {self._report.kind} file", mend)


def _show(value: object) -> str:
    """The value as an error shows it: short, and on one line."""
    if value is None:
        return "empty"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:56]}...{text[-1]}"
