"""The replicas of one stage: their processes, started or taken from the spares, frames to and fro, and what becomes of them."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from operators import wire
from operators.actions import Cause
from operators.process import ReplicaProcess
from operators.processors import Processors
from operators.spares import Batches, Spares
from operators.wire import AnswerFrame, Buffer, Kind

log = logging.getLogger(__name__)

CHANGES_KEPT = 1024
LOW_S = 20.0  # guess; on a machine that is always busy a replica must not load for ever
STARTED, STARTED_WARM, RESIZED = "started", "started_warm", "resized"


class Listener(Protocol):
    def replica_ready(self, number: int, facts: Mapping[str, Any]) -> None:
        """facts: version, fans_out, model, ...; `warm` where it has run batches already."""

    def replica_answered(self, number: int, answer: AnswerFrame) -> None: ...

    def replica_died(self, number: int, cause: Cause, detail: str) -> None:
        """Its process is gone without having been stopped."""


@dataclass(slots=True)
class Change:
    """Of one replica. Seconds of the monotonic clock: asked for, in effect (resized, or ready and warm), end of the first batch after that."""

    kind: str
    number: int
    cores: float
    asked_at: float
    effective_at: float | None = None
    answered_at: float | None = None


class Replicas:
    """All methods are called on the event loop. processors: those of the whole service; None = by itself."""

    def __init__(self, listener: Listener, processors: Processors | None = None) -> None:
        self._listener = listener
        self._processors = Processors() if processors is None else processors
        self._spares = Spares()
        self._processes: dict[int, ReplicaProcess] = {}
        self._waiting: dict[int, asyncio.TimerHandle] = {}
        self._wishes: dict[int, Mapping[str, Any]] = {}
        self._low: set[int] = set()
        self._stopping: set[ReplicaProcess] = set()
        self._pending: dict[int, Change] = {}
        self.changes: deque[Change] = deque(maxlen=CHANGES_KEPT)
        """The last ones that are complete."""
        self.changed: Counter[str] = Counter()
        self.changed_s: dict[str, float] = {}
        """Complete changes by kind, and how long they took from being asked for to the end of the first batch."""
        self.deaths: Counter[Cause] = Counter()

    def start(self, number: int, wish: Mapping[str, Any], delay_s: float, low: bool = False) -> None:
        """wish: see operators.replica.load. low: at idle priority until it serves, LOW_S at most, so as not to disturb those that do."""
        self._wishes[number] = wish
        if low:
            self._low.add(number)
        self._pending[number] = Change(STARTED, number, wish["cores"], time.monotonic())
        self._spares.postpone()
        self._waiting[number] = asyncio.get_running_loop().call_later(delay_s, self._spawn, number)

    def send(self, number: int, buffers: Sequence[Buffer]) -> None:
        process = self._processes.get(number)
        if process is not None:
            process.send(buffers)

    def serves(self, number: int) -> None:
        """It is warm and gets rows from now on."""
        self._raise_priority(number)
        if number in self._pending:
            self._pending[number].effective_at = time.monotonic()

    def _raise_priority(self, number: int) -> None:
        if number in self._low:
            self._low.discard(number)
            self._processes[number].raise_priority()

    def resize(self, number: int, cores: float) -> None:
        """Takes effect between batches; in one that is still loading once it has loaded."""
        if number not in self._wishes:
            return
        self._wishes[number] = {**self._wishes[number], "cores": cores}
        self._spares.postpone()
        process = self._processes.get(number)
        if process is not None and process.facts is not None:
            self._pending[number] = Change(RESIZED, number, cores, time.monotonic())
            self._processors.give(process, cores)

    def stop(self, number: int) -> None:
        if number in self._waiting:
            self._waiting.pop(number).cancel()
        process = self._forget(number)
        if process is not None:
            self._stopping.add(process)
            process.stop()

    def kill(self, number: int) -> None:
        """One that hangs; its death is reported as its own."""
        process = self._processes.get(number)
        if process is not None:
            process.cause = Cause.HUNG
            process.kill()

    def refuse(self, number: int, reason: str) -> None:
        """One that has loaded but may not serve; its death is reported as that of one that cannot be loaded."""
        process = self._processes.get(number)
        if process is not None:
            process.cause, process.broken = Cause.CRASH, reason
            process.kill()

    def keep_spares(self, count: int, wish: Mapping[str, Any], batches: Batches) -> None:
        """How many replicas to have ready beside those that serve, of what, and what to warm them with. Called when one serves already."""
        replica_bytes = max((process.memory_bytes() for process in self._processes.values() if process.facts is not None), default=0)
        self._spares.keep(count, wish, replica_bytes, batches)

    def pids(self) -> dict[int, int]:
        return {number: process.pid for number, process in self._processes.items()}

    def spare_pids(self) -> list[int]:
        return self._spares.pids()

    def report(self) -> dict[str, Any]:
        """For telemetry. cores: of all replicas that are loading or serve; parts: how a part of a core is kept to."""
        return {
            "loading": sum(process.facts is None for process in self._processes.values()) + len(self._waiting),
            "cores": sum(wish["cores"] for wish in self._wishes.values()),
            "parts": self._processors.parts,
            "spares": self._spares.ready,
            "spares_loading": self._spares.count - self._spares.ready,
            "spare_mb": round(self._spares.memory_bytes() / 1e6, 1),
            "deaths": {str(cause): self.deaths[cause] for cause in Cause},
        }

    async def close(self) -> None:
        """Stops all and waits until their processes are gone."""
        for number in [*self._waiting, *self._processes]:
            self.stop(number)
        gone = [process.gone for process in self._stopping]
        if gone:
            await asyncio.wait(gone)
        await self._spares.close()

    def _spawn(self, number: int) -> None:
        del self._waiting[number]
        low = number in self._low
        process = self._spares.take(self._wishes[number], low)
        if process is not None:
            self._pending[number].kind = STARTED_WARM
        else:
            try:
                process = ReplicaProcess(self, self._wishes[number], low)
            except OSError as error:
                log.error("replica %d cannot be started: %s", number, error)
                self._forget(number)
                self.deaths[Cause.MEMORY] += 1
                self._listener.replica_died(number, Cause.MEMORY, f"cannot be started: {error}")
                return
        process.owner, process.number = self, number
        self._processes[number] = process
        if low:
            asyncio.get_running_loop().call_later(LOW_S, self._raise_priority, number)
        if process.facts is not None:
            self._ready(process)

    def _ready(self, process: ReplicaProcess) -> None:
        assert process.facts is not None
        self._processors.give(process, self._wishes[process.number]["cores"])
        self._listener.replica_ready(process.number, process.facts)

    def received(self, process: ReplicaProcess, frame: wire.Frame) -> None:
        number = process.number
        if self._processes.get(number) is not process:
            return
        if frame.kind is Kind.ANSWER:
            if number in self._pending:
                self._answered(number)
            self._listener.replica_answered(number, wire.unpack_answer(frame))
        elif frame.kind is Kind.READY:
            self._ready(process)
        elif frame.kind is Kind.RESIZED:
            self._processors.resized(process)
            change = self._pending.get(number)
            if change is not None and change.kind == RESIZED:
                change.effective_at = frame.json()["at"]

    def ended(self, process: ReplicaProcess, cause: Cause, detail: str) -> None:
        self._stopping.discard(process)
        self._processors.release(process)
        if self._processes.get(process.number) is not process:
            return
        self._forget(process.number)
        self.deaths[cause] += 1
        log.warning("replica %d (process %d) died: %s", process.number, process.pid, detail)
        self._listener.replica_died(process.number, cause, detail)

    def _answered(self, number: int) -> None:
        """What was sent before a resize is answered before it."""
        change = self._pending[number]
        if change.effective_at is None:
            return
        del self._pending[number]
        change.answered_at = time.monotonic()
        self.changes.append(change)
        self.changed[change.kind] += 1
        self.changed_s[change.kind] = self.changed_s.get(change.kind, 0.0) + change.answered_at - change.asked_at

    def _forget(self, number: int) -> ReplicaProcess | None:
        self._wishes.pop(number, None)
        self._low.discard(number)
        self._pending.pop(number, None)
        return self._processes.pop(number, None)
