"""Versions loaded and unloaded under load, by the repository extension."""

import asyncio
import threading

import grpc
import pytest

from autoscaler.graph.reader import read_pipeline
from operators.extensions import Extensions, is_loopback
from operators.protocol import inference_pb2 as pb
from operators.protocol.rows import decode, encode
from operators.refusal import Fault, Refused
from operators.serving import Serving
from tests.operators.service import PIPELINE, Service, Stream, eventually, request
from tests.operators.stored import MODEL, store


@pytest.fixture
def models(tmp_path):
    for version in ("1", "2"):
        store(tmp_path / "models", version)
    store(tmp_path / "models", "3", variant="marked")
    return tmp_path / "models"


@pytest.fixture
def service(tmp_path, models):
    service = Service(tmp_path, "tests.operators.stored:Ending", arguments=["--models", str(models)])
    yield service
    service.close()


def infer(service, row=b"a", version=""):
    message = pb.ModelInferRequest(model_name="work", model_version=version, raw_input_contents=[encode([row])])
    message.inputs.add(name="rows", datatype="BYTES", shape=[1])
    return decode(service.stub.ModelInfer(message).raw_output_contents[0], 1)[0]


def load(service, **parameters):
    wanted = {key: pb.ModelRepositoryParameter(string_param=value) for key, value in parameters.items()}
    service.stub.RepositoryModelLoad(pb.RepositoryModelLoadRequest(model_name="work", parameters=wanted))


def index(service, ready=False):
    return {(entry.version, entry.state) for entry in service.stub.RepositoryIndex(pb.RepositoryIndexRequest(ready=ready)).models}


def test_versions_come_and_go(service, models):
    assert infer(service) == b"a v2"
    assert index(service) == {("1", "UNAVAILABLE"), ("2", "READY")}
    load(service, version="1")
    assert infer(service) == b"a v1"
    assert index(service, ready=True) == {("1", "READY")}
    store(models, "10")
    load(service)
    assert infer(service) == b"a v10"
    load(service, variant="marked")
    assert infer(service, version="3") == b"a v3"
    with pytest.raises(grpc.RpcError, match="serves version 3, not 10"):
        infer(service, version="10")


def test_a_version_that_cannot_be_loaded_leaves_the_old_one(service, models):
    store(models, "3", b"broken")
    with pytest.raises(grpc.RpcError) as failed:
        load(service)
    assert failed.value.code() is grpc.StatusCode.INTERNAL
    assert "this version cannot be loaded" in failed.value.details()
    assert infer(service) == b"a v2"
    assert index(service, ready=True) == {("2", "READY")}

    store(models, "4")
    (models / MODEL / "plain" / "4" / "ending").write_bytes(b"changed")
    with pytest.raises(grpc.RpcError, match="sha256 differs"):
        load(service)
    assert infer(service) == b"a v2"


@pytest.mark.parametrize("parameters", [{"version": "7"}, {"version": "../1"}, {"variant": "none"}, {"config": "{}"}, {"file:1/x.py": "import os"}])
def test_what_is_not_in_the_repository_cannot_be_loaded(service, parameters):
    with pytest.raises(grpc.RpcError) as failed:
        load(service, **parameters)
    assert failed.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert infer(service) == b"a v2"


def test_no_row_is_lost_while_versions_change(service):
    stream = Stream(service.stub)
    versions = iter(["1", "2"] * 3)
    for number in range(60):
        if number % 10 == 5:
            load(service, version=next(versions))
        stream.send(request(number, [b"row"] * 20))
    answers = stream.finish()
    assert sum(map(len, answers.values())) == 1200
    assert {status for rows in answers.values() for status, _ in rows.values()} == {0}
    assert {result for rows in answers.values() for _, result in rows.values()} == {b"row v1", b"row v2"}
    assert not stream.repeated


def test_an_unloaded_stage_refuses_calls_and_keeps_the_rows_of_streams(service):
    service.stub.RepositoryModelUnload(pb.RepositoryModelUnloadRequest(model_name="work"))
    with pytest.raises(grpc.RpcError) as away:
        infer(service)
    assert away.value.code() is grpc.StatusCode.UNAVAILABLE
    assert not service.stub.ServerReady(pb.ServerReadyRequest()).ready
    stream = Stream(service.stub)
    stream.send(request("a", [b"x", b"y"]))
    eventually(lambda: service.stage()["queued"] == 2, "the rows to wait")
    load(service)
    assert stream.finish()["a"] == {0: (0, b"x v2"), 1: (0, b"y v2")}


def test_calls_that_wait_when_a_stage_is_unloaded_are_refused(tmp_path):
    service = Service(tmp_path, "Sleeper", batch=1, sleep_ms=300)
    outcomes = []

    def call():
        try:
            outcomes.append(infer(service))
        except grpc.RpcError as error:
            outcomes.append(error.code())

    threads = [threading.Thread(target=call) for _ in range(4)]
    for thread in threads:
        thread.start()
    eventually(lambda: service.stage()["queued"] + service.stage()["in_flight"] == 4, "four calls")
    service.stub.RepositoryModelUnload(pb.RepositoryModelUnloadRequest(model_name="work"))
    for thread in threads:
        thread.join()
    assert set(outcomes) == {grpc.StatusCode.UNAVAILABLE}
    assert service.stage()["queued"] == service.stage()["in_flight"] == 0
    service.close()


def test_it_is_off_where_other_machines_could_call(tmp_path):
    path = tmp_path / "t.yaml"
    path.write_text(PIPELINE.format(operator="Echo", batch=1, replicas=1, sleep_ms=0, on_late="answer", fan_out="false"))

    async def calls():
        extensions = Extensions(Serving(read_pipeline(path), tmp_path), control=False)
        for call in (extensions.repository.load, extensions.repository.unload):
            with pytest.raises(Refused, match="--remote-control") as refused:
                await call("work", {})
            assert refused.value.fault is Fault.FORBIDDEN
        assert extensions.repository.index() == [{"name": "work", "version": "", "state": "LOADING", "reason": ""}]

    asyncio.run(calls())


@pytest.mark.parametrize(
    ("host", "is_local"), [("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("10.0.0.1", False), ("h", False)]
)
def test_what_only_this_machine_reaches(host, is_local):
    assert is_loopback(host) is is_local
