"""A replica process as the service holds it: the child, our end of its socket pair, and how it ended.

Every WATCH_S it is looked at: one that somebody has stopped (SIGSTOP) twice in a row is killed. A stopped process is told from a long
batch by the kernel's word for it, not by its silence.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Protocol

from operators import wire
from operators.actions import Cause
from operators.cores import threads
from operators.wire import Buffer, Kind

STOP_TIMEOUT_S = 5.0
WATCH_S = 0.5
GROUP_RETRY_S = 0.2
LOW_GROUP = 10
"""Niceness of a spare's session: on a machine that is always busy it still loads, with a tenth of a core."""
BUFFER_BYTES = 1 << 20
THREAD_LIMITS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")
WAITING = {"OMP_WAIT_POLICY": "PASSIVE"}
"""Threads that wait for each other sleep instead of spinning, which on a busy machine takes the cores from those that they wait for."""
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class Owner(Protocol):
    def received(self, process: ReplicaProcess, frame: wire.Frame) -> None: ...

    def ended(self, process: ReplicaProcess, cause: Cause, detail: str) -> None: ...


class ReplicaProcess:
    """wish: what it loads (operators.replica.load). low: at idle priority until `raise_priority`, where that can be taken back."""

    def __init__(self, owner: Owner, wish: Mapping[str, Any], low: bool = False) -> None:
        self.owner = owner
        self.number = -1
        """The replica's, for its owner."""
        self.wish = wish
        self.facts: Mapping[str, Any] | None = None
        """What READY said of this wish."""
        self.unwanted = 0
        """Answers on their way that nobody waits for any more."""
        self.cause: Cause | None = None
        self.broken: str | None = None
        self._low = False
        self._loads = 0
        self._loop = asyncio.get_running_loop()
        self._incoming, self._outgoing = wire.Incoming(), wire.Outgoing()
        self._writing = False
        self._was_stopped = False
        self._out_of_memory = out_of_memory_kills()
        self.gone: asyncio.Future[None] = self._loop.create_future()
        self._peer, theirs = socket.socketpair()
        with theirs:
            for end in (self._peer, theirs):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER_BYTES)
            self._peer.setblocking(False)
            command = [sys.executable, "-m", "operators.replica", str(theirs.fileno()), str(os.getpid())]
            environment = _environment(threads(wish["cores"]))
            try:
                self._child = subprocess.Popen(
                    command, pass_fds=[theirs.fileno()], env=environment, stdin=subprocess.DEVNULL, start_new_session=low
                )
            except OSError:
                self._peer.close()
                raise
        if low:
            self._lower_priority()
        self._exit = os.pidfd_open(self._child.pid)
        self._loop.add_reader(self._exit, self._ended)
        self._loop.add_reader(self._peer, self._readable)
        self._watch = self._loop.call_later(WATCH_S, self._look)
        self.load(wish)

    @property
    def pid(self) -> int:
        return self._child.pid

    def load(self, wish: Mapping[str, Any]) -> None:
        """Lets it load something; instead of what it has, if it has loaded before. READY or BROKEN follows."""
        self.wish, self.facts = wish, None
        self._loads += 1
        self.send(wire.pack_json(Kind.LOAD, wish))

    def fit(self, cores: float, cpus: Sequence[int], slot: float | None) -> None:
        """Sets its cores, between batches: how many, which, and the slot (operators/slot.py) where the system grants no quota. RESIZED follows."""
        self.wish = {**self.wish, "cores": cores}
        self.send(wire.pack_json(Kind.RESIZE, {"cores": cores, "cpus": list(cpus), "slot": slot}))

    def send(self, buffers: Sequence[Buffer]) -> None:
        self._outgoing.add(buffers)
        if not self._writing:
            self._writable()

    def stop(self) -> None:
        """Lets it finish what it has."""
        with contextlib.suppress(OSError):  # it is gone already; the process' end is on its way
            self._peer.shutdown(socket.SHUT_WR)
        self._loop.call_later(STOP_TIMEOUT_S, self.kill)

    def kill(self) -> None:
        if not self.gone.done():
            self._child.kill()

    def raise_priority(self) -> None:
        """To that of the service."""
        if self._low:
            self._schedule(os.sched_getscheduler(0))
            self._group(0)
            self._low = False

    def _lower_priority(self) -> None:
        """Idle among the service's processes, and among those of other sessions, where Linux schedules by session (autogroups)."""
        if can_take_back():
            self._schedule(os.SCHED_IDLE)
            self._group(LOW_GROUP)
            self._low = True

    def memory_bytes(self) -> int:
        """Resident, with what it shares with others; 0 when it is gone."""
        try:
            return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * PAGE_BYTES
        except (OSError, IndexError):
            return 0

    def _schedule(self, policy: int) -> None:
        """Of all its threads; those that one makes meanwhile have the priority of their maker, so until none is left."""
        done: set[str] = set()
        with contextlib.suppress(ProcessLookupError, FileNotFoundError):
            while left := set(os.listdir(f"/proc/{self.pid}/task")) - done:
                for thread in left:
                    with contextlib.suppress(ProcessLookupError):
                        os.sched_setscheduler(int(thread), policy, os.sched_param(0))
                done |= left

    def _group(self, niceness: int) -> None:
        """Of its session, which it has to itself."""
        try:
            Path(f"/proc/{self.pid}/autogroup").write_text(str(niceness))
        except BlockingIOError:  # without privileges the kernel takes few of these a second
            if not self.gone.done():
                self._loop.call_later(GROUP_RETRY_S, self._group, niceness)
        except OSError:
            pass  # no autogroups here, or it is gone

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
            if frame.kind is Kind.BROKEN:
                self.broken = str(frame.json()["error"]).strip()
            elif frame.kind is Kind.ANSWER and self.unwanted:
                self.unwanted -= 1
            elif frame.kind is Kind.READY:
                self._loads -= 1
                if self._loads:
                    continue  # it was told to load something else meanwhile
                self.facts = frame.json()
                self.owner.received(self, frame)
            else:
                self.owner.received(self, frame)
        return True

    def _look(self) -> None:
        stopped = is_stopped(self.pid)
        if stopped and self._was_stopped and self.cause is None:
            self.cause = Cause.STOPPED
            self.kill()
        self._was_stopped = stopped
        self._out_of_memory = out_of_memory_kills()
        self._watch = self._loop.call_later(WATCH_S, self._look)

    def _ended(self) -> None:
        while self._readable():  # what it answered before it died counts
            pass
        self._watch.cancel()
        self._loop.remove_reader(self._exit)
        self._loop.remove_reader(self._peer)
        self._loop.remove_writer(self._peer)
        os.close(self._exit)
        self._peer.close()
        code = self._child.wait()
        self.gone.set_result(None)
        cause = self.cause or self._cause(code)
        self.owner.ended(self, cause, self.broken or DETAILS.get(cause) or _exit(code))

    def _cause(self, code: int) -> Cause:
        if self.broken is not None or code not in (-signal.SIGKILL, -signal.SIGTERM):
            return Cause.CRASH
        return Cause.MEMORY if out_of_memory_kills() > self._out_of_memory else Cause.KILLED


DETAILS = {
    Cause.HUNG: "killed because it did not answer",
    Cause.STOPPED: "killed because it was stopped (SIGSTOP)",
    Cause.MEMORY: "SIGKILL, for want of memory",
}


def _exit(code: int) -> str:
    return signal.Signals(-code).name if code < 0 else f"exit status {code}"


def is_stopped(pid: int) -> bool:
    """By a signal; a process that a debugger holds is not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "T"
    except (OSError, IndexError):
        return False


def out_of_memory_kills() -> int:
    """Processes of this machine that the kernel has killed for want of memory."""
    try:
        return next(int(line.split()[1]) for line in Path("/proc/vmstat").read_text().splitlines() if line.startswith("oom_kill "))
    except (OSError, StopIteration):
        return 0


@cache
def can_take_back() -> bool:
    """Whether idle priority can be left again; tried by a thread that ends afterwards. Root can, others where RLIMIT_NICE says so."""
    allowed = False

    def attempt() -> None:
        nonlocal allowed
        before = os.sched_getscheduler(0)
        with contextlib.suppress(OSError):
            os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
            os.sched_setscheduler(0, before, os.sched_param(0))
            allowed = True

    thread = threading.Thread(target=attempt)
    thread.start()
    thread.join()
    return allowed


def _environment(count: int) -> dict[str, str]:
    path = os.pathsep.join(entry or os.getcwd() for entry in sys.path)
    return {**WAITING, **os.environ, **dict.fromkeys(THREAD_LIMITS, str(count)), "PYTHONPATH": path}
