"""Replica processes that are loaded before they are needed, so that another replica serves within milliseconds.

    spare   loading -> warming -> ready;   ready with another wish -> loading;   taken in any state: it goes on from there

They load at idle priority, one at a time, and only while nothing is started or changed for REFILL_S: what serves is not disturbed. Where
idle priority cannot be left again (neither root nor RLIMIT_NICE), they load at the service's own. None is started that would leave
less than MEMORY_LEFT of the machine's memory. One that ends by itself is replaced later and later.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from operators import wire
from operators.actions import Cause
from operators.process import ReplicaProcess
from operators.wire import Kind

log = logging.getLogger(__name__)

REFILL_S = 3.0
REFILL_MAX_S = 300.0
MEMORY_LEFT = 0.15  # share of the machine's

Batches = Callable[[Mapping[str, Any]], Sequence[tuple[int, bytes]]]
"""What a replica is warmed with, by what its READY said: rows of a batch and their tensor."""


@dataclass(slots=True, eq=False)
class _Spare:
    process: ReplicaProcess
    batches: deque[tuple[int, bytes]] = field(default_factory=deque)
    ready: bool = False


class Spares:
    """All methods are called on the event loop."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._count = 0
        self._wish: Mapping[str, Any] | None = None
        self._batches: Batches = lambda facts: ()
        self._replica_bytes = 0
        self._spares: dict[ReplicaProcess, _Spare] = {}
        self._refill: asyncio.TimerHandle | None = None
        self._deaths = 0  # since one became ready
        self._closing: set[ReplicaProcess] = set()

    @property
    def count(self) -> int:
        """Processes, ready or not."""
        return len(self._spares)

    @property
    def ready(self) -> int:
        return sum(spare.ready and self._fits(spare.process, self._wish) for spare in self._spares.values())

    def pids(self) -> list[int]:
        return [process.pid for process in self._spares]

    def memory_bytes(self) -> int:
        return sum(process.memory_bytes() for process in self._spares)

    def keep(self, count: int, wish: Mapping[str, Any], replica_bytes: int, batches: Batches) -> None:
        """How many there shall be, of what, how much memory one takes and what it is warmed with."""
        self._count, self._wish, self._replica_bytes, self._batches = count, wish, replica_bytes, batches
        for process in list(self._spares)[count:]:
            self._drop(process)
        self.postpone()

    def postpone(self) -> None:
        """Something is started or changed: no spare is loaded for a while."""
        if self._refill is not None:
            self._refill.cancel()
        wait_s = min(REFILL_MAX_S, REFILL_S * 2.0 ** min(self._deaths, 10))
        self._refill = self._loop.call_later(wait_s, self._fill) if self._count else None

    def take(self, wish: Mapping[str, Any], low: bool = False) -> ReplicaProcess | None:
        """A process for that wish, the nearest to being ready: its `facts` are there once it has loaded. None = none is left.

        low: it stays at idle priority until `raise_priority`.
        """
        if not self._spares:
            return None
        best = max(self._spares.values(), key=lambda spare: (self._fits(spare.process, wish), spare.ready, spare.process.facts is not None))
        process = best.process
        del self._spares[process]
        if not low:
            process.raise_priority()
        if process.facts is not None and not best.ready:
            process.unwanted += 1  # a batch that it was being warmed with
        if not self._fits(process, wish):
            process.load(wish)
        elif process.facts is not None and best.ready:
            process.facts = {**process.facts, "warm": True}
        self.postpone()
        return process

    async def close(self) -> None:
        self._count = 0
        if self._refill is not None:
            self._refill.cancel()
        for process in list(self._spares):
            self._drop(process)
        if self._closing:
            await asyncio.wait([process.gone for process in self._closing])

    def received(self, process: ReplicaProcess, frame: wire.Frame) -> None:
        spare = self._spares.get(process)
        if spare is None or frame.kind not in (Kind.READY, Kind.ANSWER) or process.facts is None:
            return
        if frame.kind is Kind.READY:
            spare.batches = deque(self._batches(process.facts))
        if spare.batches:
            rows, tensor = spare.batches.popleft()
            process.send(wire.pack_batch([rows], [tensor]))
        else:
            spare.ready = True
            self._deaths = 0
            self.postpone()

    def ended(self, process: ReplicaProcess, cause: Cause, detail: str) -> None:
        self._closing.discard(process)
        if self._spares.pop(process, None) is not None:
            self._deaths += 1
            log.warning("spare replica (process %d) died: %s", process.pid, detail)
            self.postpone()

    def _fill(self) -> None:
        """Does the next thing that is missing; `received` goes on from there."""
        if self._wish is None or any(not spare.ready for spare in self._spares.values()):
            return
        for spare in self._spares.values():
            if not self._fits(spare.process, self._wish):
                spare.ready = False
                spare.process.load(self._wish)
                return
        if len(self._spares) < self._count and memory_allows(self._replica_bytes):
            try:
                process = ReplicaProcess(self, self._wish, low=True)
            except OSError as error:
                log.warning("no spare replica can be started: %s", error)
                return
            self._spares[process] = _Spare(process)

    def _drop(self, process: ReplicaProcess) -> None:
        del self._spares[process]
        self._closing.add(process)
        process.kill()

    @staticmethod
    def _fits(process: ReplicaProcess, wish: Mapping[str, Any] | None) -> bool:
        """The number of cores does not matter: it is changed in place."""
        return wish is not None and {**process.wish, "cores": 0} == {**wish, "cores": 0}


def memory_allows(needed_bytes: int) -> bool:
    """Whether as much can be used and MEMORY_LEFT of the machine's memory is left."""
    lines = (line.split() for line in Path("/proc/meminfo").read_text().splitlines())
    kilobytes = {words[0]: int(words[1]) for words in lines if words[0] in ("MemTotal:", "MemAvailable:")}
    return kilobytes["MemAvailable:"] * 1024 - needed_bytes > MEMORY_LEFT * kilobytes["MemTotal:"] * 1024
