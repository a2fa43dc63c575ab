"""One step a second: what is known -> decide -> act -> the record of it. Knows neither Kafka nor a clock."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

from autoscaler.actuator import ActuationError
from autoscaler.control.records import VERSION
from autoscaler.control.restraint import Mode
from autoscaler.graph.pipeline import Pipeline
from autoscaler.intake import Intake
from autoscaler.metrics import SidecarMetrics
from autoscaler.reactive import Action, Decision, Observed, ReactiveSettings, Running, StageDecision, StageHistory, decide
from autoscaler.telemetry import StageWindow

STEP_S = 1.0
RECORD_EVERY_S = 30.0
SETTLED_S = 1.0  # telemetry taken this soon after a change may still name the setting before it

log = logging.getLogger("sluice.autoscaler")


class Actuator(Protocol):
    """Raises ActuationError where the setting is then not known."""

    async def running(self, stage: str) -> Running: ...

    async def change(self, stage: str, change: Mapping[str, int]) -> Running: ...


@dataclass(slots=True)
class _Recorded:
    """What the last decision record said, to know when the next is due."""

    at_s: float | None = None
    shape: tuple[object, ...] = ()
    sequence: int = 0


@dataclass(slots=True)
class ControlLoop:
    """advice: decide and record, change nothing. A stage's setting is adopted from the service (GET) and from its telemetry, so
    that a sidecar started anew goes on from what runs."""

    pipeline: Pipeline
    actuator: Actuator
    metrics: SidecarMetrics
    settings: ReactiveSettings = ReactiveSettings()
    advice: bool = False
    intake: Intake = field(init=False)
    mode: Mode = field(init=False)
    running: dict[str, Running] = field(init=False, default_factory=dict)
    _history: Mapping[str, StageHistory] = field(init=False, default_factory=dict)
    _changed_s: dict[str, float] = field(init=False, default_factory=dict)
    _recorded: _Recorded = field(init=False, default_factory=_Recorded)

    def __post_init__(self) -> None:
        self.intake = Intake(self.pipeline, self.metrics, self.settings.window_s)
        self.mode = Mode.ADVICE if self.advice else Mode.ACT

    @property
    def source(self) -> str | None:
        """It reads no offsets: what arrives, the stages say."""
        return None

    @property
    def tick_s(self) -> float:
        return STEP_S

    @property
    def urgent(self) -> bool:
        """It decides at its own pace."""
        return False

    @property
    def windows(self) -> Mapping[str, StageWindow]:
        return self.intake.windows

    def take(self, value: bytes | None, now_s: float) -> None:
        """One message of the telemetry topic."""
        record = self.intake.take(value, now_s)
        if record is not None and record.at_s > self._changed_s.get(record.stage, 0.0) + SETTLED_S:
            self.running[record.stage] = Running(record.setting.replicas, record.setting.batch, record.setting.cores)

    def offsets(self, at_s: float, ends: Mapping[int, int]) -> None:
        """Of the source's topic; the rule reads only what stages say."""

    def restore(self, values: Iterable[bytes | None]) -> None:
        """Its own last records; the rule starts from what runs, and needs no more than an interval of memory."""

    async def step(self, now_s: float) -> dict[str, Any] | None:
        """Decides and acts; the decision record when one is due."""
        if self.mode is Mode.PAUSED:
            return None
        await asyncio.gather(*(self._adopt(name) for name in self.windows if name not in self.running))
        decision = decide(self.pipeline, Observed(self.windows, self.running, self._history), self.settings, now_s)
        self._history = decision.history
        self.metrics.feasible(_feasible(decision))
        outcomes = {stage.stage: await self._act(stage, now_s) for stage in decision.stages}
        for stage in decision.stages:
            self.metrics.decision(stage.stage, stage.action.value)
            if stage.plan is not None:
                self.metrics.desired(stage.stage, stage.plan.replicas, stage.plan.batch)
        return self._record(decision, outcomes)

    async def close(self) -> None:
        """Nothing is under way between steps."""

    async def _adopt(self, stage: str) -> None:
        try:
            running = await self.actuator.running(stage)
        except ActuationError as error:
            log.debug("setting not adopted: %s", error)
        else:
            self.running.setdefault(stage, running)

    async def _act(self, stage: StageDecision, now_s: float) -> str:
        """none, advised, confirmed or failed: why."""
        change = stage.change()
        if not change:
            return "none"
        if self.mode is Mode.ADVICE:
            return "advised"
        self._changed_s[stage.stage] = now_s
        try:
            self.running[stage.stage] = await self.actuator.change(stage.stage, change)
        except ActuationError as error:
            self.metrics.actuation_failure(stage.stage)
            self.running.pop(stage.stage, None)
            log.warning("change of %s to %s failed: %s", stage.stage, change, error)
            return f"failed: {error}"
        log.info("%s: %s %s (%s)", stage.stage, stage.action, change, stage.reason)
        return "confirmed"

    def _record(self, decision: Decision, outcomes: Mapping[str, str]) -> dict[str, Any] | None:
        shape = tuple(
            (stage.plan, stage.action if stage.action in (Action.HOLD, Action.SHORT) else None, outcomes[stage.stage].startswith("failed"))
            for stage in decision.stages)
        last = self._recorded
        if last.at_s is not None and shape == last.shape and decision.at_s - last.at_s < RECORD_EVERY_S:
            return None
        self._recorded = _Recorded(decision.at_s, shape, last.sequence + 1)
        return {
            "version": VERSION, "pipeline": self.pipeline.name, "sequence": self._recorded.sequence, "at_ms": round(decision.at_s * 1000), "policy": "reactive",
            "mode": self.mode.value, "settings": asdict(self.settings), "reason": decision.reason,
            "stages": {stage.stage: _described(stage, outcomes[stage.stage]) for stage in decision.stages},
        }


def _feasible(decision: Decision) -> bool | None:
    """Whether every stage that is known has what its load asks for; None while none is."""
    known = [stage for stage in decision.stages if stage.action is not Action.HOLD]
    return all(stage.action is not Action.SHORT for stage in known) if known else None


def _described(stage: StageDecision, outcome: str) -> dict[str, Any]:
    described = asdict(stage)
    del described["stage"]
    return {**described, "action": stage.action.value, "actions": stage.change(), "outcome": outcome}
