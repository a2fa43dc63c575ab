"""One stage of the pipeline: queue, batch rule and replicas as a state machine `(event, now) -> actions`.

Events are the methods; each returns the actions that the caller must carry out, in order. The service carries them out with
processes and sockets, the simulator with numbers. Every row that arrives is named by exactly one `Answer`.

    replica   starting -> idle <-> busy;  leaving = stops after what it runs;  any -> died
    row       queued -> running -> answered | suspect (its replica died) -> running in quarantine -> answered

Quarantine. The rows of a batch whose replica died run again by themselves, halved until single. A row is condemned (`poison`)
when the replica died of it twice while it ran alone. A death from outside (somebody's SIGKILL or SIGSTOP) is no evidence against a row
and never condemns one. One for want of memory is weak evidence: it condemns after MEMORY_LIMIT of them with the row alone. At most one
replica works on quarantined rows at a time, and with one replica alone they take turns with healthy ones.

A replica that does not answer a batch in time is killed, which counts as a death of its own:

    limit = max(HANG_FLOOR_S, HANG_TIMES * longest)     longest: the slowest batch so far with this variant and these cores
    limit = hang_s                                      while nothing was measured; it is the most, too

Where the event that finds a batch overdue comes more than LATE_S after its time, whoever drives the stage was held up itself, and the
limit counts from then.
"""

from __future__ import annotations

from bisect import insort
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum
from itertools import count
from math import inf
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoscaler.graph.pipeline import OnLate
from operators.actions import Action, Answer, Batch, Cause, Kill, Resize, Result, Send, Setting, Start, Status, Stop, Suspect, Wake
from operators.batching import AdaptiveRule, ArrivalRate, GiveUp, Reason, Release, Rule, SetAside, View
from operators.operator import Variant
from operators.queue import Run, runs_of
from operators.service_time import ServiceTime
from operators.waiting import Values, Waiting

CONDEMNED_AFTER = 2  # deaths with the row alone
MEMORY_LIMIT = 20
HANG_S = 120.0
HANG_FLOOR_S = 10.0
HANG_TIMES = 10.0
LATE_S = 2.0
BACK_OFF_S = 0.1
BACK_OFF_MAX_S = 10.0


_ALL_OK = np.zeros(4096, np.uint8)
_ALL_OK.setflags(write=False)
FEW = 64
_FEW_OK = [_ALL_OK[:rows] for rows in range(FEW + 1)]

_new: Any = tuple.__new__
"""Of the named tuples that are made for every batch; their own is a Python function that only calls this one, at twice the time."""


class _State(Enum):
    STARTING = "starting"
    IDLE = "idle"
    BUSY = "busy"


_IDLE, _BUSY = _State.IDLE, _State.BUSY  # asked for at every event


@dataclass(slots=True)
class _Replica:
    number: int
    variant: Variant
    state: _State = _State.STARTING
    leaving: bool = False
    killed: bool = False
    batch: Batch | None = None


class Stage:
    """deadline_share: part of a row's remaining time that this stage may use, in (0, 1]. hang_s: of a batch, at most.

    number: gives each replica its number, for callers that run several stages over one set of replicas. values: what the rows of a request are worth.
    """

    def __init__(
        self,
        setting: Setting,
        on_late: OnLate = OnLate.ANSWER,
        rule: Rule | None = None,
        deadline_share: float = 1.0,
        hang_s: float = HANG_S,
        number: Callable[[], int] | None = None,
        values: Values | None = None,
    ) -> None:
        if not 0 < deadline_share <= 1:
            raise ValueError(f"deadline_share is {deadline_share}; it must be in (0, 1]")
        self.setting = setting
        self.queue = Waiting(values)
        self.rate = ArrivalRate()
        self.service_time = ServiceTime()
        self.draining = False
        self._sheds = on_late is OnLate.DEAD_LETTER
        self._rule = rule or AdaptiveRule()
        self._hang_s = hang_s
        self._least_limit_s = min(hang_s, HANG_FLOOR_S)
        self._proven: Variant | None = None  # the last variant of which a replica became ready
        self._replicas: dict[int, _Replica] = {}
        self._idle: list[int] = []  # numbers of idle replicas, ascending
        self._ready = 0
        self._number = number or count().__next__
        self._hang_at = inf  # no running batch is due for a kill before
        self._told_hang_at = inf  # by the last Wake for it
        self._watched_from = -inf
        self._suspects: deque[Suspect] = deque()
        self._healthy_turn = True
        self._failures = 0  # deaths since the last answered batch
        self._view = View(self.queue, setting.batch, 1, 0.0, self.service_time, deadline_share)

    # what it is doing

    @property
    def ready(self) -> int:
        return self._ready

    @property
    def settled(self) -> bool:
        """A replica of the setting's variant is ready, or was the last to become so, and some replica is."""
        return self._proven == self.setting.variant and self.ready > 0

    @property
    def in_flight(self) -> int:
        return sum(replica.batch.rows for replica in self._replicas.values() if replica.batch)

    @property
    def queued(self) -> int:
        return len(self.queue) + sum(suspect.rows for suspect in self._suspects)

    @property
    def aside(self) -> int:
        """Waiting rows that can no longer be in time, as far as the rule can tell."""
        return self.queue.aside.rows

    @property
    def idle(self) -> bool:
        """No row is waiting or running."""
        return not self.queued and not self.in_flight

    def expected_s(self, ahead: int, now: float) -> float:
        """Seconds until a row behind `ahead` waiting ones is answered, by what was learned; 0 while nothing was, inf without a replica."""
        if not self._ready:
            return inf
        batch = self.setting.batch
        rounds, last = divmod(ahead, batch * self._ready)
        return self._free_s(now) + rounds * (self.service_time.of(batch) or 0.0) + (self.service_time.of(min(last + 1, batch)) or 0.0)

    def room(self, slack_s: float, now: float) -> int:
        """How many more rows it would answer within `slack_s`, by what was learned; a batch each while nothing was."""
        fixed_s, per_row_s, batch = self.service_time.fixed_s, self.service_time.per_row_s, self.setting.batch
        if fixed_s is None or per_row_s is None:
            return max(0, batch * self._ready - self.queued)
        spare_s, alone_s = slack_s - self._free_s(now), fixed_s + per_row_s
        if not self._ready or spare_s < alone_s:
            return 0
        rounds, left_s = divmod(spare_s, max(fixed_s + per_row_s * batch, 1e-9))
        rows = int(rounds) * batch
        if left_s >= alone_s:
            rows += int(min(batch, (left_s - fixed_s) / per_row_s)) if per_row_s else batch
        return max(0, rows * self._ready - (self.queued - self.aside))

    def _free_s(self, now: float) -> float:
        """Until a replica is idle: 0, or what is left of the batch that should end first."""
        left_s = inf
        for replica in self._replicas.values():
            if replica.state is _IDLE:
                return 0.0
            if replica.batch is not None:
                left_s = min(left_s, replica.batch.sent_at + (self.service_time.of(replica.batch.rows) or 0.0) - now)
        return max(0.0, left_s) if left_s < inf else 0.0

    # events

    def start(self, now: float) -> list[Action]:
        return self._reconcile()

    def arrive(self, request: Any, deadlines: NDArray[np.float64], now: float, keep: NDArray[np.bool_] | None = None) -> list[Action]:
        """Rows of one request, deadlines in seconds of the same clock as `now`."""
        return self.adopt(runs_of(request, deadlines, now, keep), now)

    def adopt(self, runs: list[Run], now: float) -> list[Action]:
        """Rows in runs already: of several requests, parts of one of which others go elsewhere, or rows that waited elsewhere until now."""
        self.rate.add(sum(map(len, runs)), now)
        for run in runs:
            self.queue.add(run)
        return self._dispatch([], now)

    def evict(self) -> list[Run]:
        """Drops and returns the waiting rows, for another stage to adopt; those that a replica died of stay."""
        return self.queue.discard(lambda run: True)

    def forget(self, unwanted: Callable[[Any], bool]) -> list[Run]:
        """Drops and returns the waiting rows of requests that nobody waits for. They get no answer; running ones still do."""
        dropped = self.queue.discard(lambda run: unwanted(run.request))
        for suspect in list(self._suspects):
            dropped += [run for run in suspect.runs if unwanted(run.request)]
            suspect.runs = [run for run in suspect.runs if not unwanted(run.request)]
            suspect.rows = sum(map(len, suspect.runs))
            if not suspect.rows:
                self._suspects.remove(suspect)
        return dropped

    def replica_ready(self, number: int, now: float, version: str | None = None) -> list[Action]:
        """The replica has loaded; `version` is what it found when the setting left it open."""
        replica = self._replicas.get(number)
        if replica is None:
            return []
        assert replica.state is _State.STARTING, f"replica {number} is {replica.state}, not starting"
        if version is not None and version != replica.variant.version:
            found = replace(replica.variant, version=version)
            if replica.variant == self.setting.variant:
                self.setting = replace(self.setting, variant=found)
                for other in self._replicas.values():
                    if other.variant == replica.variant:
                        other.variant = found
            replica.variant = found
        replica.state = _IDLE
        insort(self._idle, number)
        self._ready += 1
        if replica.variant == self.setting.variant:
            self._proven = replica.variant
        return self._dispatch(self._reconcile(), now)

    def replica_done(self, number: int, result: Result, now: float) -> list[Action]:
        replica = self._replicas[number]
        batch = replica.batch
        assert batch is not None, f"replica {number} answered but runs nothing"
        replica.state, replica.batch = _IDLE, None
        insort(self._idle, number)
        self._failures = 0
        variant, rows = replica.variant, batch.rows
        actions, late = self._answers(batch, result, variant, now)
        if variant is self.setting.variant or variant == self.setting.variant:
            self.service_time.observe(rows, now - batch.sent_at)
        self._rule.observe(rows, late)
        if replica.leaving:
            self._remove(replica)
            actions.append(Stop(number))
        return self._dispatch(actions, now)

    def replica_died(self, number: int, now: float, cause: Cause, detail: str) -> list[Action]:
        """The process is gone. detail: how, for people."""
        replica = self._replicas.get(number)
        if replica is None:
            return []
        self._remove(replica)
        self._failures += 1
        actions: list[Action] = []
        if replica.batch is not None:
            actions += self._suspect(replica.batch, replica.variant, cause, detail, now)
        return self._dispatch(actions + self._reconcile(), now)

    def tick(self, now: float) -> list[Action]:
        self._told_hang_at = inf  # whoever wakes it may have kept the earliest time only
        return self._dispatch([], now)

    def change(self, setting: Setting, now: float) -> list[Action]:
        """A new setting. Replicas of the old variant serve until those of the new one are ready; nothing in flight is cut off."""
        old, self.setting = self.setting, setting
        actions: list[Action] = []
        if setting.cores != old.cores:
            actions += [Resize(number, setting.cores) for number in self._replicas]
        if setting.cores != old.cores or setting.variant != old.variant:
            self.service_time = ServiceTime()
        return self._dispatch(actions + self._reconcile(), now)

    def drain(self, now: float) -> list[Action]:
        """Releases everything as fast as replicas take it. `idle` says when it is done."""
        self.draining = True
        return self._dispatch([], now)

    # replicas

    def _reconcile(self) -> list[Action]:
        """Starts and stops replicas towards the setting. While none of a new variant is ready, at least one of the old stays."""
        wanted, variant = self.setting.replicas, self.setting.variant
        staying = [replica for replica in self._replicas.values() if not replica.leaving]
        new = [replica for replica in staying if replica.variant == variant]
        old = [replica for replica in staying if replica.variant != variant]
        actions: list[Action] = [self._start(variant) for _ in range(wanted - len(new))]
        surplus = sorted(new, key=lambda replica: (replica.state is not _State.STARTING, replica.batch is not None))
        for replica in surplus[: max(0, len(new) - wanted)]:
            actions += self._leave(replica)
        ready = sum(replica.state is not _State.STARTING for replica in new)
        if not ready and not old and self._proven not in (None, variant):
            actions.append(self._start(self._proven))
        old.sort(key=lambda replica: replica.state is _State.STARTING)
        for replica in old[max(0, wanted - ready) :]:
            actions += self._leave(replica)
        return actions

    def _start(self, variant: Variant) -> Start:
        number = self._number()
        self._replicas[number] = _Replica(number, variant)
        delay = 0.0 if self._failures < 3 else min(BACK_OFF_MAX_S, BACK_OFF_S * 2.0 ** min(self._failures - 3, 10))
        return Start(number, variant, self.setting.cores, delay)

    def _leave(self, replica: _Replica) -> list[Action]:
        if replica.batch is not None:
            replica.leaving = True
            return []
        self._remove(replica)
        return [Stop(replica.number)]

    def _remove(self, replica: _Replica) -> None:
        del self._replicas[replica.number]
        self._ready -= replica.state is not _State.STARTING
        if replica.state is _IDLE:
            self._idle.remove(replica.number)

    # rows

    def _dispatch(self, actions: list[Action], now: float) -> list[Action]:
        """Gives idle replicas what the rule releases."""
        if self._sheds:
            self._expire(actions, now)
        if now >= self._hang_at:
            self._watch(actions, now)
        if self._idle and (self._suspects or self.queue.rows):
            self._hand_out(actions, now)
        if self._hang_at < self._told_hang_at:
            self._told_hang_at = self._hang_at
            actions.append(Wake(self._hang_at))
        return actions

    def _hand_out(self, actions: list[Action], now: float) -> None:
        idle, suspects, view = self._idle, self._suspects, self._view
        view.batch_max, view.replicas, view.rate, view.service_time = self.setting.batch, self._ready or 1, self.rate.at(now), self.service_time
        while idle:
            batch = self._next_batch(actions, view, now) if suspects else self._released(actions, view, now)
            if batch is None:
                break  # the others would be told the same
            number = idle.pop(0)
            replica = self._replicas[number]
            replica.state, replica.batch = _BUSY, batch
            if now + self._least_limit_s < self._hang_at:
                self._hang_at = min(self._hang_at, now + self._hang_limit_s)
            actions.append(_new(Send, (number, batch)))

    @property
    def _hang_limit_s(self) -> float:
        longest = self.service_time.longest_s
        return self._hang_s if longest is None else min(self._hang_s, max(HANG_FLOOR_S, HANG_TIMES * longest))

    def _watch(self, actions: list[Action], now: float) -> None:
        """Kills the replicas that hang, and says when the next one would."""
        if now > self._hang_at + LATE_S:
            self._watched_from = now
        self._hang_at = inf
        for replica in self._replicas.values():
            if replica.batch is None or replica.killed:
                continue
            due = max(replica.batch.sent_at, self._watched_from) + self._hang_limit_s
            if now >= due:
                replica.killed = True
                actions.append(Kill(replica.number))
            else:
                self._hang_at = min(self._hang_at, due)

    def _next_batch(self, actions: list[Action], view: View, now: float) -> Batch | None:
        """Of suspects and healthy rows."""
        if not self._quarantine_busy() and (not self._healthy_turn or not len(self.queue)):
            return self._quarantined(now)
        batch = self._released(actions, view, now)
        if batch is None and not self._quarantine_busy():
            return self._quarantined(now)
        self._healthy_turn = False
        return batch

    def _released(self, actions: list[Action], view: View, now: float) -> Batch | None:
        queue = self.queue
        while queue.rows:
            decided = self._flush(view) if self.draining else self._rule.decide(view, now)
            if type(decided) is Release:
                n, reason, drop_before, aside = decided
                if drop_before is not None:
                    actions += [self._expired(run, now) for run in queue.expired(drop_before)]
                waiting = queue.rows
                runs = queue.take(n)
                if aside:
                    runs += queue.take_aside(aside)
                if runs:
                    return Batch(runs, waiting - queue.rows, reason, now)
            elif type(decided) is SetAside:
                queue.set_aside(*decided)
            elif type(decided) is GiveUp:
                queue.give_up(decided.places)
            else:
                actions.append(_new(Wake, (decided.until,)))
                return None
        return None

    def _flush(self, view: View) -> Release:
        rows = min(view.queue.hopeful, view.batch_max)
        return Release(rows, Reason.FLUSH, aside=min(view.queue.aside.rows, view.batch_max - rows))

    def _answers(self, batch: Batch, result: Result, variant: Variant, now: float) -> tuple[list[Action], int]:
        answers: list[Action] = []
        first = all_late = 0
        sent_at, failed = batch.sent_at, result.failed
        for part, run in enumerate(batch.runs):
            count = run.last - run.first
            last = first + count
            late, reasons = 0, []
            status = _FEW_OK[count] if count <= FEW and failed is None else _status(result, first, last)
            if run.due[run.first] < now:
                passed = run.earlier(now)  # rows whose deadline has gone by
                status = status.copy()
                status[:passed] |= status[:passed] == Status.OK  # LATE is 1
                late = passed if failed is None else int(np.count_nonzero(status == Status.LATE))
            if result.reasons:
                reasons = [result.reasons[at] for at in range(first, last) if at in result.reasons]
            all_late += late
            answers.append(_new(Answer, (run, status, late, len(reasons), sent_at - run.arrived, reasons, variant, result, part, first)))
            first = last
        return answers, all_late

    def _expire(self, actions: list[Action], now: float) -> None:
        if self.draining or not len(self.queue):
            return  # while draining too: an outage begins here, and its backlog is answered
        alone_s = self.service_time.of(1) or 0.0
        actions += [self._expired(run, now) for run in self.queue.expired(now + alone_s)]
        first = self.queue.first_deadline(sheddable=True)
        if first is not None and first != float("inf"):
            actions.append(Wake(max(first - alone_s, now) + 1e-4))

    def _expired(self, run: Run, now: float) -> Answer:
        return self._unanswered(run, Status.EXPIRED, "expired: cannot be answered by its deadline", self.setting.variant, now)

    def _unanswered(self, run: Run, status: Status, reason: str, variant: Variant, now: float) -> Answer:
        failed = len(run) if status is Status.FAILED else 0
        vector = np.full(len(run), status, np.uint8)
        return Answer(run, vector, 0, failed, now - run.arrived, [reason] * len(run), variant)

    # quarantine

    def _quarantine_busy(self) -> bool:
        return any(replica.batch is not None and replica.batch.suspect is not None for replica in self._replicas.values())

    def _quarantined(self, now: float) -> Batch:
        suspect = self._suspects.popleft()
        self._healthy_turn = True
        return Batch(suspect.runs, suspect.rows, Reason.IDLE, now, suspect)

    def _suspect(self, batch: Batch, variant: Variant, cause: Cause, detail: str, now: float) -> list[Action]:
        self._healthy_turn = True
        suspect = batch.suspect or Suspect(batch.runs, batch.rows)
        if batch.rows > 1:
            self._suspects += [Suspect(runs, sum(map(len, runs))) for runs in _halves(batch.runs, batch.rows)]
            return []
        suspect.deaths += cause in (Cause.CRASH, Cause.HUNG)
        suspect.memory += cause is Cause.MEMORY
        if suspect.deaths >= CONDEMNED_AFTER or suspect.memory >= MEMORY_LIMIT:
            times = suspect.deaths + suspect.memory
            reason = f"poison: the replica died {times} times with this row alone: {detail}"
            return [self._unanswered(batch.runs[0], Status.FAILED, reason, variant, now)]
        self._suspects.append(suspect)
        return []


def _status(result: Result, first: int, last: int) -> NDArray[np.uint8]:
    if result.failed is not None:
        return result.failed[first:last]
    rows = last - first
    return _ALL_OK[:rows] if rows <= len(_ALL_OK) else np.zeros(rows, np.uint8)


def _halves(runs: list[Run], rows: int) -> tuple[list[Run], list[Run]]:
    first: list[Run] = []
    second: list[Run] = []
    left = rows // 2
    for run in runs:
        count = min(left, len(run))
        left -= count
        first += [run.part(0, count)] if count else []
        second += [run.part(count, len(run))] if count < len(run) else []
    return first, second
