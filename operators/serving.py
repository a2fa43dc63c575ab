"""All stages that one service runs for a pipeline."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from operator import attrgetter
from pathlib import Path
from typing import Any

from autoscaler.graph import pipeline as graph
from autoscaler.graph.shares import deadline_shares
from operators import quota
from operators import repository as stored
from operators.actions import Setting
from operators.batching import AdaptiveRule
from operators.cores import EIGHTHS
from operators.hosted import WINDOW_ROWS, HostedStage
from operators.lanes import Lanes, LaneSetting
from operators.mix import Asks
from operators.operator import Variant
from operators.processors import Processors
from operators.stage import Stage
from operators.telemetry import StageTelemetry, setting_of

WINDOW_MAX = 1 << 20
SPARES_MAX = 16
LINGER_SLOS = 2.0
"""Where several stages have one model: an event takes no longer from one to the next, else it may meet another version there."""
NUMBERS = ("replicas", "batch", "cores", "window", "spares")
LANE_NUMBERS = ("replicas", "batch", "cores")


class SettingError(ValueError):
    """A setting that the pipeline file does not allow; the text says what it allows."""


class StartError(Exception):
    """The service cannot start; the text says why and what to do."""


class Serving:
    """Stages with an endpoint of their own, or without an operator, are not ours."""

    def __init__(self, pipeline: graph.Pipeline, repository: Path) -> None:
        self.pipeline = pipeline
        self.repository = repository
        self.processors = Processors(quotas=quota.probe())
        shares = deadline_shares(pipeline)
        ours = [spec for spec in pipeline.stages if spec.is_ours]
        self.stages = {spec.name: self._hosted(spec, shares[spec.name]) for spec in ours}
        self.stopping = False

    def _hosted(self, spec: graph.Stage, share: float) -> HostedStage:
        setting = Setting(open_variant(spec, spec.variant), initial_replicas(spec), spec.batch_max, spec.cores, WINDOW_ROWS, spec.replicas.spares)
        in_order = self.pipeline.orders_after(spec)

        def make(setting: Setting, *, number: Callable[[], int]) -> Stage:
            return Stage(setting, spec.on_late, AdaptiveRule(in_order=in_order), share, number=number, values=attrgetter("values"))

        shared = any(other is not spec and spec.shares_model(other) for other in self.pipeline.stages)
        linger_s = LINGER_SLOS * self.pipeline.slo_ms * 1e-3 if shared else 0.0
        lanes = Lanes([LaneSetting(setting)], make, Asks(attrgetter("floors"), attrgetter("pins"), attrgetter("values")), share, linger_s)
        telemetry = StageTelemetry(self.pipeline.name, spec.name, self.pipeline.slo_ms)
        return HostedStage(spec, lanes, telemetry, self.repository, self.processors)

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
        self.processors.close()

    @property
    def pressed(self) -> frozenset[str]:
        """Stages that get more than what runs can carry."""
        return frozenset(name for name, hosted in self.stages.items() if hosted.pressed)

    def record(self) -> list[dict[str, Any]]:
        """Telemetry of all stages since the last call."""
        now, at_ms = asyncio.get_running_loop().time(), time.time_ns() // 1_000_000
        return [{**hosted.telemetry.record(hosted.stage, now, at_ms), "processes": hosted.replicas.report()} for hosted in self.stages.values()]

    def change(self, name: str, wanted: Mapping[str, Any]) -> dict[str, Any]:
        """Changes a stage's setting; all of `wanted` or, with SettingError, nothing."""
        hosted = self.stages[name]
        settings = self._checked(hosted, wanted)
        if settings != hosted.stage.settings:
            refusal = hosted.states_refusal(settings)
            if refusal is not None:
                raise SettingError(f"stage {name}: {refusal}")
            hosted.change(settings)
        return setting_of(hosted.stage)

    def unload(self, name: str) -> None:
        """No replica is left once those at work have answered."""
        hosted = self.stages[name]
        hosted.change([replace(lane, setting=replace(lane.setting, replicas=0)) for lane in hosted.stage.settings])

    def _checked(self, hosted: HostedStage, wanted: Mapping[str, Any]) -> tuple[LaneSetting, ...]:
        """Numbers beside `variants` are of the primary lane, the window of all."""
        unknown = sorted(set(wanted) - set(NUMBERS) - {"variant", "variants"})
        if unknown:
            raise SettingError(f"unknown setting {unknown[0]!r}; use {', '.join(NUMBERS)}, variant, variants")
        if hosted.updating and {"variant", "variants"} & set(wanted):
            raise SettingError(f"stage {hosted.spec.name} is being updated; roll that back first, or wait for its end")
        if {"variant", "variants"} <= set(wanted):
            raise SettingError("say variant, for one that takes all rows, or variants, for several with shares")
        settings, primary = hosted.stage.settings, hosted.stage.primary.variant
        if "variants" in wanted:
            settings = self._mixed(hosted, wanted["variants"])
            primary = max(settings, key=lambda lane: (lane.share, lane.setting.variant.accuracy)).setting.variant
        elif "variant" in wanted:
            settings = (LaneSetting(replace(hosted.stage.setting, variant=self._variant(hosted, wanted["variant"]))),)
            primary = settings[0].setting.variant
        numbers = self._numbers(hosted.spec, wanted)
        settings = tuple(replace(lane, setting=replace(lane.setting, **numbers)) if lane.setting.variant == primary else lane for lane in settings)
        window = numbers.get("window", hosted.stage.setting.window)
        return tuple(replace(lane, setting=replace(lane.setting, window=window)) for lane in settings)

    def _mixed(self, hosted: HostedStage, variants: object) -> tuple[LaneSetting, ...]:
        spec = hosted.spec
        if not isinstance(variants, dict) or not variants or not all(isinstance(one, dict) for one in variants.values()):
            raise SettingError(f'variants of stage {spec.name}: name each with its share, for example {{"large": {{"share": 0.8}}, "small": {{"share": 0.2}}}}')
        lanes = tuple(self._lane(hosted, name, one) for name, one in variants.items())
        replicas = sum(lane.setting.replicas for lane in lanes)
        if replicas > spec.replicas.max:
            raise SettingError(f"the variants of stage {spec.name} have {replicas} replicas in all; the pipeline file allows {spec.replicas.max}")
        return lanes

    def _lane(self, hosted: HostedStage, name: str, wanted: Mapping[str, Any]) -> LaneSetting:
        unknown = sorted(set(wanted) - {*LANE_NUMBERS, "share", "version"})
        if unknown:
            raise SettingError(f"unknown setting {unknown[0]!r} of variant {name}; use share, version, {', '.join(LANE_NUMBERS)}")
        share = wanted.get("share")
        if isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share <= 1:
            raise SettingError(f"share of variant {name} is {share!r}; use a number from 0 to 1")
        version = wanted.get("version")
        if version is not None and not isinstance(version, str):
            raise SettingError(f"version of variant {name} is {version!r}; use a string")
        here = next((lane.stage.setting for lane in hosted.stage.wanted if lane.variant.name == name), hosted.stage.setting)
        variant = self._variant(hosted, name, version or (here.variant.version if here.variant.name == name else None))
        return LaneSetting(replace(here, variant=variant, **self._numbers(hosted.spec, wanted)), float(share))

    def _numbers(self, spec: graph.Stage, wanted: Mapping[str, Any]) -> dict[str, Any]:
        limits = {
            "replicas": (spec.replicas.min, spec.replicas.max),
            "batch": (1, spec.batch_max),
            "cores": (1 / EIGHTHS, self.pipeline.budget.cores or 1024),
            "window": (1, WINDOW_MAX),
            "spares": (0, SPARES_MAX),
        }
        return {key: _number(spec.name, key, wanted[key], *limits[key]) for key in limits if key in wanted}

    def stored_version(self, name: str, variant: str | None = None, version: str | None = None) -> Variant:
        """A stored version (default: the newest) of a variant (default: the primary lane's); SettingError when there is none."""
        hosted = self.stages[name]
        return self._variant(hosted, variant or hosted.stage.setting.variant.name, version)

    def _variant(self, hosted: HostedStage, name: object, version: str | None = None) -> Variant:
        spec, current = hosted.spec, hosted.stage.setting.variant
        known = [variant.name for variant in spec.variants]
        if not isinstance(name, str) or name not in known:
            raise SettingError(f"stage {spec.name} has no variant {name!r}; the pipeline file names {', '.join(known)}")
        if hosted.model is None:
            if version not in (None, current.version):
                raise SettingError(f"the operator of stage {spec.name} has no stored model, so its version is {current.version} always")
            return current if current.name == name else open_variant(spec, name, current.version)
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


def initial_replicas(spec: graph.Stage) -> int:
    return min(max(spec.replicas.initial, spec.replicas.min), spec.replicas.max)


def _number(stage: str, key: str, value: object, least: float, most: float) -> float:
    if key == "cores":
        return _cores(stage, value, most)
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise SettingError(f"{key} of stage {stage} is {value!r}; use a whole number from {least} to {most}")
    return value


def _cores(stage: str, value: object, most: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 1 / EIGHTHS <= value <= most or value * EIGHTHS % 1:
        raise SettingError(f"cores of stage {stage} is {value!r}; use a multiple of {1 / EIGHTHS} up to {most:g}")
    return int(value) if value == int(value) else value
