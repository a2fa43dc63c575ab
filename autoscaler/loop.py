"""One step a second: what is known -> decide -> act -> the record of it. Knows neither Kafka nor a clock."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

from autoscaler.actuator import ActuationError
from autoscaler.graph.pipeline import Pipeline
from autoscaler.metrics import SidecarMetrics
from autoscaler.reactive import Action, Decision, Observed, ReactiveSettings, Running, StageDecision, StageHistory, decide, served
from autoscaler.telemetry import Outcome, StageTelemetry, StageWindow, WrongRecord, parse

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
    windows: dict[str, StageWindow] = field(init=False)
    running: dict[str, Running] = field(init=False, default_factory=dict)
    _history: Mapping[str, StageHistory] = field(init=False, default_factory=dict)
    _changed_s: dict[str, float] = field(init=False, default_factory=dict)
    _recorded: _Recorded = field(init=False, default_factory=_Recorded)

    def __post_init__(self) -> None:
        self.windows = {stage.name: StageWindow(self.settings.window_s) for stage in served(self.pipeline)}
        for name, window in self.windows.items():
            self.metrics.prepare(name, lambda window=window: window.latest.at_s if window.latest else None)

    def take(self, value: bytes | None, now_s: float) -> None:
        """One message of the telemetry topic; a wrong one is counted and forgotten, another pipeline's is not ours."""
        try:
            record = parse(value)
        except WrongRecord as error:
            log.debug("telemetry record refused: %s", error)
            self.metrics.record(f"wrong-{error.reason}")
            return
        if record.pipeline != self.pipeline.name:
            self.metrics.record("foreign")
        elif record.stage not in self.windows:
            self.metrics.record("unknown-stage")
        else:
            self._observe(record, now_s)

    def _observe(self, record: StageTelemetry, now_s: float) -> None:
        window = self.windows[record.stage]
        missing = window.missing
        outcome = window.observe(record, now_s)
        self.metrics.record(outcome.value)
        if window.missing > missing:
            self.metrics.record("missing", window.missing - missing)
        if outcome is Outcome.ACCEPTED and record.at_s > self._changed_s.get(record.stage, 0.0) + SETTLED_S:
            self.running[record.stage] = Running(record.setting.replicas, record.setting.batch, record.setting.cores)

    async def step(self, now_s: float) -> dict[str, Any] | None:
        """Decides and acts; the decision record when one is due."""
        await asyncio.gather(*(self._adopt(name) for name in self.windows if name not in self.running))
        decision = decide(self.pipeline, Observed(self.windows, self.running, self._history), self.settings, now_s)
        self._history = decision.history
        outcomes = {stage.stage: await self._act(stage, now_s) for stage in decision.stages}
        for stage in decision.stages:
            self.metrics.decision(stage.stage, stage.action.value)
            if stage.plan is not None:
                self.metrics.desired(stage.stage, stage.plan.replicas, stage.plan.batch)
        return self._record(decision, outcomes)

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
        if self.advice:
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
            "pipeline": self.pipeline.name, "sequence": self._recorded.sequence, "at_ms": round(decision.at_s * 1000), "policy": "reactive",
            "mode": "advice" if self.advice else "act", "settings": asdict(self.settings), "reason": decision.reason,
            "stages": {stage.stage: _described(stage, outcomes[stage.stage]) for stage in decision.stages},
        }


def _described(stage: StageDecision, outcome: str) -> dict[str, Any]:
    described = asdict(stage)
    del described["stage"]
    return {**described, "action": stage.action.value, "actions": stage.change(), "outcome": outcome}
