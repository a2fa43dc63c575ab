"""The protocol's HTTP form: requests and answers between bytes and messages.

A body is JSON, or JSON followed by the tensors' bytes (the binary tensor data extension): the header Inference-Header-Content-Length then
says how long the JSON is, and a tensor in the second part has the parameter `binary_data_size` instead of `data`, in the order in which
the JSON names them. The bytes are those of gRPC's raw contents, little-endian, so both front ends meet in one message.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from math import prod
from typing import Any

import numpy as np

from operators.protocol import inference_pb2 as pb
from operators.protocol.rows import decode, encode

DIMENSIONS_MAX = 16
JSON_BYTES_MAX = 4 << 20  # parsing holds up every other caller: about 10 ms a MiB
DTYPES = {
    "BOOL": "?",
    "UINT8": "u1",
    "UINT16": "<u2",
    "UINT32": "<u4",
    "UINT64": "<u8",
    "INT8": "i1",
    "INT16": "<i2",
    "INT32": "<i4",
    "INT64": "<i8",
    "FP16": "<f2",
    "FP32": "<f4",
    "FP64": "<f8",
}
BINARY, SIZE = "binary_data", "binary_data_size"
BINARY_ALL = "binary_data_output"


class BodyError(ValueError):
    """The body is not what the protocol says; the text names the place."""


def read_request(body: bytes | bytearray, json_bytes: int | None, model: str, version: str = "") -> pb.ModelInferRequest:
    """json_bytes: what Inference-Header-Content-Length says, None without it. Raises nothing but BodyError, whatever the body holds."""
    head, rest = _parts(body, json_bytes)
    message = pb.ModelInferRequest(model_name=model, model_version=version)
    try:
        message.id = _of(head, "id", str, "", "the request")
        _parameters(message.parameters, head, "the request")
        binary = memoryview(rest)
        for described in _each(head, "inputs"):
            binary = _read_input(message, described, binary)
        for described in _each(head, "outputs"):
            _named(output := message.outputs.add(), described, "an output")
            _parameters(output.parameters, described, f"output {output.name!r}")
    except UnicodeEncodeError as error:
        raise BodyError(f"a text is not Unicode: {error.reason}") from error
    if len(binary):
        raise BodyError(f"{len(binary)} bytes are left after the inputs' binary data")
    return message


def write_response(response: pb.ModelInferResponse, request: pb.ModelInferRequest) -> tuple[bytes, int | None]:
    """The body, and the length of its JSON where binary data follows. BodyError where an output that was not asked for as binary data has no JSON."""
    by_default = request.parameters[BINARY_ALL].bool_param if BINARY_ALL in request.parameters else False
    asked = {output.name: output.parameters[BINARY].bool_param for output in request.outputs if BINARY in output.parameters}
    outputs: list[dict[str, Any]] = []
    binary: list[bytes] = []
    for tensor, content in zip(response.outputs, response.raw_output_contents, strict=True):
        parameters = _plain(tensor.parameters)
        described: dict[str, Any] = {"name": tensor.name, "datatype": tensor.datatype, "shape": list(tensor.shape)}
        if "shared_memory_region" in parameters:
            parameters = {}  # as Triton does; its C++ client takes an output that has some for one with binary data
        elif asked.get(tensor.name, by_default):
            parameters[SIZE] = len(content)
            binary.append(content)
        else:
            described["data"] = unpack(tensor.datatype, tensor.shape, content, f"output {tensor.name!r}")
        if parameters:
            described["parameters"] = parameters
        outputs.append(described)
    head = {"model_name": response.model_name, "model_version": response.model_version, "outputs": outputs, "parameters": _plain(response.parameters)}
    if response.id:
        head["id"] = response.id
    text = json.dumps(head, separators=(",", ":")).encode()
    return (b"".join([text, *binary]), len(text)) if binary else (text, None)


def _parts(body: bytes | bytearray, json_bytes: int | None) -> tuple[dict[str, Any], bytes | bytearray]:
    length = len(body) if json_bytes is None else json_bytes
    if not 0 <= length <= len(body):
        raise BodyError(f"Inference-Header-Content-Length is {length}, but the body has {len(body)} bytes")
    if length > JSON_BYTES_MAX:
        raise BodyError(f"{length} bytes of JSON; at most {JSON_BYTES_MAX} are read: send the tensors as binary data")
    try:
        head = json.loads(body[:length])
    except (ValueError, RecursionError) as error:
        raise BodyError(f"the body is not JSON: {error}") from error
    if not isinstance(head, dict):
        raise BodyError('the body is not an object; send {"inputs": [...]}')
    return head, body[length:]


def _read_input(message: pb.ModelInferRequest, described: Mapping[str, Any], binary: memoryview) -> memoryview:
    """Adds the tensor and its content; returns the binary data behind it."""
    tensor = message.inputs.add()
    _named(tensor, described, "an input")
    where = f"input {tensor.name!r}"
    tensor.datatype = _of(described, "datatype", str, None, where)
    shape = _of(described, "shape", list, None, where)
    if len(shape) > DIMENSIONS_MAX or not all(type(size) is int and 0 <= size < 2**31 for size in shape):
        raise BodyError(f"{where} has shape {str(shape)[:100]}; use whole numbers from 0, at most {DIMENSIONS_MAX}")
    tensor.shape.extend(shape)
    _parameters(tensor.parameters, described, where)
    if "shared_memory_region" in tensor.parameters:
        return binary  # what it holds is read later
    if SIZE in tensor.parameters:
        size = tensor.parameters[SIZE].int64_param
        if "data" in described or not 0 <= size <= len(binary):
            raise BodyError(f"{where} has {SIZE} {size}; {len(binary)} bytes of binary data are left, and there must be no data beside it")
        message.raw_input_contents.append(bytes(binary[:size]))
        return binary[size:]
    message.raw_input_contents.append(pack(tensor.datatype, shape, _of(described, "data", list, None, where), where))
    return binary


def pack(datatype: str, shape: Sequence[int], values: list[Any], where: str) -> bytes:
    """The tensor's bytes; values flat or nested. BodyError where they are not of that type and shape."""
    flat = list(_flat(values, len(shape) or 1, where))
    if len(flat) != prod(shape):
        raise BodyError(f"{where} has {len(flat)} values; its shape {list(shape)} has {prod(shape)}")
    if datatype == "BYTES":
        if not all(type(value) is str for value in flat):
            raise BodyError(f"{where}: BYTES are strings in JSON; send other bytes as binary data")
        return encode([value.encode() for value in flat])
    dtype = DTYPES.get(datatype)
    if dtype is None:
        raise BodyError(f"{where} is {datatype[:100]}; use BYTES, {', '.join(DTYPES)}")
    kinds = {"b": (bool,), "f": (int, float)}.get(np.dtype(dtype).kind, (int,))
    if not all(type(value) in kinds for value in flat):
        raise BodyError(f"{where}: the values of {datatype} are {' or '.join(kind.__name__ for kind in kinds)}")
    try:
        with np.errstate(over="ignore"):
            return np.array(flat, dtype).tobytes()
    except OverflowError as error:
        raise BodyError(f"{where}: a value does not fit {datatype}") from error


def _flat(values: list[Any], depth: int, where: str) -> Iterator[Any]:
    """Row-major, from nested lists or from a flat one, as the protocol allows."""
    for value in values:
        if type(value) is not list:
            yield value
        elif depth > 1:
            yield from _flat(value, depth - 1, where)
        else:
            raise BodyError(f"{where}: its data is nested more deeply than its shape")


def unpack(datatype: str, shape: Sequence[int], content: bytes, where: str) -> list[Any]:
    """The tensor's values, flat. BodyError where its bytes are no text."""
    if datatype != "BYTES":
        return np.frombuffer(content, DTYPES[datatype]).tolist()
    try:
        return [row.decode() for row in decode(content, prod(shape))]
    except UnicodeDecodeError as error:
        raise BodyError(f"{where} is not text; ask for it with the parameter {BINARY}") from error


def _named(tensor: Any, described: Mapping[str, Any], where: str) -> None:
    tensor.name = _of(described, "name", str, None, where)


def _each(head: Mapping[str, Any], key: str) -> list[dict[str, Any]]:
    found = _of(head, key, list, [], "the request")
    if not all(isinstance(entry, dict) for entry in found):
        raise BodyError(f"{key} are objects with a name")
    return found


def _of(described: Mapping[str, Any], key: str, kind: type, default: Any, where: str) -> Any:
    value = described.get(key, default)
    if type(value) is not kind:
        raise BodyError(f"{where} has no {key}" if key not in described else f"{where}: {key} is not a {kind.__name__}")
    return value


def _parameters(target: Any, described: Mapping[str, Any], where: str) -> None:
    for key, value in _of(described, "parameters", dict, {}, where).items():
        if type(value) is bool:
            target[key].bool_param = value
        elif type(value) is int and -(2**63) <= value < 2**63:
            target[key].int64_param = value
        elif type(value) is float:
            target[key].double_param = value
        elif type(value) is str:
            target[key].string_param = value
        else:
            raise BodyError(f"{where}: parameter {key[:100]!r} is neither bool, whole number, number nor string")


def _plain(parameters: Mapping[str, pb.InferParameter]) -> dict[str, Any]:
    return {key: getattr(value, str(value.WhichOneof("parameter_choice"))) for key, value in parameters.items()}
