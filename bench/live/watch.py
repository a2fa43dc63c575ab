"""What the replicas and the machine did with the cores while a run went on, once a second, from /proc and the replicas' cgroups.

    used_s     CPU seconds of the replica processes, loading ones and those that have gone among them       (schedstat, 1st field)
    waited_s   seconds in which a thread of them could have run and had no core, without the time that its quota kept it from one
               (schedstat, 2nd field, which counts that too, less throttled_time of the cgroup's cpu.stat)
    busy_s     CPU seconds of all processes of the machine, without what the host took                       (/proc/stat)
    stolen_s   what the host took

All only grow. With slots instead of quotas a replica sleeps, which is no waiting.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from bench.host import IDLE, IOWAIT, STEAL, ticks
from operators.quota import find

EVERY_S = 1.0
TICKS = os.sysconf("SC_CLK_TCK")
REPLICA = b"operators.replica"


@dataclass(frozen=True, slots=True)
class Sample:
    """at_s: Unix."""

    at_s: float
    used_s: float
    waited_s: float
    busy_s: float
    stolen_s: float


class Watch:
    """service: process id. Used as a context: looks until it is left."""

    def __init__(self, service: int) -> None:
        self.samples: list[Sample] = []
        self._service = Path(f"/proc/{service}/task")
        self._replicas: dict[int, bool] = {}
        self._threads: dict[tuple[int, int], tuple[float, float]] = {}
        self._throttled: dict[int, float] = {}
        self._mounts = Path("/proc/self/mountinfo").read_text()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        self._thread.join(timeout=5)

    def _run(self) -> None:
        due = time.monotonic()
        while not self._stop.is_set():
            self.samples.append(self._sample())
            due += EVERY_S
            self._stop.wait(max(0.0, due - time.monotonic()))

    def _sample(self) -> Sample:
        for pid in self._pids():
            with contextlib.suppress(OSError):  # it ends just now: what it had at the last look stays
                self._look(pid)
        busy_s, stolen_s = machine(Path("/proc/stat").read_text(encoding="ascii"))
        used_s, delayed_s = (sum(one[part] for one in self._threads.values()) for part in (0, 1))
        return Sample(time.time(), used_s, max(0.0, delayed_s - sum(self._throttled.values())), busy_s, stolen_s)

    def _pids(self) -> list[int]:
        """The service's children that are replicas; one that has gone stays in the list."""
        for thread in self._service.iterdir():
            with contextlib.suppress(OSError):  # the thread, or a child of it, ends just now
                for pid in map(int, (thread / "children").read_text(encoding="ascii").split()):
                    if not self._replicas.get(pid):  # it may have been looked at before it was what it is
                        self._replicas[pid] = REPLICA in Path(f"/proc/{pid}/cmdline").read_bytes()
        return [pid for pid, is_replica in self._replicas.items() if is_replica]

    def _look(self, pid: int) -> None:
        for thread in os.listdir(f"/proc/{pid}/task"):
            with contextlib.suppress(OSError):  # it ends just now: what it had stays
                self._threads[pid, int(thread)] = scheduled(Path(f"/proc/{pid}/task/{thread}/schedstat").read_text(encoding="ascii"))
        place = find(self._mounts, Path(f"/proc/{pid}/cgroup").read_text())
        if place is not None:
            with contextlib.suppress(OSError):  # the group goes with its process
                self._throttled[pid] = throttled(place[0].joinpath("cpu.stat").read_text(encoding="ascii"))


def scheduled(schedstat: str) -> tuple[float, float]:
    """Seconds on a core, and seconds runnable without one."""
    ran, waited = schedstat.split()[:2]
    return int(ran) / 1e9, int(waited) / 1e9


def throttled(cpu_stat: str) -> float:
    """Seconds; of version 1 in ns, of version 2 in us."""
    fields = dict(line.split() for line in cpu_stat.splitlines())
    return int(fields["throttled_usec"]) / 1e6 if "throttled_usec" in fields else int(fields.get("throttled_time", 0)) / 1e9


def machine(stat: str) -> tuple[float, float]:
    """Busy and stolen seconds of all cores."""
    spent = ticks(stat)
    return (sum(spent) - spent[IDLE] - spent[IOWAIT] - spent[STEAL]) / TICKS, spent[STEAL] / TICKS
