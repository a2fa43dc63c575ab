"""The control loop on a policy of the planner: look, decide, act, record. Knows neither Kafka nor a clock.

A policy decides at its own interval; `sluice` is asked at once when a stage says that more arrives than what runs can carry. What runs is
read from the service or its telemetry, never assumed: a sidecar that starts adopts it, with the memory that its last records give back.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from autoscaler.actuator import ActuationError
from autoscaler.control.arrivals import Arrivals
from autoscaler.control.carried import is_carried
from autoscaler.control.decider import Decided, Decider
from autoscaler.control.effects import Change, Effects, grows, pressure
from autoscaler.control.hindsight import Hindsight
from autoscaler.control.lanes import Order, loose_ms, order, pools, standing
from autoscaler.control.observation import Observation, ratio, state, summary
from autoscaler.control.records import VERSION, Circumstances, StageOutcome, WrongDecision, is_decision, parse, record, recorded
from autoscaler.control.replay import restore
from autoscaler.control.restraint import Mode, allowed
from autoscaler.control.steps import Step, Turn, steps
from autoscaler.forecast.chooser import Chooser
from autoscaler.forecast.forecaster import Forecaster
from autoscaler.graph.pipeline import Pipeline
from autoscaler.graph.scaling import Fallback
from autoscaler.graph.shares import deadline_shares
from autoscaler.intake import Intake
from autoscaler.metrics import SidecarMetrics
from autoscaler.planner.catalogue import starting
from autoscaler.planner.model import Problem, Share
from autoscaler.policies.change_times import ChangeTimes
from autoscaler.policies.policy import Policy, Pool
from autoscaler.policies.slowness import Slowness
from autoscaler.rescales import Job, Rescales
from autoscaler.telemetry import Lane
from autoscaler.windows import SETTLED_S, Windows

WINDOW_S = 10.0
TICK_S = 0.25
RECORD_EVERY_S = 30.0
PATIENCE_S = 30.0
PATIENCE = 4.0
TRIES = 3
"""Failures of a stage in a row before it is put back."""
RESTORED = 120
"""Records that a restarted loop reads back: more than any policy's memory at a decision a second."""
OWN = "sluice"
"""The policy that may be asked between its intervals, and that leaves batches to the service within a bound: the others are as published."""
UNREADABLE = "what runs cannot be read"

log = logging.getLogger("sluice.autoscaler")


class Service(Protocol):
    """Raises ActuationError where what a stage has is then not known."""

    async def lanes(self, stage: str) -> tuple[Lane, ...]: ...

    async def set(self, stage: str, body: Mapping[str, Any]) -> tuple[Lane, ...]: ...


@dataclass(frozen=True, slots=True)
class Plant:
    """What is controlled, and by which policy. forecaster: of the source's rate. job: None = Flink is left alone."""

    pipeline: Pipeline
    problem: Problem
    policy: Policy
    forecaster: Forecaster
    service: Service
    job: Job | None = None


@dataclass(slots=True)
class _Asked:
    """What a policy wanted of a stage last, and what that was as an order."""

    shares: tuple[Share, ...] = ()
    order: Order = ()


@dataclass(slots=True)
class _Running:
    """What is known to run, and what was done about it. changed_s: by stage, when it was last changed or read."""

    lanes: dict[str, tuple[Lane, ...]] = field(default_factory=dict)
    changed_s: dict[str, float] = field(default_factory=dict)
    asked: dict[str, _Asked] = field(default_factory=dict)
    failures: dict[str, int] = field(default_factory=dict)


class PolicyLoop:
    """clock: seconds that only grow, to say how long a decision took."""

    def __init__(self, plant: Plant, metrics: SidecarMetrics, clock: Callable[[], float], mode: Mode | None = None) -> None:
        self.pipeline, self.metrics = plant.pipeline, metrics
        self.mode = mode or (Mode.ACT if plant.pipeline.autoscaler.enabled else Mode.ADVICE)
        self.intake = Intake(plant.pipeline, metrics, WINDOW_S)
        self.arrivals = Arrivals()
        metrics.watch_source(lambda: self.arrivals.newest_s)
        self.decider = Decider(plant.policy, plant.forecaster)
        self.effects = Effects(_patience_s(plant.policy))
        self._hindsight = Hindsight()
        self._plant, self._clock = plant, clock
        self._running = _Running()
        self._rescales = Rescales(plant.job, plant.pipeline.source.partitions, metrics, self.decider.stalled, self._note)
        self._windows = Windows(plant.pipeline, plant.service, metrics, self._note)
        self._ours = {stage.name: loose_ms(plant.problem.slo_ms, deadline_shares(plant.pipeline)[stage.name] or 1.0)
                      for stage in plant.pipeline.stages if stage.is_ours}
        self._foreign = {name: shares for name, shares in starting(plant.pipeline, plant.problem).items() if name not in self._ours}
        self._safe: dict[str, Order] = {}
        self._slowness = {stage.name: Slowness() for stage in plant.problem.stages}
        self._pressed = False
        self._sequence = 0
        self._told_s: float | None = None
        self._held: tuple[str, float] | None = None
        self._notes: dict[str, StageOutcome] = {}

    @property
    def source(self) -> str | None:
        """Topic whose offsets it wants to know."""
        return self.pipeline.source.name

    @property
    def tick_s(self) -> float:
        """How often `step` is to be called; it decides when the policy's interval is over."""
        return min(TICK_S, self._plant.policy.interval_s)

    # what comes in

    @property
    def urgent(self) -> bool:
        """More arrives than what runs can carry, and the policy may be asked now."""
        return self._pressed and self.mode is not Mode.PAUSED

    def take(self, value: bytes | None, now_s: float) -> None:
        """One message of the telemetry topic."""
        found = self.intake.take(value, now_s)
        if found is None:
            return
        self._windows.take(found)
        if found.at_s > self._running.changed_s.get(found.stage, 0.0) + SETTLED_S and found.lanes:
            self._running.lanes[found.stage] = found.lanes
        model = self._plant.problem.stage(found.stage)
        measured = ratio(model, pools(model, found.lanes), found)
        if measured is not None:
            self._slowness[found.stage].observe(measured, found.interval_s)
        carried = found.capacity_rps
        if self._plant.policy.name == OWN and carried is not None and found.arrival_rps > carried:
            self._pressed = True

    def offsets(self, at_s: float, ends: Mapping[int, int]) -> None:
        """Of the source's topic, by partition, as of then."""
        self.arrivals.ratio = self._rescales.consumption.ratio
        self.arrivals.offsets(round(at_s, 3), ends)

    def restore(self, values: Iterable[bytes | None]) -> None:
        """Its last records: memory and rates as they were. What cannot be read is left out; records of another policy are no memory of this."""
        found = []
        for value in values:
            with contextlib.suppress(WrongDecision):
                one = parse(value)
                if one.get("pipeline") == self.pipeline.name:
                    found.append(one)
        if not found:
            return
        self._sequence = int(found[-1].get("sequence", 0))
        own = [one for one in found[-RESTORED:] if is_decision(one) and one.get("policy") == self._plant.policy.name]
        readable = []
        for one in own:
            try:
                readable.append(recorded(one, self._plant.problem))
            except WrongDecision as error:
                log.info("a decision record of before is of no use: %s", error)
                readable.clear()
        restore(readable, self.decider, self.arrivals)
        self._told_s = self.arrivals.newest_s
        if readable:
            self._slowness.update((name, Slowness.at(stage.slowness)) for name, stage in readable[-1].state.stages.items())
        for one in readable if self.mode is Mode.ACT else ():
            for name, target in one.targets.items():
                if name in self._ours and _count(target.shares):
                    self._running.asked[name] = _Asked(target.shares, self._order(name, target.shares))
        if readable:
            log.info("restored from %d decision records", len(readable))

    # one step

    async def step(self, now_s: float) -> dict[str, Any] | None:
        """Decides and acts where a decision is due; the record of it. Windows follow what runs at every step."""
        now_s = round(now_s, 3)
        self._rescales.look(now_s)
        if self.mode is Mode.PAUSED:
            return None
        told = await self._decide(now_s) if self.urgent or self.decider.is_due(now_s) else None
        await self._windows.follow(self._running.lanes, self._may_act(now_s), now_s)
        return told

    async def _decide(self, now_s: float) -> dict[str, Any] | None:
        began = self._clock()
        self._pressed = False
        await asyncio.gather(*(self._read(stage) for stage in self._ours if stage not in self._running.lanes))
        seen = self._observation(now_s)
        stale = seen.stale(self.pipeline.autoscaler.stale_after_ms / 1000)
        if stale is not None:
            return await self._fall_back(stale, now_s)
        self._held = None
        seconds = self.arrivals.whole_seconds(now_s)
        decided = self.decider.decide(state(self.pipeline, self._plant.problem, seen), seconds)
        took_ms = (self._clock() - began) * 1000
        self.metrics.took(took_ms / 1000)
        self.metrics.feasible(self._feasible(decided))
        for outcome in self._hindsight.look(now_s, seconds, decided.forecast):
            self.metrics.forecast(outcome)
        self._remember_safe(decided)
        outcomes = await self._carry_out(decided)
        return self._record(decided, outcomes, took_ms)

    def _feasible(self, decided: Decided) -> bool | None:
        said = decided.decision.feasible
        return is_carried(self._plant.problem, decided.state, decided.decision) if said is None else said

    def _observation(self, now_s: float) -> Observation:
        running, problem = self._running, self._plant.problem
        shown: dict[str, tuple[Pool, ...]] = {}
        for stage in problem.stages:
            asked = running.asked.get(stage.name, _Asked())
            if stage.name in self._foreign:
                shown[stage.name] = tuple(Pool(share.option, share.replicas) for share in self._foreign[stage.name])
            else:
                shown[stage.name] = pools(stage, running.lanes.get(stage.name, ()), asked.shares, asked.order)
        slowness = {name: one.factor for name, one in self._slowness.items()}
        return Observation(now_s, self.arrivals, self.intake.windows, shown, self._rescales.vertices, self._rescales.consumption.lag, slowness)

    async def _read(self, stage: str) -> None:
        try:
            self._running.lanes[stage] = await self._plant.service.lanes(stage)
        except ActuationError as error:
            log.debug("%s of %s: %s", UNREADABLE, stage, error)

    # without telemetry

    async def _fall_back(self, stale: str, now_s: float) -> dict[str, Any] | None:
        """Holds, or brings back the last plan that was seen to keep the SLO; says so when it begins, and now and then."""
        outcomes: dict[str, StageOutcome] = {}
        self.metrics.feasible(None)
        fallback = self.pipeline.autoscaler.fallback
        if fallback is Fallback.LAST_SAFE and self._safe and self._may_act(now_s) and self._held is None:
            for stage in self._ours:
                await self._read(stage)
            has = {stage: standing(lanes) for stage, lanes in self._running.lanes.items()}
            outcomes = await self._made(steps(has, self._safe), has, now_s)
        kind = stale.partition(",")[0]
        if self._held is not None and self._held[0] == kind and now_s - self._held[1] < RECORD_EVERY_S:
            return None
        self._held = (kind, now_s)
        log.warning("%s: %s", fallback.value, stale)
        self._sequence += 1
        return {"version": VERSION, "kind": "fallback", "pipeline": self.pipeline.name, "sequence": self._sequence, "at_ms": round(now_s * 1000),
                "policy": self._plant.policy.name, "mode": self.mode.value, "reason": f"{fallback.value}: {stale}",
                "stages": {name: outcome.data() for name, outcome in outcomes.items()}}

    def _remember_safe(self, decided: Decided) -> None:
        """What runs, while it is all ready and keeps the SLO."""
        tolerated = 1 - self.pipeline.slo_share
        stages = decided.state.stages
        if all(stage.violations <= tolerated and not any(pool.starting for pool in stage.pools) for stage in stages.values()):
            self._safe = {stage: standing(lanes) for stage, lanes in self._running.lanes.items()}

    # acting

    def _may_act(self, now_s: float) -> bool:
        return self.mode is Mode.ACT and not self.pipeline.autoscaler.is_excluded(now_s)

    async def _carry_out(self, decided: Decided) -> dict[str, StageOutcome]:
        """By stage of ours."""
        now_s, running = decided.state.now_s, self._running
        has = {stage: standing(lanes) for stage, lanes in running.lanes.items()}
        shares = {name: target.shares for name, target in decided.decision.targets.items() if name in self._ours and _count(target.shares)}
        wanted = {name: self._order(name, own) for name, own in shares.items()}
        undone = self._judged(decided)
        wanted.update(undone)
        permitted = allowed(has, {name: each for name, each in wanted.items() if name not in undone}, self.effects,
                            self.pipeline.autoscaler.cool_down_ms / 1000, now_s)
        orders = {**permitted.orders, **undone}
        outcomes = {name: StageOutcome() for name in self._ours}
        outcomes |= {name: StageOutcome(outcome=f"withheld: {reason}") for name, reason in permitted.withheld.items()}
        planned = steps(has, orders)
        if not self._may_act(now_s):
            for step in planned:
                outcomes[step.stage] = StageOutcome((*outcomes[step.stage].actions, step.body), "advised")
            self._count(has, orders, outcomes)
            return outcomes
        for name in permitted.orders:
            running.asked[name] = _Asked(shares[name], wanted[name])
        for name in undone:
            running.asked.pop(name, None)
        outcomes |= await self._made(planned, has, now_s)
        for name, made in outcomes.items():
            if made.outcome == "confirmed" and name not in undone:
                window = self.intake.windows[name]
                change = Change(now_s, has[name], orders[name], grows(has[name], orders[name]),
                                pressure(decided.state.stages[name], window.answered_rps(now_s)))
                self.effects.began(name, change)
        self._count(has, orders, outcomes)
        self._rescales.follow(decided.decision.targets, decided.state)
        return outcomes

    def _order(self, name: str, shares: tuple[Share, ...]) -> Order:
        return order(self._plant.problem.stage(name), shares, self._ours[name] if self._plant.policy.name == OWN else None)

    def _judged(self, decided: Decided) -> dict[str, Order]:
        """What is to be undone."""
        undone = {}
        for name in self._ours:
            seen = decided.state.stages[name]
            ready = bool(seen.pools) and not any(pool.starting for pool in seen.pools) and all(
                lane.state != "loading" for lane in self._running.lanes.get(name, ()))
            undo = self.effects.judge(name, pressure(seen, self.intake.windows[name].answered_rps(decided.state.now_s)), ready, decided.state.now_s)
            if undo is not None:
                log.warning("%s is put back: %s", name, undo.reason)
                self.metrics.undone(name)
                undone[name] = undo.order
        return undone

    async def _made(self, planned: Sequence[Step], has: Mapping[str, Order], now_s: float) -> dict[str, StageOutcome]:
        """Makes the calls in turn. Where one fails its stage is read back at the next decision, and nothing shrinks anywhere in this one."""
        made: dict[str, StageOutcome] = {}
        failed: set[str] = set()
        for step in planned:
            if step.stage in failed or (failed and step.turn in (Turn.SHRINK_IN_PLACE, Turn.SHRINK)):
                continue
            before, begun = made.get(step.stage, StageOutcome()).actions, self._clock()
            try:
                self._running.lanes[step.stage] = await self._plant.service.set(step.stage, step.body)
            except ActuationError as error:
                failed.add(step.stage)
                made[step.stage] = StageOutcome((*before, step.body), f"failed: {error}")
                await self._failed(step, has[step.stage], error, now_s)
            else:
                self._running.failures.pop(step.stage, None)
                made[step.stage] = StageOutcome((*before, step.body), "confirmed")
                log.info("%s: %s", step.stage, dict(step.body))
            self._running.changed_s[step.stage] = now_s + self._clock() - begun
        return made

    async def _failed(self, step: Step, before: Order, error: ActuationError, now_s: float) -> None:
        running, stage = self._running, step.stage
        self.metrics.actuation_failure(stage)
        running.lanes.pop(stage, None)
        running.failures[stage] = running.failures.get(stage, 0) + 1
        log.warning("change of %s to %s failed: %s", stage, dict(step.body), error)
        if running.failures[stage] < TRIES:
            return
        running.failures.pop(stage)
        running.asked.pop(stage, None)
        self.effects.failed(stage, now_s)
        with contextlib.suppress(ActuationError):  # the next decision reads what runs, and begins from that
            lanes = await self._plant.service.lanes(stage)
            for back in steps({stage: standing(lanes)}, {stage: before}):
                await self._plant.service.set(stage, back.body)
            log.warning("%s is put back after %d failures", stage, TRIES)

    def _count(self, has: Mapping[str, Order], orders: Mapping[str, Order], outcomes: Mapping[str, StageOutcome]) -> None:
        for name in self._ours:
            before, now = has.get(name, ()), orders.get(name, has.get(name, ()))
            if outcomes[name].outcome.startswith(("none", "withheld")) or before == now:
                action = "wait" if outcomes[name].outcome.startswith("withheld") else "keep"
            else:
                action = "up" if grows(before, now) else "down"
            self.metrics.decision(name, action)
            if now:
                self.metrics.desired(name, sum(lane.replicas for lane in now), max(lane.batch for lane in now))

    def under_way(self) -> tuple[asyncio.Task[None], ...]:
        """Calls of Flink's interface that have not come back."""
        return self._rescales.under_way()

    async def close(self) -> None:
        """Gives what is under way at Flink a moment; a call there ends within its own limits."""
        await self._rescales.close()

    # records

    def _note(self, name: str, outcome: StageOutcome) -> None:
        """What was done beside a decision, for the next record."""
        before = self._notes.get(name, StageOutcome())
        self._notes[name] = StageOutcome((*before.actions, *outcome.actions), outcome.outcome)

    def _record(self, decided: Decided, outcomes: dict[str, StageOutcome], took_ms: float) -> dict[str, Any]:
        forecaster = self._plant.forecaster
        for name, note in self._notes.items():
            was = outcomes.get(name, StageOutcome())
            outcomes[name] = StageOutcome((*was.actions, *note.actions), note.outcome if was.outcome == "none" else was.outcome)
        self._notes = {}
        self._sequence += 1
        around = Circumstances(
            self.pipeline.name, self._plant.policy.name, self.mode.value, self._sequence, self.arrivals.since(self._told_s), self.arrivals.ends,
            {name: summary(window, decided.state.now_s) for name, window in self.intake.windows.items()},
            forecaster.chosen if isinstance(forecaster, Chooser) else None, self._rescales.stall_s, took_ms,
            {name: chosen.data() for name, chosen in self._windows.chosen.items()})
        self._told_s = self.arrivals.newest_s
        return record(decided, around, outcomes)


def _patience_s(policy: Policy) -> float:
    """Until a change must have come about: several times what it takes, where that is known."""
    times = getattr(policy, "times", ChangeTimes())
    return max(PATIENCE_S, PATIENCE * (times.cold_start_s + max(times.load_s.values(), default=0.0)))


def _count(shares: tuple[Share, ...]) -> int:
    return sum(share.replicas for share in shares)
