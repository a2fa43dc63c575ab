"""A tiny operator service of somebody else's over gRPC: right as it stands, wrong in one thing by each of the subclasses."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import grpc
import numpy as np

from operators.protocol import calls
from operators.protocol import inference_pb2 as pb
from operators.protocol.rows import RowsError, decode, encode


class Upper:
    """Model `upper`: text in capitals, and how many bytes each row has."""

    def ServerLive(self, request, context):
        return pb.ServerLiveResponse(live=True)

    def ServerReady(self, request, context):
        return pb.ServerReadyResponse(ready=True)

    def ServerMetadata(self, request, context):
        return pb.ServerMetadataResponse(name="tiny", version="1")

    def ModelReady(self, request, context):
        return pb.ModelReadyResponse(ready=request.name == "upper")

    def ModelMetadata(self, request, context):
        self.known(request.name, context)
        text = {"name": "text", "datatype": "BYTES", "shape": [-1, 1]}
        return pb.ModelMetadataResponse(name=request.name, inputs=[text], outputs=[text, {"name": "bytes", "datatype": "INT32", "shape": [-1, 1]}])

    def ModelInfer(self, request, context):
        self.known(request.model_name, context)
        return self.answer(request, [row.upper() for row in self.rows(request, context)])

    def ModelStreamInfer(self, requests, context):
        context.abort(grpc.StatusCode.UNIMPLEMENTED, "no streams")

    def known(self, name, context):
        if name != "upper":
            context.abort(grpc.StatusCode.NOT_FOUND, f"no model {name}")

    def rows(self, request, context):
        if [tensor.name for tensor in request.inputs] != ["text"]:
            self.refuse(context, "send one input, text")
        tensor = request.inputs[0]
        if tensor.datatype != "BYTES" or len(tensor.shape) != 2 or tensor.shape[1] != 1:
            self.refuse(context, "text is BYTES of shape [rows, 1]")
        try:
            raw = request.raw_input_contents[0] if request.raw_input_contents else encode(tensor.contents.bytes_contents)
            return decode(raw, tensor.shape[0])
        except RowsError as error:
            return self.refuse(context, str(error))

    def refuse(self, context, text):
        context.abort(grpc.StatusCode.INVALID_ARGUMENT, text)

    def answer(self, request, texts):
        response = pb.ModelInferResponse(model_name=request.model_name, id=request.id)
        response.outputs.add(name="text", datatype="BYTES", shape=[len(texts), 1])
        response.outputs.add(name="bytes", datatype="INT32", shape=[len(texts), 1])
        response.raw_output_contents.extend([encode(texts), np.array([len(text) for text in texts], "<i4").tobytes()])
        return response


class Doubler(Upper):
    """A numeric model, also called `upper`: twice three numbers."""

    def ModelMetadata(self, request, context):
        self.known(request.name, context)
        numbers = {"name": "x", "datatype": "FP32", "shape": [-1, 3]}
        return pb.ModelMetadataResponse(name=request.name, inputs=[numbers], outputs=[{**numbers, "name": "y"}])

    def ModelInfer(self, request, context):
        self.known(request.model_name, context)
        if [tensor.name for tensor in request.inputs] != ["x"] or request.inputs[0].datatype != "FP32":
            self.refuse(context, "send one input, x, FP32")
        shape = list(request.inputs[0].shape)
        raw = request.raw_input_contents[0] if request.raw_input_contents else np.array(request.inputs[0].contents.fp32_contents, "<f4").tobytes()
        if shape[1:] != [3] or len(raw) != 12 * shape[0]:
            self.refuse(context, "x has shape [rows, 3]")
        response = pb.ModelInferResponse(model_name=request.model_name, id=request.id)
        response.outputs.add(name="y", datatype="FP32", shape=shape)
        response.raw_output_contents.append((np.frombuffer(raw, "<f4") * 2).tobytes())
        return response


class NotReady(Upper):
    def ServerReady(self, request, context):
        return pb.ServerReadyResponse(ready=False)


class ReadyForAll(Upper):
    def ModelReady(self, request, context):
        return pb.ModelReadyResponse(ready=True)


class Nameless(Upper):
    def ModelMetadata(self, request, context):
        self.known(request.name, context)
        return pb.ModelMetadataResponse(name="model", inputs=[{"name": "text", "datatype": "BYTES", "shape": [-1, 1]}])


class Forgetful(Upper):
    """Of ids."""

    def answer(self, request, texts):
        response = super().answer(request, texts)
        response.id = ""
        return response


class Sorted(Upper):
    """Answers in an order of its own."""

    def answer(self, request, texts):
        return super().answer(request, sorted(texts))


class FirstOnly(Upper):
    """Takes a batch and answers one row."""

    def answer(self, request, texts):
        return super().answer(request, texts[:1])


class Mixed(Upper):
    """A row's answer depends on its neighbours, as when padding leaks."""

    def answer(self, request, texts):
        return super().answer(request, [text + b"+" * (len(texts) - 1) for text in texts])


class MissingOutput(Upper):
    def answer(self, request, texts):
        response = super().answer(request, texts)
        del response.outputs[1], response.raw_output_contents[1]
        return response


class ShortOutput(Upper):
    def answer(self, request, texts):
        response = super().answer(request, texts)
        response.raw_output_contents[1] = response.raw_output_contents[1][:-1]
        return response


class RawOnly(Upper):
    def rows(self, request, context):
        if not request.raw_input_contents:
            self.refuse(context, "send raw_input_contents")
        return super().rows(request, context)


class Strict(Upper):
    """Refuses parameters that it does not know."""

    def rows(self, request, context):
        if request.parameters:
            self.refuse(context, f"unknown parameter {next(iter(request.parameters))}")
        return super().rows(request, context)


class Lenient(Upper):
    """Answers whatever comes."""

    def rows(self, request, context):
        try:
            return decode(request.raw_input_contents[0], request.inputs[0].shape[0])
        except (RowsError, IndexError):
            return [b"?"] * max(1, request.inputs[0].shape[0] if request.inputs else 1)


class Later(Upper):
    """Says "come again later" of requests that will never be right."""

    def refuse(self, context, text):
        context.abort(grpc.StatusCode.UNAVAILABLE, text)


class Poisoned(Upper):
    """Answers nothing any more once a request was wrong."""

    def __init__(self):
        self.dead = False

    def rows(self, request, context):
        if self.dead:
            context.abort(grpc.StatusCode.INTERNAL, "broken")
        return super().rows(request, context)

    def refuse(self, context, text):
        self.dead = True
        super().refuse(context, text)


class OneRowFromLast(Upper):
    """Answers each caller what the one before it asked: shared state."""

    def __init__(self):
        self.last = None

    def answer(self, request, texts):
        response, self.last = super().answer(request, self.last or texts), texts
        return response


def _handlers(implementation) -> dict[str, grpc.RpcMethodHandler]:
    """As grpc makes them of a service: its methods are plain functions, ours are coroutines that read their messages themselves."""
    handlers = {
        name: grpc.unary_unary_rpc_method_handler(getattr(implementation, name), request.FromString, response.SerializeToString)
        for name, (request, response) in calls.UNARY.items()
    }
    stream = grpc.stream_stream_rpc_method_handler(implementation.ModelStreamInfer, pb.ModelInferRequest.FromString,
                                                   pb.ModelStreamInferResponse.SerializeToString)
    return {**handlers, calls.STREAM: stream}


@contextmanager
def serving(implementation, message_bytes_max=64 << 20) -> Iterator[str]:
    """The address of a server with this implementation."""
    server = grpc.server(ThreadPoolExecutor(32), options=[("grpc.max_receive_message_length", message_bytes_max)])
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(calls.SERVICE, _handlers(implementation)),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(None).wait()
