"""Requests and answers between the protocol's messages and the rows of a stage."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from operators.actions import Answer
from operators.protocol import encoding
from operators.protocol import inference_pb2 as pb
from operators.protocol import rows as bytes_rows
from operators.protocol.rows import RowsError, RowTable
from operators.queue import Run
from operators.refusal import shown
from operators.wire import AnswerFrame

ROWS_MAX = 65_536  # of one request; what a row costs beside its bytes is then bounded, too
ID_MAX = 1024  # characters; every answer repeats it

PIN_MAX = 256  # bytes; all rows take as much as the longest

Outputs = list[tuple[str, str, int, bytes | memoryview]]  # name, type, length, content


class RequestError(ValueError):
    """The client's mistake; the text says what to mend."""


class Owner(Protocol):
    """Who waits for a request's answers: a stream or a unary call."""

    def answered(self, request: Request, answer: Answer) -> None: ...


@dataclass(slots=True, eq=False)
class Request:
    """deadlines in seconds of the service's clock; `left` rows are still unanswered.

    What no row brings is None:
    floors   minimum accuracies
    ids      event ids
    pins     versions that the rows met at other stages of the same model, as bytes `variant:version`
    values   what the rows are worth beside each other, >= 0; a row that brings none is worth 1

    twin     hears the answers too
    is_copy  of rows that another request asks for; its answers are compared, never returned
    """

    stage: str
    id: str
    table: RowTable
    deadlines: NDArray[np.float64]
    keep: NDArray[np.bool_] | None
    owner: Owner
    left: int
    floors: NDArray[np.float32] | None = None
    ids: RowTable | None = None
    pins: NDArray[np.bytes_] | None = None
    values: NDArray[np.float32] | None = None
    twin: Owner | None = None
    is_copy: bool = False

    @property
    def size(self) -> int:
        return len(self.table.raw)

    def encoded(self, run: Run) -> memoryview | bytes:
        """A run's rows as they go to a replica."""
        if run.adjacent:
            return self.table.span(run.first, run.last)
        return self.table.gather(run.rows)


@dataclass(frozen=True, slots=True)
class Control:
    """What the proxy should heed."""

    window: int
    batch: int
    back_off_ms: int


def read(message: pb.ModelInferRequest, owner: Owner, offset_s: float, default_deadline_s: float) -> Request:
    """offset_s: the service's clock less Unix time."""
    names = [tensor.name for tensor in message.inputs]
    if len(message.id) > ID_MAX:
        raise RequestError(f"the id has {len(message.id)} characters; use at most {ID_MAX}")
    if "rows" not in names:
        raise RequestError(f"inputs are {shown(names) if names else 'missing'}; send a BYTES tensor named 'rows'")
    raws = _contents(message)
    rows = names.index("rows")
    count = _count(message.inputs[rows], "BYTES", None)
    if count > ROWS_MAX:
        raise RequestError(f"input 'rows' has {count} rows; send at most {ROWS_MAX} in a request")
    table = _table("rows", raws[rows], count)
    deadlines, keep, floors, ids, pins, values = None, None, None, None, None, None
    for tensor, raw in zip(message.inputs, raws, strict=True):
        if tensor.name == "deadline_ms":
            deadlines = _vector(tensor, raw, "INT64", "<i8", count) * 1e-3 + offset_s
        elif tensor.name == "keep":
            keep = _vector(tensor, raw, "BOOL", "u1", count) != 0  # a byte other than 0 and 1 is no bool to numpy, and breaks its indexing
        elif tensor.name == "min_accuracy":
            floors = _vector(tensor, raw, "FP32", "<f4", count)
            floors = floors if (floors > 0).any() else None
        elif tensor.name == "event_id":
            _count(tensor, "BYTES", count)
            ids = _table("event_id", raw, count)
        elif tensor.name == "version":
            _count(tensor, "BYTES", count)
            pins = _pins(_table("version", raw, count).rows())
        elif tensor.name == "value":
            values = _values(_vector(tensor, raw, "FP32", "<f4", count))
    if deadlines is None:
        deadlines = np.empty(count)
        deadlines.fill(default_deadline_s)
    return Request(message.model_name, message.id, table, deadlines, keep, owner, count, floors, ids, pins, values)


def _values(values: NDArray[np.float32]) -> NDArray[np.float32] | None:
    wrong = ~(np.isfinite(values) & (values >= 0))
    if wrong.any():
        raise RequestError(f"input 'value' is {values[wrong][0]} in a row; use a number from 0 on")
    return None if (values == 1).all() else values


def _pins(versions: list[bytes]) -> NDArray[np.bytes_]:
    longest = max(map(len, versions))
    if longest > PIN_MAX:
        raise RequestError(f"input 'version' has {longest} bytes in a row; use variant:version, at most {PIN_MAX}")
    return np.array(versions)


def _table(name: str, raw: bytes, count: int) -> RowTable:
    try:
        return RowTable(raw, count)
    except RowsError as error:
        raise RequestError(f"input '{name}': {error}") from error


def _contents(message: pb.ModelInferRequest) -> list[bytes]:
    if message.raw_input_contents:
        if len(message.raw_input_contents) != len(message.inputs):
            raise RequestError(f"{len(message.inputs)} inputs but {len(message.raw_input_contents)} raw_input_contents; send one for each")
        return list(message.raw_input_contents)
    return [_typed(tensor) for tensor in message.inputs]


def _typed(tensor: pb.ModelInferRequest.InferInputTensor) -> bytes:
    contents = tensor.contents
    if tensor.datatype == "BYTES":
        return bytes_rows.encode(contents.bytes_contents)
    if tensor.datatype == "INT64":
        return np.array(contents.int64_contents, "<i8").tobytes()
    if tensor.datatype == "BOOL":
        return np.array(contents.bool_contents, "?").tobytes()
    return np.array(contents.fp32_contents, "<f4").tobytes()


def _count(tensor: pb.ModelInferRequest.InferInputTensor, datatype: str, count: int | None) -> int:
    if tensor.datatype != datatype:
        raise RequestError(f"input '{tensor.name}' is {tensor.datatype[:20] or 'untyped'}; send {datatype}")
    shape = list(tensor.shape)
    if len(shape) not in (1, 2) or shape[1:] not in ([], [1]) or shape[0] < 1:
        raise RequestError(f"input '{tensor.name}' has shape {shown(shape)}; send [rows], at least one")
    if count is not None and shape[0] != count:
        raise RequestError(f"input '{tensor.name}' has {shape[0]} values for {count} rows; send one per row")
    return shape[0]


def _vector(tensor: pb.ModelInferRequest.InferInputTensor, raw: bytes, datatype: str, dtype: str, count: int) -> NDArray[Any]:
    _count(tensor, datatype, count)
    if len(raw) != count * np.dtype(dtype).itemsize:
        raise RequestError(f"input '{tensor.name}' has {len(raw)} bytes; {count} rows of {datatype} take {count * np.dtype(dtype).itemsize}")
    return np.frombuffer(raw, dtype)


def results(answer: Answer) -> tuple[bytes | memoryview, NDArray[np.int32] | None, int]:
    """The answer's results: BYTES tensor, children per row, number of results."""
    answered = len(answer.run) - len(answer.reasons)
    if answer.result is None:
        return b"", None, 0
    frame: AnswerFrame = answer.result.payload
    begin = sum(frame.sizes[: answer.part])
    payload = frame.payload[begin : begin + frame.sizes[answer.part]]
    if frame.children is None:
        return payload, None, answered
    children = frame.children[answer.first : answer.first + len(answer.run)]
    return payload, children, int(children.sum())


def response(request: Request, answer: Answer, control: Control) -> bytes:
    """A ModelStreamInferResponse, serialised."""
    run, variant = answer.run, answer.variant
    count = len(run)
    queue_us = int(min(answer.queue_s * 1e6, 2**31 - 1)).to_bytes(4, "little") * count
    payload, children, number = results(answer)
    outputs: Outputs = [
        ("row", "INT32", count, run.rows.tobytes()),
        ("status", "UINT8", count, answer.status.tobytes()),
        ("queue_us", "INT32", count, queue_us),
        ("rows", "BYTES", number, payload),
    ]
    if children is not None:
        outputs.append(("children", "INT32", count, children.tobytes()))
    if answer.reasons:
        outputs.append(("reason", "BYTES", len(answer.reasons), bytes_rows.encode([reason.encode() for reason in answer.reasons])))
    numbers = {"window": control.window, "batch": control.batch, "back_off_ms": control.back_off_ms, "compute_us": _compute_us(answer)}
    strings = {"variant": variant.name, "version": variant.version}
    return encoding.stream_response(encoding.heads(request.stage, variant.version, request.id, strings, numbers), outputs)


def unary_response(request: Request, answer: Answer, outputs: Outputs) -> bytes:
    """A ModelInferResponse, serialised. answer: of some of the rows."""
    variant = answer.variant
    strings = {"variant": variant.name, "version": variant.version}
    heads = encoding.heads(request.stage, variant.version, request.id, strings, {"compute_us": _compute_us(answer)})
    return encoding.response(heads, outputs)


def _compute_us(answer: Answer) -> int:
    return int(answer.result.compute_s * 1e6) if answer.result is not None else 0
