"""The lanes of a stage: variants and versions that serve it side by side, each a `Stage` with replicas of its own, and the mix over them.

The same form as `Stage`, `(event, now) -> actions`, so the service runs either; replicas are numbered over all lanes.

    lane    wanted -> leaving -> gone            open = takes rows
    open    a wanted lane all of whose replicas have been ready, while one is. What is missing of the shares goes to leaving lanes that are
            ready, else to the open ones by their shares; while none is ready, rows wait in the wanted lanes
    leaving lanes go once every wanted lane is open: in that one step they take no further row, hand over those that wait, finish what runs
            and stop. So a new version is loaded beside the old one, takes all rows at once, and the old one drains
    shadow  a lane that takes no row, only copies of rows that the caller gives it
    linger  a leaving lane stays for `linger_s` after the last row that met its version at another stage, and takes only such rows

A lane that loses its last replica hands its waiting rows to the open ones. Rows that a replica died of stay in their lane, whose
quarantine knows them; a leaving lane waits for them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import count
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from operators.actions import Action, Cause, Result, Setting, Wake
from operators.mix import NOTHING, Asks, Mix, Placed, Way
from operators.operator import Variant
from operators.queue import Run, runs_of
from operators.service_time import ServiceTime
from operators.stage import Stage

SHADOW_BATCHES = 2  # copies beyond so many batches are dropped


class Make(Protocol):
    """The stage of a lane; `number` gives its replicas their numbers."""

    def __call__(self, setting: Setting, *, number: Callable[[], int]) -> Stage: ...


@dataclass(frozen=True, slots=True)
class LaneSetting:
    """share: of the rows, relative to the other lanes'; 0 = only those that others cannot take in time or well enough."""

    setting: Setting
    share: float = 1.0
    shadow: bool = False


@dataclass(slots=True, eq=False)
class Lane:
    way: Way
    share: float
    shadow: bool
    leaving: bool = False
    proven: bool = False
    """All its replicas were ready once."""
    left_at: float | None = None
    """Since when it takes no rows but those that ask for its version."""

    @property
    def stage(self) -> Stage:
        return self.way.stage

    @property
    def variant(self) -> Variant:
        return self.stage.setting.variant


class Lanes:
    """asks: what a request's rows ask for. share: of a row's time that the stage may use. linger_s: 0 where no other stage has this model."""

    def __init__(self, settings: Sequence[LaneSetting], make: Make, asks: Asks = NOTHING, share: float = 1.0, linger_s: float = 0.0) -> None:
        self.lanes: list[Lane] = []
        self.mix = Mix(asks, share)
        self.draining = False
        self.shadowed = 0
        """Copies that a shadow lane took, and below those that it had no room for."""
        self.unshadowed = 0
        self._make = make
        self._linger_s = linger_s
        self._number = count()
        self._of: dict[int, Lane] = {}
        self._only: Stage | None = None
        for wanted in settings:
            self._add(wanted)
        self._open()

    # what it is doing

    @property
    def wanted(self) -> list[Lane]:
        return [lane for lane in self.lanes if not lane.leaving]

    @property
    def settings(self) -> tuple[LaneSetting, ...]:
        return tuple(LaneSetting(lane.stage.setting, lane.share, lane.shadow) for lane in self.wanted)

    @property
    def primary(self) -> Lane:
        """The wanted lane with the largest share, the most accurate of equals."""
        return max((lane for lane in self.wanted if not lane.shadow), key=lambda lane: (lane.share, lane.variant.accuracy))

    @property
    def setting(self) -> Setting:
        """The primary lane's."""
        return self._only.setting if self._only is not None else self.primary.stage.setting

    @property
    def service_time(self) -> ServiceTime:
        """The primary lane's."""
        return self.primary.stage.service_time

    @property
    def ready(self) -> int:
        """Replicas that answer rows."""
        return sum(lane.stage.ready for lane in self.lanes if not lane.shadow)

    @property
    def settled(self) -> bool:
        """Every wanted lane is open and no other is left."""
        return all(lane.proven and not lane.leaving and lane.stage.ready for lane in self.lanes)

    @property
    def in_flight(self) -> int:
        return sum(lane.stage.in_flight for lane in self.lanes)

    @property
    def queued(self) -> int:
        return sum(lane.stage.queued for lane in self.lanes)

    @property
    def aside(self) -> int:
        return sum(lane.stage.aside for lane in self.lanes)

    @property
    def idle(self) -> bool:
        """No row is waiting or running."""
        return all(lane.stage.idle for lane in self.lanes)

    def rate_at(self, now: float) -> float:
        """Rows/s that arrive; copies do not count."""
        return sum(lane.stage.rate.at(now) for lane in self.lanes if not lane.shadow)

    def lane_of(self, number: int) -> Lane:
        """Of a replica."""
        return self._of[number]

    def find(self, name: str, version: str) -> Lane | None:
        return next((lane for lane in self.lanes if lane.variant.served == (name, version)), None)

    # events

    def start(self, now: float) -> list[Action]:
        return [action for lane in self.lanes for action in lane.stage.start(now)]

    def arrive(self, request: Any, deadlines: NDArray[np.float64], now: float, keep: NDArray[np.bool_] | None = None) -> list[Action]:
        """Rows of one request, deadlines in seconds of the same clock as `now`."""
        return self.take(runs_of(request, deadlines, now, keep), now)

    def take(self, runs: list[Run], now: float) -> list[Action]:
        """Rows of requests that arrived together, in their runs (`runs_of`)."""
        if self._only is not None:
            return self._only.adopt(runs, now)
        return self._saved(now) + self._adopted(self.mix.place(runs, now), now) + self._wakes(now)

    def shadow(self, request: Any, deadlines: NDArray[np.float64], now: float) -> list[Action] | None:
        """Copies of rows, for the shadow lane. None when it has no room for them: then the request gets no answer."""
        lane = next((lane for lane in self.wanted if lane.shadow and lane.proven and lane.stage.ready), None)
        if lane is None or self.draining or lane.stage.queued + len(deadlines) > SHADOW_BATCHES * lane.stage.setting.batch * lane.stage.ready:
            self.unshadowed += len(deadlines)
            return None
        self.shadowed += len(deadlines)
        return lane.stage.arrive(request, deadlines, now)

    def forget(self, unwanted: Callable[[Any], bool]) -> list[Run]:
        """Drops and returns the waiting rows of requests that nobody waits for. They get no answer; running ones still do."""
        return [run for lane in self.lanes for run in lane.stage.forget(unwanted)]

    def replica_ready(self, number: int, now: float, version: str | None = None) -> list[Action]:
        """The replica has loaded; `version` is what it found when the setting left it open."""
        lane = self._of.get(number)
        return [] if lane is None else lane.stage.replica_ready(number, now, version) + self._settle(now)

    def replica_done(self, number: int, result: Result, now: float) -> list[Action]:
        stage = self._of[number].stage
        if self._only is not None:
            return stage.replica_done(number, result, now)
        return self._saved(now) + stage.replica_done(number, result, now) + self._settle(now)

    def replica_died(self, number: int, now: float, cause: Cause, detail: str) -> list[Action]:
        """The process is gone. detail: how, for people."""
        lane = self._of.pop(number, None)
        return [] if lane is None else lane.stage.replica_died(number, now, cause, detail) + self._settle(now)

    def tick(self, now: float) -> list[Action]:
        if self._only is not None:
            return self._only.tick(now)
        actions = self._saved(now) + [action for lane in self.lanes for action in lane.stage.tick(now)]
        return actions + (self._settle(now) if any(lane.leaving for lane in self.lanes) else self._wakes(now))

    def change(self, settings: Sequence[LaneSetting], now: float) -> list[Action]:
        """New lanes, at least one with a share that is no shadow. Those that are there already go on in their new setting; nothing in
        flight is cut off."""
        actions: list[Action] = []
        here = list(self.lanes)
        for lane in here:
            lane.leaving = True
        for wanted in settings:
            lane = next((lane for lane in here if _is_same(lane.variant, wanted.setting.variant)), None)
            if lane is None:
                actions += self._add(wanted).stage.start(now)
                continue
            here.remove(lane)
            lane.leaving, lane.left_at, lane.share, lane.shadow = False, None, wanted.share, wanted.shadow
            setting = replace(wanted.setting, variant=lane.variant)
            if setting != lane.stage.setting:
                actions += lane.stage.change(setting, now)
        return actions + self._settle(now)

    def drain(self, now: float) -> list[Action]:
        """Releases everything as fast as replicas take it. `idle` says when it is done."""
        self.draining = True
        return [action for lane in self.lanes for action in lane.stage.drain(now)]

    # lanes

    def _add(self, wanted: LaneSetting) -> Lane:
        def number() -> int:
            given = next(self._number)
            self._of[given] = lane
            return given

        lane = Lane(Way(self._make(wanted.setting, number=number)), wanted.share, wanted.shadow)
        lane.stage.draining = self.draining
        self.lanes.append(lane)
        return lane

    def _settle(self, now: float) -> list[Action]:
        """After replicas came or went, or a leaving lane may have become idle."""
        for lane in self.wanted:
            lane.proven = lane.proven or lane.stage.ready >= lane.stage.setting.replicas > 0
        over = all(lane.proven or not lane.stage.setting.replicas for lane in self.wanted)
        self._open(over)
        stranded = [run for lane in self.lanes if not self._serves(lane) for run in lane.stage.evict()] if len(self.lanes) > 1 else []
        for lane in self.lanes:
            if over and lane.leaving and lane.left_at is None:
                lane.left_at = now
        actions = self._adopted(self.mix.place(stranded, now), now)
        for lane in [lane for lane in self.lanes if lane.left_at is not None and lane.stage.idle and now >= self._stays_until(lane)]:
            actions += lane.stage.change(replace(lane.stage.setting, replicas=0), now)
            self.lanes.remove(lane)
            self._of = {number: of for number, of in self._of.items() if of is not lane}
        self._open(over)
        return actions + self._wakes(now)

    def _serves(self, lane: Lane) -> bool:
        """Its waiting rows are in the right place."""
        return lane.shadow or lane.way in self.mix.ways or (lane.way in self.mix.lingering and lane.left_at is not None)

    def _stays_until(self, lane: Lane) -> float:
        assert lane.left_at is not None
        return lane.left_at if lane.shadow or not self._linger_s else max(lane.left_at, lane.way.asked_at) + self._linger_s

    def _open(self, over: bool = False) -> None:
        """Says to the mix which lanes take rows. over: leaving lanes do not any more."""
        self._only = self.lanes[0].stage if len(self.lanes) == 1 else None
        serving = [lane for lane in self.wanted if not lane.shadow]
        ready = [lane for lane in serving if lane.proven and lane.stage.ready]
        leaving = [] if over else [lane for lane in self.lanes if lane.leaving and not lane.shadow and lane.stage.ready]
        whole = sum(lane.share for lane in serving)
        missing = whole - sum(lane.share for lane in ready)
        weights = {lane.way: lane.share for lane in ready}
        if leaving and (missing > 0 or not ready):
            weights |= {lane.way: share * (missing or 1.0) for lane, share in zip(leaving, _shares(leaving), strict=True)}
        if not sum(weights.values()):
            weights |= {lane.way: share for lane, share in zip(ready or serving, _shares(ready or serving), strict=True)}
        total = sum(weights.values())
        lingering = [lane.way for lane in self.lanes if over and self._linger_s and lane.leaving and not lane.shadow and lane.stage.ready]
        self.mix.open({way: weight / total for way, weight in weights.items()}, lingering)

    # rows

    def _saved(self, now: float) -> list[Action]:
        """Rows that would be late where they wait, before anything there can expire them."""
        return [action for way in list(self.mix.ways) for action in self._adopted(self.mix.rescue(way, now), now)]

    def _adopted(self, placed: Placed, now: float) -> list[Action]:
        return [action for way, runs in placed.items() for action in way.stage.adopt(runs, now)]

    def _wakes(self, now: float) -> list[Action]:
        due = [self.mix.rescue_at(way, now) for way in self.mix.ways]
        due += [self._stays_until(lane) for lane in self.lanes if lane.left_at is not None]
        return [Wake(at) for at in due if at is not None and at > now]


def _shares(lanes: Iterable[Lane]) -> list[float]:
    """Sum 1; equal when none has one."""
    shares = [lane.share for lane in lanes]
    total = sum(shares)
    return [share / total for share in shares] if total else [1 / len(shares)] * len(shares)


def _is_same(one: Variant, other: Variant) -> bool:
    """An open version is whichever is there."""
    return one.name == other.name and (one.version == other.version or not (one.version and other.version))
