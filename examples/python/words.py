"""How many words a text has and which is the longest: an operator in plain Python, with nothing of Sluice's. `python words.py [PORT]`.

It needs grpcio and grpcio-tools, which reads the protocol's messages from their file when this starts.
"""

import json
import struct
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc

sys.path.append(str(Path(__file__).resolve().parents[1]))
messages, services = grpc.protos_and_services("inference.proto")

MODEL = "words"
MESSAGE_BYTES_MAX = 64 << 20  # a batch of rows is soon more than gRPC's 4 MB


def answer(row: bytes) -> bytes:
    words = row.decode().split()
    return json.dumps({"words": len(words), "longest": max(words, key=len, default="")}).encode()


class Operator(services.GRPCInferenceServiceServicer):
    def ServerLive(self, request, context):
        return messages.ServerLiveResponse(live=True)

    def ServerReady(self, request, context):
        return messages.ServerReadyResponse(ready=True)

    def ServerMetadata(self, request, context):
        return messages.ServerMetadataResponse(name="words.py", version="1")

    def ModelReady(self, request, context):
        return messages.ModelReadyResponse(ready=request.name == MODEL)

    def ModelMetadata(self, request, context):
        if request.name != MODEL:
            context.abort(grpc.StatusCode.NOT_FOUND, f"no model {request.name}")
        text, counts = ({"name": name, "datatype": "BYTES", "shape": [-1]} for name in ("text", "counts"))
        return messages.ModelMetadataResponse(name=MODEL, versions=["1"], inputs=[text], outputs=[counts])

    def ModelInfer(self, request, context):
        if request.model_name != MODEL:
            context.abort(grpc.StatusCode.NOT_FOUND, f"no model {request.model_name}")
        try:
            answers = [answer(row) for row in rows(request)]
        except ValueError as error:  # the request's fault: with another code the same rows would come again
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        response = messages.ModelInferResponse(model_name=MODEL, model_version="1", id=request.id)
        response.outputs.add(name="counts", datatype="BYTES", shape=[len(answers)])
        response.raw_output_contents.append(b"".join(struct.pack("<I", len(row)) + row for row in answers))
        return response


def rows(request) -> list[bytes]:
    """Of the one input; ValueError where it is not what the metadata says."""
    if [(tensor.name, tensor.datatype, len(tensor.shape)) for tensor in request.inputs] != [("text", "BYTES", 1)]:
        raise ValueError("send one input, text, BYTES of shape [rows]")
    found = list(request.inputs[0].contents.bytes_contents)
    if request.raw_input_contents:  # of each row its length, 4 bytes little-endian, then its bytes
        raw, at = request.raw_input_contents[0], 0
        while at < len(raw):
            (length,) = struct.unpack_from("<I", raw, at) if at + 4 <= len(raw) else (len(raw),)
            found.append(raw[at + 4 : at + 4 + length])
            at += 4 + length
        if at != len(raw):
            raise ValueError("the tensor ends within a row")
    if len(found) != request.inputs[0].shape[0]:
        raise ValueError(f"the shape says {request.inputs[0].shape[0]} rows; there are {len(found)}")
    return found


if __name__ == "__main__":
    server = grpc.server(ThreadPoolExecutor(16), options=[("grpc.max_receive_message_length", MESSAGE_BYTES_MAX), ("grpc.so_reuseport", 0)])
    services.add_GRPCInferenceServiceServicer_to_server(Operator(), server)
    print("listens on port", server.add_insecure_port(f"127.0.0.1:{sys.argv[1] if len(sys.argv) > 1 else 8101}"), flush=True)
    server.start()
    server.wait_for_termination()
