"""HTTP: health and metadata of the protocol, telemetry, the settings and updates of stages; with the calls of operators/http_inference.py."""

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
from operators.refusal import Fault, Refused, shown
from operators.server import EXTENSIONS, VERSION
from operators.serving import SettingError
from operators.updates import PLAN, plan_of

BODY_BYTES_MAX = 1 << 20
IDLE_S = 60.0


def build(extensions: Extensions) -> web.Application:
    control = Control(extensions)
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
            web.get("/sluice/v1/stages/{model}/versions", control.versions),
            web.get("/sluice/v1/stages/{model}/update", control.last_update),
            web.post("/sluice/v1/stages/{model}/update", control.update),
            web.post("/sluice/v1/stages/{model}/rollback", control.roll_back),
            web.post("/sluice/v1/stages/{model}/labels", control.labels),
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
    def __init__(self, extensions: Extensions) -> None:
        self._serving = extensions.serving
        self._updates = extensions.updates
        self._repository = extensions.repository

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
        wanted = await _object(request, '{"replicas": 2}')
        try:
            return web.json_response(self._serving.change(hosted.spec.name, wanted))
        except SettingError as error:
            raise _refused(web.HTTPUnprocessableEntity, str(error)) from error

    async def versions(self, request: web.Request) -> web.Response:
        return web.json_response(self._updates.versions(self._hosted(request)))

    async def last_update(self, request: web.Request) -> web.Response:
        name = self._hosted(request).spec.name
        last = self._updates.last.get(name)
        if last is None:
            raise _refused(web.HTTPNotFound, f"stage {name} has not been updated since the service started")
        return web.json_response(last.said())

    async def update(self, request: web.Request) -> web.Response:
        """Begins it; how far it is says `last_update`."""
        wanted = await _object(request, '{"version": "2", "canary": 0.05, "for_s": 60}')
        unknown = sorted(set(wanted) - {"variant", "version", *PLAN})
        if unknown:
            raise _refused(web.HTTPBadRequest, f"unknown field {shown(unknown[0])}; use variant, version, {', '.join(PLAN)}")
        for key in ("variant", "version"):
            if not isinstance(wanted.get(key, ""), str):
                raise _refused(web.HTTPBadRequest, f"{key} is {shown(wanted[key])}; use a string")
        try:
            hosted = self._repository.controlled(self._hosted(request).spec.name)
            begun = await self._updates.begin(hosted, plan_of(wanted), wanted.get("variant"), wanted.get("version"))
        except Refused as refused:
            raise _as_http(refused) from refused
        return web.json_response(begun.said(), status=202)

    async def roll_back(self, request: web.Request) -> web.Response:
        try:
            hosted = self._repository.controlled(self._hosted(request).spec.name)
            return web.json_response((await self._updates.roll_back(hosted)).said(), status=202)
        except Refused as refused:
            raise _as_http(refused) from refused

    async def labels(self, request: web.Request) -> web.Response:
        """How many were of use: those of answers that are still remembered, and verdicts by version."""
        hosted = self._hosted(request)
        sent = (await _object(request, '{"labels": [{"event-id": "a-1", "label": 7}]}')).get("labels")
        if not isinstance(sent, list) or not all(isinstance(one, dict) for one in sent):
            raise _refused(web.HTTPBadRequest, 'labels is no list of objects; send for example {"labels": [{"event-id": "a-1", "label": 7}]}')
        try:
            self._repository.controlled(hosted.spec.name)
            used = sum(_labelled(hosted, one) for one in sent)
        except Refused as refused:
            raise _as_http(refused) from refused
        return web.json_response({"sent": len(sent), "used": used})

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


async def _object(request: web.Request, example: str) -> dict[str, Any]:
    try:
        content = json.loads(await request.text()) if await request.read() else {}
    except (ValueError, LookupError, RecursionError) as error:  # LookupError: a charset that nobody knows
        raise _refused(web.HTTPBadRequest, f"the body is not JSON: {error}") from error
    if not isinstance(content, dict):
        raise _refused(web.HTTPBadRequest, f"the body is not an object; send for example {example}")
    return content


def _labelled(hosted: HostedStage, sent: dict[str, Any]) -> bool:
    match sent:
        case {"event-id": str(event_id), "label": label}:
            return hosted.labels.label(event_id, label)
        case {"variant": str(variant), "version": str(version), "right": bool(right)} if hosted.stage.find(variant, version) is not None:
            hosted.labels.count(variant, version, right)
            return True
        case {"variant": str(), "version": str(), "right": bool()}:
            return False  # that version has gone
    raise Refused(Fault.INVALID, f"label {shown(json.dumps(sent))}: send event-id and label, or variant, version and right")


def _as_http(refused: Refused) -> web.HTTPException:
    kinds = {400: web.HTTPBadRequest, 403: web.HTTPForbidden, 404: web.HTTPNotFound, 503: web.HTTPServiceUnavailable}
    return _refused(kinds.get(refused.fault.status, web.HTTPInternalServerError), str(refused))


def _refused(kind: type[web.HTTPError], text: str) -> web.HTTPError:
    return kind(text=json.dumps({"error": text}), content_type="application/json")
