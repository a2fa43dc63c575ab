"""HTTP: health and metadata of the protocol, telemetry, and the settings of stages; with the calls of operators/http_inference.py."""

from __future__ import annotations

import json
import logging
from typing import Any

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.log import server_logger

from operators import http_inference
from operators.extensions import Extensions
from operators.hosted import HostedStage
from operators.inference import hosted_stage
from operators.model_config import PLATFORM, metadata
from operators.refusal import Refused
from operators.server import EXTENSIONS, VERSION
from operators.serving import Serving, SettingError

BODY_BYTES_MAX = 1 << 16
IDLE_S = 60.0


def build(extensions: Extensions) -> web.Application:
    control = Control(extensions.serving)
    app = web.Application(client_max_size=BODY_BYTES_MAX)
    app.add_routes(http_inference.routes(extensions))  # before those of models: a model may not be called `stats`
    app.add_routes(
        [
            web.get("/v2", control.server),
            web.get("/v2/health/live", control.live),
            web.get("/v2/health/ready", control.ready),
            web.get("/v2/models/{model}", control.model),
            web.get("/v2/models/{model}/ready", control.model_ready),
            web.get("/v2/models/{model}/versions/{version}", control.model),
            web.get("/v2/models/{model}/versions/{version}/ready", control.model_ready),
            web.get("/sluice/v1/stages", control.stages),
            web.get("/sluice/v1/stages/{model}", control.stage),
            web.patch("/sluice/v1/stages/{model}", control.change),
        ]
    )
    return app


def runner(app: web.Application, idle_s: float = IDLE_S) -> web.AppRunner:
    """idle_s: a connection on which no request's head was completed for that long is closed."""
    server_logger.addFilter(_is_our_failure)
    return web.AppRunner(app, access_log=None, keepalive_timeout=idle_s)


def _is_our_failure(record: logging.LogRecord) -> bool:
    """Bytes that are no HTTP, and requests broken off, are their sender's: whoever sends many must not fill the log with tracebacks."""
    return record.exc_info is None or not isinstance(record.exc_info[1], HttpProcessingError | ConnectionError)


class Control:
    def __init__(self, serving: Serving) -> None:
        self._serving = serving

    async def server(self, request: web.Request) -> web.Response:
        return web.json_response({"name": PLATFORM, "version": VERSION, "extensions": EXTENSIONS})

    async def live(self, request: web.Request) -> web.Response:
        return web.json_response({"live": True})

    async def ready(self, request: web.Request) -> web.Response:
        ready = self._serving.ready
        return web.json_response({"ready": ready}, status=200 if ready else 503)

    async def model(self, request: web.Request) -> web.Response:
        return web.json_response(metadata(self._hosted(request)))

    async def model_ready(self, request: web.Request) -> web.Response:
        hosted = self._hosted(request)
        ready = hosted.stage.ready > 0
        return web.json_response({"name": hosted.spec.name, "ready": ready}, status=200 if ready else 503)

    async def stages(self, request: web.Request) -> web.Response:
        return web.json_response([_said(hosted) for hosted in self._serving.stages.values()])

    async def stage(self, request: web.Request) -> web.Response:
        return web.json_response(_said(self._hosted(request)))

    async def change(self, request: web.Request) -> web.Response:
        hosted = self._hosted(request)
        try:
            wanted = json.loads(await request.text())
        except (ValueError, LookupError, RecursionError) as error:  # LookupError: a charset that nobody knows
            raise _refused(web.HTTPBadRequest, f"the body is not JSON: {error}") from error
        if not isinstance(wanted, dict):
            raise _refused(web.HTTPBadRequest, 'the body is not an object; send for example {"replicas": 2}')
        try:
            return web.json_response(self._serving.change(hosted.spec.name, wanted))
        except SettingError as error:
            raise _refused(web.HTTPUnprocessableEntity, str(error)) from error

    def _hosted(self, request: web.Request) -> HostedStage:
        match = request.match_info
        try:
            return hosted_stage(self._serving, match["model"], match.get("version", ""))
        except Refused as refused:
            raise _refused(web.HTTPNotFound, str(refused)) from refused


def _said(hosted: HostedStage) -> dict[str, Any]:
    """The last second's telemetry, with the setting as it is now."""
    record = hosted.telemetry.current(hosted.stage)
    return {**record, "processes": hosted.replicas.report(), "problem": hosted.problem, "pids": sorted(hosted.replicas.pids().values())}


def _refused(kind: type[web.HTTPError], text: str) -> web.HTTPError:
    return kind(text=json.dumps({"error": text}), content_type="application/json")
