"""The protocol over HTTP: inference, and Triton's extensions. Health and metadata are in operators/control.py."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from operators.extensions import Extensions
from operators.inference import hosted_stage
from operators.model_config import model_config
from operators.protocol.json_tensors import BodyError, read_request, write_response
from operators.refusal import Fault, Refused

BODY_BYTES_MAX = 64 << 20  # as gRPC's messages
BODIES_BYTES_MAX = 256 << 20  # of all requests for inference that are being read or answered
SMALL_BYTES_MAX = 1 << 16  # of what is not inference
BODY_TIMEOUT_S = 30.0
HEADER = "Inference-Header-Content-Length"
OCTETS = "application/octet-stream"

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def routes(extensions: Extensions) -> list[web.RouteDef]:
    calls = HttpInference(extensions)
    found: list[web.RouteDef] = []
    for model in ("/v2/models/{model}", "/v2/models/{model}/versions/{version}"):
        found += [
            web.post(f"{model}/infer", _refusing(calls.infer)),
            web.get(f"{model}/config", _refusing(calls.config)),
            web.get(f"{model}/stats", _refusing(calls.statistics)),
        ]
    memory = "/v2/systemsharedmemory"
    return [
        web.get("/v2/models/stats", _refusing(calls.statistics)),
        *found,
        web.post("/v2/repository/index", _refusing(calls.index)),
        web.post("/v2/repository/models/{model}/load", _refusing(calls.load)),
        web.post("/v2/repository/models/{model}/unload", _refusing(calls.unload)),
        web.get(f"{memory}/status", _refusing(calls.regions)),
        web.get(f"{memory}/region/{{region}}/status", _refusing(calls.regions)),
        web.post(f"{memory}/region/{{region}}/register", _refusing(calls.register)),
        web.post(f"{memory}/unregister", _refusing(calls.unregister)),
        web.post(f"{memory}/region/{{region}}/unregister", _refusing(calls.unregister)),
        web.get("/v2/cudasharedmemory/status", _refusing(calls.no_regions)),
        web.post("/v2/cudasharedmemory/unregister", _refusing(calls.nothing)),
    ]


class HttpInference:
    def __init__(self, extensions: Extensions) -> None:
        self._extensions = extensions
        self._bodies_bytes = 0

    async def infer(self, request: web.Request) -> web.Response:
        held = 0

        def hold(size: int) -> None:
            nonlocal held
            if self._bodies_bytes + size > BODIES_BYTES_MAX:
                raise Refused(Fault.BUSY, f"all requests together hold {self._bodies_bytes} bytes; try again later")
            self._bodies_bytes += size
            held += size

        try:
            return await self._infer(request, await _body(request, BODY_BYTES_MAX, hold))
        finally:
            self._bodies_bytes -= held

    async def _infer(self, request: web.Request, body: bytearray) -> web.Response:
        try:
            message = read_request(body, _json_bytes(request), request.match_info["model"], request.match_info.get("version", ""))
            del body
            answer, json_bytes = write_response(await self._extensions.inference.infer(message), message)
        except BodyError as error:
            raise Refused(Fault.INVALID, str(error)) from error
        if json_bytes is None:
            return web.Response(body=answer, content_type="application/json")
        return web.Response(body=answer, content_type=OCTETS, headers={HEADER: str(json_bytes)})

    async def config(self, request: web.Request) -> web.Response:
        match = request.match_info
        return web.json_response(model_config(hosted_stage(self._extensions.serving, match["model"], match.get("version", ""))))

    async def statistics(self, request: web.Request) -> web.Response:
        match = request.match_info
        return web.json_response({"model_stats": self._extensions.statistics(match.get("model", ""), match.get("version", ""))})

    async def index(self, request: web.Request) -> web.Response:
        return web.json_response(self._extensions.repository.index(bool((await _object(request)).get("ready", False))))

    async def load(self, request: web.Request) -> web.Response:
        await self._extensions.repository.load(request.match_info["model"], await _parameters(request))
        return web.Response()

    async def unload(self, request: web.Request) -> web.Response:
        await self._extensions.repository.unload(request.match_info["model"], await _parameters(request))
        return web.Response()

    async def regions(self, request: web.Request) -> web.Response:
        found = self._extensions.memory.regions(request.match_info.get("region", ""))
        keys = ("name", "key", "offset", "byte_size")
        return web.json_response([{key: getattr(region, key) for key in keys} for region in found])

    async def register(self, request: web.Request) -> web.Response:
        wanted = await _object(request)
        key, offset, byte_size = wanted.get("key"), wanted.get("offset", 0), wanted.get("byte_size")
        if type(key) is not str or type(offset) is not int or type(byte_size) is not int:
            raise Refused(Fault.INVALID, 'send {"key": "/name", "offset": 0, "byte_size": 1024}')
        self._extensions.memory.register(request.match_info["region"], key, offset, byte_size)
        return web.Response()

    async def unregister(self, request: web.Request) -> web.Response:
        self._extensions.memory.unregister(request.match_info.get("region", ""))
        return web.Response()

    async def no_regions(self, request: web.Request) -> web.Response:
        return web.json_response([])

    async def nothing(self, request: web.Request) -> web.Response:
        return web.Response()


def _refusing(call: Handler) -> Handler:
    """The call, with what it refuses as the protocol's error object."""

    async def handled(request: web.Request) -> web.StreamResponse:
        try:
            return await call(request)
        except Refused as refused:
            return web.json_response({"error": str(refused)}, status=refused.fault.status)

    return handled


async def _body(request: web.Request, most: int, hold: Callable[[int], None] = lambda size: None) -> bytearray:
    """Unpacked where it came compressed; at most so many bytes, within a time that a client that means it needs not.

    hold: is told of each part's bytes, and may refuse them.
    """
    if request.content_length is not None and request.content_length > most:
        raise Refused(Fault.INVALID, f"the body has {request.content_length} bytes; at most {most} are taken")
    body = bytearray()  # grows in place, and leaves no holes when it goes
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            async for part in request.content.iter_any():
                hold(len(part))
                body += part
                if len(body) > most:
                    raise Refused(Fault.INVALID, f"the body is too large; at most {most} bytes are taken")
    except TimeoutError as error:
        raise Refused(Fault.INVALID, f"the body was not there within {BODY_TIMEOUT_S:.0f} s") from error
    except (web.PayloadAccessError, web.RequestPayloadError, HttpProcessingError) as error:
        raise Refused(Fault.INVALID, f"the body cannot be read: {error}") from error
    return body


async def _object(request: web.Request) -> dict[str, Any]:
    """The body's JSON object; an empty body is an empty one."""
    body = await _body(request, SMALL_BYTES_MAX)
    try:
        found = json.loads(body) if body.strip() else {}
    except (ValueError, RecursionError) as error:
        raise Refused(Fault.INVALID, f"the body is not JSON: {error}") from error
    if not isinstance(found, dict):
        raise Refused(Fault.INVALID, "the body is not an object")
    return found


async def _parameters(request: web.Request) -> dict[str, Any]:
    found = (await _object(request)).get("parameters", {})
    if not isinstance(found, dict):
        raise Refused(Fault.INVALID, "parameters are not an object")
    return found


def _json_bytes(request: web.Request) -> int | None:
    said = request.headers.get(HEADER)
    if said is None:
        return None
    if not (said.isascii() and said.isdecimal() and len(said) < 12):
        raise Refused(Fault.INVALID, f"{HEADER} is {said[:40]!r}; use a whole number")
    return int(said)
