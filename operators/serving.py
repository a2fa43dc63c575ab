"""All stages that one service runs for a pipeline."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from autoscaler.graph import pipeline as graph
from autoscaler.graph.shares import deadline_shares
from operators import repository as stored
from operators.actions import Setting
from operators.hosted import WINDOW_ROWS, HostedStage
from operators.operator import Variant
from operators.stage import Stage
from operators.telemetry import StageTelemetry, setting_of

WINDOW_MAX = 1 << 20


class SettingError(ValueError):
    """A setting that the pipeline file does not allow; the text says what it allows."""


class StartError(Exception):
    """The service cannot start; the text says why and what to do."""


class Serving:
    """Stages with an endpoint of their own, or without an operator, are not ours."""

    def __init__(self, pipeline: graph.Pipeline, repository: Path) -> None:
        self.pipeline = pipeline
        self.repository = repository
        shares = deadline_shares(pipeline)
        ours = [spec for spec in pipeline.stages if spec.is_ours]
        self.stages = {spec.name: self._hosted(spec, shares[spec.name]) for spec in ours}
        self.stopping = False

    def _hosted(self, spec: graph.Stage, share: float) -> HostedStage:
        setting = Setting(open_variant(spec, spec.variant), _initial(spec), spec.batch_max, spec.cores, WINDOW_ROWS)
        stage = Stage(setting, spec.on_late, deadline_share=share)
        telemetry = StageTelemetry(self.pipeline.name, spec.name, self.pipeline.slo_ms)
        return HostedStage(spec, stage, telemetry, self.repository)

    @property
    def ready(self) -> bool:
        return not self.stopping and all(hosted.stage.ready for hosted in self.stages.values())

    async def start(self) -> None:
        """Returns when every stage has a replica that is ready; StartError where one cannot be loaded."""
        for hosted in self.stages.values():
            hosted.start()
        await asyncio.gather(*(self._first_ready(hosted) for hosted in self.stages.values()))

    async def _first_ready(self, hosted: HostedStage) -> None:
        while not hosted.stage.ready:
            if hosted.problem is not None:
                raise StartError(f"stage {hosted.spec.name}: {hosted.problem}")
            hosted.changed.clear()
            await hosted.changed.wait()
        if hosted.problem is not None:
            raise StartError(f"stage {hosted.spec.name}: {hosted.problem}")

    async def drain(self) -> None:
        self.stopping = True
        await asyncio.gather(*(hosted.drain() for hosted in self.stages.values()))

    async def close(self) -> None:
        self.stopping = True
        await asyncio.gather(*(hosted.close() for hosted in self.stages.values()))

    def record(self) -> list[dict[str, Any]]:
        """Telemetry of all stages since the last call."""
        now, at_ms = asyncio.get_running_loop().time(), time.time_ns() // 1_000_000
        return [hosted.telemetry.record(hosted.stage, now, at_ms) for hosted in self.stages.values()]

    def change(self, name: str, wanted: Mapping[str, Any]) -> dict[str, Any]:
        """Changes a stage's setting; all of `wanted` or, with SettingError, nothing."""
        hosted = self.stages[name]
        setting = self._checked(hosted, wanted)
        if setting != hosted.stage.setting:
            hosted.change(setting)
        return setting_of(hosted.stage)

    def load(self, name: str, variant: str | None = None, version: str | None = None) -> None:
        """Lets a stored version (default: the newest) of a variant (default: the current one) take over; an unloaded stage runs again."""
        hosted = self.stages[name]
        setting, spec = hosted.stage.setting, hosted.spec
        chosen = self._variant(hosted, variant or setting.variant.name, version)
        setting = replace(setting, variant=chosen, replicas=setting.replicas or _initial(spec))
        if setting != hosted.stage.setting:
            hosted.change(setting)

    def unload(self, name: str) -> None:
        """No replica is left once those at work have answered."""
        hosted = self.stages[name]
        hosted.change(replace(hosted.stage.setting, replicas=0))

    def _checked(self, hosted: HostedStage, wanted: Mapping[str, Any]) -> Setting:
        spec, setting = hosted.spec, hosted.stage.setting
        limits = {
            "replicas": (spec.replicas.min, spec.replicas.max),
            "batch": (1, spec.batch_max),
            "cores": (1, self.pipeline.budget.cores or 1024),
            "window": (1, WINDOW_MAX),
        }
        unknown = sorted(set(wanted) - set(limits) - {"variant"})
        if unknown:
            raise SettingError(f"unknown setting {unknown[0]!r}; use {', '.join(limits)}, variant")
        numbers = {key: _number(spec.name, key, wanted[key], *limits[key]) for key in limits if key in wanted}
        setting = replace(setting, **numbers)
        if "variant" in wanted:
            setting = replace(setting, variant=self._variant(hosted, wanted["variant"]))
        return setting

    def _variant(self, hosted: HostedStage, name: object, version: str | None = None) -> Variant:
        spec, current = hosted.spec, hosted.stage.setting.variant
        known = [variant.name for variant in spec.variants]
        if not isinstance(name, str) or name not in known:
            raise SettingError(f"stage {spec.name} has no variant {name!r}; the pipeline file names {', '.join(known)}")
        if hosted.model is None:
            if version not in (None, current.version):
                raise SettingError(f"the operator of stage {spec.name} has no stored model, so its version is {current.version} always")
            return current if current.name == name else open_variant(spec, name)
        try:
            found = stored.versions(self.repository, hosted.model, name)
        except stored.RepositoryError as error:
            raise SettingError(str(error)) from error
        if not found:
            raise SettingError(f"no stored model {hosted.model}/{name} under {self.repository}; train it first")
        if version is not None and version not in found:
            raise SettingError(f"model {hosted.model}/{name} has no version {version!r}; stored: {', '.join(found)}")
        chosen = version or found[-1]
        return current if (current.name, current.version) == (name, chosen) else open_variant(spec, name, chosen)


def open_variant(spec: graph.Stage, name: str | None, version: str = "") -> Variant:
    """A variant of the pipeline file; without a version the first replica says which it found. Without a name the most accurate."""
    best = max(spec.variants, key=lambda variant: variant.accuracy, default=graph.VariantSpec("default", 1.0))
    chosen = next((variant for variant in spec.variants if variant.name == name), best)
    return Variant(chosen.name, chosen.accuracy, chosen.options, version)


def _initial(spec: graph.Stage) -> int:
    return min(max(spec.replicas.initial, spec.replicas.min), spec.replicas.max)


def _number(stage: str, key: str, value: object, least: int, most: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise SettingError(f"{key} of stage {stage} is {value!r}; use a whole number from {least} to {most}")
    return value
