"""Which cores each replica runs on.

    e[r]     eighths of a core that replica r has          integer >= 1
    n[r]     = min(ceil(e[r] / 8), cores of the machine)   its threads, and the cores that it may run on
    load[c]  eighths placed on core c

A replica is placed on the n[r] least loaded cores, 8 eighths on each and what is left over on the last; of equally loaded ones the
lowest number. So replicas have cores of their own while these last and share the least loaded ones beyond.

A change places only the replica that changed. Where placing all of them anew, largest first (Graham's longest processing time rule,
at most 4/3 of the best), makes the most loaded core less loaded, that is done instead, and others move too.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from math import ceil

EIGHTHS = 8

Placed = dict[Hashable, tuple[int, ...]]


def eighths(cores: float) -> int:
    """Of a multiple of 1/8 above 0; ValueError for anything else. Such numbers are exact in binary."""
    count = cores * EIGHTHS
    if not (count >= 1 and count == int(count)):
        raise ValueError(f"{cores} cores; use a multiple of 0.125 above 0")
    return int(count)


def cores_of(count: int) -> float:
    """The inverse of `eighths`; whole ones as int."""
    return count / EIGHTHS if count % EIGHTHS else count // EIGHTHS


def threads(cores: float) -> int:
    """That a replica with so many cores computes with."""
    return max(1, ceil(cores))


class CoreMap:
    """cores: numbers of the machine's, at least one."""

    def __init__(self, cores: Sequence[int]) -> None:
        self._cores = tuple(sorted(cores))
        self._eighths: dict[Hashable, int] = {}
        self._placed: Placed = {}

    @property
    def given(self) -> int:
        """Eighths that replicas have; more than there are when they share."""
        return sum(self._eighths.values())

    @property
    def size(self) -> int:
        """Eighths that there are."""
        return EIGHTHS * len(self._cores)

    def of(self, replica: Hashable) -> tuple[int, ...]:
        return self._placed[replica]

    def place(self, replica: Hashable, count: int) -> Placed:
        """Gives a replica, new or not, `count` eighths: the cores of those whose cores changed, and of this one in any case."""
        self._eighths.pop(replica, None)
        others = {one: self._placed[one] for one in self._eighths}
        self._eighths[replica] = count
        loads = self._loads(others)
        cores = self._least(loads, count)
        return {**self._adopt({**others, replica: cores}), replica: self._placed[replica]}

    def remove(self, replica: Hashable) -> Placed:
        """The cores of those whose cores changed."""
        if self._eighths.pop(replica, None) is None:
            return {}
        return self._adopt({one: self._placed[one] for one in self._eighths})

    def _adopt(self, near: Placed) -> Placed:
        anew = self._anew()
        placed = anew if self._worst(anew) < self._worst(near) else near
        changed = {one: cores for one, cores in placed.items() if self._placed.get(one) != cores}
        self._placed = placed
        return changed

    def _anew(self) -> Placed:
        placed: Placed = {}
        loads = dict.fromkeys(self._cores, 0)
        for one, count in sorted(self._eighths.items(), key=lambda item: -item[1]):  # stable: of equals the older one first
            placed[one] = self._least(loads, count)
            _add(loads, placed[one], count)
        return {one: placed[one] for one in self._eighths}

    def _least(self, loads: Mapping[int, int], count: int) -> tuple[int, ...]:
        """The cores for so many eighths; the last one is for the part of a core."""
        wanted = min(ceil(count / EIGHTHS), len(self._cores))
        return tuple(sorted(self._cores, key=lambda core: (loads[core], core))[:wanted])

    def _loads(self, placed: Placed) -> dict[int, int]:
        loads = dict.fromkeys(self._cores, 0)
        for one, cores in placed.items():
            _add(loads, cores, self._eighths[one])
        return loads

    def _worst(self, placed: Placed) -> int:
        return max(self._loads(placed).values())


def _add(loads: dict[int, int], cores: Iterable[int], count: int) -> None:
    for core in cores:
        part = min(count, EIGHTHS)
        loads[core] += part
        count -= part
