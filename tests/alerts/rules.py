"""The shipped rules as tests see them: parsed, with the metrics they name, and with times short enough to wait for."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "k8s" / "prometheus"
RUNBOOKS = ROOT / "docs" / "alerts.md"
UNITS_MS = {"s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_DURATION = re.compile(r"(?:(?<=\[)|(?<=: ))(\d+)([smhd])(?=[],}\s])")
"""Of a range, or as a value of the file: not in a record's name, not in a text."""
_TEXT = re.compile(r'"(?:[^"\\]|\\.)*"')
_METRIC = re.compile(r"(?<![\w:])(?:sluice|flink)_\w+(?![\w:])")


def program(name: str) -> Path:
    """promtool or prometheus, as set-up left it."""
    found = ROOT / ".sluice" / "prometheus" / "bin" / name
    assert found.exists(), f"{name} is missing; `make alerts` sets it up"
    return found


def rules(file: str) -> list[dict[str, Any]]:
    """Of recording.yaml or alerts.yaml, in order."""
    return [rule for group in yaml.safe_load((FOLDER / file).read_text())["groups"] for rule in group["rules"]]


def metrics(expression: str) -> set[str]:
    """The metrics of ours and of Flink's that it reads; recorded ones and Prometheus' own are not among them."""
    return set(_METRIC.findall(_TEXT.sub('""', expression)))


def shortened(text: str, factor: int) -> str:
    """A file's text with every duration divided by the factor, in ms; nothing else changes."""
    return _DURATION.sub(lambda found: f"{max(1, int(found[1]) * UNITS_MS[found[2]] // factor)}ms", text)


def unit_tests() -> Iterator[Mapping[str, Any]]:
    """promtool's, one after the other."""
    for file in sorted((FOLDER / "tests").glob("*.yaml")):
        yield from yaml.safe_load(file.read_text())["tests"]
