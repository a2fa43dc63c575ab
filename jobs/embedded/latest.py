"""Finding what a job can be started from: its newest complete checkpoint or savepoint."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

METADATA = "_metadata"
"""Flink writes this file last, so a directory that has it is complete."""


def snapshots(*directories: Path) -> list[Path]:
    """Every complete checkpoint (JOB/chk-N) and savepoint (savepoint-*) below them, oldest first.

    Ordered by when they were completed; of two completed at the same instant the higher checkpoint number is later.
    """
    return sorted((found for d in directories if d.is_dir() for found in _complete(d)), key=_age)


def latest(*directories: Path) -> Path | None:
    """The newest complete one, None when there is none."""
    found = snapshots(*directories)
    return found[-1] if found else None


def _complete(directory: Path) -> Iterator[Path]:
    for pattern in ("*/chk-*", "chk-*", "savepoint-*"):
        for found in directory.glob(pattern):
            if (found / METADATA).is_file():
                yield found


def _age(snapshot: Path) -> tuple[int, int]:
    _, _, number = snapshot.name.partition("chk-")
    return (snapshot / METADATA).stat().st_mtime_ns, int(number) if number.isdigit() else 0
