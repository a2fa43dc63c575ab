"""Keeps the window of each stage's proxies at what its scatter says (`control.window`), as replicas come and go.

The slices come with telemetry; a window is chosen anew with each record, and at once when replicas are ordered. Stateful stages are left out: their
proxies wait for an answer before they go on.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

from autoscaler.actuator import ActuationError
from autoscaler.control.records import StageOutcome
from autoscaler.control.scatter import Configuration, Lanes, Scatter, Slice
from autoscaler.control.window import USED_UP, Basis, InFlight, Window, window
from autoscaler.graph.pipeline import Pipeline
from autoscaler.metrics import SidecarMetrics
from autoscaler.telemetry import Lane, StageTelemetry

SETTLED_S = 0.3
"""Telemetry taken this soon after a change may still name the setting or window before it."""
RETRY_S = 5.0
BUSY, FULL = 0.9, 0.8
"""Shares of the replicas' time and of the largest batch from which on they could hardly take more: with small batches a light load keeps them busy, too."""

log = logging.getLogger("sluice.autoscaler")


class Service(Protocol):
    """Raises ActuationError."""

    async def set(self, stage: str, body: Mapping[str, Any]) -> tuple[Lane, ...]: ...


class _Stage:
    """One stage's scatter, its newest record and what was last set. seen: what the last choice rested on."""

    def __init__(self) -> None:
        self.scatter = Scatter()
        self.latest: StageTelemetry | None = None
        self.seen: tuple[int, int] | None = None
        self.set_s = 0.0
        self.retry_s = 0.0


class Windows:
    """noted: told what became of a change. chosen: by stage, the last choice."""

    def __init__(self, pipeline: Pipeline, service: Service, metrics: SidecarMetrics, noted: Callable[[str, StageOutcome], None]) -> None:
        self.chosen: dict[str, Window] = {}
        self._service, self._metrics, self._noted = service, metrics, noted
        self._stages = {stage.name: _Stage() for stage in pipeline.stages if stage.is_ours and stage.state is None}

    def take(self, record: StageTelemetry) -> None:
        """The newest of its stage."""
        stage = self._stages.get(record.stage)
        if stage is None:
            return
        stage.latest = record
        pressed = _used(record, record.setting.window) >= USED_UP or (
            (record.busy_share or 0.0) >= BUSY and record.batch_rows >= FULL * record.batches * record.setting.batch)
        slices = [Slice(rows, rate, pressed) for rows, rate, ready in record.scatter if ready == record.replicas_ready]
        if slices and record.replicas_ready:
            stage.scatter.add(Configuration(_lanes(record), record.replicas_ready), slices, record.at_s)

    async def follow(self, lanes: Mapping[str, Iterable[Lane]], may_act: bool, now_s: float) -> None:
        """lanes: what each stage is known to run. Chooses where something is new, and sets what was chosen."""
        for name, stage in self._stages.items():
            record = stage.latest
            if record is None or not record.proxies or now_s < stage.retry_s or record.at_s <= stage.set_s + SETTLED_S:
                continue
            replicas = max(record.replicas_ready, sum(lane.replicas for lane in lanes.get(name, ()) if lane.is_wanted))
            if not replicas or stage.seen == (record.sequence, replicas):
                continue
            stage.seen = record.sequence, replicas
            await self._choose(name, stage, record, replicas, may_act, now_s)

    async def _choose(self, name: str, stage: _Stage, record: StageTelemetry, replicas: int, may_act: bool, now_s: float) -> None:
        has = record.setting.window
        known = stage.scatter.ranges(_lanes(record), now_s)
        batch = max([record.setting.batch, *(lane.batch for lane in record.lanes if lane.is_wanted)])
        chosen = self.chosen[name] = window(InFlight(replicas, batch, len(record.proxies), max(1, has), _used(record, has)), known)
        self._metrics.window(name, chosen.rows)
        if chosen.basis is Basis.KEPT or not may_act:
            return
        stage.set_s = now_s
        try:
            await self._service.set(name, {"window": chosen.rows})
        except ActuationError as error:
            stage.retry_s = now_s + RETRY_S
            self._metrics.actuation_failure(name)
            self._noted(name, StageOutcome(({"window": chosen.rows},), f"failed: {error}"))
            log.warning("window of %s to %d rows failed: %s", name, chosen.rows, error)
        else:
            self._noted(name, StageOutcome(({"window": chosen.rows},), "confirmed"))
            log.info("%s: window %d rows (%s)", name, chosen.rows, chosen.basis.value)


def _lanes(record: StageTelemetry) -> Lanes:
    """Those that take rows."""
    setting = record.setting
    serving = {(lane.variant, lane.cores, lane.batch) for lane in record.lanes if lane.state == "serving" and lane.share > 0}
    return tuple(sorted(serving)) or ((setting.variant or "", setting.cores, setting.batch),)


def _used(record: StageTelemetry, rows: int) -> float:
    """The largest share of its window that a proxy uses whose rows wait. Rows set aside take no place in it."""
    beside = record.aside / len(record.proxies) if record.proxies else 0.0
    return max(((proxy.sent - beside) / max(1, rows) for proxy in record.proxies.values() if proxy.waiting), default=0.0)
