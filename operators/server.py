"""The Open Inference Protocol over gRPC, in front of the hosted stages."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import AsyncIterator
from typing import Any, NoReturn

import grpc
import grpc.aio

from operators import requests
from operators.actions import Answer
from operators.extensions import Extensions, ExtensionServer
from operators.hosted import HostedStage
from operators.inference import hosted_stage
from operators.model_config import PLATFORM, metadata
from operators.protocol import calls
from operators.protocol import inference_pb2 as pb
from operators.refusal import Refused, shown
from operators.requests import Request, RequestError
from operators.serving import Serving

log = logging.getLogger(__name__)

MESSAGE_BYTES_MAX = 64 << 20
OPTIONS = [
    ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
    ("grpc.max_send_message_length", -1),
    ("grpc.so_reuseport", 0),
    ("grpc.http2.min_ping_interval_without_data_ms", 2000),  # proxies ping every 10 s to notice a service that hangs
    ("grpc.http2.max_ping_strikes", 0),
    ("grpc.keepalive_time_ms", 30_000),  # a peer that is gone without a word is noticed
    ("grpc.keepalive_timeout_ms", 20_000),
]
VERSION = "0.1.0"
EXTENSIONS = (
    "model_stream_infer",
    "binary_tensor_data",
    "model_configuration",
    "statistics",
    "model_repository",
    "model_repository(unload_dependents)",
    "system_shared_memory",
)
OUTBOX_BYTES_MAX = 8 << 20  # answers that a stream's client has not taken; its requests wait meanwhile
COUNTERS = ("received", "in_flight", "waiting")


class InferenceServer:
    """The calls, by their names in the protocol."""

    def __init__(self, extensions: Extensions) -> None:
        self._serving = extensions.serving
        self._inference = extensions.inference
        self._streams: set[_Stream] = set()
        self._loop = asyncio.get_running_loop()

    def stop_reading(self) -> None:
        """Streams take no further request; what they sent is still answered."""
        for stream in self._streams:
            stream.stop_reading()

    async def flushed(self) -> None:
        """Waits until all answers are handed to gRPC, then ends the streams."""
        await asyncio.gather(*(stream.finished() for stream in list(self._streams)))

    async def ServerLive(self, request: pb.ServerLiveRequest, context: Any) -> pb.ServerLiveResponse:
        return pb.ServerLiveResponse(live=True)

    async def ServerReady(self, request: pb.ServerReadyRequest, context: Any) -> pb.ServerReadyResponse:
        return pb.ServerReadyResponse(ready=self._serving.ready)

    async def ModelReady(self, request: pb.ModelReadyRequest, context: Any) -> pb.ModelReadyResponse:
        try:
            hosted = hosted_stage(self._serving, request.name, request.version)
        except Refused:
            return pb.ModelReadyResponse(ready=False)
        return pb.ModelReadyResponse(ready=hosted.stage.ready > 0)

    async def ServerMetadata(self, request: pb.ServerMetadataRequest, context: Any) -> pb.ServerMetadataResponse:
        return pb.ServerMetadataResponse(name=PLATFORM, version=VERSION, extensions=EXTENSIONS)

    async def ModelMetadata(self, request: pb.ModelMetadataRequest, context: Any) -> pb.ModelMetadataResponse:
        try:
            return pb.ModelMetadataResponse(**metadata(hosted_stage(self._serving, request.name, request.version)))
        except Refused as refused:
            await _abort(context, refused)

    async def ModelInfer(self, message: pb.ModelInferRequest, context: Any) -> bytes:
        try:
            return await self._inference.serialised(message)
        except Refused as refused:
            await _abort(context, refused)

    async def ModelStreamInfer(self, messages: AsyncIterator[pb.ModelInferRequest], context: Any) -> None:
        stream = _Stream(self._serving, context)
        self._streams.add(stream)
        reader = asyncio.ensure_future(self._read_stream(messages, stream))
        try:
            await stream.write_all(reader)
        finally:
            reader.cancel()
            self._streams.discard(stream)
            for hosted in self._serving.stages.values():
                hosted.forget(stream)
        if self._serving.stopping:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "the service is stopping")

    async def _read_stream(self, messages: AsyncIterator[pb.ModelInferRequest], stream: _Stream) -> None:
        async for message in messages:
            if stream.stopped:
                return
            hosted = self._serving.stages.get(message.model_name)
            await stream.room()
            if hosted is None:
                stream.refuse(message.id, self._no_stage(message.model_name))
                continue
            if hosted.full:
                await hosted.room()
            try:
                request = self._read(message, stream)
            except RequestError as error:
                stream.refuse(message.id, str(error))
                continue
            self._count_proxy(message, hosted)
            stream.waiting += request.table.count
            hosted.submit(request)

    def _read(self, message: pb.ModelInferRequest, owner: requests.Owner) -> Request:
        now = self._loop.time()
        return requests.read(message, owner, now - time.time(), now + self._serving.pipeline.slo_ms * 1e-3)

    def _count_proxy(self, message: pb.ModelInferRequest, hosted: HostedStage) -> None:
        parameters = message.parameters
        if "proxy" in parameters:
            counters = {name: parameters[name].int64_param for name in COUNTERS if name in parameters}
            hosted.telemetry.proxy(parameters["proxy"].string_param, counters, self._loop.time())

    def _no_stage(self, name: str) -> str:
        return f"no stage {shown(name)} here; pipeline {self._serving.pipeline.name} has {', '.join(self._serving.stages)}"


class _Stream:
    """One proxy's stream: its answers, in the order they come."""

    def __init__(self, serving: Serving, context: Any) -> None:
        self.waiting = 0
        self.stopped = False
        self._serving = serving
        self._context = context
        self._outbox: deque[bytes] = deque()
        self._outbox_bytes = 0
        self._taken = asyncio.Event()
        self._news = asyncio.Event()
        self._ended = asyncio.Event()

    def answered(self, request: Request, answer: Answer) -> None:
        self.waiting -= len(answer.run)
        control = self._serving.stages[request.stage].control()
        self._say(requests.response(request, answer, control))

    def refuse(self, request_id: str, text: str) -> None:
        message = pb.ModelStreamInferResponse(error_message=text)
        message.infer_response.id = request_id[: requests.ID_MAX]
        self._say(message.SerializeToString())

    def _say(self, message: bytes) -> None:
        self._outbox.append(message)
        self._outbox_bytes += len(message)
        self._news.set()

    async def room(self) -> None:
        """Waits until the client has taken enough of its answers to be worth another request."""
        while self._outbox_bytes > OUTBOX_BYTES_MAX:
            self._taken.clear()
            await self._taken.wait()

    def stop_reading(self) -> None:
        self.stopped = True
        self._news.set()

    async def finished(self) -> None:
        await self._ended.wait()

    async def write_all(self, reader: asyncio.Future[None]) -> None:
        """Until the client has sent all and has every answer."""
        reader.add_done_callback(lambda _: self._news.set())
        try:
            while True:
                self._news.clear()
                while self._outbox:
                    message = self._outbox.popleft()
                    await self._context.write(message)
                    self._outbox_bytes -= len(message)
                    self._taken.set()
                if (reader.done() or self.stopped) and not self.waiting and not self._outbox:
                    break
                if not self._outbox:
                    await self._news.wait()
            if reader.done():
                reader.result()
        except grpc.aio.InternalError as error:  # a write failed: the client is gone, and grpc, too, shall write no more
            raise asyncio.CancelledError from error
        finally:
            self._ended.set()


async def _abort(context: Any, refused: Refused) -> NoReturn:
    await context.abort(refused.fault.code, str(refused))
    raise AssertionError("abort raises")


def build(server: InferenceServer, extensions: Extensions, address: str, unix: str | None = None) -> tuple[grpc.aio.Server, int]:
    """A server bound to the address, and to a Unix socket where a path is given; with the port it got. Started by the caller."""
    rpc = grpc.aio.server(options=OPTIONS)
    rpc.add_generic_rpc_handlers((calls.handler(server), calls.extension_handler(ExtensionServer(extensions))))
    try:
        port = rpc.add_insecure_port(address)
    except RuntimeError as error:
        raise OSError(f"cannot listen for gRPC on {address}; is another service running there? choose --grpc-port") from error
    if unix is not None:
        try:
            rpc.add_insecure_port(f"unix:{unix}")
        except RuntimeError as error:
            raise OSError(f"cannot listen on the socket {unix}; is its directory there and writable?") from error
    return rpc, port
