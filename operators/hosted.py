"""One stage as the service runs it: its lanes' state machine, its replica processes and the requests that wait for it.

A replica that has loaded is warmed with a few batches (operators/warmth.py) before the state machine hears that it is ready.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, deque
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from math import ceil
from pathlib import Path
from typing import Any

from autoscaler.graph import pipeline as graph
from operators import wire
from operators.actions import Action, Answer, Batch, Cause, Kill, Resize, Result, Send, Setting, Start, Stop, Wake
from operators.grouping import Grouping
from operators.known_states import KnownStates, Served
from operators.labels import Labels
from operators.lanes import Lane, Lanes, LaneSetting
from operators.operator import Variant
from operators.processors import Processors
from operators.queue import Run, runs_of
from operators.replicas import Replicas
from operators.requests import Control, Request
from operators.state_format import StateFormat
from operators.telemetry import StageTelemetry
from operators.twins import Twins
from operators.warmth import Warmth
from operators.wire import AnswerFrame

log = logging.getLogger(__name__)

ROWS_HELD_MAX = 200_000
BYTES_HELD_MAX = 256 << 20
GATHER_S = 0.002  # a proxy gathers the rows of about this long
GATHER_MAX = 512
CONTROL_S = 0.001
WINDOW_ROWS = 8192
CALM = 0.5  # share of the limits below which proxies have their whole window
TTLS_KEPT = 2.0  # Flink removes a key's state after at most so many times to live, by the events' clock


class HostedStage:
    """Times are of the event loop's clock."""

    def __init__(self, spec: graph.Stage, stage: Lanes, telemetry: StageTelemetry, repository: Path, processors: Processors | None = None) -> None:
        assert spec.operator is not None
        self.spec, self.stage, self.telemetry = spec, stage, telemetry
        self.operator = spec.operator
        self.model: str | None = None
        self.problem: str | None = None
        """Why the last replica could not be loaded; None once one could."""
        self.changed = asyncio.Event()
        """Set whenever a replica became ready or died, or a lane went."""
        self.replicas = Replicas(self, processors)
        self.held_rows = 0
        self.held_bytes = 0
        self.twins: Twins | None = None
        """Copies for the shadow lane, while there is one."""
        self.updating = False
        """A new version is taking over, or on trial."""
        self.deaths: dict[tuple[str, str], int] = {}
        """Of replicas that had a part in it, by variant and version."""
        self.failed: dict[tuple[str, str], str] = {}
        """Why a replica could not be loaded, likewise."""
        self.labels = Labels()
        self.updates: Counter[str] = Counter()
        """Those that are over, by how they ended."""
        self.copies: Counter[str] = Counter()
        """Rows that a shadow answered, of updates that are over: agreed, differed."""
        self.states = KnownStates(TTLS_KEPT * spec.state.ttl_ms * 1e-3) if spec.state is not None else None
        """Versions of the keys' states, of a stage that has such."""
        self._warmth = Warmth()
        self._warming: dict[int, tuple[Mapping[str, Any], deque[tuple[int, bytes]]]] = {}
        self._repository = repository
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._room = asyncio.Event()
        self._loading: set[int] = set()
        self._coming = Grouping(self._loop, self._arrived)
        self._lanes = len(stage.lanes)
        self._control_due = 0.0
        self._control = Control(stage.setting.window, 1, 0)

    # requests

    def submit(self, request: Request) -> None:
        self.held_rows += request.table.count
        self.held_bytes += request.size
        now = self._loop.time()
        runs = runs_of(request, request.deadlines, now, request.keep)
        self.telemetry.arrived(request.table.count, min(float(run.due[run.first]) for run in runs) - now)
        self._moved(0, now)
        twin = self.twins.of(request) if self.twins is not None else None
        self._coming.add(runs)
        if twin is not None:
            self._copy(twin, now)

    def _arrived(self, runs: list[Run]) -> None:
        now = self._loop.time()
        self._apply(self.stage.take(runs, now), now)

    def _copy(self, twin: Request, now: float) -> None:
        """Copies are dropped first: they go nowhere while proxies are told to send less."""
        actions = None if self._crowded > CALM else self.stage.shadow(twin, twin.deadlines, now)
        if actions is None:
            assert self.twins is not None
            self.twins.dropped(twin)
        else:
            self._apply(actions, now)

    def forget(self, owner: object) -> None:
        """Nobody waits for this owner's requests any more."""

        def unwanted(request: Request) -> bool:
            return request.owner is owner

        for run in self._coming.forget(unwanted) + self.stage.forget(unwanted):
            self._let_go(run.request, len(run))

    @property
    def pressed(self) -> bool:
        """More rows arrive than the ready replicas carry with full batches, as far as it is known how long those take."""
        time, batch = self.stage.service_time, self.stage.setting.batch
        if time.fixed_s is None or time.per_row_s is None:
            return False
        batch_s = time.fixed_s + time.per_row_s * batch
        return self.stage.rate_at(self._loop.time()) * batch_s > batch * self.stage.ready

    @property
    def full(self) -> bool:
        return self.held_rows >= ROWS_HELD_MAX or self.held_bytes >= BYTES_HELD_MAX

    async def room(self) -> None:
        """Waits until there is room for another request."""
        while self.full:
            self._room.clear()
            await self._room.wait()

    def control(self) -> Control:
        """As of the last millisecond or so; every answer asks."""
        now = self._loop.time()
        if now >= self._control_due:
            self._control, self._control_due = self._control_now(now), now + CONTROL_S
        return self._control

    def _control_now(self, now: float) -> Control:
        setting, rate, filled = self.stage.setting, self.stage.rate_at(now), self._crowded
        batch = min(GATHER_MAX, max(1, ceil(rate * GATHER_S)))
        beside = ceil(self.stage.aside / self.telemetry.proxies)  # rows set aside must not keep those that can be in time from coming
        window = max(setting.window, min(setting.window + beside, WINDOW_ROWS))
        if filled <= CALM:
            return Control(window, batch, 0)
        left = max(0.0, (1 - filled) / (1 - CALM))
        return Control(max(setting.batch, int(window * left)), batch, int(100 * (1 - left)))

    @property
    def _crowded(self) -> float:
        """Share of what may be held."""
        return max(self.held_rows / ROWS_HELD_MAX, self.held_bytes / BYTES_HELD_MAX)

    # life

    def start(self) -> None:
        now = self._loop.time()
        self._apply(self.stage.start(now), now)

    def change(self, settings: Sequence[LaneSetting]) -> None:
        self._coming.flush()
        now = self._loop.time()
        self._apply(self.stage.change(settings, now), now)
        self._keep_spares()

    async def drain(self) -> None:
        """Returns once no row is waiting or running."""
        self._coming.flush()
        now = self._loop.time()
        self._apply(self.stage.drain(now), now)
        while self._coming or not self.stage.idle:
            self.changed.clear()
            await self.changed.wait()

    async def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        await self.replicas.close()

    # what replicas report

    def replica_ready(self, number: int, facts: Mapping[str, Any]) -> None:
        self._loading.discard(number)
        self.model, self.problem = facts["model"], None
        if bool(facts["fans_out"]) != self.spec.fan_out:
            says = "fans out" if facts["fans_out"] else "does not fan out"
            self.problem = f"{self.operator} {says}, but the pipeline file says fan_out: {str(self.spec.fan_out).lower()}; make them agree"
        if bool(facts["stateful"]) != (self.spec.state is not None):
            says, has = ("keeps state", "no state") if facts["stateful"] else ("keeps no state", "a state")
            self.problem = f"{self.operator} {says}, but the pipeline file gives its stage {has}; make them agree"
        if self.states is not None and not self._may_serve(number, facts):
            return
        batches = [] if facts.get("warm") else self._batches(self.stage.lane_of(number).stage.setting, facts)
        self._warming[number] = facts, deque(batches)
        self._warm(number)

    def _batches(self, setting: Setting, facts: Mapping[str, Any]) -> list[tuple[int, bytes]]:
        """What a replica is warmed with."""
        return self._warmth.batches(setting.batch, facts.get("row_bytes"))

    def _keep_spares(self) -> None:
        """Of the primary lane, once one of its replicas has shown that it loads."""
        setting = self.stage.setting
        if self.stage.ready and self.problem is None:
            self.replicas.keep_spares(setting.spares, self._wish(setting.variant, setting.cores), partial(self._batches, setting))

    def _warm(self, number: int) -> None:
        """The next batch; after the last one the replica takes rows."""
        facts, batches = self._warming[number]
        if batches:
            rows, tensor = batches.popleft()
            self.replicas.send(number, wire.pack_batch([rows], [tensor]))
            return
        del self._warming[number]
        self.replicas.serves(number)
        now = self._loop.time()
        self._apply(self.stage.replica_ready(number, now, facts["version"]), now)
        self._keep_spares()
        self.changed.set()

    def replica_answered(self, number: int, answer: AnswerFrame) -> None:
        if number in self._warming:
            self._warm(number)
            return
        now = self._loop.time()
        if self.states is not None:
            self._states_met(number, answer, now)
        result = Result(answer.compute_us * 1e-6, answer.failed, dict(answer.reasons or {}), answer)
        self._apply(self.stage.replica_done(number, result, now), now)

    def replica_died(self, number: int, cause: Cause, detail: str) -> None:
        variant, is_loading = self.stage.lane_of(number).variant, number in self._loading
        if is_loading:
            self._loading.discard(number)
            self.problem = detail
        if self._warming.pop(number, None) is not None:
            self._warmth.forget()
        if cause in (Cause.CRASH, Cause.HUNG):
            key = variant.served
            self.deaths[key] = self.deaths.get(key, 0) + 1
            if is_loading:
                self.failed[key] = detail
        self.telemetry.tally.replica_restarts += 1
        now = self._loop.time()
        self._apply(self.stage.replica_died(number, now, cause, detail), now)
        self.changed.set()

    # states of keys

    def states_objection(self, new: Served, beside: Collection[Served]) -> str | None:
        """Why this version may not take the rows of a stage with state, as far as it is known; beside: those that would at the same time."""
        if self.states is None:
            return None
        serving = {lane.variant.served for lane in self._answering} - {new}
        return self.states.objection(new, serving, sorted(beside), self._loop.time())

    def states_refusal(self, settings: Sequence[LaneSetting]) -> str | None:
        """Why these lanes may not serve the stage together, likewise."""
        variants = [lane.setting.variant for lane in settings if not lane.shadow]
        wanted = {variant.served for variant in variants}
        serve = {lane.variant.served for lane in self._answering if lane.proven and not lane.leaving}
        beside = wanted | serve if len(wanted) > 1 else set()
        found = (self.states_objection(one, beside - {one}) for one in sorted(wanted - serve))
        return next((objection for objection in found if objection is not None), None)

    @property
    def _answering(self) -> list[Lane]:
        return [lane for lane in self.stage.lanes if lane.stage.ready and not lane.shadow]

    def _may_serve(self, number: int, facts: Mapping[str, Any]) -> bool:
        """Refuses a replica that would not read the keys' states, or whose states those beside it would not read."""
        assert self.states is not None
        lane = self.stage.lane_of(number)
        served = lane.variant.name, facts["version"]
        if facts["state"] is not None:
            self.states.formats[served] = StateFormat.of(facts["state"])
        others = [] if lane.shadow else [one for one in self.stage.lanes if one is not lane and not one.shadow]
        beside = [one.variant.served for one in others] if any(not one.leaving for one in others) else []
        objection = None if lane.proven else self.states_objection(served, beside)
        if objection is not None:
            self._loading.add(number)
            self.replicas.refuse(number, objection)
        return objection is None

    def _states_met(self, number: int, answer: AnswerFrame, now: float) -> None:
        assert self.states is not None
        lane = self.stage.lane_of(number)
        self.states.met(answer.states, now)
        if not lane.shadow:
            self.states.answered(lane.variant.served, now)

    # what the state machine asks for

    def _apply(self, actions: list[Action], now: float) -> None:
        for action in actions:
            match action:
                case Answer():
                    self._answer(action, now)
                case Send(number, batch):
                    self._sent(number, batch)
                    payloads = [run.request.encoded(run) for run in batch.runs]
                    self.replicas.send(number, wire.pack_batch([len(run) for run in batch.runs], payloads))
                case Wake(at):
                    self._wake(at)
                case Start(number, variant, cores, delay_s):
                    self._loading.add(number)
                    self.replicas.start(number, self._wish(variant, cores), delay_s, low=self._is_update(number))
                case Stop(number):
                    self._loading.discard(number)
                    self._warming.pop(number, None)
                    self.replicas.stop(number)
                case Kill(number):
                    self.replicas.kill(number)
                case Resize(number, cores):
                    self.replicas.resize(number, cores)
        lanes = len(self.stage.lanes)
        if lanes < self._lanes or (self.stage.draining and self.stage.idle):
            self.changed.set()
        self._lanes = lanes

    def _is_update(self, number: int) -> bool:
        """Of a version that takes no rows yet, while another of its variant does. Another variant may be wanted in a hurry."""
        lane = self.stage.lane_of(number)
        others = (other for other in self.stage.lanes if other.proven and other.variant.name == lane.variant.name)
        return not lane.proven and any(other.stage.ready for other in others)

    def _sent(self, number: int, batch: Batch) -> None:
        lane = self.stage.lane_of(number)
        self._warmth.sent(batch.rows)
        if lane.shadow:
            self.telemetry.copies.sent(batch)
        else:
            self.telemetry.sent(batch, lane.variant)

    def _answer(self, answer: Answer, now: float) -> None:
        request: Request = answer.run.request
        if request.is_copy:
            self.telemetry.copied(answer, now)
            request.owner.answered(request, answer)
            return
        self.telemetry.answer(answer, now)
        if self.updating and request.ids is not None:
            self.labels.answered(request, answer)
        if answer.result is not None and not answer.reasons and self._warmth.wants(now):
            self._warmth.take(request.encoded(answer.run), len(answer.run), now)
        self._let_go(request, len(answer.run))
        self._moved(len(answer.run), now)
        request.owner.answered(request, answer)
        if request.twin is not None:
            request.twin.answered(request, answer)

    def _moved(self, answered: int, now: float) -> None:
        if self.telemetry.scatter.moved(self.held_rows, answered, now):
            self.telemetry.scatter.end(self.stage.aside, self.stage.ready)

    def _let_go(self, request: Request, rows: int) -> None:
        request.left -= rows
        self.held_rows -= rows
        if not request.left:
            self.held_bytes -= request.size
        if not self._room.is_set() and not self.full:
            self._room.set()

    def _wake(self, at: float) -> None:
        if self._timer is not None:
            if self._timer.when() <= at and not self._timer.cancelled():
                return  # an earlier tick asks again
            self._timer.cancel()
        self._timer = self._loop.call_at(at, self._tick)

    def _tick(self) -> None:
        self._timer = None
        now = self._loop.time()
        self._apply(self.stage.tick(now), now)

    def _wish(self, variant: Variant, cores: float) -> dict[str, Any]:
        return {
            "operator": self.operator,
            "name": variant.name,
            "accuracy": variant.accuracy,
            "options": dict(variant.options),
            "version": variant.version or None,
            "repository": str(self._repository),
            "cores": cores,
        }
