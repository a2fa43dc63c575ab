"""The cores of this machine and which replicas have them; one for all stages of a service."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence

from operators.cores import EIGHTHS, CoreMap, cores_of, eighths
from operators.process import ReplicaProcess
from operators.quota import Quotas

log = logging.getLogger(__name__)


class Processors:
    """cores: numbers of those to give (default: all that this process may use). quotas: None = parts of cores are slots (operators/slot.py)."""

    def __init__(self, cores: Sequence[int] | None = None, quotas: Quotas | None = None) -> None:
        self._map = CoreMap(sorted(os.sched_getaffinity(0)) if cores is None else cores)
        self._quotas = quotas
        self._eighths: dict[ReplicaProcess, int] = {}

    @property
    def parts(self) -> str:
        """How a replica is kept to a part of a core: `quota` or `slot`."""
        return "slot" if self._quotas is None else "quota"

    def give(self, process: ReplicaProcess, cores: float) -> None:
        """Gives a replica so many cores, between its batches; the cores of others may change with it."""
        count = eighths(cores)
        before = self._eighths.get(process, 0)
        self._eighths[process] = count
        if count > before:
            self._limit(process)  # more is there before the threads are; less once they are gone
        for other, cpus in self._map.place(process, count).items():
            assert isinstance(other, ReplicaProcess)
            self._fit(other, cpus)

    def resized(self, process: ReplicaProcess) -> None:
        """It has the cores that it was given last."""
        if process in self._eighths:
            self._limit(process)

    def release(self, process: ReplicaProcess) -> None:
        if self._eighths.pop(process, None) is None:
            return
        if self._quotas is not None:
            self._quotas.forget(process.pid)
        for other, cpus in self._map.remove(process).items():
            assert isinstance(other, ReplicaProcess)
            self._fit(other, cpus)

    def close(self) -> None:
        if self._quotas is not None:
            self._quotas.close()

    def _fit(self, process: ReplicaProcess, cpus: Sequence[int]) -> None:
        count = self._eighths[process]
        cores = cores_of(count)
        process.fit(cores, cpus, cores if self._quotas is None and count % EIGHTHS else None)

    def _limit(self, process: ReplicaProcess) -> None:
        if self._quotas is None:
            return
        try:
            self._quotas.limit(process.pid, self._eighths[process])
        except ProcessLookupError:
            return  # its end is on its way
        except OSError as error:
            log.warning("a CPU quota is refused (%s): parts of cores are slots from now on", error)
            self._quotas = None
