"""Triton's repository extension over the stages: which versions there are, load one, unload a stage.

A stage is a model; its versions are those of its variant in the service's own repository. Nothing in a request names a file, and no model
comes with one.

    load    the newest version (or the one named), of the current variant (or the one named): verified and loaded beside the old one, which
            serves until then; where it cannot be loaded, the old one stays and the call fails
    unload  the stage has no replicas until it is loaded again: unary calls are refused, rows of streams wait
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from operators import repository as stored
from operators.hosted import HostedStage
from operators.inference import Inference, hosted_stage
from operators.refusal import Fault, Refused
from operators.rollout import Phase, RolloutPlan
from operators.serving import Serving
from operators.updates import Updates

PARAMETERS = ("variant", "version")
IGNORED = ("unload_dependents",)
"""Parameters that are allowed and say nothing here."""


class RepositoryControl:
    def __init__(self, serving: Serving, inference: Inference, updates: Updates, allowed: bool) -> None:
        self._serving = serving
        self._inference = inference
        self._updates = updates
        self._allowed = allowed
        self._turns = {name: asyncio.Lock() for name in serving.stages}

    def index(self, ready: bool = False) -> list[dict[str, str]]:
        """ready: only what answers now."""
        entries = [entry for hosted in self._serving.stages.values() for entry in self._versions(hosted)]
        return [entry for entry in entries if entry["state"] == "READY"] if ready else entries

    async def load(self, name: str, parameters: Mapping[str, Any]) -> None:
        """Returns once that version has taken over and the old one has stopped; later calls for the same stage wait for their turn."""
        hosted = self.controlled(name)
        wanted = _wanted(parameters)
        async with self._turns[name]:
            update = await self._updates.begin(hosted, RolloutPlan(), **wanted)
            await update.ended.wait()
            if update.rollout.phase is not Phase.DONE:
                raise Refused(Fault.FAILED, f"stage {name}: {update.rollout.reason}")

    async def unload(self, name: str, parameters: Mapping[str, Any]) -> None:
        """Returns once no replica is left to answer; what runs is answered first."""
        hosted = self.controlled(name)
        _wanted({key: value for key, value in parameters.items() if key not in PARAMETERS})
        async with self._turns[name]:
            self._serving.unload(name)
            self._inference.give_up(hosted)
            while hosted.stage.in_flight:
                await asyncio.sleep(UNLOAD_POLL_S)

    def controlled(self, name: str) -> HostedStage:
        """The stage of that name, where callers may change which version serves; else Refused."""
        if not self._allowed:
            text = "load and unload are off: the service listens beyond this machine; start it with --remote-control to allow them"
            raise Refused(Fault.FORBIDDEN, text)
        return hosted_stage(self._serving, name)

    def _versions(self, hosted: HostedStage) -> list[dict[str, str]]:
        current = hosted.stage.setting.variant
        known = [current.version]
        if hosted.model is not None:
            known = stored.versions(self._serving.repository, hosted.model, current.name)
        return [{"name": hosted.spec.name, "version": version, **_state(hosted, version == current.version)} for version in known]


UNLOAD_POLL_S = 0.005


def _state(hosted: HostedStage, is_current: bool) -> dict[str, str]:
    if not is_current:
        return {"state": "UNAVAILABLE", "reason": "stored, not loaded"}
    if not hosted.stage.setting.replicas:
        return {"state": "UNAVAILABLE", "reason": "unloaded"}
    if not hosted.stage.settled:
        return {"state": "LOADING", "reason": hosted.problem or ""}
    return {"state": "READY", "reason": ""}


def _wanted(parameters: Mapping[str, Any]) -> dict[str, str]:
    for key, value in parameters.items():
        if key in IGNORED:
            continue
        if key not in PARAMETERS:
            raise Refused(Fault.INVALID, f"parameter {key!r}: models come from the service's own repository; say {' or '.join(PARAMETERS)}, or nothing")
        if not isinstance(value, str):
            raise Refused(Fault.INVALID, f"parameter {key} is {value!r}; use a string")
    return {key: value for key, value in parameters.items() if key in PARAMETERS}
