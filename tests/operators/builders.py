"""A stage with scripted replicas, and a clock moved by hand."""

from dataclasses import replace
from functools import partial

import numpy as np

from autoscaler.graph.pipeline import OnLate
from operators.actions import Answer, Cause, Kill, Result, Send, Setting, Start, Status, Stop
from operators.lanes import Lanes, LaneSetting
from operators.mix import Asks
from operators.operator import Variant
from operators.stage import Stage

FIRST = Variant("first", 0.9)
SECOND = Variant("second", 0.95)


class Simulated:
    """Runs a stage without processes. `running` maps replicas to the rows they work on; `answers` (request, row) to status."""

    def __init__(self, replicas=1, batch=8, on_late=OnLate.ANSWER, rule=None, ready=True, **settings):
        self._begin(Stage(Setting(FIRST, replicas=replicas, batch=batch), on_late, rule, **settings), ready)

    def _begin(self, stage, ready):
        self.stage = stage
        self.now = 0.0
        self.loading, self.idle, self.running, self.stopped, self.killed = {}, set(), {}, [], []
        self.answers, self.reasons, self.repeated = {}, {}, []
        self.started = 0
        self.apply(self.stage.start(self.now))
        if ready:
            self.load_all()

    def arrive(self, request, rows, deadline_s=10.0, keep=None):
        deadlines = np.full(rows, self.now + deadline_s)
        self.apply(self.stage.arrive(request, deadlines, self.now, None if keep is None else np.full(rows, keep)))

    def load(self, number):
        del self.loading[number]
        self.idle.add(number)
        self.apply(self.stage.replica_ready(number, self.now))

    def load_all(self):
        while self.loading:
            self.load(min(self.loading))

    def finish(self, number, seconds=0.001, failed=()):
        batch = self.running.pop(number)
        self.idle.add(number)
        self.now += seconds
        rows = [(run.request, int(row)) for run in batch.runs for row in run.rows]
        bad = np.array([2 if row in failed else 0 for row in rows], np.uint8)
        reasons = {at: "operator-error: no" for at, row in enumerate(rows) if row in failed}
        self.apply(self.stage.replica_done(number, Result(seconds, bad if reasons else None, reasons), self.now))

    def die(self, number, cause=Cause.CRASH):
        for place in (self.loading, self.running):
            place.pop(number, None)
        self.idle.discard(number)
        self.apply(self.stage.replica_died(number, self.now, cause, "SIGSEGV"))

    def tick(self, seconds=0.0):
        self.now += seconds
        self.apply(self.stage.tick(self.now))

    def change(self, **setting):
        self.apply(self.stage.change(replace(self.stage.setting, **setting), self.now))

    def rows_of(self, number):
        return [(run.request, int(row)) for run in self.running[number].runs for row in run.rows]

    def settle(self, poison=(), steps=400):
        """Lets all replicas work until nothing is left; those that run a poison row die."""
        for _ in range(steps):
            self.load_all()
            for number in sorted(self.running):
                if set(self.rows_of(number)) & set(poison):
                    self.die(number)
                else:
                    self.finish(number)
            if self.stage.idle and not self.loading:
                return
            self.tick(0.01)

    def apply(self, actions):
        for action in actions:
            match action:
                case Start(number, variant):
                    self.loading[number] = variant
                    self.started += 1
                case Stop(number):
                    assert number not in self.running, "stopped with rows in it"
                    self.loading.pop(number, None)
                    self.idle.discard(number)
                    self.stopped.append(number)
                case Send(number, batch):
                    assert number in self.idle, f"replica {number} is not idle"
                    self.idle.discard(number)
                    self.running[number] = batch
                case Kill(number):
                    self.killed.append(number)
                case Answer():
                    self._answered(action)

    def _answered(self, answer):
        failed = iter(answer.reasons)
        for row, status in zip(answer.run.rows.tolist(), answer.status.tolist(), strict=True):
            key = (answer.run.request, row)
            if key in self.answers:
                self.repeated.append(key)
            self.answers[key] = Status(status)
            if status >= Status.FAILED:
                self.reasons[key] = next(failed)
        assert next(failed, None) is None


def lane(variant=FIRST, share=1.0, shadow=False, **setting):
    return LaneSetting(Setting(variant, **{"batch": 8, **setting}), share, shadow)


class SimulatedLanes(Simulated):
    """floors, pins: minimum accuracies and versions met, by request."""

    def __init__(self, *lanes, on_late=OnLate.ANSWER, rule=None, floors=None, pins=None, share=1.0, linger_s=0.0, ready=True):
        make = partial(Stage, on_late=on_late, rule=rule, deadline_share=share)
        known = {request: np.array(wanted, np.float32) for request, wanted in (floors or {}).items()}
        self._begin(Lanes(lanes, make, Asks(known.get, (pins or {}).get), share, linger_s), ready)

    def become(self, *lanes):
        self.apply(self.stage.change(lanes, self.now))

    def replicas_of(self, variant):
        return sorted(number for number in [*self.loading, *self.idle, *self.running] if self.stage.lane_of(number).variant.name == variant.name)

    def rows_at(self, variant):
        """How many wait or run in the lane of that variant, in all its versions."""
        return sum(lane.stage.queued + lane.stage.in_flight for lane in self.stage.lanes if lane.variant.name == variant.name)
