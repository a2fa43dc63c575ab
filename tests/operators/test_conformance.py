"""What the conformance suite says of our service, of a right operator in plain Python, and of wrong ones."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from jobs.cli import app
from operators.conformance import MODEL, SERVER, Inputs, Verdict, run
from operators.endpoints import Nonsense, Tensor, endpoint
from operators.protocol.rows import encode
from tests.operators import v2_server
from tests.operators.service import Service
from tests.operators.v2_server import serving


@pytest.fixture(scope="module", params=["Echo", "Splitter"])
def service(tmp_path_factory, request):
    service = Service(tmp_path_factory.mktemp("conformance"), request.param)
    yield service
    service.close()


def verdicts(url, model, rows=()):
    asked = endpoint(url)
    try:
        return {result.check: result for result in run(asked, model, rows)}
    finally:
        asked.close()


def wrong(results):
    return {check: result.detail for check, result in results.items() if result.verdict is Verdict.WRONG}


@pytest.mark.parametrize("scheme", ["grpc", "http"])
def test_our_service_conforms(service, scheme):
    port = {"grpc": service.grpc_port, "http": service.http_port}[scheme]
    results = verdicts(f"{scheme}://127.0.0.1:{port}", "work", [b"one", b"two,2", b""])
    assert wrong(results) == {}
    assert len(results) == len(SERVER) + 1 + len(MODEL)
    skipped = {check for check, result in results.items() if result.verdict is Verdict.SKIPPED}
    assert skipped <= {"rows of a batch", "typed contents", "lying length"}


@pytest.mark.parametrize("kind", ["Upper", "Doubler"])
def test_a_small_right_operator_conforms(kind):
    with serving(getattr(v2_server, kind)()) as address:
        results = verdicts(address, "upper")
    assert {check: result.verdict for check, result in results.items() if result.verdict is not Verdict.OK} == {}


@pytest.mark.parametrize(
    ("defect", "check", "said"),
    [
        ("NotReady", "is ready", "says no"),
        ("ReadyForAll", "unknown model", "says yes"),
        ("Nameless", "metadata", "has the name 'model'"),
        ("Forgetful", "request id", "has id ''"),
        ("Sorted", "row order", "alone it is"),
        ("FirstOnly", "rows of a batch", r"shape \[1, 1\] for 7 rows"),
        ("Mixed", "row order", "alone it is"),
        ("MissingOutput", "one row", "'bytes' of the metadata is missing"),
        ("ShortOutput", "one row", "takes 4"),
        ("RawOnly", "typed contents", "send raw_input_contents"),
        ("Strict", "unknown parameters", "make it refuse"),
        ("Lenient", "wrong datatype", "answered instead of refused"),
        ("Lenient", "missing input", "answered instead of refused"),
        ("Lenient", "lying length", "answered instead of refused"),
        ("Later", "wrong shape", "the same rows come again"),
        ("Poisoned", "wrong datatype", "answers no more"),
        ("OneRowFromLast", "several callers", "another answer than alone"),
    ],
)
def test_a_defect_is_found(defect, check, said):
    with serving(getattr(v2_server, defect)()) as address:
        found = wrong(verdicts(address, "upper"))
    assert check in found, found
    assert re.search(said, found[check]), found[check]


def test_a_small_limit_on_messages_is_found():
    with serving(v2_server.Upper(), message_bytes_max=4 << 20) as address:
        assert set(wrong(verdicts(address, "upper"))) == {"large request"}


def test_nobody_there():
    found = wrong(verdicts("127.0.0.1:9", "upper"))
    assert set(found) == {"is live", "is ready", "server metadata", "model is ready", "unknown model", "metadata"}
    assert "gone" in found["is live"]


def test_the_command_prints_a_table_and_its_status_says_whether_all_is_well():
    with serving(v2_server.Upper()) as address:
        said = CliRunner().invoke(app, ["conformance", address, "--model", "upper"])
    assert said.exit_code == 0, said.output
    assert said.output.splitlines()[-1] == f"{len(SERVER) + 1 + len(MODEL)} ok, 0 wrong, 0 skipped"
    with serving(v2_server.Sorted()) as address:
        said = CliRunner().invoke(app, ["conformance", address, "--model", "upper"])
    assert said.exit_code == 1
    assert "wrong   row order" in said.output
    assert CliRunner().invoke(app, ["conformance", "ftp://x", "--model", "upper"]).exit_code == 2


@pytest.mark.parametrize("url", ["", "host", "host:", "ftp://host:1", "http://host", "http://host:1/v2", "host:notaport"])
def test_what_is_no_endpoint(url):
    with pytest.raises(ValueError, match=r"no endpoint|port|Port"):
        endpoint(url)


@given(numbers=st.lists(st.integers(0, 50), min_size=1, max_size=9), kind=st.sampled_from(["BYTES", "FP32", "INT64", "BOOL", "FP16"]))
def test_a_row_of_a_number_is_always_the_same(numbers, kind):
    inputs = Inputs(("x",), (kind,), ((2,),), True)
    (together,) = inputs.rows(*numbers)
    values = together.values()
    assert together.shape == (len(numbers), 2)
    for place, number in enumerate(numbers):
        assert values[2 * place : 2 * place + 2] == inputs.rows(number)[0].values()


@pytest.mark.parametrize(
    "tensor", [Tensor("x", "FP32", (2,), b"1234567"), Tensor("x", "BYTES", (2,), encode([b"a"])), Tensor("x", "FP33", (1,), b"1")]
)
def test_a_tensor_whose_bytes_are_not_its_shape_is_nonsense(tensor):
    with pytest.raises(Nonsense):
        tensor.values()
