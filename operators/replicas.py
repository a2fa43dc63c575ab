"""The replica processes of one stage: starts them, passes frames to and fro, reports what becomes of them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from operators import wire
from operators.actions import Cause
from operators.wire import AnswerFrame, Buffer, Kind

log = logging.getLogger(__name__)

STOP_TIMEOUT_S = 5.0
BUFFER_BYTES = 1 << 20
THREAD_LIMITS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")


class Listener(Protocol):
    def replica_ready(self, number: int, facts: Mapping[str, Any]) -> None: ...

    def replica_answered(self, number: int, answer: AnswerFrame) -> None: ...

    def replica_died(self, number: int, cause: Cause, detail: str) -> None:
        """Its process is gone without having been stopped."""


class Replicas:
    """All methods are called on the event loop."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._processes: dict[int, _Process] = {}
        self._waiting: dict[int, asyncio.TimerHandle] = {}
        self._stopping: set[_Process] = set()

    def start(self, number: int, wish: Mapping[str, Any], delay_s: float) -> None:
        """wish: see operators.replica.load."""
        loop = asyncio.get_running_loop()
        self._waiting[number] = loop.call_later(delay_s, self._spawn, number, wish)

    def send(self, number: int, buffers: Sequence[Buffer]) -> None:
        process = self._processes.get(number)
        if process is not None:
            process.send(buffers)

    def stop(self, number: int) -> None:
        if number in self._waiting:
            self._waiting.pop(number).cancel()
        process = self._processes.pop(number, None)
        if process is not None:
            self._stopping.add(process)
            process.stop()

    def kill(self, number: int) -> None:
        """One that hangs; its death is reported as its own."""
        process = self._processes.get(number)
        if process is not None:
            process.broken = "killed because it did not answer"
            process.kill()

    def pids(self) -> dict[int, int]:
        return {number: process.pid for number, process in self._processes.items()}

    async def close(self) -> None:
        """Stops all and waits until their processes are gone."""
        for number in [*self._waiting, *self._processes]:
            self.stop(number)
        gone = [process.gone for process in self._stopping]
        if gone:
            await asyncio.wait(gone)

    def _spawn(self, number: int, wish: Mapping[str, Any]) -> None:
        del self._waiting[number]
        try:
            process = _Process(number, wish, self)
        except OSError as error:
            log.error("replica %d cannot be started: %s", number, error)
            self._listener.replica_died(number, Cause.KILLED, f"cannot be started: {error}")
            return
        self._processes[number] = process

    def received(self, process: _Process, frame: wire.Frame) -> None:
        if self._processes.get(process.number) is not process:
            return
        if frame.kind is Kind.ANSWER:
            self._listener.replica_answered(process.number, wire.unpack_answer(frame))
        elif frame.kind is Kind.READY:
            self._listener.replica_ready(process.number, frame.json())
        elif frame.kind is Kind.BROKEN:
            process.broken = str(frame.json()["error"]).strip()

    def ended(self, process: _Process, code: int) -> None:
        self._stopping.discard(process)
        if self._processes.get(process.number) is not process:
            return
        del self._processes[process.number]
        outside = code in (-signal.SIGKILL, -signal.SIGTERM) and process.broken is None
        cause = Cause.KILLED if outside else Cause.CRASH
        detail = process.broken or (signal.Signals(-code).name if code < 0 else f"exit status {code}")
        log.warning("replica %d (process %d) died: %s", process.number, process.pid, detail)
        self._listener.replica_died(process.number, cause, detail)


class _Process:
    """One child and our end of its socket pair."""

    def __init__(self, number: int, wish: Mapping[str, Any], owner: Replicas) -> None:
        self.number = number
        self.broken: str | None = None
        self._owner = owner
        self._loop = asyncio.get_running_loop()
        self._incoming, self._outgoing = wire.Incoming(), wire.Outgoing()
        self._writing = False
        self.gone: asyncio.Future[None] = self._loop.create_future()
        self._peer, theirs = socket.socketpair()
        with theirs:
            for end in (self._peer, theirs):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER_BYTES)
            self._peer.setblocking(False)
            command = [sys.executable, "-m", "operators.replica", str(theirs.fileno()), str(os.getpid())]
            try:
                self._child = subprocess.Popen(command, pass_fds=[theirs.fileno()], env=_environment(int(wish["cores"])), stdin=subprocess.DEVNULL)
            except OSError:
                self._peer.close()
                raise
        self._exit = os.pidfd_open(self._child.pid)
        self._loop.add_reader(self._exit, self._ended)
        self._loop.add_reader(self._peer, self._readable)
        self.send(wire.pack_json(Kind.LOAD, wish))

    @property
    def pid(self) -> int:
        return self._child.pid

    def send(self, buffers: Sequence[Buffer]) -> None:
        self._outgoing.add(buffers)
        if not self._writing:
            self._writable()

    def stop(self) -> None:
        with contextlib.suppress(OSError):  # it is gone already; the process' end is on its way
            self._peer.shutdown(socket.SHUT_WR)
        self._loop.call_later(STOP_TIMEOUT_S, self.kill)

    def kill(self) -> None:
        if not self.gone.done():
            self._child.kill()

    def _writable(self) -> None:
        try:
            sent = self._outgoing.send(self._peer)
        except OSError:
            sent = True  # as above
        if sent and self._writing:
            self._loop.remove_writer(self._peer)
        elif not sent and not self._writing:
            self._loop.add_writer(self._peer, self._writable)
        self._writing = not sent

    def _readable(self) -> bool:
        """Whether there may be more."""
        try:
            chunk = self._peer.recv(wire.CHUNK)
        except BlockingIOError:
            return False
        except OSError:
            chunk = b""
        if not chunk:
            self._loop.remove_reader(self._peer)
            return False
        for frame in self._incoming.frames(chunk):
            self._owner.received(self, frame)
        return True

    def _ended(self) -> None:
        while self._readable():  # what it answered before it died counts
            pass
        self._loop.remove_reader(self._exit)
        self._loop.remove_reader(self._peer)
        self._loop.remove_writer(self._peer)
        os.close(self._exit)
        self._peer.close()
        code = self._child.wait()
        self.gone.set_result(None)
        self._owner.ended(self, code)


def _environment(cores: int) -> dict[str, str]:
    path = os.pathsep.join(entry or os.getcwd() for entry in sys.path)
    return {**os.environ, **dict.fromkeys(THREAD_LIMITS, str(cores)), "PYTHONPATH": path}
