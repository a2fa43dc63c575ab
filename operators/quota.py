"""Parts of cores by the kernel's CPU bandwidth control: each replica that has no whole number of cores is in a cgroup with a quota.

    version 1   cpu.cfs_quota_us and cpu.cfs_period_us of the controller `cpu`
    version 2   cpu.max, where the controller `cpu` is delegated to this process

A replica with whole cores has no quota: its threads and its cores limit it. The cgroups are below this process' own; those that a
killed service left behind are removed when the next one starts.
"""

from __future__ import annotations

import contextlib
import logging
import os
from pathlib import Path

from operators.cores import EIGHTHS

log = logging.getLogger(__name__)

PERIOD_US = 10_000
PREFIX = "sluice-"


class Quotas:
    """root: cgroup to make others in; version of its hierarchy: 1 or 2."""

    def __init__(self, root: Path, version: int) -> None:
        self._version = version
        self._root = root
        self.group = root / f"{PREFIX}{os.getpid()}"
        """This process' own, with one below it for each limited replica."""
        self._limited: set[int] = set()

    def open(self) -> None:
        """Makes this process' group; OSError where that or a quota in it is refused."""
        for left in self._root.glob(f"{PREFIX}*"):
            if not Path(f"/proc/{left.name.removeprefix(PREFIX)}").exists():
                _remove(left)
        self.group.mkdir(exist_ok=True)
        try:
            if self._version == 2:
                (self.group / "cgroup.subtree_control").write_text("+cpu")
            probe = self.group / "probe"
            probe.mkdir()
            try:
                self._write(probe, EIGHTHS)
            finally:
                probe.rmdir()
        except OSError:
            self.group.rmdir()
            raise

    def limit(self, pid: int, eighths: int) -> None:
        """Lets the process have so many eighths of a core at most; a whole number of cores is no limit."""
        group = self.group / str(pid)
        if eighths % EIGHTHS == 0:
            if pid in self._limited:
                self._write(group, None)
            return
        group.mkdir(parents=True, exist_ok=True)
        self._write(group, eighths)
        if pid not in self._limited:
            (group / "cgroup.procs").write_text(str(pid))
            self._limited.add(pid)

    def forget(self, pid: int) -> None:
        """The process is gone."""
        if pid in self._limited:
            self._limited.discard(pid)
            with contextlib.suppress(OSError):  # a process that it started may live on in it
                (self.group / str(pid)).rmdir()

    def close(self) -> None:
        _remove(self.group)

    def _write(self, group: Path, eighths: int | None) -> None:
        quota_us = None if eighths is None else PERIOD_US * eighths // EIGHTHS
        if self._version == 2:
            (group / "cpu.max").write_text(f"{'max' if quota_us is None else quota_us} {PERIOD_US}")
        else:
            (group / "cpu.cfs_period_us").write_text(str(PERIOD_US))
            (group / "cpu.cfs_quota_us").write_text(str(-1 if quota_us is None else quota_us))


def find(mounts: str, groups: str) -> tuple[Path, int] | None:
    """This process' cgroup and its hierarchy's version, from the texts of /proc/self/mountinfo and /proc/self/cgroup; None = there is none."""
    paths = {tuple(controllers.split(",")): path for _, controllers, path in (line.split(":", 2) for line in groups.splitlines())}
    unified: tuple[Path, int] | None = None
    for line in mounts.splitlines():
        before, _, after = line.partition(" - ")
        kind, options = after.split()[0], after.split()[-1].split(",")
        point = Path(before.split()[4])
        if kind == "cgroup" and "cpu" in options:
            path = next((path for controllers, path in paths.items() if "cpu" in controllers), None)
            if path is not None:
                return point / path.lstrip("/"), 1
        elif kind == "cgroup2" and ("",) in paths:
            unified = point / paths[("",)].lstrip("/"), 2
    return unified


def probe() -> Quotas | None:
    """Quotas, where this process may set them; says in the log when it may not."""
    try:
        found = find(Path("/proc/self/mountinfo").read_text(), Path("/proc/self/cgroup").read_text())
        if found is None:
            log.info("no cgroup with a CPU quota here: parts of cores are slots")
            return None
        quotas = Quotas(*found)
        quotas.open()
    except OSError as error:
        log.info("CPU quotas are refused (%s): parts of cores are slots", error)
        return None
    return quotas


def _remove(group: Path) -> None:
    """Removes a group and those in it; what still has processes stays."""
    for child in [*group.glob("*/"), group]:
        with contextlib.suppress(OSError):
            child.rmdir()
