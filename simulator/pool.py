"""Replicas of one option of a stage: the product's own `operators.stage.Stage`, its actions carried out with numbers.

    Send      the batch is done after truth * noise * interference seconds
    Start     ready cold_start_s + load_s(variant) after the units are there; variant_s where it takes over a replica of another variant
    Resize    at once in the units held when it grows, in speed resize_s later; a shrinking one frees units then. Running batches keep their speed
    Wake      one timer, the earliest: a tick asks again
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import inf

from autoscaler.planner.model import Option, Share, StageModel
from autoscaler.policies.change_times import ChangeTimes
from autoscaler.policies.policy import Pool as Seen
from autoscaler.policies.slowness import profiled_ms
from operators.actions import Action, Answer, Cause, Kill, Resize, Result, Send, Setting, Start, Status, Stop, Wake
from operators.batching import Rule
from operators.operator import Variant
from operators.stage import Stage
from simulator.cluster import Cluster
from simulator.drop_older import DropOlder
from simulator.gpus import Gpus
from simulator.loop import DONE, FAILURE, READY, WAKE, Loop
from simulator.network import Station
from simulator.outcome import Outcome
from simulator.proxy import CONTROL_S, Proxy, Request, gathered
from simulator.replica import Replica, beyond, freed, holds
from simulator.rows import ARRIVED, Rows, Slots
from simulator.truth import Factors, Truth

SERVED = Result(0.0)
LOSS = {Status.EXPIRED: Outcome.EXPIRED, Status.FAILED: Outcome.FAILED}


@dataclass(frozen=True, slots=True, eq=False)
class World:
    """What all pools share. slo_s: of an event. action: is told each action carried out: time, station, kind, amount."""

    loop: Loop
    rows: Rows
    truth: Truth
    changes: ChangeTimes
    cluster: Cluster
    gpus: Gpus
    slo_s: float
    action: Callable[[float, str, str, float], None]


@dataclass(frozen=True, slots=True, eq=False)
class Outlet:
    """Where a pool's rows go. answered(parts, rows of them, variant, now), lost(slots, outcome, now), settled(now): a replica became ready or went."""

    answered: Callable[[list[Slots], int, str, float], None]
    lost: Callable[[Slots, Outcome, float], None]
    settled: Callable[[float], None]


class Pool:
    """share: of the stage's rows, once it is ready. wanted_sizes: of its replicas at the next change; one, or several sizes of its variant,
    of which those that run keep theirs and those that start take the last."""

    def __init__(self, world: World, station: Station, factors: Factors, outlet: Outlet, option: Option, share: float) -> None:
        self.option = option
        self.share = share
        self.retiring = False
        self.wanted_sizes: tuple[Share, ...] = ()
        self._sizes: tuple[Share, ...] = ()
        self.used_s = 0.0
        self.late = self.seen = 0
        self._world = world
        self._station = station
        self._factors = factors
        self._outlet = outlet
        self._options = {_key(option): option}
        self._means: dict[Option, dict[int, float]] = {}
        self._replicas: dict[int, Replica] = {}
        self._take_over = 0
        self._at_once = False
        self._wake_s = inf
        self._hint, self._aside, self._hint_due_s = 1, 0, 0.0  # as of the last millisecond
        self._busy_units = 0.0
        self._busy_at_s = 0.0
        self.stage = Stage(Setting(_variant(option), 0, option.batch, option.units), station.on_late, _rule(station, world.slo_s), station.share)

    # what it is doing

    @property
    def ready(self) -> int:
        return self.stage.ready

    @property
    def replicas(self) -> int:
        """That stay, started or starting."""
        return self.stage.setting.replicas

    @property
    def empty(self) -> bool:
        return not self._replicas

    def busy_s(self, now_s: float) -> float:
        """Unit-seconds in batches so far."""
        self._busy(0.0, now_s)
        return self.used_s

    def ratio(self, model: StageModel) -> float | None:
        """Measured over believed time of a batch; None before any was measured."""
        measured_s = self.stage.service_time.of(self.stage.service_time.rows)
        return None if measured_s is None else 1000 * measured_s / profiled_ms(model, self.option, self.stage.service_time.rows)

    def shown(self) -> tuple[Seen, ...]:
        """What was last wanted, size by size, and how much of it is ready as wanted, not as the variant before it."""
        if len(self._sizes) < 2:
            ready = min(self._ready_at(None), self.replicas)
            return (Seen(self.option, ready, self.replicas - ready, self.share),)
        ready_at = [min(self._ready_at(share.option.units), share.replicas) for share in self._sizes]
        return tuple(Seen(share.option, ready, share.replicas - ready, share.share) for share, ready in zip(self._sizes, ready_at, strict=True))

    def _ready_at(self, units: float | None) -> int:
        return sum(one.ready and _key(one.option) == _key(self.option) and units in (None, one.option.units) for one in self._replicas.values())

    def ready_units(self) -> float:
        return sum(one.option.units for one in self._replicas.values() if one.ready)

    def throughput(self) -> float:
        """Rows/s that the ready replicas take, as their options say."""
        return sum(one.option.throughput for one in self._replicas.values() if one.ready)

    # events

    def accept(self, request: Request, now_s: float) -> None:
        """The stage gets the rows by deadline, so that its runs are ranges of them: numpy takes ten times as long for an index."""
        slots = request.slots
        rows = self._world.rows
        deadlines = rows.values[ARRIVED][slots] + self._world.slo_s if self._station.fifo else rows.deadline[slots]
        if len(slots) > 1:
            order = deadlines.argsort(kind="stable")
            request.by_deadline, deadlines = slots[order], deadlines[order]
        self._apply(self.stage.arrive(request, deadlines, now_s), now_s)

    def begin(self, replicas: int, now_s: float) -> None:
        """As at the start of a run: they are ready at once."""
        self._at_once = True
        self._apply(self.stage.change(replace(self.stage.setting, replicas=replicas), now_s), now_s)
        self._at_once = False

    def change(self, option: Option, replicas: int, now_s: float, take_over: int = 0) -> None:
        """take_over: new replicas that only load, because they take over others in place."""
        old, self.option = self.option, option
        self._take_over = take_over
        self._options[_key(option)] = option
        before, self._sizes = self._sizes, self.wanted_sizes
        several = len(self._sizes) > 1
        self._tell(old, option, replicas, now_s)
        cores = self.stage.setting.cores if several else option.units  # of those that run, while several sizes do
        setting = replace(self.stage.setting, variant=_variant(option), replicas=replicas, batch=option.batch, cores=cores)
        uneven = len(before) > 1 and not several and cores == self.stage.setting.cores
        if old.units == option.units and old.variant == option.variant and old != option:
            for one in self._replicas.values():
                if one.option == old:
                    one.option, one.means = option, self._means_of(option)
        if setting != self.stage.setting:
            self._apply(self.stage.change(setting, now_s), now_s)
        if several or uneven:  # of which the stage knows nothing
            self._resize_each(self._sizes if several else (Share(option, replicas),), now_s)

    def fail(self, now_s: float) -> bool:
        """One ready replica dies, the first; False when there is none."""
        one = next((one for one in self._replicas.values() if one.ready), None)
        if one is None:
            return False
        self._die(one, True, now_s)
        return True

    def evict(self, now_s: float) -> list[Request]:
        """The rows that wait leave, as requests for another pool."""
        runs = self.stage.forget(lambda request: True)
        return [Request(run.request.by_deadline[run.rows], run.request.proxy) for run in runs]

    # what the state machine asks for

    def _apply(self, actions: list[Action], now_s: float) -> None:
        answers: list[Answer] = []
        changed = False
        for action in actions:
            kind = type(action)
            if kind is Answer:
                answers.append(action)
            elif kind is Send:
                self._send(self._replicas[action.replica], action.batch.rows, now_s)
            elif kind is Wake:
                at_s = action.at
                if at_s < self._wake_s:
                    self._wake_s = at_s if at_s > now_s else now_s
                    self._world.loop.at(self._wake_s, WAKE, self._tick)
            else:
                self._carry_out(action, now_s)
                changed = True
        if answers:
            self._ended(answers, now_s)
        if changed:
            self._outlet.settled(now_s)

    def _ended(self, answers: list[Answer], now_s: float) -> None:
        """Rows that were answered together go on together; then their proxies may send more."""
        passed: list[Slots] = []
        proxies: list[Proxy] = []
        seen = late = ahead = 0
        by = ""
        for answer in answers:
            run = answer.run
            request: Request = run.request
            slots, first, last = request.slots, run.first, run.last
            count = last - first
            if count < len(slots):
                slots = request.by_deadline[first:last] if run.order is None else request.by_deadline[run.rows]
            proxy = request.proxy
            proxy.unanswered -= count
            seen += count
            late += answer.late
            if proxy not in proxies:
                proxies.append(proxy)
            if answer.result is not None:
                passed.append(slots)
                ahead += count
                by = answer.variant.name
        if passed:
            self._outlet.answered(passed, ahead, by, now_s)
        self.seen += seen
        self.late += late
        if len(passed) < len(answers):
            self._lost(answers, now_s)
        if now_s >= self._hint_due_s:
            self._hint, self._aside, self._hint_due_s = gathered(self.stage.rate.at(now_s)), self.stage.aside, now_s + CONTROL_S
        hint, aside = self._hint, self._aside
        for proxy in proxies:
            proxy.answered(hint, now_s, aside)

    def _lost(self, answers: list[Answer], now_s: float) -> None:
        for answer in answers:
            if answer.result is None:
                slots = answer.run.request.by_deadline[answer.run.rows]
                self.late += len(slots)
                self._outlet.lost(slots, LOSS[Status(int(answer.status[0]))], now_s)

    def _carry_out(self, action: Action, now_s: float) -> None:
        match action:
            case Start(number, variant, _, delay_s):
                self._start(number, self._options[variant.name, str(variant.options["device"])], delay_s, now_s)
            case Stop(number):
                self._release(self._replicas.pop(number), now_s)
            case Kill(number):
                self._world.loop.at(now_s, FAILURE, self._killed, self._replicas[number])
            case Resize(number, _):
                self._resize(self._replicas[number], now_s)

    def _send(self, one: Replica, rows: int, now_s: float) -> None:
        mean_s = one.means.get(rows)
        if mean_s is None:
            mean_s = one.means[rows] = self._world.truth.mean_s(self._station.name, one.option, rows)
        units = one.busy_units = one.option.units
        self._busy(units, now_s)
        seconds = mean_s * self._factors.next()
        if self._world.gpus.shared:
            seconds *= self._world.gpus.factor(one)
        self._world.loop.at(now_s + seconds, DONE, self._done, one)

    def _done(self, now_s: float, one: Replica) -> None:
        if one.gone:
            return
        self._busy(-one.busy_units, now_s)
        one.busy_units = 0.0
        self._apply(self.stage.replica_done(one.number, SERVED, now_s), now_s)

    def _busy(self, units: float, now_s: float) -> None:
        if now_s > self._busy_at_s:
            self.used_s += self._busy_units * (now_s - self._busy_at_s)
            self._busy_at_s = now_s
        self._busy_units += units

    def _tick(self, now_s: float, _: None) -> None:
        if now_s >= self._wake_s:
            self._wake_s = inf
            self._apply(self.stage.tick(now_s), now_s)

    # replicas

    def _start(self, number: int, option: Option, delay_s: float, now_s: float) -> None:
        one = Replica(number, option, self._means_of(option), self._take_over > 0)
        self._take_over = max(0, self._take_over - 1)
        self._replicas[number] = one
        units, start_s = holds(option), 0.0 if self._at_once else delay_s + self._start_s(one)

        def granted(at_s: float) -> None:
            one.ask, one.held = None, units
            self._world.gpus.place(one, option.device, option.variant, option.units)
            self._world.loop.at(at_s + start_s, READY, self._ready, one)

        one.ask = self._world.cluster.ask(units, granted, now_s)

    def _start_s(self, one: Replica) -> float:
        changes = self._world.changes
        if one.in_place and changes.variant_s is not None:
            return changes.variant_s
        return changes.cold_start_s + changes.load_s.get(one.option.variant, 0.0)

    def _ready(self, now_s: float, one: Replica) -> None:
        if one.gone:
            return
        one.ready = True
        self._apply(self.stage.replica_ready(one.number, now_s), now_s)
        self._outlet.settled(now_s)

    def _resize_each(self, sizes: tuple[Share, ...], now_s: float) -> None:
        """Replicas of a size that is not wanted, or not so often, take one that lacks some, the first of them."""
        lacking = {share.option: share.replicas for share in sizes}
        over = []
        for one in self._replicas.values():
            fitting = next((option for option, count in lacking.items() if count and option.units == (one.to or one.option).units), None)
            if fitting is None:
                over.append(one)
            else:
                lacking[fitting] -= 1
        for one, option in zip(over, [option for option, count in lacking.items() for _ in range(count)], strict=False):
            self._resize(one, now_s, option)

    def _resize(self, one: Replica, now_s: float, to: Option | None = None) -> None:
        option = one.to = to or self._options[_key(one.option)]
        if one.ask is not None:
            self._world.cluster.withdraw(one.ask)
            one.ask = None
        if not one.held:  # it still waits for its first units
            self._replicas.pop(one.number)
            self._start(one.number, option, 0.0, now_s)
            return

        def granted(at_s: float) -> None:
            one.ask = None
            for kind, amount in more.items():
                one.held[kind] = one.held.get(kind, 0.0) + amount
            self._world.loop.at(at_s + self._world.changes.resize_s, READY, self._resized, (one, option))

        more = beyond(option, one.held)
        one.held = dict(one.held)
        one.ask = self._world.cluster.ask(more, granted, now_s)

    def _resized(self, now_s: float, what: tuple[Replica, Option]) -> None:
        one, option = what
        if one.gone or option is not one.to:
            return  # a later resize is on its way
        one.option, one.means = option, self._means_of(option)
        self._shrink(one, option, now_s)

    def _shrink(self, one: Replica, option: Option, now_s: float) -> None:
        less = freed(option, one.held)
        one.held = holds(option)
        self._world.cluster.release(less, now_s)

    def _killed(self, now_s: float, one: Replica) -> None:
        if not one.gone:
            self._die(one, False, now_s)

    def _die(self, one: Replica, outside: bool, now_s: float) -> None:
        del self._replicas[one.number]
        self._busy(-one.busy_units, now_s)
        self._release(one, now_s)
        self._apply(self.stage.replica_died(one.number, now_s, Cause.KILLED if outside else Cause.HUNG, "killed"), now_s)
        self._outlet.settled(now_s)

    def _release(self, one: Replica, now_s: float) -> None:
        one.gone = True
        if one.ask is not None:
            self._world.cluster.withdraw(one.ask)
        self._world.gpus.remove(one)
        if one.held:
            self._world.cluster.release(one.held, now_s)

    def _means_of(self, option: Option) -> dict[int, float]:
        return self._means.setdefault(option, {})

    def _tell(self, old: Option, option: Option, replicas: int, now_s: float) -> None:
        tell, name, before = self._world.action, self._station.name, self.stage.setting.replicas
        if option.variant != old.variant:
            tell(now_s, name, "variant", replicas)
        elif replicas != before:
            tell(now_s, name, "replicas", replicas - before)
        if option.units != old.units and len(self._sizes) < 2:
            tell(now_s, name, "resize", option.units - old.units)
        if option.batch != old.batch:
            tell(now_s, name, "batch", option.batch)


def _rule(station: Station, slo_s: float) -> Rule:
    return station.rule() if station.drop_s is None else DropOlder(station.rule(), slo_s - station.drop_s)


def _key(option: Option) -> tuple[str, str]:
    return option.variant, option.device


def _variant(option: Option) -> Variant:
    return Variant(option.variant, option.accuracy, {"device": option.device})
