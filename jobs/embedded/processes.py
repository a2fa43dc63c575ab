"""Child processes of a run: started, watched, restarted with back-off, and gone with the run however it ends.

Each child leads a process group of its own. Three things end it: `stop` (TERM, then KILL, to exactly that group), the
kernel when the supervisor dies (parent-death signal), and the watchdog, which kills the group of a child whose
supervisor died, so that what the child has started goes too. The parent-death signal follows the thread that
started the child, hence one thread per supervisor starts all of them and lives until the last is gone.
"""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from pathlib import Path

POLL_S = 0.05
BACK_OFF_FIRST_S = 0.2
BACK_OFF_MOST_S = 10.0
HEALTHY_AFTER_S = 30.0
"""A child that lived this long starts its next back-off from the beginning."""
BESIDE_THE_PATH = 5
"""The niceness of what coordinates: the events' path comes first on a busy machine, and still leaves it about a quarter of a core."""
LOG_TAIL_LINES = 15


@dataclass(frozen=True, slots=True)
class Child:
    """What to run. ready: asked until true, None = at once. stop_rank: lower ranks stop first, equal ones together. niceness: 0 to 19."""

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    cwd: Path | None = None
    ready: Callable[[], bool] | None = None
    restart: bool = True
    stop_rank: int = 0
    stop_grace_s: float = 8.0
    niceness: int = 0


@dataclass(frozen=True, slots=True)
class ChildState:
    name: str
    pid: int | None
    restarts: int
    last_exit: str | None
    log: Path


class StartFailed(Exception):
    """A child did not come up; names the child, the reason and its log."""

    def __init__(self, name: str, reason: str, log: Path) -> None:
        self.name, self.reason, self.log = name, reason, log
        super().__init__(f"{name} did not start: {reason}; log: {log}\n{tail(log)}".rstrip())


def tail(log: Path, lines: int = LOG_TAIL_LINES) -> str:
    """The last lines of a log, indented; empty when there is none."""
    if not log.exists():
        return ""
    with log.open("rb") as stream:
        stream.seek(0, os.SEEK_END)
        stream.seek(max(0, stream.tell() - 64 * 1024))
        text = stream.read().decode(errors="replace")
    return "\n".join("    " + line[:400] for line in text.splitlines()[-lines:])


class _Running:
    __slots__ = ("back_off_s", "child", "last_exit", "log", "process", "restart_at", "restarts", "started_at")

    def __init__(self, child: Child, log: Path) -> None:
        self.child, self.log = child, log
        self.process: subprocess.Popen[bytes] | None = None
        self.started_at = 0.0
        self.restart_at: float | None = None
        self.back_off_s = BACK_OFF_FIRST_S
        self.restarts = 0
        self.last_exit: str | None = None


class Supervisor:
    """Owns the children of one run. Use as a context manager: leaving it stops everything.

    on_event(text): told of every death and restart, from the supervisor's thread.
    """

    def __init__(self, log_dir: Path, on_event: Callable[[str], None] = lambda text: None) -> None:
        self.log_dir = log_dir
        log_dir.mkdir(parents=True, exist_ok=True)
        self._on_event = on_event
        self._children: dict[str, _Running] = {}
        self._lock = threading.RLock()
        self._requests: queue.SimpleQueue[tuple[Callable[[], object], Future[object]] | None] = queue.SimpleQueue()
        self._stopping = False
        self._watchdog = self._start_watchdog()
        self._thread = threading.Thread(target=self._work, name="supervisor", daemon=True)
        self._thread.start()

    def __enter__(self) -> Supervisor:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self, child: Child) -> None:
        """Starts it and returns; `wait_ready` waits."""
        self._call(lambda: self._add(child))

    def wait_ready(self, names: Iterable[str], timeout_s: float = 60.0) -> None:
        """Returns once each of them is ready; StartFailed as soon as one exits without a restart or time runs out."""
        until = time.monotonic() + timeout_s
        for name in names:
            running = self._children[name]
            while not self._is_ready(running):
                if running.last_exit is not None and (not running.child.restart or running.restarts >= 3):
                    raise StartFailed(name, f"it ended ({running.last_exit})", running.log)
                if time.monotonic() > until:
                    raise StartFailed(name, f"not ready after {timeout_s:.0f} s", running.log)
                time.sleep(POLL_S)

    def wait_exit(self, name: str, timeout_s: float) -> int | None:
        """Exit status of a child that is not restarted; None when it still runs after that time."""
        until = time.monotonic() + timeout_s
        while time.monotonic() < until:
            running = self._children[name]
            if running.last_exit is not None and running.process is not None:
                return running.process.returncode
            time.sleep(POLL_S)
        return None

    def states(self) -> list[ChildState]:
        with self._lock:
            return [
                ChildState(r.child.name, self._pid(r), r.restarts, r.last_exit, r.log) for r in self._children.values()
            ]

    def pid(self, name: str) -> int | None:
        with self._lock:
            return self._pid(self._children[name])

    def log(self, name: str) -> Path:
        return self.log_dir / f"{name}.log"

    def kill(self, name: str, with_signal: int = signal.SIGKILL) -> None:
        """Sends a signal to that child alone, not to what it has started; the supervisor then restarts it."""
        pid = self.pid(name)
        if pid is not None:
            os.kill(pid, with_signal)

    def stop_child(self, name: str) -> None:
        """Stops one child for good."""
        with self._lock:
            running = self._children[name]
            running.restart_at = None
        self._stop_together([running])

    def stop(self) -> None:
        """Ends every child, lowest rank first, and the watchdog. Safe to call twice."""
        if not self._thread.is_alive():
            return
        self._stopping = True
        with self._lock:
            ranks: dict[int, list[_Running]] = {}
            for running in self._children.values():
                ranks.setdefault(running.child.stop_rank, []).append(running)
        for rank in sorted(ranks):
            self._stop_together(ranks[rank])
        self._requests.put(None)
        self._thread.join()
        assert self._watchdog.stdin is not None
        self._watchdog.stdin.close()
        self._watchdog.wait()

    # the rest runs in, or is asked of, the supervisor's thread

    def _call(self, work: Callable[[], object]) -> None:
        done: Future[object] = Future()
        self._requests.put((work, done))
        done.result()

    def _work(self) -> None:
        while True:
            try:
                request = self._requests.get(timeout=POLL_S)
            except queue.Empty:
                self._look_after_children()
                continue
            if request is None:
                return
            work, done = request
            try:
                done.set_result(work())
            except BaseException as error:
                done.set_exception(error)

    def _add(self, child: Child) -> None:
        with self._lock:
            if child.name in self._children and self._pid(self._children[child.name]) is not None:
                raise ValueError(f"{child.name} already runs")
            running = _Running(child, self.log(child.name))
            self._children[child.name] = running
        self._spawn(running)

    def _spawn(self, running: _Running) -> None:
        child = running.child
        wrapper = [sys.executable, "-I", "-S", str(Path(__file__).with_name("child.py")), str(os.getpid()), str(child.niceness)]
        with running.log.open("ab") as log:
            process = subprocess.Popen(
                wrapper + list(child.argv),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=child.cwd,
                env={**os.environ, **child.env},
                start_new_session=True,
            )
        self._tell_watchdog(f"+{process.pid}\n")
        with self._lock:
            running.process, running.started_at, running.restart_at = process, time.monotonic(), None

    def _look_after_children(self) -> None:
        with self._lock:
            children = list(self._children.values())
        for running in children:
            if self._pid(running) is not None and self._has_ended(running):
                self._bury(running)
            due = running.restart_at
            if due is not None and time.monotonic() >= due and not self._stopping:
                running.restarts += 1
                self._spawn(running)
                self._on_event(f"{running.child.name} restarted (restart {running.restarts})")

    @staticmethod
    def _has_ended(running: _Running) -> bool:
        # looks without reaping: until the group is killed, its id must not be given to anybody else
        assert running.process is not None
        return os.waitid(os.P_PID, running.process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

    def _bury(self, running: _Running) -> None:
        process = running.process
        assert process is not None
        kill_group(process.pid, signal.SIGKILL)
        self._tell_watchdog(f"-{process.pid}\n")
        with self._lock:
            status = process.wait()
            running.last_exit = describe_exit(status)
            if self._stopping or not running.child.restart:
                return
            if time.monotonic() - running.started_at > HEALTHY_AFTER_S:
                running.back_off_s = BACK_OFF_FIRST_S
            wait_s = running.back_off_s
            running.back_off_s = min(2 * wait_s, BACK_OFF_MOST_S)
            running.restart_at = time.monotonic() + wait_s
        self._on_event(f"{running.child.name} ended ({running.last_exit}), starting it again in {wait_s:.1f} s")

    def _stop_together(self, several: list[_Running]) -> None:
        with self._lock:
            alive = [r for r in several if self._pid(r) is not None]
            for running in several:
                running.restart_at = None
                running.child = replace(running.child, restart=False)
        began = time.monotonic()
        for running in alive:
            kill_group(self._pid(running), signal.SIGTERM)
        while any(self._pid(r) is not None for r in alive):
            time.sleep(POLL_S)
            for running in alive:
                pid = self._pid(running)
                if pid is not None and time.monotonic() - began > running.child.stop_grace_s:
                    kill_group(pid, signal.SIGKILL)

    def _is_ready(self, running: _Running) -> bool:
        if self._pid(running) is None:
            return False
        return running.child.ready is None or running.child.ready()

    @staticmethod
    def _pid(running: _Running) -> int | None:
        process = running.process
        return process.pid if process is not None and process.returncode is None else None

    def _start_watchdog(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-I", "-S", str(Path(__file__).with_name("watchdog.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def _tell_watchdog(self, line: str) -> None:
        assert self._watchdog.stdin is not None
        try:
            self._watchdog.stdin.write(line.encode())
            self._watchdog.stdin.flush()
        except BrokenPipeError:
            self._watchdog.wait()
            self._watchdog = self._start_watchdog()
            assert self._watchdog.stdin is not None
            alive = {pid for r in self._children.values() if (pid := self._pid(r)) is not None}
            self._watchdog.stdin.write("".join(f"+{pid}\n" for pid in alive).encode())
            self._watchdog.stdin.flush()


def kill_group(pid: int | None, with_signal: int) -> None:
    """Signals the group that this child leads; nothing when it is gone."""
    if pid is None:
        return
    try:
        os.killpg(pid, with_signal)
    except ProcessLookupError:
        return
    except PermissionError:  # only zombies are left in it
        return


def describe_exit(status: int) -> str:
    return f"signal {signal.Signals(-status).name}" if status < 0 else f"status {status}"
