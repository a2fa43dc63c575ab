"""Run by the environment of KServe's client: `kserve_calls.py GRPC_PORT HTTP_PORT`. Prints what its two clients got, as JSON."""

import asyncio
import json
import sys

from kserve import InferenceGRPCClient, InferenceRESTClient, InferInput, InferRequest
from kserve.inference_client import RESTConfig

ROWS = [b"first", b"", "zwölf".encode()]


def request(rows, **how):
    tensor = InferInput(name="rows", datatype="BYTES", shape=[len(rows)])
    tensor.set_data_from_numpy(__import__("numpy").array(rows, dtype=object), **how)
    return InferRequest(model_name="work", infer_inputs=[tensor], request_id="17")


async def grpc_calls(port):
    client = InferenceGRPCClient(url=f"127.0.0.1:{port}")
    answer = await client.infer(request(ROWS))
    said = {"live": await client.is_server_live(), "ready": await client.is_server_ready(), "model": await client.is_model_ready("work"),
            "id": answer.id, "rows": [row.decode() for row in answer.outputs[0].as_numpy().tolist()]}
    try:
        await client.infer(request([b"a", b"raise it"]))
    except Exception as error:
        said["error"] = str(error)
    await client.close()
    return said


async def rest_calls(port):
    client = InferenceRESTClient(RESTConfig(protocol="v2", retries=0))
    url = f"http://127.0.0.1:{port}"
    answer = await client.infer(url, request(ROWS, binary_data=False), model_name="work")
    packed = await client.infer(url, request(ROWS, binary_data=True), model_name="work")
    said = {"live": await client.is_server_live(url), "ready": await client.is_server_ready(url), "model": await client.is_model_ready(url, "work"),
            "id": answer.id, "rows": [text(row) for row in answer.outputs[0].as_numpy().tolist()],
            "packed": [text(row) for row in packed.outputs[0].as_numpy().tolist()]}
    try:
        await client.infer(url, request([b"a", b"raise it"]), model_name="work")
    except Exception as error:
        said["error"] = str(error)
    await client.close()
    return said


def text(row):
    return row.decode() if isinstance(row, bytes) else row


if __name__ == "__main__":
    print(json.dumps({"grpc": asyncio.run(grpc_calls(sys.argv[1])), "rest": asyncio.run(rest_calls(sys.argv[2]))}))
