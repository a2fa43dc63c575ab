"""What `sluice operator new NAME` writes: an operator, its test, sample rows and a pipeline file, all of which work as they are."""

from __future__ import annotations

import keyword
import re
from pathlib import Path

NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")

OPERATOR = '''\
"""Says of each reading whether its temperature is high."""

from dataclasses import dataclass


@dataclass
class Reading:
    sensor: str
    celsius: float


@dataclass
class Level:
    sensor: str
    level: str


def NAME(reading: Reading, *, limit: float = 90.0) -> Level:
    return Level(reading.sensor, "high" if reading.celsius > limit else "normal")
'''

TEST = """\
from NAME import NAME, Level, Reading
from operators.trial import check


def test_NAME():
    assert NAME(Reading("a", 95.0)) == Level("a", "high")
    assert check(NAME, [Reading("a", 95.0), Reading("b", 20.0)], limit=10.0) == [Level("a", "high"), Level("b", "high")]
"""

ROWS = """\
{"sensor": "a", "celsius": 95.0}
{"sensor": "b", "celsius": 20}
"""

PIPELINE = """\
pipeline: NAME
slo: 100 ms
source: {topic: NAME-in}
sink: {topic: NAME-out, format: json}
dead_letters: {topic: NAME-dead-letters}
stages:
  NAME:
    operator: NAME:NAME
    variants:
      normal: {accuracy: 1.0, limit: 90.0}
    output: {format: json, fields: {sensor: STRING, level: STRING}}
"""

FILES = {"NAME.py": OPERATOR, "test_NAME.py": TEST, "NAME.rows": ROWS, "NAME.yaml": PIPELINE}


def write(name: str, folder: Path) -> list[Path]:
    """The files written, all or none. ValueError for a name that is none, FileExistsError for a file that is there."""
    if NAME.fullmatch(name) is None or keyword.iskeyword(name) or name in ("source", "sink"):
        raise ValueError(f"{name!r} is no name for an operator; use a-z, then a-z, 0-9 and _, but no word of Python's, `source` or `sink`")
    texts = {folder / path.replace("NAME", name): text.replace("NAME", name) for path, text in FILES.items()}
    there = [path for path in texts if path.exists()]
    if there:
        raise FileExistsError(f"{there[0]} is there already; choose another name or directory")
    folder.mkdir(parents=True, exist_ok=True)
    for path, text in texts.items():
        path.write_text(text, encoding="utf-8")
    return list(texts)
