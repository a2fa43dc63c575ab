"""What both front ends offer beside the stream: unary inference, and Triton's extensions over gRPC."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from functools import wraps
from ipaddress import ip_address
from typing import Any

from operators.inference import Inference, hosted_stage
from operators.model_config import model_config
from operators.protocol import inference_pb2 as pb
from operators.refusal import Fault, Refused
from operators.repository_api import RepositoryControl
from operators.serving import Serving
from operators.shared_memory import SharedMemory
from operators.statistics import statistics
from operators.updates import Updates

Call = Callable[..., Awaitable[Any]]


class Extensions:
    """control: whether callers may load, unload and share memory."""

    def __init__(self, serving: Serving, control: bool) -> None:
        self.serving = serving
        self.memory = SharedMemory(control)
        self.inference = Inference(serving, self.memory)
        self.updates = Updates(serving)
        self.repository = RepositoryControl(serving, self.inference, self.updates, control)

    def statistics(self, name: str = "", version: str = "") -> list[dict[str, Any]]:
        """Of one stage, or of all without a name; of every version, or of the one named."""
        found = [hosted_stage(self.serving, name)] if name else self.serving.stages.values()
        offset_ms = (time.time() - asyncio.get_running_loop().time()) * 1e3
        entries = [entry for hosted in found for entry in statistics(hosted, offset_ms, version)]
        if name and not entries:
            hosted_stage(self.serving, name, version)  # says which version there is
        return entries


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches what listens there."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _refusing(call: Call) -> Call:
    @wraps(call)
    async def handled(self: ExtensionServer, request: Any, context: Any) -> Any:
        try:
            return await call(self, request)
        except Refused as refused:
            await context.abort(refused.fault.code, str(refused))

    return handled


class ExtensionServer:
    """The calls, by their names in the protocol."""

    def __init__(self, extensions: Extensions) -> None:
        self._extensions = extensions

    @_refusing
    async def ModelConfig(self, request: pb.ModelConfigRequest) -> pb.ModelConfigResponse:
        described = model_config(hosted_stage(self._extensions.serving, request.name, request.version))
        parameters = {key: pb.ModelParameter(**value) for key, value in described.pop("parameters").items()}
        return pb.ModelConfigResponse(config=pb.ModelConfig(**described, parameters=parameters))

    @_refusing
    async def ModelStatistics(self, request: pb.ModelStatisticsRequest) -> pb.ModelStatisticsResponse:
        return pb.ModelStatisticsResponse(model_stats=self._extensions.statistics(request.name, request.version))

    @_refusing
    async def RepositoryIndex(self, request: pb.RepositoryIndexRequest) -> pb.RepositoryIndexResponse:
        return pb.RepositoryIndexResponse(models=self._extensions.repository.index(request.ready))

    @_refusing
    async def RepositoryModelLoad(self, request: pb.RepositoryModelLoadRequest) -> pb.RepositoryModelLoadResponse:
        await self._extensions.repository.load(request.model_name, _plain(request.parameters))
        return pb.RepositoryModelLoadResponse()

    @_refusing
    async def RepositoryModelUnload(self, request: pb.RepositoryModelUnloadRequest) -> pb.RepositoryModelUnloadResponse:
        await self._extensions.repository.unload(request.model_name, _plain(request.parameters))
        return pb.RepositoryModelUnloadResponse()

    @_refusing
    async def SystemSharedMemoryStatus(self, request: pb.SystemSharedMemoryStatusRequest) -> pb.SystemSharedMemoryStatusResponse:
        response = pb.SystemSharedMemoryStatusResponse()
        for region in self._extensions.memory.regions(request.name):
            said = response.regions[region.name]
            said.name, said.key, said.offset, said.byte_size = region.name, region.key, region.offset, region.byte_size
        return response

    @_refusing
    async def SystemSharedMemoryRegister(self, request: pb.SystemSharedMemoryRegisterRequest) -> pb.SystemSharedMemoryRegisterResponse:
        self._extensions.memory.register(request.name, request.key, request.offset, request.byte_size)
        return pb.SystemSharedMemoryRegisterResponse()

    @_refusing
    async def SystemSharedMemoryUnregister(self, request: pb.SystemSharedMemoryUnregisterRequest) -> pb.SystemSharedMemoryUnregisterResponse:
        self._extensions.memory.unregister(request.name)
        return pb.SystemSharedMemoryUnregisterResponse()

    @_refusing
    async def CudaSharedMemoryStatus(self, request: pb.CudaSharedMemoryStatusRequest) -> pb.CudaSharedMemoryStatusResponse:
        return pb.CudaSharedMemoryStatusResponse()

    @_refusing
    async def CudaSharedMemoryRegister(self, request: pb.CudaSharedMemoryRegisterRequest) -> pb.CudaSharedMemoryRegisterResponse:
        raise Refused(Fault.INVALID, "rows lie in the memory of the processor, not of a GPU; use system shared memory")

    @_refusing
    async def CudaSharedMemoryUnregister(self, request: pb.CudaSharedMemoryUnregisterRequest) -> pb.CudaSharedMemoryUnregisterResponse:
        return pb.CudaSharedMemoryUnregisterResponse()


def _plain(parameters: Mapping[str, pb.ModelRepositoryParameter]) -> dict[str, Any]:
    return {key: getattr(value, str(value.WhichOneof("parameter_choice"))) for key, value in parameters.items()}
