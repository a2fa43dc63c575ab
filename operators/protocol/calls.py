"""The protocol's service for grpc: which call takes and answers which message, for servers and for clients."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

import grpc
from google.protobuf.message import DecodeError

from operators.protocol import inference_pb2 as pb

Call = Callable[[Any, Any], Awaitable[Any]]
SERVICE = "inference.GRPCInferenceService"
UNARY = {
    "ServerLive": (pb.ServerLiveRequest, pb.ServerLiveResponse),
    "ServerReady": (pb.ServerReadyRequest, pb.ServerReadyResponse),
    "ModelReady": (pb.ModelReadyRequest, pb.ModelReadyResponse),
    "ServerMetadata": (pb.ServerMetadataRequest, pb.ServerMetadataResponse),
    "ModelMetadata": (pb.ModelMetadataRequest, pb.ModelMetadataResponse),
    "ModelInfer": (pb.ModelInferRequest, pb.ModelInferResponse),
}
EXTENSIONS = {
    name: (getattr(pb, f"{name}Request"), getattr(pb, f"{name}Response"))
    for name in (
        "ModelConfig",
        "ModelStatistics",
        "RepositoryIndex",
        "RepositoryModelLoad",
        "RepositoryModelUnload",
        "SystemSharedMemoryStatus",
        "SystemSharedMemoryRegister",
        "SystemSharedMemoryUnregister",
        "CudaSharedMemoryStatus",
        "CudaSharedMemoryRegister",
        "CudaSharedMemoryUnregister",
    )
}
"""Triton's; a server may serve none of them."""
STREAM = "ModelStreamInfer"


def handler(implementation: Any) -> grpc.GenericRpcHandler:
    """Serves the methods of `implementation` that are named like the calls."""
    handlers = _unary(implementation, UNARY)
    handlers[STREAM] = grpc.stream_stream_rpc_method_handler(_reading_all(getattr(implementation, STREAM), pb.ModelInferRequest))
    return grpc.method_handlers_generic_handler(SERVICE, handlers)


def extension_handler(implementation: Any) -> grpc.GenericRpcHandler:
    """The same for the extensions; a server may have both."""
    return grpc.method_handlers_generic_handler(SERVICE, _unary(implementation, EXTENSIONS))


def _unary(implementation: Any, calls: Mapping[str, tuple[Any, Any]]) -> dict[str, grpc.RpcMethodHandler]:
    return {
        name: grpc.unary_unary_rpc_method_handler(
            _reading(getattr(implementation, name), request),
            response_serializer=_serialised,
        )
        for name, (request, _) in calls.items()
    }


def _serialised(response: Any) -> bytes:
    """What is serialised already stays as it is."""
    return response if type(response) is bytes else response.SerializeToString()  # type: ignore[no-any-return]


def _reading(call: Call, kind: Any) -> Call:
    """The call, with its message read here: grpc itself would say UNKNOWN of bytes that are no message, and log them as a failure of ours."""

    async def read(content: bytes, context: Any) -> Any:
        try:
            message = kind.FromString(content)
        except DecodeError as error:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"not a {kind.DESCRIPTOR.name}: {error}")
        return await call(message, context)

    return read


def _reading_all(call: Call, kind: Any) -> Call:
    """The same for a stream of messages; answers come serialised."""

    async def read(contents: AsyncIterator[bytes], context: Any) -> None:
        wrong: list[DecodeError] = []

        async def messages() -> AsyncIterator[Any]:
            async for content in contents:
                try:
                    message = kind.FromString(content)
                except DecodeError as error:
                    wrong.append(error)
                    return
                yield message

        await call(messages(), context)
        if wrong:  # what came before it has been answered
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"not a {kind.DESCRIPTOR.name}: {wrong[0]}")

    return read


class Stub:
    """The calls over a channel, of grpc or grpc.aio."""

    def __init__(self, channel: Any) -> None:
        for name, (request, response) in (UNARY | EXTENSIONS).items():
            call = channel.unary_unary(f"/{SERVICE}/{name}", request_serializer=request.SerializeToString, response_deserializer=response.FromString)
            setattr(self, name, call)
        self.ModelStreamInfer = channel.stream_stream(
            f"/{SERVICE}/{STREAM}",
            request_serializer=pb.ModelInferRequest.SerializeToString,
            response_deserializer=pb.ModelStreamInferResponse.FromString,
        )

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(name)
