"""The protocol's HTTP form: its codec, and the service behind it."""

import contextlib
import http.client
import json
import socket
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.protocol import inference_pb2 as pb
from operators.protocol.json_tensors import DTYPES, JSON_BYTES_MAX, BodyError, read_request, write_response
from operators.protocol.rows import decode, encode
from tests.operators.service import Service


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    service = Service(tmp_path_factory.mktemp("http"), "Faulty", batch=512)
    yield service
    service.close()


@pytest.fixture(scope="module")
def splitter(tmp_path_factory):
    service = Service(tmp_path_factory.mktemp("splitter"), "Splitter", batch=16)
    yield service
    service.close()


def post(service, path, body, **headers):
    connection = http.client.HTTPConnection("127.0.0.1", service.http_port, timeout=10)
    try:
        connection.request("POST", path, body, {name.replace("_", "-"): str(value) for name, value in headers.items()})
        answer = connection.getresponse()
        content = answer.read()
        if answer.headers.get_content_type() == "application/json":
            return answer.status, json.loads(content)
        return answer.status, content
    finally:
        connection.close()


def infer(service, body, path="/v2/models/work/infer", **headers):
    return post(service, path, body if isinstance(body, bytes) else json.dumps(body), **headers)


def rows_of(*rows, **more):
    return {"inputs": [{"name": "rows", "shape": [len(rows)], "datatype": "BYTES", "data": list(rows)}], **more}


# the codec

values = {
    "BOOL": st.booleans(),
    "FP32": st.floats(width=32, allow_nan=False),
    "FP64": st.floats(allow_nan=False),
    "INT8": st.integers(-128, 127),
    "UINT16": st.integers(0, 2**16 - 1),
    "INT32": st.integers(-(2**31), 2**31 - 1),
    "INT64": st.integers(-(2**63), 2**63 - 1),
    "UINT64": st.integers(0, 2**64 - 1),
}
tensors = st.sampled_from(sorted(values)).flatmap(lambda kind: st.tuples(st.just(kind), st.lists(values[kind], min_size=1, max_size=6)))


@given(tensor=tensors, columns=st.sampled_from([1, 2]), is_nested=st.booleans())
def test_numbers_are_those_of_the_json(tensor, columns, is_nested):
    datatype, flat = tensor
    flat = flat * columns
    shape = [len(flat) // columns, columns]
    data = [flat[at : at + columns] for at in range(0, len(flat), columns)] if is_nested else flat
    message = read_request(json.dumps({"inputs": [{"name": "x", "shape": shape, "datatype": datatype, "data": data}]}).encode(), None, "m")
    assert list(message.inputs[0].shape) == shape
    assert np.frombuffer(message.raw_input_contents[0], DTYPES[datatype]).tolist() == flat


@given(rows=st.lists(st.text(max_size=10), min_size=1, max_size=5), binaries=st.lists(st.binary(max_size=20), max_size=3))
def test_text_and_binary_data_side_by_side(rows, binaries):
    described = rows_of(*rows)
    for number, binary in enumerate(binaries):
        described["inputs"].append({"name": str(number), "shape": [1], "datatype": "UINT8", "parameters": {"binary_data_size": len(binary)}})
    head = json.dumps(described).encode()
    message = read_request(head + b"".join(binaries), len(head), "m", "3")
    assert (message.model_name, message.model_version) == ("m", "3")
    assert decode(message.raw_input_contents[0], len(rows)) == [row.encode() for row in rows]
    assert message.raw_input_contents[1:] == binaries


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["name", "shape", "datatype", "data", "parameters", "x"]), inner, max_size=4),
    max_leaves=8,
)
described_tensors = st.fixed_dictionaries(
    {},
    optional={
        "name": st.just("rows") | json_values,
        "shape": st.just([1]) | json_values,
        "datatype": st.sampled_from(["BYTES", *DTYPES]) | json_values,
        "data": st.just(["a"]) | json_values,
        "parameters": st.fixed_dictionaries({}, optional={"binary_data_size": st.integers(-5, 50) | json_values}) | json_values,
    },
)
bodies = st.fixed_dictionaries(
    {},
    optional={
        "inputs": st.lists(described_tensors, max_size=3) | json_values,
        "outputs": st.lists(described_tensors, max_size=2) | json_values,
        "id": st.just("1") | json_values,
        "parameters": json_values,
    },
)


@given(body=bodies, behind=st.binary(max_size=40), said=st.none() | st.integers(-3, 300))
def test_any_described_request_is_read_or_refused(body, behind, said):
    head = json.dumps(body).encode()
    for length in (len(head), said):
        with contextlib.suppress(BodyError):
            message = read_request(head + behind, length, "m")
            assert len(message.raw_input_contents) <= len(message.inputs)


@given(body=st.binary(max_size=200), said=st.none() | st.integers(-3, 300))
def test_any_bytes_are_read_or_refused(body, said):
    with contextlib.suppress(BodyError):
        assert read_request(body, said, "m").model_name == "m"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"[" * 100_000, "not JSON"),
        (b"[]", "not an object"),
        (b'{"inputs": 3}', "inputs is not a list"),
        (b'{"inputs": [3]}', "objects"),
        (b'{"inputs": [{}]}', "no name"),
        (json.dumps(rows_of(1)).encode(), "strings"),
        (b'{"inputs": [{"name": "a", "shape": [2], "datatype": "INT64", "data": [1.5, 2]}]}', "int"),
        (b'{"inputs": [{"name": "a", "shape": [1], "datatype": "INT8", "data": [300]}]}', "does not fit"),
        (b'{"inputs": [{"name": "a", "shape": [1], "datatype": "INT64", "data": [true]}]}', "int"),
        (b'{"inputs": [{"name": "a", "shape": [1], "datatype": "FP128", "data": [1]}]}', "use BYTES"),
        (b'{"inputs": [{"name": "a", "shape": [-1], "datatype": "FP32", "data": []}]}', "whole numbers"),
        (b'{"inputs": [{"name": "a", "shape": [1], "datatype": "FP32", "data": [[1]]}]}', "nested"),
        (b'{"inputs": [{"name": "a", "shape": [4294967296], "datatype": "FP32", "data": []}]}', "whole numbers"),
        (b'{"inputs": [{"name": "a", "shape": [3], "datatype": "FP32", "data": [1]}]}', "1 values; its shape"),
        (b'{"inputs": [{"name": "a", "shape": [1], "datatype": "FP32", "parameters": {"binary_data_size": 4}}]}', "0 bytes of binary data are left"),
        (b'{"id": "\\ud800", "inputs": []}', "Unicode"),
        (b'{"inputs": []} ' + b" " * JSON_BYTES_MAX, "binary data"),
    ],
)
def test_what_is_wrong_is_said(body, said):
    with pytest.raises(BodyError, match=said):
        read_request(body, None, "m")


def test_outputs_are_text_numbers_or_binary_data_as_asked():
    response = pb.ModelInferResponse(model_name="m", model_version="1", id="7", raw_output_contents=[encode([b"a", b"b"]), np.array([1, -2], "<i4").tobytes()])
    response.outputs.add(name="rows", datatype="BYTES", shape=[2])
    response.outputs.add(name="n", datatype="INT32", shape=[2])
    body, length = write_response(response, pb.ModelInferRequest())
    assert length is None
    assert [output["data"] for output in json.loads(body)["outputs"]] == [["a", "b"], [1, -2]]

    request = pb.ModelInferRequest()
    request.parameters["binary_data_output"].bool_param = True
    request.outputs.add(name="n").parameters["binary_data"].bool_param = False
    body, length = write_response(response, request)
    head = json.loads(body[:length])
    assert head["outputs"][0]["parameters"] == {"binary_data_size": 10}
    assert body[length:] == encode([b"a", b"b"])
    assert head["outputs"][1]["data"] == [1, -2]
    assert (head["id"], head["model_name"]) == ("7", "m")


def test_an_output_in_shared_memory_is_only_named():
    response = pb.ModelInferResponse(outputs=[{"name": "rows", "datatype": "BYTES", "shape": [2]}], raw_output_contents=[b""])
    response.outputs[0].parameters["shared_memory_region"].string_param = "mine"
    body, length = write_response(response, pb.ModelInferRequest())
    assert length is None
    assert json.loads(body)["outputs"] == [{"name": "rows", "datatype": "BYTES", "shape": [2]}]  # others' clients take parameters for binary data


def test_bytes_that_are_no_text_need_binary_data():
    response = pb.ModelInferResponse(raw_output_contents=[encode([b"\xff"])])
    response.outputs.add(name="rows", datatype="BYTES", shape=[1])
    with pytest.raises(BodyError, match="not text"):
        write_response(response, pb.ModelInferRequest())


# the service


def test_rows_in_json_come_back_in_json(service):
    status, answer = infer(service, rows_of("b", "a", "ü", id="9"))
    assert status == 200
    assert answer["outputs"] == [{"name": "rows", "datatype": "BYTES", "shape": [3], "data": ["b", "a", "ü"]}]
    assert (answer["id"], answer["model_name"], answer["model_version"], answer["parameters"]["variant"]) == ("9", "work", "1", "plain")


def test_a_version_may_be_named(service):
    assert infer(service, rows_of("a"), "/v2/models/work/versions/1/infer")[0] == 200
    status, answer = infer(service, rows_of("a"), "/v2/models/work/versions/2/infer")
    assert (status, answer["error"]) == (404, "stage work serves version 1, not 2")
    assert infer(service, rows_of("a"), "/v2/models/walk/infer")[0] == 404


def test_a_fan_out_says_how_many_each_row_has(splitter):
    outputs = {output["name"]: output["data"] for output in infer(splitter, rows_of("a,b", "", "c"))[1]["outputs"]}
    assert outputs == {"rows": ["a", "b", "c"], "children": [2, 0, 1]}


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"", {}, 400),
        (b"{", {}, 400),
        (b"{}", {}, 400),
        (b"{}", {"Inference_Header_Content_Length": "five"}, 400),
        (b"{}", {"Inference_Header_Content_Length": "500"}, 400),
        (b"{}", {"Content_Encoding": "gzip"}, 400),
        (rows_of("raise it"), {}, 500),
        (rows_of("a", outputs=[{"name": "logits"}]), {}, 400),
        ({"inputs": [{"name": "rows", "shape": [2, 2], "datatype": "BYTES", "data": list("abcd")}]}, {}, 400),
        ({"inputs": [{"name": "rows", "shape": [1], "datatype": "INT64", "data": [1]}]}, {}, 400),
        ({"inputs": [{"name": "rows", "shape": [1], "datatype": "BYTES", "parameters": {"shared_memory_region": "x", "shared_memory_byte_size": 1}}]}, {}, 400),
    ],
)
def test_a_bad_request_is_an_error_and_the_next_one_is_answered(service, body, headers, status):
    found, answer = infer(service, body, **headers)
    assert found == status, answer
    if isinstance(answer, dict):  # else it is aiohttp's own, of a body that cannot be unpacked
        assert answer["error"]
    assert infer(service, rows_of("a"))[0] == 200


def test_a_giant_body_is_refused_by_its_announcement(service):
    with socket.create_connection(("127.0.0.1", service.http_port), timeout=10) as peer:
        peer.sendall(b"POST /v2/models/work/infer HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n{")
        assert peer.recv(12) == b"HTTP/1.1 400"
    assert infer(service, rows_of("a"))[0] == 200


def test_a_small_body_that_unpacks_to_a_giant_one_is_refused(service):
    packer = zlib.compressobj(wbits=31)
    packed = b"".join([packer.compress(bytes(1 << 20)) for _ in range(70)]) + packer.flush()
    status, answer = infer(service, packed, Content_Encoding="gzip")
    assert (status, "at most" in answer["error"]) == (400, True)


def test_a_client_that_leaves_in_the_middle_of_its_body_leaves_nothing(service):
    for _ in range(20):
        with socket.create_connection(("127.0.0.1", service.http_port), timeout=10) as peer:
            peer.sendall(b"POST /v2/models/work/infer HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{")
    assert infer(service, rows_of("a"))[0] == 200
    assert service.stage()["queued"] == 0


@pytest.mark.parametrize("path", ["/v2", "/v2/health/live", "/v2/health/ready", "/v2/models/work", "/v2/models/work/versions/1", "/v2/models/work/ready"])
def test_what_was_there_is_still_there(service, path):
    assert service.http(path)[0] == 200


def test_config_and_statistics(service):
    assert service.http("/v2/models/work/config")[1]["max_batch_size"] == 512
    assert service.http("/v2/models/work/versions/1/config")[0] == 200
    assert service.http("/v2/models/walk/config")[0] == 404
    before = service.http("/v2/models/work/stats")[1]["model_stats"][0]["inference_count"]
    infer(service, rows_of("a", "b"))
    assert service.http("/v2/models/stats")[1]["model_stats"][0]["inference_count"] == before + 2


def test_unload_and_load(service):
    assert post(service, "/v2/repository/index", b"")[1] == [{"name": "work", "version": "1", "state": "READY", "reason": ""}]
    assert post(service, "/v2/repository/models/work/unload", b"{}")[0] == 200
    assert infer(service, rows_of("a"))[0] == 503
    assert post(service, "/v2/repository/models/work/load", b'{"parameters": {"config": "{}"}}')[0] == 400
    assert post(service, "/v2/repository/models/work/load", b"")[0] == 200
    assert infer(service, rows_of("a"))[0] == 200
