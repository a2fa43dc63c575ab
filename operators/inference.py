"""Unary inference, whichever front end it came by: the whole request is answered, or refused with what is wrong about it."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from operators import requests
from operators.actions import Answer
from operators.hosted import HostedStage
from operators.protocol import inference_pb2 as pb
from operators.protocol.rows import decode, encode
from operators.refusal import WORD_MAX, Fault, Refused, shown
from operators.requests import Request, RequestError
from operators.serving import Serving
from operators.shared_memory import SharedMemory

REGION, OFFSET, SIZE = "shared_memory_region", "shared_memory_offset", "shared_memory_byte_size"
TIMEOUT = "timeout"  # request parameter of Triton's: microseconds


class Inference:
    def __init__(self, serving: Serving, memory: SharedMemory) -> None:
        self._serving = serving
        self._memory = memory
        self._loop = asyncio.get_running_loop()
        self._waiting: dict[str, set[_Call]] = {name: set() for name in serving.stages}

    async def infer(self, message: pb.ModelInferRequest) -> pb.ModelInferResponse:
        """The answer to all rows, with the outputs that were asked for."""
        response = pb.ModelInferResponse.FromString(await self._answer(message))
        if message.outputs:
            self._select(message, response)
        return response

    async def serialised(self, message: pb.ModelInferRequest) -> bytes:
        """The same as it goes out; where all outputs are wanted nothing is built only to be serialised."""
        return (await self.infer(message)).SerializeToString() if message.outputs else await self._answer(message)

    async def _answer(self, message: pb.ModelInferRequest) -> bytes:
        """All outputs of all rows. Refused where one failed, naming those that did. Cancelling it forgets the rows that still wait."""
        hosted = hosted_stage(self._serving, message.model_name, message.model_version)
        self._check_open(hosted)
        if any(REGION in tensor.parameters for tensor in message.inputs):
            self._take_from_regions(message)
        call = _Call(self._loop)
        try:
            request = requests.read(message, call, *self._clock(message))
        except RequestError as error:
            raise Refused(Fault.INVALID, str(error)) from error
        waiting = self._waiting[hosted.spec.name]
        waiting.add(call)
        hosted.submit(request)
        try:
            await call.done
        except asyncio.CancelledError:
            hosted.forget(call)
            raise
        finally:
            waiting.discard(call)
        failures = call.failures()
        if failures:
            raise Refused(Fault.FAILED, "; ".join(failures))
        return requests.unary_response(request, call.first, call.outputs(request))

    def give_up(self, hosted: HostedStage) -> None:
        """Refuses the calls that wait for this stage: it has been unloaded. Rows that run already are not waited for."""
        for call in list(self._waiting[hosted.spec.name]):
            hosted.forget(call)
            if not call.done.done():
                call.done.set_exception(_unloaded(hosted))

    def _check_open(self, hosted: HostedStage) -> None:
        if hosted.full:
            raise Refused(Fault.BUSY, f"stage {hosted.spec.name} holds all the rows it may; try again later")
        if self._serving.stopping:
            raise Refused(Fault.AWAY, "the service is stopping")
        if not hosted.stage.setting.replicas:
            raise _unloaded(hosted)

    def _clock(self, message: pb.ModelInferRequest) -> tuple[float, float]:
        """The service's clock less Unix time, and the deadline of rows that bring none, in seconds."""
        now = self._loop.time()
        patience_s = self._serving.pipeline.slo_ms * 1e-3
        if TIMEOUT in message.parameters:
            patience_s = max(0, message.parameters[TIMEOUT].int64_param) * 1e-6
        return now - time.time(), now + patience_s

    def _take_from_regions(self, message: pb.ModelInferRequest) -> None:
        """Puts each tensor's bytes in its place among the raw contents; those that were sent there keep their order."""
        sent = iter(message.raw_input_contents)
        contents = []
        for tensor in message.inputs:
            if REGION in tensor.parameters:
                contents.append(self._memory.read(*_place(tensor.parameters)))
            else:
                contents.append(next(sent, b""))
        if next(sent, None) is not None:
            raise Refused(Fault.INVALID, "there are more raw_input_contents than inputs that are not in shared memory")
        del message.raw_input_contents[:]
        message.raw_input_contents.extend(contents)

    def _select(self, message: pb.ModelInferRequest, response: pb.ModelInferResponse) -> None:
        """Leaves the outputs that were asked for, in that order, and puts into regions those that belong there."""
        made = {tensor.name: (tensor, content) for tensor, content in zip(response.outputs, response.raw_output_contents, strict=True)}
        placed: list[tuple[str, int, bytes]] = []
        outputs, contents = [], []
        for wanted in message.outputs:
            if wanted.name not in made:
                raise Refused(Fault.INVALID, f"there is no output {shown(wanted.name)}; there are {', '.join(made)}")
            if "classification" in wanted.parameters:
                raise Refused(Fault.INVALID, "outputs are rows of bytes; there are no classes to sort")
            tensor, content = made[wanted.name]
            if REGION in wanted.parameters:
                region, offset, size = _place(wanted.parameters)
                if len(content) > size:
                    raise Refused(Fault.INVALID, f"output {wanted.name!r} takes {len(content)} bytes; its place in region {region!r} has {size}")
                placed.append((region, offset, content))
                tensor.parameters[REGION].string_param = region
                tensor.parameters[OFFSET].int64_param = offset
                tensor.parameters[SIZE].int64_param = len(content)
                content = b""  # the clients count outputs and contents alike
            outputs.append(tensor)
            contents.append(content)
        for region, offset, content in placed:
            self._memory.write(region, offset, content)
        kept = pb.ModelInferResponse(outputs=outputs, raw_output_contents=contents)
        del response.outputs[:], response.raw_output_contents[:]
        response.MergeFrom(kept)


def hosted_stage(serving: Serving, name: str, version: str = "") -> HostedStage:
    """The stage of that name, in that version if one is named; Refused when it is not here."""
    hosted = serving.stages.get(name)
    if hosted is None:
        raise Refused(Fault.NOT_FOUND, f"no stage {shown(name)} here; pipeline {serving.pipeline.name} has {', '.join(serving.stages)}")
    serves = hosted.stage.setting.variant.version
    if version and version != serves:
        raise Refused(Fault.NOT_FOUND, f"stage {name} serves version {serves}, not {version[:WORD_MAX]}")
    return hosted


def _unloaded(hosted: HostedStage) -> Refused:
    return Refused(Fault.AWAY, f"stage {hosted.spec.name} is unloaded; load it first")


def _place(parameters: dict[str, pb.InferParameter]) -> tuple[str, int, int]:
    """Region, offset and size in bytes."""
    if SIZE not in parameters:
        raise Refused(Fault.INVALID, f"a tensor in shared memory needs the parameter {SIZE}")
    offset = parameters[OFFSET].int64_param if OFFSET in parameters else 0
    return parameters[REGION].string_param, offset, parameters[SIZE].int64_param


class _Call:
    """Gathers the answers of one request's rows."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.done: asyncio.Future[None] = loop.create_future()
        self._answers: list[Answer] = []

    def answered(self, request: Request, answer: Answer) -> None:
        self._answers.append(answer)
        if not request.left and not self.done.done():
            self.done.set_result(None)

    def failures(self) -> list[str]:
        found: list[str] = []
        for answer in self._answers:
            if not answer.reasons:
                continue
            at = [row for row, status in zip(answer.run.rows.tolist(), answer.status.tolist(), strict=True) if status >= 2]
            found += [f"row {row}: {reason}" for row, reason in zip(at, answer.reasons, strict=True)]
        return sorted(found)

    @property
    def first(self) -> Answer:
        return self._answers[0]

    def outputs(self, request: Request) -> requests.Outputs:
        """Of all rows in the request's order."""
        if all(answer.run.adjacent for answer in self._answers):
            return self._in_line()
        return self._one_by_one(request)

    def _in_line(self) -> requests.Outputs:
        """Answers to ranges of rows hold their results in order: they are put behind each other as they are."""
        found = [requests.results(answer) for answer in sorted(self._answers, key=lambda answer: answer.run.first)]
        payloads = [payload for payload, _, _ in found]
        outputs: requests.Outputs = [("rows", "BYTES", sum(number for _, _, number in found), payloads[0] if len(found) == 1 else b"".join(payloads))]
        if found[0][1] is not None:
            outputs.append(_children(np.concatenate([children for _, children, _ in found if children is not None])))
        return outputs

    def _one_by_one(self, request: Request) -> requests.Outputs:
        row_results: list[list[bytes]] = [[] for _ in range(request.table.count)]
        fans_out = False
        for answer in self._answers:
            payload, children, number = requests.results(answer)
            values = iter(decode(payload, number))
            fans_out = children is not None
            counts = children.tolist() if children is not None else [1] * len(answer.run)
            for row, many in zip(answer.run.rows.tolist(), counts, strict=True):
                row_results[row] = [next(values) for _ in range(many)]
        flat = [value for values in row_results for value in values]
        outputs: requests.Outputs = [("rows", "BYTES", len(flat), encode(flat))]
        if fans_out:
            outputs.append(_children(np.array([len(values) for values in row_results])))
        return outputs


def _children(counts: NDArray[np.integer[Any]]) -> tuple[str, str, int, bytes]:
    return "children", "INT32", len(counts), counts.astype("<i4").tobytes()
