"""One run: a scenario, a control and a seed to a record of everything. The same three give the same records, byte for byte."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from simulator.control import Clock, Controller
from simulator.flow import Flow
from simulator.least import least_s
from simulator.loop import Loop, Priority
from simulator.records import Records
from simulator.scenario import Control, Failure, Scenario
from simulator.source import Source
from simulator.tally import Tally

PARTS_TOLD = 100


@dataclass(frozen=True, slots=True)
class Run:
    """What is left of a run.

    tally       of all events             records     of each, None where they were off
    held_s      unit-seconds by kind until the end of the trace, spares and loading replicas among them; `cost` is cost-seconds
    used_s      unit-seconds in batches until then
    duration_s  of the trace              end_s       when the last event had ended
    actions     carried out               decisions   asked for; decision_s: wall time they took, 0 without a clock: never in the records
    peak_rows   room for rows in flight that was needed at most       loop_events   of the event loop
    """

    tally: Tally
    records: Records | None
    held_s: dict[str, float]
    used_s: float
    duration_s: float
    end_s: float
    actions: int
    decisions: int
    decision_s: float
    peak_rows: int
    loop_events: int


def simulate(scenario: Scenario, control: Control | None = None, seed: int = 0, records: bool = True, clock: Clock | None = None,
             tell: Callable[[float], None] | None = None) -> Run:
    """clock: wall seconds, for the time decisions take. tell: is told how much of the trace has passed, 0..1, a hundred times."""
    loop, kept = Loop(), Records() if records else None
    flow = Flow(scenario, loop, least_s(scenario.graph, scenario.problem, scenario.truth), kept, seed)
    flow.begin(scenario.initial)
    source = Source(scenario.arrivals, flow, loop, seed)
    controller = Controller(control or Control(), scenario.problem, flow, source, loop, kept, clock)
    for failure in scenario.failures:
        loop.at(failure.at_s, Priority.FAILURE, _failing(flow), failure)
    duration_s = float(scenario.arrivals.trace.seconds)
    ends = _Ends(flow)
    loop.at(duration_s, Priority.HORIZON, ends.take)  # before telemetry, which may end the run
    if tell is not None:
        _Telling(loop, duration_s, tell).next(0.0, None)
    loop.run(duration_s + scenario.drain_s)
    flow.unfinished(loop.now_s)
    return Run(flow.sink.tally, kept, ends.held_s, ends.used_s, duration_s, loop.now_s, flow.actions, controller.decisions, controller.took_s,
               flow.rows.room, loop.events)


class _Ends:
    """What was held and used when the trace ended."""

    def __init__(self, flow: Flow) -> None:
        self.held_s: dict[str, float] = {}
        self.used_s = 0.0
        self._flow = flow

    def take(self, now_s: float, _: None) -> None:
        self.held_s = self._flow.cluster.held_s(now_s)
        self.used_s = sum(site.busy_s(now_s) for site in self._flow.sites.values())


class _Telling:
    """Events of its own, which change nothing for the others."""

    def __init__(self, loop: Loop, duration_s: float, tell: Callable[[float], None]) -> None:
        self._loop, self._duration_s, self._tell = loop, duration_s, tell

    def next(self, now_s: float, _: None) -> None:
        if self._duration_s > 0:
            self._tell(now_s / self._duration_s)
        if now_s < self._duration_s:
            self._loop.at(min(now_s + self._duration_s / PARTS_TOLD, self._duration_s), Priority.TELEMETRY, self.next)


def _failing(flow: Flow) -> Callable[[float, Failure], None]:
    def fail(now_s: float, failure: Failure) -> None:
        for _ in range(failure.replicas):
            if flow.fail(failure.station, now_s):
                flow.acted(now_s, failure.station, "failure", 1)

    return fail
