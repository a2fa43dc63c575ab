"""The operator service's HTTP interface as the autoscaler uses it: what runs, and a change of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import TracebackType
from typing import Self

import aiohttp

from autoscaler.reactive import Running
from autoscaler.telemetry import WrongRecord, parse_setting

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

    async def _ask(self, method: str, stage: str, body: Mapping[str, int]) -> Running:
        assert self._session is not None, "used outside its context"
        url = f"{self._stages_url}/{stage}"
        try:
            async with self._session.request(method, url, json=body or None) as response:
                text = await response.text()
        except (TimeoutError, aiohttp.ClientError, UnicodeDecodeError) as error:
            raise ActuationError(f"{method} {url}: {error or type(error).__name__}") from error
        if response.status != 200:
            raise ActuationError(f"{method} {url}: {response.status} {text[:200]}")
        return _running(text)


def _running(text: str) -> Running:
    """From the setting itself, or from a stage's whole record, which holds it under `setting`."""
    try:
        answer = json.loads(text)
        setting = parse_setting(answer["setting"] if isinstance(answer, dict) and "setting" in answer else answer)
    except (ValueError, WrongRecord) as error:
        raise ActuationError(f"the service answered {text[:200]!r}: {error}") from error
    return Running(setting.replicas, setting.batch, setting.cores)
