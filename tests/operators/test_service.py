import grpc
import numpy as np
import pytest

from operators.protocol import inference_pb2 as pb
from operators.protocol.calls import Stub
from operators.protocol.rows import decode, encode
from tests.operators.service import Service, Stream, eventually, request


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    service = Service(tmp_path_factory.mktemp("service"), "Faulty", batch=512)
    yield service
    service.close()


@pytest.fixture(scope="module")
def splitter(tmp_path_factory):
    service = Service(tmp_path_factory.mktemp("splitter"), "Splitter", batch=16)
    yield service
    service.close()


def numbered(count, **special):
    return [special.get(f"row{at}", b"row %d" % at) for at in range(count)]


def test_every_row_comes_back_in_its_place(service):
    stream = Stream(service.stub)
    rows = numbered(700)
    stream.send(request("a", rows))
    stream.send(request("b", rows[:3]))
    answers = stream.finish()
    assert answers["a"] == {at: (0, row) for at, row in enumerate(rows)}
    assert answers["b"] == {at: (0, row) for at, row in enumerate(rows[:3])}
    assert set(stream.variants) == {"plain"}
    assert not stream.repeated


def test_rows_after_their_deadline_are_answered_and_marked(service):
    stream = Stream(service.stub)
    stream.send(request("a", [b"x"], deadline_s=-5))
    assert stream.finish() == {"a": {0: (1, b"x")}}


def test_empty_rows_and_large_rows(service):
    stream = Stream(service.stub)
    rows = [b"", b"x" * 3_000_000, b""]
    stream.send(request("a", rows))
    assert stream.finish()["a"] == {at: (0, row) for at, row in enumerate(rows)}


def test_an_operator_error_fails_one_row_of_512(service):
    stream = Stream(service.stub)
    stream.send(request("a", numbered(512, row77=b"raise me")))
    answers = stream.finish()["a"]
    assert answers[77] == (2, "operator-error: ValueError: cannot take raise me")
    assert [row for row, (status, _) in answers.items() if status != 0] == [77]


@pytest.mark.parametrize(("row", "how", "count"), [(b"crash", "SIGSEGV", 512), (b"exit", "exit status 7", 4)])
def test_a_poison_row_condemns_itself_only(service, row, how, count):
    stream = Stream(service.stub)
    stream.send(request("a", numbered(count, row3=row)))
    answers = stream.finish()["a"]
    assert answers[3] == (2, f"poison: the replica died 2 times with this row alone: {how}")
    assert [row for row, (status, _) in answers.items() if status != 0] == [3]
    assert len(answers) == count
    assert not stream.repeated


def test_fan_out_answers_lists(splitter):
    stream = Stream(splitter.stub)
    stream.send(request("a", [b"a,b,c", b"", b"d"]))
    assert stream.finish()["a"] == {0: (0, [b"a", b"b", b"c"]), 1: (0, []), 2: (0, [b"d"])}


def test_fan_out_over_several_batches_and_requests(splitter):
    stream = Stream(splitter.stub)
    for number in range(20):
        stream.send(request(number, [b"%d,%d" % (number, at) for at in range(37)]))
    answers = stream.finish()
    assert all(answers[str(n)][at] == (0, [b"%d" % n, b"%d" % at]) for n in range(20) for at in range(37))


def broken(**change):
    message = request("bad", [b"a", b"b"])
    for name, value in change.items():
        if name == "raw":
            message.raw_input_contents[0] = value
        elif name == "deadlines":
            message.raw_input_contents[1] = value
        elif name == "shape":
            message.inputs[0].shape[:] = value
        elif name == "no_rows":
            message.inputs[0].name = "images"
        else:
            setattr(message.inputs[0] if name == "datatype" else message, name, value)
    return message


MALFORMED = [
    (broken(datatype="FP32"), "input 'rows' is FP32; send BYTES"),
    (broken(shape=[2, 3]), "shape [2, 3]; send [rows]"),
    (broken(shape=[0]), "at least one"),
    (broken(shape=[3]), "input 'rows':"),
    (broken(raw=b"\xff\xff\xff\x7fabcdef"), "row 0 says 2147483647 bytes"),
    (broken(deadlines=b"\0" * 9), "input 'deadline_ms' has 9 bytes; 2 rows of INT64 take 16"),
    (broken(no_rows=True), "send a BYTES tensor named 'rows'"),
    (broken(model_name="walk"), "no stage 'walk' here; pipeline t has work"),
]


@pytest.mark.parametrize(("message", "text"), MALFORMED)
def test_a_malformed_request_is_answered_with_the_mend_and_hurts_nobody(service, message, text):
    stream = Stream(service.stub)
    stream.send(request("before", [b"x"]))
    stream.send(message)
    stream.send(request("after", [b"y"]))
    answers = stream.finish()
    assert text in stream.errors["bad"]
    assert answers == {"before": {0: (0, b"x")}, "after": {0: (0, b"y")}}


@pytest.mark.parametrize(("message", "text"), MALFORMED)
def test_a_malformed_unary_request_is_refused(service, message, text):
    with pytest.raises(grpc.RpcError) as refused:
        service.stub.ModelInfer(message)
    unknown = message.model_name == "walk"
    assert refused.value.code() == (grpc.StatusCode.NOT_FOUND if unknown else grpc.StatusCode.INVALID_ARGUMENT)
    assert text in refused.value.details()


def test_a_unary_call_has_all_rows_in_order(service):
    answer = service.stub.ModelInfer(request("a", numbered(700)))
    assert answer.id == "a"
    assert answer.parameters["variant"].string_param == "plain"
    assert decode(answer.raw_output_contents[0], 700) == numbered(700)


def later_first(message):
    """The rows' deadlines the other way round: they leave in another order than they came in."""
    count = message.inputs[1].shape[0]
    message.raw_input_contents[1] = (np.frombuffer(message.raw_input_contents[1], "<i8") + 1000 * np.arange(count)[::-1]).tobytes()
    return message


@pytest.mark.parametrize("reorder", [lambda message: message, later_first], ids=["as they came", "reordered"])
def test_a_unary_call_over_several_batches_has_all_rows_in_order(service, splitter, reorder):
    assert decode(service.stub.ModelInfer(reorder(request("a", numbered(700)))).raw_output_contents[0], 700) == numbered(700)
    parts = [[b"%d.%d" % (row, part) for part in range(row % 3)] for row in range(40)]
    answer = splitter.stub.ModelInfer(reorder(request("a", [b",".join(row) for row in parts])))
    flat = [part for row in parts for part in row]
    assert np.frombuffer(answer.raw_output_contents[1], "<i4").tolist() == [len(row) for row in parts]
    assert decode(answer.raw_output_contents[0], len(flat)) == flat


def test_a_unary_call_takes_typed_contents(service):
    message = pb.ModelInferRequest(model_name="work")
    message.inputs.add(name="rows", datatype="BYTES", shape=[2, 1]).contents.bytes_contents.extend([b"a", b"bc"])
    assert service.stub.ModelInfer(message).raw_output_contents[0] == encode([b"a", b"bc"])


def test_a_unary_call_names_the_rows_that_failed(service):
    with pytest.raises(grpc.RpcError) as failed:
        service.stub.ModelInfer(request("a", numbered(5, row3=b"raise")))
    assert "row 3: operator-error: ValueError" in failed.value.details()


def test_a_stream_that_breaks_leaves_others_alone(service):
    other = grpc.insecure_channel(f"127.0.0.1:{service.grpc_port}")
    broken_off = Stream(Stub(other))
    broken_off.send(request("gone", numbered(5000)))
    other.close()
    stream = Stream(service.stub)
    stream.send(request("a", [b"x"]))
    assert stream.finish() == {"a": {0: (0, b"x")}}
    eventually(lambda: service.stage()["queued"] == 0, "the broken stream's rows to be gone")


def test_health_and_metadata(service):
    assert service.stub.ServerLive(pb.ServerLiveRequest()).live
    assert service.stub.ServerReady(pb.ServerReadyRequest()).ready
    assert service.stub.ModelReady(pb.ModelReadyRequest(name="work")).ready
    assert not service.stub.ModelReady(pb.ModelReadyRequest(name="walk")).ready
    assert service.stub.ModelMetadata(pb.ModelMetadataRequest(name="work")).inputs[0].name == "rows"
    assert service.http("/v2/health/live") == (200, {"live": True})
    assert service.http("/v2/health/ready") == (200, {"ready": True})
    assert service.http("/v2/models/work")[1]["inputs"][0] == {"name": "rows", "datatype": "BYTES", "shape": [-1, 1]}
    assert service.http("/v2/models/walk")[0] == 404


def test_the_unix_socket_serves_too(service):
    stream = Stream(Stub(grpc.insecure_channel(service.unix)))
    stream.send(request("a", [b"x"]))
    assert stream.finish() == {"a": {0: (0, b"x")}}


def test_telemetry_tells_what_was_served(service):
    message = request("a", numbered(100))
    message.parameters["proxy"].string_param = "work/0"
    message.parameters["received"].int64_param = 1234
    stream = Stream(service.stub)
    stream.send(message)
    stream.finish()
    record = eventually(lambda: "work/0" in (now := service.stage()).get("proxies", {}) and now, "a record of the last second")
    assert record["proxies"]["work/0"] == {"received": 1234}
    assert record["released"].keys() == {"full", "deadline", "idle", "flush"}
    assert record["arrivals"] >= 100
    assert record["queue_ms"].keys() == {"p50", "p95", "p99"}
    assert record["setting"]["batch"] == 512
    assert record["replicas_ready"] == 1
