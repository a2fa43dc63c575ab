"""Which lane of a stage takes a row: by shares, by the row's minimum accuracy, by its deadline.

A lane is one variant in one version with replicas of its own; to the mix it is a `Way`, its `Stage` and what share of the rows it gets.

    w[k]  share of way k, sum 1                 f[i]  minimum accuracy of row i, 0 = any
    a[k]  accuracy of way k                     D[i]  when row i should leave the stage: its deadline, the stage's share of it
    c[k]  credit of way k, rows                 E[k]  seconds until a row that joins way k now is answered, `Stage.expected_s`

Shares      n rows: c[k] += n w[k]; they are given one by one to the largest credit, which each lowers by one. So after any number of
            rows every way has got its share to within one row, and with two ways any stretch of requests has. A request's rows for one
            way lie together; the order of the ways turns from request to request.
Accuracy    a row goes to ways with a[k] >= f[i], those with a share first; where there is none, to the most accurate, and is counted.
            Rows that may go to fewest ways come first, so that the others make up for them; what they cannot is remembered up to
            DEBT_MAX rows. Compared as 32-bit numbers, as which f travels.
Deadline    a row with now + E > D goes to the most accurate other way with a >= f that has room for it before D, the most valuable rows of a
            request first. Where there is none it stays, and the stage does with it what its `on_late` says. Rows that must be kept are late
            already and stay.
Version     a row that met a version at another stage of the same model goes to that version, whatever else, while it is there: at an open
            way, or at a lingering one, which takes no other rows.

O(ways) numpy work per request, O(ways^2) plain work; no Python work per row. With a single way nothing of this is done.
Source: shares as in InfAdapter (EuroMLSys 2023), whose dispatcher draws ways by weighted round robin.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf
from typing import Any

import numpy as np
from numpy.typing import NDArray

from operators.queue import Run, chosen
from operators.stage import Stage

DEBT_MAX = 1024.0


@dataclass(frozen=True, slots=True)
class Asks:
    """What the rows of a request ask for, None when none of them does.

    floors  minimum accuracies, float32
    pins    versions that they met, as bytes `variant:version`, empty = none
    values  what they are worth beside each other, float32
    """

    floors: Callable[[Any], NDArray[np.float32] | None] = lambda request: None
    pins: Callable[[Any], NDArray[np.bytes_] | None] = lambda request: None
    values: Callable[[Any], NDArray[np.float32] | None] = lambda request: None


NOTHING = Asks()


@dataclass(slots=True, eq=False)
class Way:
    """weight: share of the rows, 0 = only those that others cannot take. asked_at: when a row last came for its version."""

    stage: Stage
    weight: float = 0.0
    credit: float = 0.0
    asked_at: float = -inf

    @property
    def accuracy(self) -> float:
        return self.stage.setting.variant.accuracy

    @property
    def pin(self) -> bytes:
        variant = self.stage.setting.variant
        return f"{variant.name}:{variant.version}".encode()


Placed = dict[Way, list[Run]]


class Mix:
    """share: of a row's time that the stage may use, in (0, 1]."""

    def __init__(self, asks: Asks = NOTHING, share: float = 1.0) -> None:
        self.diverted = 0
        """Rows that went to another way for their deadline's sake."""
        self.below = 0
        """Rows for which no way was accurate enough."""
        self._floors, self._pins, self._values = asks.floors, asks.pins, asks.values
        self._share = share
        self._ways: list[Way] = []
        self.lingering: Sequence[Way] = ()
        self._accuracies = np.empty(0, np.float32)
        self._turn = 0

    @property
    def ways(self) -> Sequence[Way]:
        """The most accurate first."""
        return self._ways

    def open(self, weights: dict[Way, float], lingering: Sequence[Way] = ()) -> None:
        """From now on rows go to these ways, in one step; weights sum to 1. Credits of those that stay are kept."""
        self.lingering = lingering
        for way in self._ways:
            if way not in weights:
                way.credit = 0.0
        for way, weight in weights.items():
            way.weight = weight
        self._ways = sorted(weights, key=lambda way: -way.accuracy)
        self._accuracies = np.array([way.accuracy for way in self._ways], np.float32)

    def place(self, runs: Sequence[Run], now: float) -> Placed:
        """Rows that arrive, by way."""
        placed: Placed = {}
        for run in runs:
            if self._pins(run.request) is not None:
                pinned, run = self._by_version(run, now)
                for way, part in pinned:
                    placed.setdefault(way, []).append(part)
            for way, part in self._by_share(run) if len(run) else ():
                for other, piece in self._in_time(way, part, placed, now):
                    placed.setdefault(other, []).append(piece)
        return placed

    def rescue(self, way: Way, now: float) -> Placed:
        """Takes the waiting rows out of a way that would be late even in its next batch, and that another way has room for."""
        queue, stage = way.stage.queue, way.stage
        head = queue.first()
        if head is None or len(self._ways) < 2:
            return {}
        soon = now + stage.expected_s(min(len(queue), stage.setting.batch) - 1, now)
        if self._due_s(head) >= soon:
            return {}
        if not any(other.stage.room(self._due_s(head) - now, now) for other in self._ways if other is not way):
            return {}
        placed: Placed = {}
        for run in queue.withdraw(lambda run: 0 if run.keep or self._pins(run.request) is not None else int(np.searchsorted(self._due(run), soon))):
            for other, piece in self._elsewhere(way, run, placed, now):
                if other is way:
                    queue.add(piece)
                else:
                    placed.setdefault(other, []).append(piece)
        return placed

    def rescue_at(self, way: Way, now: float) -> float | None:
        """When `rescue` may have something to do, if nothing else happens before."""
        queue, stage = way.stage.queue, way.stage
        head = queue.first()
        if head is None or head.keep or len(self._ways) < 2:
            return None
        at = self._due_s(head) - (stage.service_time.of(min(len(queue), stage.setting.batch)) or 0.0)
        return at if at > now else None

    # versions

    def _by_version(self, run: Run, now: float) -> tuple[list[tuple[Way, Run]], Run]:
        """Rows that go to the version they met, and the rest."""
        pins = self._pins(run.request)
        assert pins is not None
        met, found = pins[run.rows], []
        free = np.ones(len(run), bool)
        for way in (*self._ways, *self.lingering):
            here = met == way.pin
            if here.any():
                way.asked_at = now
                free &= ~here
                found.append((way, chosen(run, np.flatnonzero(here))))
        return found, chosen(run, np.flatnonzero(free))

    # shares and accuracy

    def _by_share(self, run: Run) -> list[tuple[Way, Run]]:
        if len(self._ways) == 1:
            return [(self._ways[0], run)]
        rows = len(run)
        for way in self._ways:
            way.credit += rows * way.weight
        floors = self._floors(run.request)
        parts = self._parts(run, rows) if floors is None else self._by_accuracy(run, floors[run.rows])
        for way in self._ways:
            way.credit = min(DEBT_MAX, max(-DEBT_MAX, way.credit))
        return parts

    def _by_accuracy(self, run: Run, floors: NDArray[np.float32]) -> list[tuple[Way, Run]]:
        able = np.searchsorted(-self._accuracies, -floors, "right")  # ways[:able] are accurate enough
        self.below += int(np.count_nonzero(able == 0))
        able = np.maximum(able, 1)
        taken: dict[Way, list[NDArray[np.intp]]] = {}
        for number in np.unique(able).tolist():
            positions, first = np.flatnonzero(able == number), 0
            for way, count in self._given(self._shared(self._ways[:number]), len(positions)):
                taken.setdefault(way, []).append(positions[first : first + count])
                first += count
        return [(way, chosen(run, np.sort(np.concatenate(found)))) for way, found in taken.items()]

    def _shared(self, ways: Sequence[Way]) -> Sequence[Way]:
        """Those with a share, else all."""
        return [way for way in ways if way.weight] or ways

    def _given(self, ways: Sequence[Way], rows: int) -> list[tuple[Way, int]]:
        """One by one to the largest credit: ways and their rows, of those that get any."""
        counts = leveled([way.credit for way in ways], rows)
        for way, count in zip(ways, counts, strict=True):
            way.credit -= count
        self._turn += 1
        turn = self._turn % len(ways)
        given = [*zip(ways, counts, strict=True)]
        return [(way, count) for way, count in given[turn:] + given[:turn] if count]

    def _parts(self, run: Run, rows: int) -> list[tuple[Way, Run]]:
        parts, first = [], 0
        for way, count in self._given(self._shared(self._ways), rows):
            parts.append((way, run.part(first, first + count)))
            first += count
        return parts

    # deadlines

    def _due(self, run: Run) -> NDArray[np.float64]:
        return run.arrived + (np.asarray(run.deadlines) - run.arrived) * self._share

    def _due_s(self, run: Run) -> float:
        """Of its first row."""
        return run.leaves_by(self._share)

    def _in_time(self, way: Way, run: Run, placed: Placed, now: float) -> list[tuple[Way, Run]]:
        if run.keep or len(self._ways) == 1:
            return [(way, run)]
        coming = sum(map(len, placed.get(way, ()))) + len(run)
        stage = way.stage
        if self._due_s(run) >= now + stage.expected_s(stage.queued + coming - 1, now):
            return [(way, run)]
        ahead = stage.queue.ahead(float(run.due[run.last - 1])) + coming - 1
        late = int(np.searchsorted(self._due(run), now + stage.expected_s(ahead, now)))
        if not late:
            return [(way, run)]
        found = self._elsewhere(way, run.part(0, late), placed, now)
        return found if late == len(run) else [*found, (way, run.part(late, len(run)))]

    def _elsewhere(self, way: Way, run: Run, placed: Placed, now: float) -> list[tuple[Way, Run]]:
        """Rows that would be late where they are, by way; those for which no other has room stay."""
        found: list[tuple[Way, Run]] = []
        floors = self._floors(run.request)
        for other, accuracy in zip(self._ways, self._accuracies, strict=True):
            if other is way or not len(run):
                continue
            room = other.stage.room(self._due_s(run) - now, now) - sum(map(len, placed.get(other, ())))
            may = np.arange(len(run)) if floors is None else np.flatnonzero(floors[run.rows] <= accuracy)
            going = self._worthiest(run, may, max(0, room))
            if len(going):
                self.diverted += len(going)
                found.append((other, chosen(run, going)))
                run = chosen(run, np.delete(np.arange(len(run)), going))
        return [*found, (way, run)] if len(run) else found

    def _worthiest(self, run: Run, positions: NDArray[np.intp], rows: int) -> NDArray[np.intp]:
        """So many of these rows of the run, the most valuable, of equals the most urgent; ascending."""
        values = self._values(run.request) if len(positions) > rows else None
        if values is None:
            return positions[:rows]
        return np.sort(positions[np.argsort(-values[run.rows[positions]], kind="stable")[:rows]])


def leveled(credits: Sequence[float], rows: int) -> list[int]:
    """How many of the rows each gets that are given one by one to the largest credit, the first of equals, which each lowers by one."""
    level, total = 0.0, 0.0
    for number, credit in enumerate(sorted(credits, reverse=True), 1):
        if number > 1 and credit <= level:
            break
        total += credit
        level = (total - rows) / number
    counts = [max(0, int(credit - level)) for credit in credits]  # each gets at least these
    for _ in range(rows - sum(counts)):
        left = [credit - count for credit, count in zip(credits, counts, strict=True)]
        counts[left.index(max(left))] += 1
    return counts
