"""Any v2 endpoint as a plain client sees it, over gRPC or HTTP: `endpoint("127.0.0.1:8001")`, `endpoint("http://127.0.0.1:8000")`.

HTTP sends and reads tensors as JSON, which every server of the protocol takes; binary tensor data is an extension.
"""

from __future__ import annotations

import http.client
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, Protocol
from urllib.parse import urlsplit

import grpc
import numpy as np

from operators.protocol import inference_pb2 as pb
from operators.protocol.calls import Stub
from operators.protocol.json_tensors import DTYPES, pack
from operators.protocol.rows import LENGTH, RowsError, decode, encode

CALL_S = 10.0
MESSAGE_BYTES_MAX = 64 << 20
AGAIN = ("UNAVAILABLE", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED", "ABORTED", "CANCELLED")
"""gRPC codes after which a proxy sends the same rows again: they say nothing about the rows."""
AGAIN_HTTP = (408, 429, 502, 503, 504)


class Refusal(Exception):
    """The endpoint answered that it will not. again: as its code says, the same request may succeed later."""

    def __init__(self, code: str, text: str, again: bool = False) -> None:
        super().__init__(f"{code}: {text}" if text else code)
        self.code = code
        self.again = again


class Gone(Exception):
    """No answer: nobody listens, the connection broke, or it took too long."""


class Nonsense(Exception):
    """An answer that is not of the protocol."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """raw as in gRPC's raw contents."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    raw: bytes

    def values(self) -> list[Any]:
        """Flat; Nonsense where bytes and shape disagree."""
        if self.datatype == "BYTES":
            try:
                return list(decode(self.raw, prod(self.shape)))
            except RowsError as error:
                raise Nonsense(f"tensor {self.name!r}: {error}") from error
        dtype = DTYPES.get(self.datatype)
        if dtype is None:
            raise Nonsense(f"tensor {self.name!r} is of type {self.datatype!r}, which the protocol does not have")
        takes = prod(self.shape) * np.dtype(dtype).itemsize
        if len(self.raw) != takes:
            raise Nonsense(f"tensor {self.name!r} has {len(self.raw)} bytes; {self.datatype} of shape {list(self.shape)} takes {takes}")
        return np.frombuffer(self.raw, dtype).tolist()


@dataclass(frozen=True, slots=True)
class Reply:
    id: str
    model: str
    outputs: Mapping[str, Tensor]


class Endpoint(Protocol):
    """Every call raises Refusal, Gone or Nonsense where there is no answer to return."""

    def live(self) -> bool: ...

    def ready(self) -> bool: ...

    def server(self) -> dict[str, Any]: ...

    def model_ready(self, model: str) -> bool: ...

    def metadata(self, model: str) -> dict[str, Any]: ...

    def config(self, model: str) -> dict[str, Any]: ...

    def infer(
        self, model: str, inputs: Sequence[Tensor], request_id: str = "", parameters: Mapping[str, str | int] | None = None, timeout_s: float = CALL_S
    ) -> Reply: ...

    def close(self) -> None: ...


def endpoint(url: str) -> Endpoint:
    """ValueError for a URL that names no host and port."""
    parts = urlsplit(url if "://" in url else f"grpc://{url}")
    if parts.scheme not in ("grpc", "http") or not parts.hostname or not parts.port or parts.path not in ("", "/"):
        raise ValueError(f"{url!r} is no endpoint; use HOST:PORT (gRPC) or http://HOST:PORT")
    address = f"{parts.hostname}:{parts.port}"
    return GrpcEndpoint(address) if parts.scheme == "grpc" else HttpEndpoint(parts.hostname, parts.port)


class GrpcEndpoint:
    def __init__(self, address: str) -> None:
        self._channel = grpc.insecure_channel(address, [("grpc.max_receive_message_length", MESSAGE_BYTES_MAX)])
        self._stub = Stub(self._channel)

    def live(self) -> bool:
        return self._asked(self._stub.ServerLive, pb.ServerLiveRequest()).live

    def ready(self) -> bool:
        return self._asked(self._stub.ServerReady, pb.ServerReadyRequest()).ready

    def server(self) -> dict[str, Any]:
        said = self._asked(self._stub.ServerMetadata, pb.ServerMetadataRequest())
        return {"name": said.name, "version": said.version}

    def model_ready(self, model: str) -> bool:
        return self._asked(self._stub.ModelReady, pb.ModelReadyRequest(name=model)).ready

    def metadata(self, model: str) -> dict[str, Any]:
        said = self._asked(self._stub.ModelMetadata, pb.ModelMetadataRequest(name=model))
        return {"name": said.name, **{key: [_described(tensor) for tensor in getattr(said, key)] for key in ("inputs", "outputs")}}

    def config(self, model: str) -> dict[str, Any]:
        said = self._asked(self._stub.ModelConfig, pb.ModelConfigRequest(name=model)).config
        return {"max_batch_size": said.max_batch_size, "input": [{"name": tensor.name, "optional": tensor.optional} for tensor in said.input]}

    def infer(
        self, model: str, inputs: Sequence[Tensor], request_id: str = "", parameters: Mapping[str, str | int] | None = None, timeout_s: float = CALL_S
    ) -> Reply:
        message = pb.ModelInferRequest(model_name=model, id=request_id, raw_input_contents=[tensor.raw for tensor in inputs])
        for tensor in inputs:
            message.inputs.add(name=tensor.name, datatype=tensor.datatype, shape=tensor.shape)
        return self._inferred(message, parameters or {}, timeout_s)

    def infer_typed(self, model: str, inputs: Sequence[Tensor]) -> Reply:
        """The same with the values in typed contents, the protocol's other form."""
        message = pb.ModelInferRequest(model_name=model)
        for tensor in inputs:
            added = message.inputs.add(name=tensor.name, datatype=tensor.datatype, shape=tensor.shape)
            getattr(added.contents, CONTENTS[tensor.datatype]).extend(tensor.values())
        return self._inferred(message, {}, CALL_S)

    def close(self) -> None:
        self._channel.close()

    def _inferred(self, message: pb.ModelInferRequest, parameters: Mapping[str, str | int], timeout_s: float) -> Reply:
        for key, value in parameters.items():
            setattr(message.parameters[key], "string_param" if isinstance(value, str) else "int64_param", value)
        said = self._asked(self._stub.ModelInfer, message, timeout_s)
        if said.raw_output_contents and len(said.raw_output_contents) != len(said.outputs):
            raise Nonsense(f"{len(said.outputs)} outputs but {len(said.raw_output_contents)} raw_output_contents")
        raws = said.raw_output_contents or [_from_typed(tensor) for tensor in said.outputs]
        outputs = {tensor.name: Tensor(tensor.name, tensor.datatype, tuple(tensor.shape), raw) for tensor, raw in zip(said.outputs, raws, strict=True)}
        return Reply(said.id, said.model_name, outputs)

    def _asked(self, call: Callable[..., Any], message: Any, timeout_s: float = CALL_S) -> Any:
        try:
            return call(message, timeout=timeout_s)
        except grpc.RpcError as error:
            code, text = error.code().name, error.details() or ""
            if _broke(code, text):
                raise Gone(f"{code}: {text}") from error
            raise Refusal(code, text, code in AGAIN) from error


CONTENTS = {
    "BOOL": "bool_contents",
    "UINT8": "uint_contents",
    "UINT16": "uint_contents",
    "UINT32": "uint_contents",
    "UINT64": "uint64_contents",
    "INT8": "int_contents",
    "INT16": "int_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}
"""Where the protocol puts the values of each type; FP16 has no place there."""


def _broke(code: str, text: str) -> bool:
    """gRPC's own words for a connection that is not there, or ended, rather than an answer of the endpoint's."""
    if code == "DEADLINE_EXCEEDED":
        return True
    signs = ("failed to connect", "Connection reset", "Socket closed", "Connection refused", "Broken pipe", "RST_STREAM", "GOAWAY", "Stream removed", "EOF")
    return code in ("UNAVAILABLE", "CANCELLED", "UNKNOWN", "INTERNAL") and any(sign in text for sign in signs)


def _described(tensor: Any) -> dict[str, Any]:
    return {"name": tensor.name, "datatype": tensor.datatype, "shape": list(tensor.shape)}


def _from_typed(tensor: Any) -> bytes:
    field = CONTENTS.get(tensor.datatype)
    if field is None:
        raise Nonsense(f"output {tensor.name!r} is of type {tensor.datatype!r}, which typed contents do not have")
    values = list(getattr(tensor.contents, field))
    return encode(values) if tensor.datatype == "BYTES" else np.array(values, DTYPES[tensor.datatype]).tobytes()


class HttpEndpoint:
    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port

    def live(self) -> bool:
        return self._is_so("/v2/health/live")

    def ready(self) -> bool:
        return self._is_so("/v2/health/ready")

    def server(self) -> dict[str, Any]:
        return self._object("GET", "/v2")

    def model_ready(self, model: str) -> bool:
        return self._is_so(f"/v2/models/{model}/ready")

    def metadata(self, model: str) -> dict[str, Any]:
        return self._object("GET", f"/v2/models/{model}")

    def config(self, model: str) -> dict[str, Any]:
        return self._object("GET", f"/v2/models/{model}/config")

    def infer(
        self, model: str, inputs: Sequence[Tensor], request_id: str = "", parameters: Mapping[str, str | int] | None = None, timeout_s: float = CALL_S
    ) -> Reply:
        described = [
            {"name": tensor.name, "datatype": tensor.datatype, "shape": list(tensor.shape), "data": _json_values(tensor)} for tensor in inputs
        ]
        body: dict[str, Any] = {"inputs": described}
        if request_id:
            body["id"] = request_id
        if parameters:
            body["parameters"] = dict(parameters)
        said = self._object("POST", f"/v2/models/{model}/infer", json.dumps(body).encode(), timeout_s)
        try:
            outputs = [_tensor(output) for output in said["outputs"]]
            return Reply(str(said.get("id", "")), said["model_name"], {tensor.name: tensor for tensor in outputs})
        except (KeyError, TypeError, ValueError) as error:
            raise Nonsense(f"the answer is not an inference response: {type(error).__name__} {error}") from error

    def close(self) -> None:
        """Each call has a connection of its own."""

    def _is_so(self, path: str) -> bool:
        try:
            self._called("GET", path, None, CALL_S)
        except Refusal:
            return False
        return True

    def _object(self, method: str, path: str, body: bytes | None = None, timeout_s: float = CALL_S) -> dict[str, Any]:
        content = self._called(method, path, body, timeout_s)
        try:
            found = json.loads(content)
        except ValueError as error:
            raise Nonsense(f"{path} answers something else than JSON: {content[:60]!r}") from error
        if not isinstance(found, dict):
            raise Nonsense(f"{path} answers a {type(found).__name__}, not an object")
        return found

    def _called(self, method: str, path: str, body: bytes | None, timeout_s: float) -> bytes:
        connection = http.client.HTTPConnection(self._host, self._port, timeout=timeout_s)
        try:
            connection.request(method, path, body, {"Content-Type": "application/json"} if body else {})
            answer = connection.getresponse()
            content = answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise Gone(f"{type(error).__name__}: {error}") from error
        finally:
            connection.close()
        if answer.status >= 400:
            raise Refusal(str(answer.status), content[:200].decode(errors="replace"), answer.status in AGAIN_HTTP)
        return content


def _json_values(tensor: Tensor) -> list[Any]:
    """The values as they are, even if they are not those of the shape: whether the endpoint notices is its affair."""
    if tensor.datatype != "BYTES":
        return np.frombuffer(tensor.raw, DTYPES[tensor.datatype]).tolist()
    rows, at = [], 0
    while at < len(tensor.raw):
        (length,) = LENGTH.unpack_from(tensor.raw, at)
        at += LENGTH.size + length
        rows.append(tensor.raw[at - length : at].decode())
    return rows


def _tensor(output: Mapping[str, Any]) -> Tensor:
    shape, datatype = tuple(output["shape"]), output["datatype"]
    return Tensor(output["name"], datatype, shape, pack(datatype, shape, output["data"], f"output {output['name']!r}"))
