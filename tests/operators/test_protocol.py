import pytest

from operators.protocol import encoding
from operators.protocol import inference_pb2 as pb
from operators.protocol.generate import ROOT, TARGET, generated


def test_the_committed_messages_are_those_of_the_proto_file():
    assert (ROOT / TARGET).read_text() == generated()


@pytest.mark.parametrize("value", [0, 1, 127, 128, 16383, 16384, 2**31, 2**63 - 1])
def test_numbers_are_written_as_protobuf_does(value):
    message = pb.ModelInferResponse()
    message.parameters["a"].int64_param = value
    read = pb.ModelInferResponse.FromString(encoding.int_parameter("a", value))
    assert read == message


@pytest.mark.parametrize("request_id", ["", "7", "ü" * 100])
def test_a_response_is_what_protobuf_would_have_written(request_id):
    heads = encoding.heads("work", "12", request_id, {"variant": "cnn"}, {"window": 8192, "back_off_ms": 0})
    outputs = [("rows", "BYTES", 2, memoryview(b"x" * 300)), ("status", "UINT8", 0, b"")]
    written = encoding.stream_response(heads, outputs)
    expected = pb.ModelStreamInferResponse()
    answer = expected.infer_response
    answer.model_name, answer.model_version, answer.id = "work", "12", request_id
    answer.parameters["variant"].string_param = "cnn"
    answer.parameters["window"].int64_param = 8192
    answer.parameters["back_off_ms"].int64_param = 0
    answer.outputs.add(name="rows", datatype="BYTES", shape=[2])
    answer.outputs.add(name="status", datatype="UINT8", shape=[0])
    answer.raw_output_contents.extend([b"x" * 300, b""])
    assert pb.ModelStreamInferResponse.FromString(written) == expected
    assert pb.ModelInferResponse.FromString(encoding.response(heads, outputs)) == answer
