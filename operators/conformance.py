"""What a v2 endpoint gets wrong: each check is one thing that a stage's proxy, or any client, relies on.

A check returns (it holds), or raises Wrong with what was found, or Skipped with why it does not apply. After a check that sends something
wrong, the endpoint must still answer. Errors must have a code that says the rows are at fault: after one that says "later", a proxy sends
the same rows again (Refusal.again).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

import numpy as np

from operators.endpoints import CONTENTS, Endpoint, Gone, GrpcEndpoint, Nonsense, Refusal, Reply, Tensor
from operators.protocol.json_tensors import DTYPES
from operators.protocol.rows import encode

ROWS = 7
CALLERS = 16
LARGE_BYTES = 5 << 20  # above gRPC's default limit of 4 MiB, which a batch of images soon is
SHORT_S = 0.001
TOLERANCE = 1e-3  # relative, of float outputs: a network's answers differ a little with the batch


class Verdict(StrEnum):
    OK = "ok"
    WRONG = "wrong"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Result:
    check: str
    verdict: Verdict
    detail: str = ""


class Wrong(Exception):
    """The text says what was found, and where it helps what to do."""


class Skipped(Exception):
    """The check does not apply; the text says why."""


@dataclass(frozen=True, slots=True)
class Inputs:
    """The tensors that a request needs. shapes of one row; rows_given: rows of the one BYTES input, None = made up."""

    names: tuple[str, ...]
    datatypes: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]
    is_batched: bool
    rows_given: tuple[bytes, ...] | None = None

    def rows(self, *numbers: int) -> list[Tensor]:
        """Rows of these numbers; the same number gives the same row."""
        return [self._tensor(at, numbers) for at in range(len(self.names))]

    def _tensor(self, at: int, numbers: Sequence[int]) -> Tensor:
        datatype, shape = self.datatypes[at], self.shapes[at]
        whole = (len(numbers), *shape) if self.is_batched else shape
        made = {number: self._row(datatype, shape, number) for number in set(numbers)}
        return Tensor(self.names[at], datatype, whole, b"".join([made[number] for number in numbers]))

    def _row(self, datatype: str, shape: Sequence[int], number: int) -> bytes:
        values = int(np.prod(shape, dtype=np.int64))
        if datatype == "BYTES":
            given = self.rows_given
            return encode([given[number % len(given)] if given else b"row %d" % number] * values)
        drawn = np.random.default_rng(number).random(values)
        dtype = np.dtype(DTYPES[datatype])
        return (drawn if dtype.kind == "f" else drawn > 0.5 if dtype.kind == "b" else drawn * 10).astype(dtype).tobytes()


@dataclass(frozen=True, slots=True)
class Probe:
    """One endpoint under test."""

    endpoint: Endpoint
    model: str
    inputs: Inputs
    described: Mapping[str, Any]

    def infer(self, *numbers: int, **how: Any) -> Reply:
        return self.endpoint.infer(self.model, self.inputs.rows(*numbers), **how)

    def still_answers(self, after: str) -> None:
        try:
            self.infer(0)
        except (Refusal, Gone, Nonsense) as error:
            raise Wrong(f"after {after} it answers no more: {error}") from error

    def refuses(self, tensors: Sequence[Tensor], what: str) -> None:
        """A request that is wrong gets an error that says so, and nothing else suffers."""
        try:
            self.endpoint.infer(self.model, tensors)
        except Refusal as refusal:
            if refusal.again:
                raise Wrong(f"{what} is refused with {refusal.code}, after which the same rows come again; use INVALID_ARGUMENT (400)") from refusal
        except Gone as error:
            raise Wrong(f"{what} gets no answer: {error}") from error
        else:
            raise Wrong(f"{what} is answered instead of refused")
        finally:
            self.still_answers(what)


Check = Callable[[Probe], None]


def run(endpoint: Endpoint, model: str, rows: Sequence[bytes] = ()) -> Iterator[Result]:
    """Results as they come. rows: for a model whose input is text or bytes of a certain form; else made up."""
    for check in SERVER:
        yield _tried(check, lambda check=check: check(endpoint, model))
    try:
        probe = _probe(endpoint, model, tuple(rows))
    except (Wrong, Refusal, Gone, Nonsense) as error:
        yield Result("metadata", Verdict.WRONG, str(error))
        return
    yield Result("metadata", Verdict.OK)
    for check in MODEL:
        yield _tried(check, lambda check=check: check(probe))


def _tried(check: Callable[..., None], call: Callable[[], None]) -> Result:
    name = check.__name__.replace("_", " ")
    try:
        call()
    except Skipped as skipped:
        return Result(name, Verdict.SKIPPED, str(skipped))
    except Wrong as wrong:
        return Result(name, Verdict.WRONG, str(wrong))
    except (Refusal, Gone, Nonsense) as error:
        return Result(name, Verdict.WRONG, f"{type(error).__name__.lower()}: {error}")
    return Result(name, Verdict.OK)


def _probe(endpoint: Endpoint, model: str, rows: tuple[bytes, ...]) -> Probe:
    described = endpoint.metadata(model)
    if described.get("name") != model:
        raise Wrong(f"metadata of {model!r} has the name {described.get('name')!r}")
    for key in ("inputs", "outputs"):
        tensors = described.get(key) or []
        if not tensors:
            raise Wrong(f"metadata has no {key}: a client cannot know what to send")
        for tensor in tensors:
            if tensor.get("datatype") not in CONTENTS and tensor.get("datatype") != "FP16":
                raise Wrong(f"tensor {tensor.get('name')!r} is of type {tensor.get('datatype')!r}; use BYTES, FP32, INT64, ...")
            if not all(size == -1 or size > 0 for size in tensor.get("shape", [])):
                raise Wrong(f"tensor {tensor['name']!r} has shape {tensor.get('shape')}; use sizes, or -1 for any")
    optional = _optional(endpoint, model)
    needed = [tensor for tensor in described["inputs"] if tensor["name"] not in optional]
    is_batched = all(list(tensor["shape"][:1]) == [-1] for tensor in needed)
    shapes = tuple(tuple(1 if size == -1 else size for size in tensor["shape"][is_batched:]) for tensor in needed)
    inputs = Inputs(tuple(t["name"] for t in needed), tuple(t["datatype"] for t in needed), shapes, is_batched, rows or None)
    return Probe(endpoint, model, inputs, described)


def _optional(endpoint: Endpoint, model: str) -> set[str]:
    """Inputs that need not be sent: only the model configuration says so, and a server may have none."""
    try:
        return {tensor["name"] for tensor in endpoint.config(model).get("input", []) if tensor.get("optional")}
    except (Refusal, Nonsense):
        return set()


# of the server


def is_live(endpoint: Endpoint, model: str) -> None:
    if not endpoint.live():
        raise Wrong("ServerLive says no")


def is_ready(endpoint: Endpoint, model: str) -> None:
    if not endpoint.ready():
        raise Wrong("ServerReady says no")


def server_metadata(endpoint: Endpoint, model: str) -> None:
    if not endpoint.server().get("name"):
        raise Wrong("the server has no name")


def model_is_ready(endpoint: Endpoint, model: str) -> None:
    if not endpoint.model_ready(model):
        raise Wrong(f"ModelReady of {model!r} says no")


def unknown_model(endpoint: Endpoint, model: str) -> None:
    name = f"no-such-{model}"
    try:
        if endpoint.model_ready(name):
            raise Wrong(f"ModelReady of {name!r} says yes")
    except Refusal:
        pass  # as good an answer
    try:
        endpoint.metadata(name)
    except Refusal as refusal:
        if refusal.again:
            raise Wrong(f"metadata of an unknown model: {refusal.code}; use NOT_FOUND (404)") from refusal
    else:
        raise Wrong(f"there is metadata of {name!r}")


SERVER = (is_live, is_ready, server_metadata, model_is_ready, unknown_model)


# of the model


def one_row(probe: Probe) -> None:
    reply = probe.infer(0)
    if reply.model != probe.model:
        raise Wrong(f"the answer is of model {reply.model!r}")
    for tensor in probe.described["outputs"]:
        found = reply.outputs.get(tensor["name"])
        if found is None:
            raise Wrong(f"output {tensor['name']!r} of the metadata is missing; there are {', '.join(reply.outputs) or 'none'}")
        if found.datatype != tensor["datatype"]:
            raise Wrong(f"output {found.name!r} is {found.datatype}; the metadata says {tensor['datatype']}")
        found.values()


def request_id(probe: Probe) -> None:
    found = probe.infer(0, request_id="probe 17").id
    if found != "probe 17":
        raise Wrong(f"the answer to id 'probe 17' has id {found!r}")


def rows_of_a_batch(probe: Probe) -> None:
    outputs = probe.infer(*_numbers(probe)).outputs
    if "children" in outputs:
        raise Skipped("it fans out")
    for tensor in outputs.values():
        tensor.values()
        if tensor.shape[:1] != (ROWS,):
            raise Wrong(f"output {tensor.name!r} has shape {list(tensor.shape)} for {ROWS} rows")


def row_order(probe: Probe) -> None:
    """Each row's answer is the one it gets alone, wherever it stands."""
    numbers = _numbers(probe)
    for order in (numbers, numbers[::-1]):
        together = _by_row(probe.infer(*order), ROWS)
        for place, number in enumerate(order):
            alone = _by_row(probe.infer(number), 1)
            for name, values in alone.items():
                if not _same(together[name][place], values[0]):
                    raise Wrong(f"output {name!r}, row {place} of {ROWS}: {_short(together[name][place])}; alone it is {_short(values[0])}")


def typed_contents(probe: Probe) -> None:
    endpoint = probe.endpoint
    if not isinstance(endpoint, GrpcEndpoint):
        raise Skipped("of gRPC only")
    if "FP16" in probe.inputs.datatypes:
        raise Skipped("FP16 has no typed contents")
    raw, typed = probe.infer(0), endpoint.infer_typed(probe.model, probe.inputs.rows(0))
    for name, tensor in raw.outputs.items():
        if name not in typed.outputs or not _same(tensor.values(), typed.outputs[name].values()):
            raise Wrong(f"output {name!r} differs between raw and typed contents")


def unknown_parameters(probe: Probe) -> None:
    try:
        probe.infer(0, parameters={"sluice-probe": "1", "received": 3})
    except Refusal as refusal:
        raise Wrong(f"parameters that it does not know make it refuse: {refusal}") from refusal


def wrong_datatype(probe: Probe) -> None:
    first, *rest = probe.inputs.rows(0)
    other = "INT64" if first.datatype == "BYTES" else "BYTES"
    count = int(np.prod(first.shape, dtype=np.int64))
    raw = bytes(8 * count) if other == "INT64" else encode([b"x"] * count)
    probe.refuses([replace(first, datatype=other, raw=raw), *rest], f"{other} for {first.datatype}")


def wrong_shape(probe: Probe) -> None:
    first, *rest = probe.inputs.rows(0)
    count = int(np.prod(first.shape, dtype=np.int64))
    probe.refuses([replace(first, shape=(count, 2, 3), raw=first.raw * 6), *rest], f"shape {[count, 2, 3]}")


def fewer_values_than_the_shape_says(probe: Probe) -> None:
    first, *rest = probe.inputs.rows(0)
    more = (first.shape[0] + 3, *first.shape[1:]) if first.shape else (4,)
    probe.refuses([replace(first, shape=more), *rest], f"shape {list(more)} with the values of {list(first.shape)}")


def lying_length(probe: Probe) -> None:
    first, *rest = probe.inputs.rows(0)
    if not isinstance(probe.endpoint, GrpcEndpoint):
        raise Skipped("JSON has no lengths")
    raw = b"\xff\xff\xff\x7f" + first.raw[4:] if first.datatype == "BYTES" else first.raw[:-1]
    probe.refuses([replace(first, raw=raw), *rest], "a tensor whose bytes end too early")


def missing_input(probe: Probe) -> None:
    probe.refuses(probe.inputs.rows(0)[1:], f"a request without input {probe.inputs.names[0]!r}")


def no_rows(probe: Probe) -> None:
    """An answer without rows is as good as an error."""
    if not probe.inputs.is_batched:
        raise Skipped("the model takes no batches")
    try:
        reply = probe.infer()
    except Refusal as refusal:
        if refusal.again:
            raise Wrong(f"a request without rows is refused with {refusal.code}; use INVALID_ARGUMENT (400)") from refusal
    else:
        wrong = [tensor.name for tensor in reply.outputs.values() if tensor.shape[:1] != (0,)]
        if wrong:
            raise Wrong(f"output {wrong[0]!r} of a request without rows has some")
    finally:
        probe.still_answers("a request without rows")


def errors_of_others(probe: Probe) -> None:
    """Good requests are answered while bad ones are refused."""
    first, *rest = probe.inputs.rows(0)
    bad = [replace(first, shape=(first.shape[0] + 3, *first.shape[1:]) if first.shape else (4,)), *rest]

    def call(number: int) -> str | None:
        try:
            probe.endpoint.infer(probe.model, bad if number % 2 else probe.inputs.rows(number))
        except (Refusal, Gone, Nonsense) as error:
            return None if number % 2 else str(error)
        return None

    with ThreadPoolExecutor(CALLERS) as callers:
        failed = [error for error in callers.map(call, range(2 * CALLERS)) if error]
    if failed:
        raise Wrong(f"{len(failed)} of {CALLERS} good requests fail beside bad ones: {failed[0]}")


def several_callers(probe: Probe) -> None:
    """Each gets its own answer."""
    expected = [_by_row(probe.infer(number), 1) for number in range(CALLERS)]
    with ThreadPoolExecutor(CALLERS) as callers:
        found = list(callers.map(lambda number: _by_row(probe.infer(number), 1), range(CALLERS)))
    wrong = [number for number in range(CALLERS) if not all(_same(found[number][name], expected[number][name]) for name in expected[number])]
    if wrong:
        raise Wrong(f"{len(wrong)} of {CALLERS} callers at once got another answer than alone")


def impatient_caller(probe: Probe) -> None:
    """One that does not wait for its answer leaves the endpoint as it was."""
    with suppress(Gone, Refusal):
        probe.infer(0, timeout_s=SHORT_S)
    probe.still_answers("a caller that did not wait")


def large_request(probe: Probe) -> None:
    first, *rest = probe.inputs.rows(0)
    if first.datatype == "BYTES" and np.prod(first.shape, dtype=np.int64) == 1:
        tensors = [replace(first, raw=encode([b"x" * LARGE_BYTES])), *rest]
    elif probe.inputs.is_batched:
        tensors = probe.inputs.rows(*[0] * (LARGE_BYTES // len(first.raw) + 1))
    else:
        raise Skipped("the model takes one row of one size")
    try:
        probe.endpoint.infer(probe.model, tensors)
    except Refusal as refusal:
        if refusal.again:
            raise Wrong(f"{LARGE_BYTES} bytes: {refusal}; let it take larger messages (gRPC: grpc.max_receive_message_length)") from refusal
    probe.still_answers("a large request")


MODEL = (
    one_row,
    request_id,
    rows_of_a_batch,
    row_order,
    typed_contents,
    unknown_parameters,
    wrong_datatype,
    wrong_shape,
    fewer_values_than_the_shape_says,
    lying_length,
    missing_input,
    no_rows,
    errors_of_others,
    several_callers,
    impatient_caller,
    large_request,
)


def _numbers(probe: Probe) -> list[int]:
    if not probe.inputs.is_batched:
        raise Skipped("the model takes no batches: its inputs' first dimension is not -1")
    return list(range(ROWS))


def _by_row(reply: Reply, rows: int) -> dict[str, list[list[Any]]]:
    """Of each output the values of each row; a fan-out's are cut by its `children`."""
    children = reply.outputs.get("children")
    found = {}
    for name, tensor in reply.outputs.items():
        values = tensor.values()
        if children is not None and tensor is not children:
            ends = np.cumsum([0, *children.values()]).tolist()
            found[name] = [values[ends[row] : ends[row + 1]] for row in range(rows)]
        elif len(values) % rows:
            raise Wrong(f"output {name!r} has {len(values)} values for {rows} rows")
        else:
            each = len(values) // rows
            found[name] = [values[row * each : (row + 1) * each] for row in range(rows)]
    return found


def _same(a: list[Any], b: list[Any]) -> bool:
    if len(a) != len(b):
        return False
    if a and isinstance(a[0], float):
        return bool(np.allclose(a, b, rtol=TOLERANCE, atol=1e-6, equal_nan=True))
    return a == b


def _short(value: object) -> str:
    return repr(value)[:60]
