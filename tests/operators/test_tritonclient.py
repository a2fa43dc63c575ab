"""Triton's own clients against a service process: gRPC, HTTP and system shared memory."""

import os
import queue
import time
import uuid
from collections import Counter

import numpy as np
import pytest

from operators.protocol import inference_pb2 as pb
from operators.protocol.rows import encode
from tests.operators.service import Service, eventually
from tests.operators.triton_clients import InferenceServerException, model_config_pb2, service_pb2, shared_memory, triton_grpc, triton_http

ROWS = [b"first", b"", b"third \xff\x00", b"x" * 5000]
TEXTS = [b"one", "zwölf".encode(), b""]


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    service = Service(tmp_path_factory.mktemp("triton"), "Faulty", batch=512)
    yield service
    service.close()


@pytest.fixture(params=["grpc", "http"])
def triton(service, request):
    """The client and its module."""
    module = {"grpc": triton_grpc, "http": triton_http}[request.param]
    port = {"grpc": service.grpc_port, "http": service.http_port}[request.param]
    with module.InferenceServerClient(f"127.0.0.1:{port}") as client:
        yield client, module


def row_input(module, rows, **how):
    tensor = module.InferInput("rows", [len(rows)], "BYTES")
    tensor.set_data_from_numpy(np.array(rows, dtype=object), **how)
    return tensor


def test_health(triton):
    client, _ = triton
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("work")
    assert client.is_model_ready("work", "1")
    assert not client.is_model_ready("work", "2")
    assert not client.is_model_ready("walk")


def test_metadata(triton):
    client, module = triton
    as_json = {"as_json": True} if module is triton_grpc else {}
    server = client.get_server_metadata(**as_json)
    assert server["name"] == "sluice"
    assert {"model_configuration", "statistics", "system_shared_memory"} <= set(server["extensions"])
    model = client.get_model_metadata("work", **as_json)
    assert (model["name"], model["versions"]) == ("work", ["1"])
    assert [tensor["name"] for tensor in model["outputs"]] == ["rows"]
    with pytest.raises(InferenceServerException, match="has work"):
        client.get_model_metadata("walk")


def test_model_config(triton):
    client, module = triton
    config = client.get_model_config("work", as_json=True)["config"] if module is triton_grpc else client.get_model_config("work")
    assert (config["name"], config["max_batch_size"]) == ("work", 512)
    assert {entry["name"]: entry.get("optional", False) for entry in config["input"]} == {
        "rows": False, "deadline_ms": True, "min_accuracy": True, "keep": True, "event_id": True, "version": True, "value": True,
    }
    assert config["input"][0]["data_type"] == "TYPE_STRING"
    assert config["parameters"]["variant"]["string_value"] == "plain"


def test_rows_come_back_in_order(triton):
    client, module = triton
    answer = client.infer("work", [row_input(module, ROWS)], request_id="17")
    assert answer.as_numpy("rows").tolist() == ROWS
    said = answer.get_response()
    assert (said["id"] if module is triton_http else said.id) == "17"


def test_rows_as_json(service):
    with triton_http.InferenceServerClient(f"127.0.0.1:{service.http_port}") as client:
        wanted = triton_http.InferRequestedOutput("rows", binary_data=False)
        answer = client.infer("work", [row_input(triton_http, TEXTS, binary_data=False)], outputs=[wanted])
    assert answer.get_response()["outputs"][0]["data"] == [text.decode() for text in TEXTS]


@pytest.mark.parametrize("packed", ["gzip", "deflate"])
def test_packed_bodies(service, packed):
    with triton_http.InferenceServerClient(f"127.0.0.1:{service.http_port}") as client:
        answer = client.infer("work", [row_input(triton_http, ROWS)], request_compression_algorithm=packed, response_compression_algorithm=packed)
    assert answer.as_numpy("rows").tolist() == ROWS


def test_several_requests_at_once(service):
    with triton_http.InferenceServerClient(f"127.0.0.1:{service.http_port}", concurrency=4) as client:
        sent = {number: client.async_infer("work", [row_input(triton_http, [b"%d" % number] * 20)]) for number in range(20)}
        assert {number: set(call.get_result().as_numpy("rows").tolist()) for number, call in sent.items()} == {
            number: {b"%d" % number} for number in range(20)
        }


def test_deadlines_and_parameters_are_taken(triton):
    client, module = triton
    deadlines = module.InferInput("deadline_ms", [2], "INT64")
    deadlines.set_data_from_numpy(np.array([1, 2**40], np.int64))
    answer = client.infer("work", [row_input(module, TEXTS[:2]), deadlines], timeout=500_000, priority=3, parameters={"mine": "yes"})
    assert answer.as_numpy("rows").tolist() == TEXTS[:2]


@pytest.mark.parametrize(
    ("shape", "datatype", "rows", "said"),
    [
        ([3], "BYTES", [b"a", b"b"], "3 rows|3 values"),
        ([2], "INT64", [1, 2], "send BYTES"),
        ([2, 2], "BYTES", [[b"a", b"b"], [b"c", b"d"]], "shape"),
        ([0], "BYTES", [], "at least one"),
    ],
)
def test_a_wrong_tensor_is_an_error_and_the_next_one_is_not(triton, shape, datatype, rows, said):
    client, module = triton
    tensor = module.InferInput("rows", list(np.shape(rows)), datatype)
    tensor.set_data_from_numpy(np.array(rows, dtype=object if datatype == "BYTES" else np.int64).reshape(np.shape(rows)))
    tensor.set_shape(shape)
    with pytest.raises(InferenceServerException, match=said):
        client.infer("work", [tensor])
    assert client.infer("work", [row_input(module, [b"ok"])]).as_numpy("rows").tolist() == [b"ok"]


def test_a_failed_row_is_named(triton):
    client, module = triton
    with pytest.raises(InferenceServerException, match="row 1: operator-error: ValueError: cannot take raise it"):
        client.infer("work", [row_input(module, [b"a", b"raise it", b"b"])])


def test_an_output_that_is_not_there_is_an_error(triton):
    client, module = triton
    with pytest.raises(InferenceServerException, match="no output 'logits'"):
        client.infer("work", [row_input(module, [b"a"])], outputs=[module.InferRequestedOutput("logits")])


def test_the_stream_answers_a_triton_client(service):
    answers: queue.Queue = queue.Queue()
    with triton_grpc.InferenceServerClient(f"127.0.0.1:{service.grpc_port}") as client:
        client.start_stream(lambda result, error: answers.put((result, error)))
        for number in range(10):
            client.async_stream_infer("work", [row_input(triton_grpc, [b"%d" % number])], request_id=str(number))
        found = {}
        for _ in range(10):
            result, error = answers.get(timeout=10)
            assert error is None
            found[result.get_response().id] = result.as_numpy("rows").tolist()
        client.stop_stream()
    assert found == {str(number): [b"%d" % number] for number in range(10)}


def test_statistics_count_rows_and_batches(triton):
    client, module = triton

    def counted():
        said = client.get_inference_statistics("work", as_json=True) if module is triton_grpc else client.get_inference_statistics("work")
        return said["model_stats"][0]

    def number(entry, key):
        return int(entry.get(key, 0))

    before = counted()
    client.infer("work", [row_input(module, [b"a"] * 30)])
    after = counted()
    assert number(after, "inference_count") - number(before, "inference_count") == 30
    assert 1 <= number(after, "execution_count") - number(before, "execution_count") <= 30
    gained = number(after["inference_stats"]["success"], "count") - number(before["inference_stats"]["success"], "count")
    assert gained == 30

    def batches(entry):
        return Counter({number(one, "batch_size"): number(one["compute_infer"], "count") for one in entry.get("batch_stats", [])})

    computed = batches(after) - batches(before)
    assert sum(rows * count for rows, count in computed.items()) == 30
    assert computed.total() == number(after, "execution_count") - number(before, "execution_count")
    assert all(number(one["compute_infer"], "ns") > 0 for one in after["batch_stats"])
    assert number(after["inference_stats"]["success"], "ns") > number(after["inference_stats"]["compute_infer"], "ns") > 0
    assert abs(number(after, "last_inference") / 1e3 - time.time()) < 10
    assert client.get_inference_statistics()


def test_the_repository(triton):
    client, module = triton
    index = client.get_model_repository_index(as_json=True)["models"] if module is triton_grpc else client.get_model_repository_index()
    assert [(entry["name"], entry["version"], entry["state"]) for entry in index] == [("work", "1", "READY")]
    client.unload_model("work")
    assert not client.is_model_ready("work")
    with pytest.raises(InferenceServerException, match="unloaded"):
        client.infer("work", [row_input(module, [b"a"])])
    client.load_model("work")
    assert client.is_model_ready("work")
    assert client.infer("work", [row_input(module, [b"a"])]).as_numpy("rows").tolist() == [b"a"]
    with pytest.raises(InferenceServerException, match="repository"):
        client.load_model("work", config="{}", files={"file:1/model.py": b"import os"})


@pytest.fixture
def region():
    """A region of 64 KiB by its key, and the handle of Triton's library."""
    key = f"/sluice-test-{os.getpid()}-{uuid.uuid4().hex[:8]}"
    handle = shared_memory.create_shared_memory_region("region", key, 1 << 16)
    yield key, handle
    shared_memory.destroy_shared_memory_region(handle)


def test_tensors_through_shared_memory(triton, region):
    client, module = triton
    key, handle = region
    content = encode(ROWS)
    shared_memory.set_shared_memory_region(handle, [np.frombuffer(content, np.uint8)])
    client.register_system_shared_memory("region", key, 1 << 16)
    try:
        tensor = module.InferInput("rows", [len(ROWS)], "BYTES")
        tensor.set_shared_memory("region", len(content))
        wanted = module.InferRequestedOutput("rows")
        wanted.set_shared_memory("region", 1 << 15, offset=1 << 15)
        answer = client.infer("work", [tensor], outputs=[wanted])
        said = answer.get_output("rows")
        shape = said["shape"] if module is triton_http else said.shape
        found = shared_memory.get_contents_as_numpy(handle, np.object_, list(shape), offset=1 << 15)
        assert found.tolist() == ROWS

        small = module.InferRequestedOutput("rows")
        small.set_shared_memory("region", 8)
        with pytest.raises(InferenceServerException, match="its place in region"):
            client.infer("work", [tensor], outputs=[small])
        tensor.set_shared_memory("region", 1 << 16, offset=1)
        with pytest.raises(InferenceServerException, match="are not all in it"):
            client.infer("work", [tensor])
    finally:
        client.unregister_system_shared_memory("region")
    with pytest.raises(InferenceServerException, match="no region 'region'"):
        client.infer("work", [tensor])


def test_regions_are_listed_and_keys_cannot_leave_their_directory(triton, region):
    client, module = triton
    client.register_system_shared_memory("mine", region[0], 1 << 10, offset=64)
    said = client.get_system_shared_memory_status(as_json=True)["regions"]["mine"] if module is triton_grpc else client.get_system_shared_memory_status()[0]
    assert (said["name"], said["key"], int(said["offset"]), int(said["byte_size"])) == ("mine", region[0], 64, 1 << 10)
    for key in ("/../etc/passwd", "../../etc/passwd", "/a/b", "", ".", "/nothing-here"):
        with pytest.raises(InferenceServerException):
            client.register_system_shared_memory("other", key, 10)
    with pytest.raises(InferenceServerException):
        client.register_system_shared_memory("other", region[0], 1 << 20)
    client.unregister_system_shared_memory()
    client.unregister_cuda_shared_memory()
    assert not client.get_cuda_shared_memory_status(as_json=True).get("regions") if module is triton_grpc else not client.get_cuda_shared_memory_status()


def test_a_client_that_gives_up_leaves_no_row_behind(service):
    with triton_grpc.InferenceServerClient(f"127.0.0.1:{service.grpc_port}") as client, pytest.raises(InferenceServerException, match="Deadline"):
        client.infer("work", [row_input(triton_grpc, [b"a"] * 512)], client_timeout=1e-6)
    eventually(lambda: service.stage()["queued"] == service.stage()["in_flight"] == 0, "the rows to be gone")


def _fields(message):
    return {field.name: (field.number, field.type, field.is_repeated if hasattr(field, "is_repeated") else field.label == 3) for field in message.fields}


def _messages(descriptor, prefix=""):
    for name, message in descriptor.items():
        yield f"{prefix}{name}", message
        yield from _messages(message.nested_types_by_name, f"{prefix}{name}.")


def test_our_messages_have_the_numbers_and_types_of_tritons():
    theirs = {**dict(_messages(model_config_pb2.DESCRIPTOR.message_types_by_name)), **dict(_messages(service_pb2.DESCRIPTOR.message_types_by_name))}
    compared = 0
    for name, message in _messages(pb.DESCRIPTOR.message_types_by_name):
        assert name in theirs, name
        assert _fields(message).items() <= _fields(theirs[name]).items(), name
        compared += 1
    assert compared > 50
    data_types = pb.DESCRIPTOR.enum_types_by_name["DataType"].values_by_name
    assert {name: value.number for name, value in data_types.items()} == dict(model_config_pb2.DataType.items())
    service = service_pb2.DESCRIPTOR.services_by_name["GRPCInferenceService"].methods_by_name
    ours = pb.DESCRIPTOR.services_by_name["GRPCInferenceService"].methods_by_name
    assert {name: (call.input_type.name, call.output_type.name) for name, call in ours.items()}.items() <= {
        name: (call.input_type.name, call.output_type.name) for name, call in service.items()
    }.items()
