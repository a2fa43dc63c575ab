"""The operator service's HTTP interface as the autoscaler uses it: what runs, and a change of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

import aiohttp

from autoscaler.reactive import Running
from autoscaler.telemetry import Lane, WrongRecord, parse_lanes, parse_setting

TIMEOUT_S = 2.0


class ActuationError(RuntimeError):
    """The service did not answer, refused, or answered with another setting than asked for. Worth a try at the next decision."""


class ServiceActuator:
    """One service, at a URL such as http://127.0.0.1:8000. An answer is believed only where it names the values asked for."""

    def __init__(self, url: str, timeout_s: float = TIMEOUT_S) -> None:
        self._stages_url = url.rstrip("/") + "/sluice/v1/stages"
        self._timeout = aiohttp.ClientTimeout(total=timeout_s)
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(timeout=self._timeout)
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._session is not None:
            await self._session.close()

    async def running(self, stage: str) -> Running:
        """The setting the stage has now."""
        return await self._ask("GET", stage, {})

    async def change(self, stage: str, change: Mapping[str, int]) -> Running:
        """Sets those fields; the setting the service then says it has."""
        running = await self._ask("PATCH", stage, change)
        wrong = {name: getattr(running, name) for name, value in change.items() if getattr(running, name) != value}
        if wrong:
            raise ActuationError(f"{stage}: asked for {dict(change)}, the service has {wrong}")
        return running

    async def lanes(self, stage: str) -> tuple[Lane, ...]:
        """What the stage has now, variant by variant."""
        text = await self._text("GET", stage, {})
        try:
            return parse_lanes(json.loads(text))
        except (ValueError, WrongRecord) as error:
            raise ActuationError(f"the service answered {text[:200]!r}: {error}") from error

    async def set(self, stage: str, body: Mapping[str, Any]) -> tuple[Lane, ...]:
        """Makes one change and reads back what the stage has then. The service does a change whole or not at all; what it says it has is
        believed only where it names the values asked for."""
        text = await self._text("PATCH", stage, body)
        try:
            wrong = _unmet(json.loads(text), body)
        except (ValueError, KeyError, TypeError) as error:
            raise ActuationError(f"the service answered {text[:200]!r}: {error}") from error
        if wrong:
            raise ActuationError(f"{stage}: asked for {dict(body)}, the service has {wrong}")
        return await self.lanes(stage)

    async def _ask(self, method: str, stage: str, body: Mapping[str, int]) -> Running:
        return _running(await self._text(method, stage, body))

    async def _text(self, method: str, stage: str, body: Mapping[str, Any]) -> str:
        assert self._session is not None, "used outside its context"
        url = f"{self._stages_url}/{stage}"
        try:
            async with self._session.request(method, url, json=body or None) as response:
                text = await response.text()
        except (TimeoutError, aiohttp.ClientError, UnicodeDecodeError) as error:
            raise ActuationError(f"{method} {url}: {error or type(error).__name__}") from error
        if response.status != 200:
            raise ActuationError(f"{method} {url}: {response.status} {text[:200]}")
        return text


def _unmet(setting: Mapping[str, Any], body: Mapping[str, Any]) -> dict[str, Any]:
    """What of it the setting has not, by field or by variant."""
    wrong = {name: setting[name] for name, value in body.items() if name != "variants" and setting[name] != value}
    has = {lane["variant"]: lane for lane in setting["lanes"]} if "variants" in body else {}
    wanted: Mapping[str, Mapping[str, Any]] = body.get("variants", {})
    if wanted and has.keys() != wanted.keys():
        wrong["variants"] = sorted(has)
    for variant, fields in wanted.items():
        for name, value in fields.items():
            if variant in has and has[variant][name] != value:
                wrong[f"{variant}.{name}"] = has[variant][name]
    return wrong


def _running(text: str) -> Running:
    """From the setting itself, or from a stage's whole record, which holds it under `setting`."""
    try:
        answer = json.loads(text)
        setting = parse_setting(answer["setting"] if isinstance(answer, dict) and "setting" in answer else answer)
    except (ValueError, WrongRecord) as error:
        raise ActuationError(f"the service answered {text[:200]!r}: {error}") from error
    return Running(setting.replicas, setting.batch, setting.cores)
