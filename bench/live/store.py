"""Runs that are done, one JSON file each, and which are still to do.

A run counts for a study of the same digest (`setting.Setting.digest`) whose contender has the same parameters. An invalid one is made again, up
to TRIES times in all; of several the valid one counts, else the last.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.live.contender import Contender

TRIES = 2

Run = Mapping[str, Any]
"""As `stand.live` tells it: `contender`, `repeat`, `attempt`, `invalid` (why; none = valid) and figures."""


@dataclass(frozen=True, slots=True)
class Planned:
    contender: Contender
    repeat: int
    attempt: int


@dataclass(frozen=True, slots=True)
class Store:
    folder: Path

    def runs(self) -> list[Run]:
        """Those that are there, in the order of their files' names."""
        return [json.loads(path.read_text(encoding="utf-8")) for path in sorted(self.folder.glob("run-*.json"))]

    def write(self, run: Run) -> Path:
        """Whole or not at all."""
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"run-{run['contender']['name']}-{run['repeat']}-{run['attempt']}.json"
        beside = path.with_suffix(".new")
        beside.write_text(json.dumps(run), encoding="utf-8")
        beside.replace(path)
        return path


def counted(runs: Sequence[Run], contender: Contender) -> dict[int, Run]:
    """By repeat, of that contender as it is set now."""
    found: dict[int, Run] = {}
    for run in sorted((run for run in runs if run["contender"] == contender.data()), key=lambda run: run["attempt"]):
        if run["repeat"] not in found or found[run["repeat"]]["invalid"]:
            found[run["repeat"]] = run
    return found


def remaining(runs: Sequence[Run], contenders: Sequence[Contender], repeats: int, seed: int, tries: int = TRIES) -> Iterator[Planned]:
    """Repeat after repeat, the contenders of each in an order of its own; the same seed gives the same order, however often it was stopped. Those
    that were invalid come once more, last."""
    done = {contender.name: counted(runs, contender) for contender in contenders}
    again: list[Planned] = []
    for repeat in range(repeats):
        order = sorted(contenders, key=lambda contender: contender.name)
        random.Random(1000 * seed + repeat).shuffle(order)
        for contender in order:
            run = done[contender.name].get(repeat)
            if run is None:
                yield Planned(contender, repeat, 0)
            elif run["invalid"] and run["attempt"] + 1 < tries:
                again.append(Planned(contender, repeat, run["attempt"] + 1))
    yield from again
