"""gRPC's front end under requests that no sane client sends: a protocol error each, bounded memory, and no effect on others."""

from __future__ import annotations

import random
import socket
import struct
import threading

import grpc
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from operators import requests
from operators.protocol import inference_pb2 as pb
from operators.protocol.calls import SERVICE, Stub
from operators.protocol.rows import encode
from operators.server import MESSAGE_BYTES_MAX, OUTBOX_BYTES_MAX
from tests.operators.fuzzing import mutated, resident_mb, watched
from tests.operators.service import Stream, eventually, request

REFUSED = {grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND}
FUZZ = settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    with watched(tmp_path_factory.mktemp("fuzz"), largest_message) as service:
        yield service


def largest_message(service):
    with grpc.insecure_channel(f"127.0.0.1:{service.grpc_port}", options=[("grpc.max_receive_message_length", -1)]) as channel:
        Stub(channel).ModelInfer(request("warm", [bytes(1 << 20)] * 60), timeout=60)


@pytest.fixture(scope="module")
def raw(service):
    """Unary inference with bytes for a message."""
    return service.channel.unary_unary(f"/{SERVICE}/ModelInfer", response_deserializer=pb.ModelInferResponse.FromString)


def refused(call, message):
    """None where it was answered. Any other error than the protocol's own fails the test."""
    answer = call.future(message, timeout=10)
    error = answer.exception()
    assert error is None or error.code() in REFUSED, f"{error.code()}: {error.details()}"
    return None if error is None else error.details()


names = st.sampled_from(["rows", "deadline_ms", "keep", "min_accuracy", "value", "x", ""]) | st.text(max_size=20)
datatypes = st.sampled_from(["BYTES", "INT64", "BOOL", "FP32", "", "INT32"]) | st.text(max_size=5)
shapes = st.lists(st.sampled_from([0, 1, 2, 3, -1, 2**31, 2**62, -(2**63)]), max_size=4)
content = st.one_of(
    st.lists(st.binary(max_size=8), max_size=4).map(encode),
    st.binary(max_size=40),
    st.integers(0, 5).map(lambda count: b"\xff" * count),
    st.lists(st.integers(-(2**63), 2**63 - 1), max_size=4).map(lambda values: np.array(values, "<i8").tobytes()),
    st.tuples(st.integers(0, 2**32 - 1), st.binary(max_size=9)).map(lambda lie: struct.pack("<I", lie[0]) + lie[1]),
)
parameters = st.dictionaries(
    st.sampled_from(["proxy", "received", "timeout", "shared_memory_region", "shared_memory_byte_size", "shared_memory_offset", "binary_data"]),
    st.integers(-(2**63), 2**63 - 1) | st.text(max_size=9) | st.booleans(),
    max_size=2,
)


def fill(target, values):
    for key, value in values.items():
        kind = {bool: "bool_param", int: "int64_param", str: "string_param"}[type(value)]
        setattr(target[key], kind, value)


@st.composite
def messages(draw):
    """Requests whose parts are each plausible by themselves, more or less."""
    message = pb.ModelInferRequest(model_name=draw(st.sampled_from(["work", "work", "work", "walk"])), id=draw(st.text(max_size=5)))
    fill(message.parameters, draw(parameters))
    for name in draw(st.lists(names, max_size=3)):
        tensor = message.inputs.add(name=name, datatype=draw(datatypes), shape=draw(shapes))
        fill(tensor.parameters, draw(parameters))
    message.raw_input_contents.extend(draw(st.lists(content, max_size=4)))
    for name in draw(st.lists(names, max_size=2)):
        fill(message.outputs.add(name=name).parameters, draw(parameters))
    return message


@FUZZ
@given(messages())
def test_any_message_is_answered_or_refused(raw, message):
    refused(raw, message.SerializeToString())


@FUZZ
@given(st.integers(0, 2**32), st.lists(st.binary(max_size=6), min_size=1, max_size=4))
def test_any_bytes_are_answered_or_refused(raw, seed, rows):
    sound = request("a", rows)
    sound.inputs.add(name="keep", datatype="BOOL", shape=[len(rows)])
    sound.raw_input_contents.append(bytes(len(rows)))
    refused(raw, mutated(sound.SerializeToString(), random.Random(seed)))


def test_any_messages_of_a_stream_have_their_errors_and_the_others_their_answers(service):
    """Bytes that are no message end a stream, so this one has sound protobuf only."""
    stream, sent = Stream(service.stub), []

    @settings(FUZZ, max_examples=100)
    @given(messages())
    def send(message):
        message.id = str(len(sent))
        sent.append(message)
        stream.put(message)
        stream.send(request(f"sound {len(sent)}", [b"%d" % len(sent)]))

    send()
    eventually(lambda: sum(number.startswith("sound") for number in list(stream.answers)) == len(sent), "the sound ones' answers")
    assert {f"sound {n + 1}": {0: (0, b"%d" % (n + 1))} for n in range(len(sent))}.items() <= stream.answers.items()
    assert stream.error is None


def test_a_stream_with_bytes_that_are_no_message_ends_with_what_is_wrong(service):
    call = service.channel.stream_stream(f"/{SERVICE}/ModelStreamInfer", response_deserializer=pb.ModelStreamInferResponse.FromString)
    answers = call(iter([request("a", [b"x"]).SerializeToString(), b"\xff\xff\xff"]), timeout=10)
    assert next(answers).infer_response.id == "a"
    with pytest.raises(grpc.RpcError) as error:
        next(answers)
    assert error.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert "not a ModelInferRequest" in error.value.details()


@pytest.mark.parametrize("values", [[2, 255, 0, 1], [128] * 4])
def test_bools_that_are_neither_0_nor_1_count_as_true(raw, values):
    message = request("a", [b"a", b"b", b"c", b"d"])
    message.inputs.add(name="keep", datatype="BOOL", shape=[4])
    message.raw_input_contents.append(bytes(values))
    assert raw(message.SerializeToString()).raw_output_contents[0] == encode([b"a", b"b", b"c", b"d"])


@pytest.mark.parametrize(("change", "said"), [
    (lambda message: setattr(message, "id", "i" * (1 << 20)), "the id has 1048576 characters"),
    (lambda message: setattr(message, "model_name", "\U0001f600" * (1 << 18)), "no stage '\\U0001f600"),
    (lambda message: setattr(message.inputs[0], "name", "n" * (1 << 20)), "inputs are ["),
    (lambda message: message.inputs[0].shape.extend([1] * (1 << 20)), "has shape [1, 1"),
    (lambda message: setattr(message.inputs[0], "datatype", "d" * (1 << 20)), "is dddddddddddddddddddd; send BYTES"),
    (lambda message: message.outputs.add(name="o" * (1 << 20)), "there is no output 'ooo"),
])
def test_an_error_repeats_only_a_few_words_of_what_was_sent(service, raw, change, said):
    message = request("a", [b"x"])
    change(message)
    text = refused(raw, message.SerializeToString())
    assert said in text
    assert len(text) < 1001
    if message.outputs:
        return  # streams know no outputs
    stream = Stream(service.stub)
    stream.send(message)
    stream.sent = {message.id[: requests.ID_MAX]: 1}
    stream.finish()
    assert said in stream.errors[message.id[: requests.ID_MAX]]


def test_a_request_has_a_most_of_rows(raw):
    rows = requests.ROWS_MAX + 1
    message = pb.ModelInferRequest(model_name="work", raw_input_contents=[bytes(4 * rows)])
    message.inputs.add(name="rows", datatype="BYTES", shape=[rows])
    assert refused(raw, message.SerializeToString()) == f"input 'rows' has {rows} rows; send at most {requests.ROWS_MAX} in a request"


@pytest.mark.parametrize("packed", [None, grpc.Compression.Gzip])
def test_a_giant_message_is_refused(service, packed):
    """Packed, it is small on its way."""
    with pytest.raises(grpc.RpcError) as error:
        service.stub.ModelInfer(request("giant", [bytes(MESSAGE_BYTES_MAX)]), compression=packed, timeout=10)
    assert error.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED


def test_a_client_that_takes_no_answers_is_not_read_any_further(service):
    """Its answers stay bounded: what it may send is many times what the service holds for it."""
    before_mb, taking = resident_mb(service), threading.Event()
    channel = grpc.insecure_channel(f"127.0.0.1:{service.grpc_port}", options=[("grpc.use_local_subchannel_pool", 1), ("grpc.http2.bdp_probe", 0)])
    sent = []

    def requests_without_end():
        for number in range(2000):
            sent.append(number)
            yield request(number, [bytes(1 << 17)] * 4)  # half a MiB
        taking.wait()

    call = Stub(channel).ModelStreamInfer(requests_without_end())
    try:
        count = -1
        while count != len(sent):  # until nothing more is taken of it
            count = len(sent)
            eventually(lambda: resident_mb(service) > 0 and not taking.wait(0.3), "a moment")
        assert count < 2000
        assert resident_mb(service) - before_mb < 16 * OUTBOX_BYTES_MAX / 2**20
    finally:
        call.cancel()
        taking.set()
        channel.close()
    eventually(lambda: service.stage()["in_flight"] == 0, "its rows to be gone")


def test_connections_that_break_or_stay_half_open_hurt_nobody(service):
    peers = []
    preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
    settings_cut_off = b"\0\0\xff\x04\0\0\0\0\0" + bytes(9)
    for sent in (b"", preface, preface + settings_cut_off, b"GET / HTTP/1.1\r\n\r\n", bytes(range(256))):
        for _ in range(10):
            peer = socket.create_connection(("127.0.0.1", service.grpc_port), timeout=10)
            peer.sendall(sent)
            peers.append(peer)
    for at, peer in enumerate(peers):
        if at % 2:
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # closing resets it
            peer.close()
    assert service.stub.ModelInfer(request("a", [b"x"]), timeout=5).raw_output_contents[0] == encode([b"x"])
    for peer in peers:
        peer.close()


def test_streams_reset_in_the_middle_leave_nothing(service):
    for number in range(20):
        channel = grpc.insecure_channel(f"127.0.0.1:{service.grpc_port}", options=[("grpc.use_local_subchannel_pool", 1)])
        stream = Stream(Stub(channel))
        stream.send(request(number, [b"%d" % at for at in range(500)]))
        channel.close()
    eventually(lambda: (now := service.stage())["queued"] == now["in_flight"] == 0, "the broken streams' rows to be gone")
