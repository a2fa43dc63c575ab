"""A response as bytes, written directly: the results' bytes are copied once, and nothing is built only to be serialised.

    ModelStreamInferResponse { infer_response = 2 { model_name = 1  model_version = 2  id = 3  parameters = 4  outputs = 5
                               raw_output_contents = 6 } }
    outputs { name = 1  datatype = 2  shape = 3 (packed) }     parameters { key = 1  value = 2 { int64_param = 2 | string_param = 3 } }

The tests compare it with what protobuf itself writes and reads.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache

Buffer = bytes | memoryview

MODEL_NAME, MODEL_VERSION, ID, PARAMETERS, OUTPUTS, RAW = (number << 3 | 2 for number in range(1, 7))
INFER_RESPONSE = 2 << 3 | 2
NAME, DATATYPE, SHAPE = (number << 3 | 2 for number in range(1, 4))
KEY, VALUE, INT64_PARAM, STRING_PARAM = 1 << 3 | 2, 2 << 3 | 2, 2 << 3, 3 << 3 | 2


def varint(value: int) -> bytes:
    """value >= 0."""
    if value < 0x80:
        return bytes((value,))
    if value < 0x4000:
        return bytes((value & 0x7F | 0x80, value >> 7))
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def field(tag: int, content: bytes) -> bytes:
    return bytes((tag,)) + varint(len(content)) + content


@lru_cache(1024)
def text(tag: int, value: str) -> bytes:
    return field(tag, value.encode()) if value else b""


@lru_cache(1024)
def output(name: str, datatype: str, length: int) -> bytes:
    return field(OUTPUTS, field(NAME, name.encode()) + field(DATATYPE, datatype.encode()) + field(SHAPE, varint(length)))


@lru_cache(256)
def string_parameter(key: str, value: str) -> bytes:
    return field(PARAMETERS, field(KEY, key.encode()) + field(VALUE, field(STRING_PARAM, value.encode())))


@lru_cache(4096)
def int_parameter(key: str, value: int) -> bytes:
    """value >= 0."""
    return field(PARAMETERS, field(KEY, key.encode()) + field(VALUE, bytes((INT64_PARAM,)) + varint(value)))


def stream_response(heads: Iterable[bytes], outputs: Sequence[tuple[str, str, int, Buffer]]) -> bytes:
    """heads: fields of the infer_response; outputs: name, datatype, length, content."""
    parts = _parts(heads, outputs)
    return b"".join([bytes((INFER_RESPONSE,)), varint(sum(map(len, parts))), *parts])


def response(heads: Iterable[bytes], outputs: Sequence[tuple[str, str, int, Buffer]]) -> bytes:
    """The infer_response alone, a ModelInferResponse."""
    return b"".join(_parts(heads, outputs))


def _parts(heads: Iterable[bytes], outputs: Sequence[tuple[str, str, int, Buffer]]) -> list[Buffer]:
    parts: list[Buffer] = [*heads]
    for name, datatype, length, _ in outputs:
        parts.append(output(name, datatype, length))
    for *_, content in outputs:
        parts += (bytes((RAW,)) + varint(len(content)), content)
    return parts


def heads(model: str, version: str, request_id: str, strings: Mapping[str, str], numbers: Mapping[str, int]) -> list[bytes]:
    parts = [text(MODEL_NAME, model), text(MODEL_VERSION, version), text.__wrapped__(ID, request_id)]
    parts += [string_parameter(key, value) for key, value in strings.items()]
    return parts + [int_parameter(key, value) for key, value in numbers.items()]
