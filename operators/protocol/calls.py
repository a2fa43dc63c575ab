"""The protocol's service for grpc: which call takes and answers which message, for servers and for clients."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import grpc

from operators.protocol import inference_pb2 as pb

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
    handlers[STREAM] = grpc.stream_stream_rpc_method_handler(
        getattr(implementation, STREAM),
        request_deserializer=pb.ModelInferRequest.FromString,
        response_serializer=None,  # answers come serialised
    )
    return grpc.method_handlers_generic_handler(SERVICE, handlers)


def extension_handler(implementation: Any) -> grpc.GenericRpcHandler:
    """The same for the extensions; a server may have both."""
    return grpc.method_handlers_generic_handler(SERVICE, _unary(implementation, EXTENSIONS))


def _unary(implementation: Any, calls: Mapping[str, tuple[Any, Any]]) -> dict[str, grpc.RpcMethodHandler]:
    return {
        name: grpc.unary_unary_rpc_method_handler(
            getattr(implementation, name),
            request_deserializer=request.FromString,
            response_serializer=response.SerializeToString,
        )
        for name, (request, response) in calls.items()
    }


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
