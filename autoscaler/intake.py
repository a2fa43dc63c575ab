"""Messages of the telemetry topic into windows, each counted by what became of it."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field

from autoscaler.graph.pipeline import Pipeline
from autoscaler.metrics import SidecarMetrics
from autoscaler.reactive import served
from autoscaler.telemetry import Outcome, StageTelemetry, StageWindow, WrongRecord, parse

log = logging.getLogger("sluice.autoscaler")


@dataclass(slots=True)
class Intake:
    """windows: by stage of ours. window_s: their length."""

    pipeline: Pipeline
    metrics: SidecarMetrics
    window_s: float
    windows: dict[str, StageWindow] = field(init=False)

    def __post_init__(self) -> None:
        self.windows = {stage.name: StageWindow(self.window_s) for stage in served(self.pipeline)}
        for name, window in self.windows.items():
            self.metrics.prepare(name, lambda window=window: window.latest.at_s if window.latest else None)

    def take(self, value: bytes | None, now_s: float) -> StageTelemetry | None:
        """The record, where it is the newest of a stage of ours; a wrong one is counted and forgotten, another pipeline's is not ours."""
        try:
            record = parse(value)
        except WrongRecord as error:
            log.debug("telemetry record refused: %s", error)
            self.metrics.record(f"wrong-{error.reason}")
            return None
        if record.pipeline != self.pipeline.name:
            self.metrics.record("foreign")
        elif record.stage not in self.windows:
            self.metrics.record("unknown-stage")
        elif self._observed(record, now_s) is Outcome.ACCEPTED:
            return record
        return None

    def _observed(self, record: StageTelemetry, now_s: float) -> Outcome:
        window = self.windows[record.stage]
        missing = window.missing
        outcome = window.observe(record, now_s)
        self.metrics.record(outcome.value)
        if window.missing > missing:
            self.metrics.record("missing", window.missing - missing)
        return outcome
