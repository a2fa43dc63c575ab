"""The curve of concurrency and throughput, measured on the real service: `python -m bench.repro.conscale_curve` writes it beside this file.

The stage of bench/pipelines/conscale.yaml runs in this process as `sluice operator serve` runs it, without its front ends: queue, batch rule, replica
processes. A closed loop keeps q rows before it, ROWS of a request; for each number of replicas, STEPS numbers of rows from few to many. The service's own
slices (operators/scatter.py) of SECONDS_OF_EACH, the first SETTLE_S left out, are fitted as the sidecar fits them. Steps are
measured again, PASSES times at most, until their two best agree within AGREED; the best counts: the stage sleeps, so whatever else the machine
does can only make it answer fewer.

    by replicas   lower, upper, seen, best_rps, ...   autoscaler.control.scatter.Range
    points        [rows in flight asked for, mean rows/s answered]
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import asdict
from pathlib import Path

import numpy as np

from autoscaler.control.scatter import Range, Slice, fitted
from autoscaler.graph.reader import read_pipeline
from bench.report import environment, progress
from jobs.embedded.paths import ROOT
from operators.actions import Answer
from operators.protocol.rows import RowTable, encode
from operators.requests import Request
from operators.serving import Serving

PIPELINE = ROOT / "bench" / "pipelines" / "conscale.yaml"
STORED = Path(__file__).with_suffix(".json")
STAGE = "work"
ROWS = 4
STEPS = (4, 8, 16, 32, 48, 64, 96, 128, 192, 256, 384, 512, 1024, 2048)
SECONDS_OF_EACH = 0.8
SETTLE_S = 0.3
PASSES, AGREED = 8, 0.05
DEADLINE_S = 600.0
"""No row is late, so none is set aside."""


class ClosedLoop:
    """Keeps so many rows before a stage; the owner of its requests."""

    def __init__(self, serving: Serving) -> None:
        self._hosted = serving.stages[STAGE]
        self._loop = asyncio.get_running_loop()
        self._table = encode([b"row"] * ROWS)
        self._wanted = self._sent = 0
        self._calm = asyncio.Event()

    async def at(self, rows: int, seconds: float) -> list[Slice]:
        """The slices of so long, after SETTLE_S, at that many rows."""
        self._wanted = rows
        self._fill()
        await asyncio.sleep(SETTLE_S)
        self._hosted.telemetry.scatter.take()
        await asyncio.sleep(seconds)
        return [Slice(one["rows"], one["rate"], True) for one in self._hosted.telemetry.scatter.take()]

    async def empty(self) -> None:
        self._wanted = 0
        while self._sent:
            self._calm.clear()
            await self._calm.wait()

    def answered(self, request: Request, answer: Answer) -> None:
        self._sent -= len(answer.run)
        self._calm.set()
        self._loop.call_soon(self._fill)

    def _fill(self) -> None:
        while self._sent + ROWS <= self._wanted:
            self._sent += ROWS
            deadlines = np.full(ROWS, self._loop.time() + DEADLINE_S)
            self._hosted.submit(Request(STAGE, "", RowTable(self._table, ROWS), deadlines, None, self, ROWS))


async def measure(most: int = 4, steps: tuple[int, ...] = STEPS, passes: int = PASSES) -> dict:
    """As it is stored."""
    serving = Serving(read_pipeline(PIPELINE), Path())
    curves, points, passes_of = {}, {}, {}
    try:
        await serving.start()
        load = ClosedLoop(serving)
        for replicas in range(1, most + 1):
            serving.change(STAGE, {"replicas": replicas})
            while serving.stages[STAGE].stage.ready != replicas:
                serving.stages[STAGE].changed.clear()
                await serving.stages[STAGE].changed.wait()
            tried: dict[int, list[list[Slice]]] = {rows: [] for rows in steps}
            for _ in range(passes):
                for rows in [rows for rows, found in tried.items() if not _agreed(found)]:
                    tried[rows].append(await load.at(rows, SECONDS_OF_EACH))
                await load.empty()
            best = {rows: max(found, key=_rate) for rows, found in tried.items()}
            passes_of[str(replicas)] = [len(found) for found in tried.values()]
            points[str(replicas)] = [[rows, round(_rate(found), 1)] for rows, found in best.items()]
            known = fitted(one for found in best.values() for one in found)
            assert known is not None, "no slices"
            curves[str(replicas)] = asdict(known)
            progress(f"{replicas} replicas: {known}")
    finally:
        await serving.close()
    return {"by_replicas": curves, "points": points, "seconds_of_each": SECONDS_OF_EACH, "passes": passes_of, **environment()}


def _agreed(tried: list[list[Slice]]) -> bool:
    best = sorted(map(_rate, tried))[-2:]
    return len(best) == 2 and best[0] >= (1 - AGREED) * best[1]


def _rate(slices: list[Slice]) -> float:
    return sum(one.rate for one in slices) / max(1, len(slices))


def stored() -> dict[int, Range]:
    """The ranges by replicas, as measured."""
    found = json.loads(STORED.read_text(encoding="utf-8"))
    return {int(replicas): Range(**fields) for replicas, fields in found["by_replicas"].items()}


if __name__ == "__main__":
    STORED.write_text(json.dumps(asyncio.run(measure()), indent=1) + "\n", encoding="utf-8")
