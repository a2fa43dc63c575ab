"""Versions that take over, are tried out and rolled back in a real service, by HTTP and by the command, while rows flow."""

import os
import subprocess
import sys

import pytest

from operators.process import can_take_back
from operators.protocol.rows import encode
from tests.operators.service import Service, Stream, eventually, request
from tests.operators.stored import store


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    root = tmp_path_factory.mktemp("models")
    for version in ("1", "2"):
        store(root, version)
    store(root, "3", variant="marked")
    return root


@pytest.fixture(scope="module")
def service(tmp_path_factory, models):
    service = Service(tmp_path_factory.mktemp("updates"), "tests.operators.stored:Ending", batch=16, arguments=["--models", str(models)])
    yield service
    service.close()


@pytest.fixture(autouse=True)
def version_2(service):
    """Before each test."""
    service.change(variants={"plain": {"share": 1.0, "version": "2", "replicas": 1}})
    eventually(lambda: [lane["version"] for lane in service.stage()["lanes"]] == ["2"], "version 2 alone")


def post(service, what, body=None):
    return service.http(f"/sluice/v1/stages/work/{what}", body or {}, method="POST")


def begin(service, **plan):
    status, said = post(service, "update", plan)
    assert status == 202, said
    return said


def ended(service):
    return eventually(lambda: (said := service.http("/sluice/v1/stages/work/update")[1])["ended"] and said, "the end of the update")


def flow(service, stop, rows=20):
    """Rows that flow until `stop()`; then their answers."""
    stream, number = Stream(service.stub), 0

    def sent():
        nonlocal number
        if stream.outstanding() < 200:
            stream.send(request(number, [b"row"] * rows))
            number += 1
        return stop()

    eventually(sent, "the end of the flow")
    return stream, [result for answers in stream.finish().values() for status, result in answers.values() if status == 0]


def test_a_version_takes_over_while_rows_flow(service):
    begin(service, version="1")
    stream, results = flow(service, lambda: service.http("/sluice/v1/stages/work/update")[1]["ended"])
    assert ended(service)["phase"] == "done"
    assert len(results) == sum(stream.sent.values())
    assert set(results) <= {b"row v1", b"row v2"}
    stream = Stream(service.stub)
    stream.send(request("after", [b"row"]))
    assert stream.finish()["after"] == {0: (0, b"row v1")}
    assert not stream.repeated


def test_a_canary_answers_its_share_and_is_promoted(service):
    begin(service, version="1", canary=0.25)
    _, results = flow(service, lambda: service.http("/sluice/v1/stages/work/update")[1]["ended"])
    said = ended(service)
    assert said["phase"] == "done"
    assert said["new"]["rows"] >= 100
    assert set(results) == {b"row v1", b"row v2"}


def test_a_version_that_fails_is_rolled_back(service, models):
    store(models, "10", b"failing")
    begin(service, version="10", canary=0.25)
    flow(service, lambda: service.http("/sluice/v1/stages/work/update")[1]["ended"])
    said = ended(service)
    assert said["phase"] == "rolled back"
    assert "errors: " in said["reason"]
    after = Stream(service.stub)
    after.send(request("after", [b"row"] * 40))
    assert {result for _, result in after.finish()["after"].values()} == {b"row v2"}


def test_a_shadow_answers_nobody(service):
    begin(service, version="1", shadow=0.5, agreement=0.9)
    _, results = flow(service, lambda: service.http("/sluice/v1/stages/work/update")[1]["ended"])
    said = ended(service)
    assert said["phase"] == "rolled back"
    assert "0 of " in said["reason"]  # every answer differs
    assert set(results) == {b"row v2"}


def test_labels_decide(service):
    begin(service, version="1", canary=0.5, for_rows=100_000)

    def tried():
        stream = Stream(service.stub)
        message = request("labelled", [b"row"] * 200)
        message.inputs.add(name="event_id", datatype="BYTES", shape=[200])
        message.raw_input_contents.append(encode([b"e-%d" % number for number in range(200)]))
        stream.send(message)
        stream.finish()
        status, counted = post(service, "labels", {"labels": [{"event-id": f"e-{number}", "label": "row v2"} for number in range(200)]})
        assert status == 200
        return counted["used"]

    eventually(lambda: service.http("/sluice/v1/stages/work/update")[1]["phase"] == "canary", "the canary")
    assert tried() == 200
    said = ended(service)
    assert said["phase"] == "rolled back"
    assert "accuracy: 0 of 100 labelled rows right, 100 of 100 at the old version" in said["reason"]


def test_several_variants_share_the_rows(service):
    said = service.change(variants={"plain": {"share": 0.75}, "marked": {"share": 0.25}})
    assert [(lane["variant"], lane["version"], lane["share"]) for lane in said["lanes"]] == [("plain", "2", 0.75), ("marked", "3", 0.25)]
    eventually(lambda: [lane["state"] for lane in service.stage()["lanes"]] == ["serving"] * 2, "both to serve")
    stream = Stream(service.stub)
    for number in range(10):
        stream.send(request(number, [b"row"] * 40))
    results = [result for answers in stream.finish().values() for _, result in answers.values()]
    assert (results.count(b"row v2"), results.count(b"row v3")) == (300, 100)


@pytest.mark.parametrize(
    ("what", "body", "status", "text"),
    [
        ("update", {"version": "77"}, 400, "has no version '77'; stored: 1, 2"),
        ("update", {"version": "2", "canary": 0.1}, 400, "serves stage work already"),
        ("update", {"canary": 5}, 400, "canary is 5"),
        ("update", {"canary": "5%"}, 400, "canary is '5%'; use a number"),
        ("update", {"sped": 1}, 400, "unknown field 'sped'; use variant, version, canary"),
        ("labels", {"labels": [7]}, 400, "labels is no list of objects"),
        ("labels", {"labels": [{"label": 7}]}, 400, "send event-id and label"),
        ("labels", {"labels": [{"event-id": "gone", "label": 7}]}, 200, None),
    ],
)
def test_what_makes_no_sense_is_refused(service, what, body, status, text):
    found, said = post(service, what, body)
    assert found == status
    assert text is None or text in said["error"]


@pytest.mark.parametrize(
    ("variants", "text"),
    [
        ({}, "name each with its share"),
        ({"plain": {"share": 2}}, "share of variant plain is 2; use a number from 0 to 1"),
        ({"plain": {}}, "share of variant plain is None"),
        ({"plan": {"share": 1}}, "has no variant 'plan'"),
        ({"plain": {"share": 1, "speed": 1}}, "unknown setting 'speed' of variant plain"),
        ({"plain": {"share": 1, "replicas": 2}, "marked": {"share": 1, "replicas": 2}}, "have 4 replicas in all; the pipeline file allows 3"),
    ],
)
def test_a_mix_that_the_file_does_not_allow_is_refused(service, variants, text):
    status, said = service.http("/sluice/v1/stages/work", {"variants": variants})
    assert status == 422
    assert text in said["error"]


# several stages of one model

AGAIN = """
  again:
    operator: tests.operators.stored:Ending
    variants: {plain: {accuracy: 0.95}}
    batch: {max: 16}
"""


def answers(service, stage, *met):
    """What rows are answered whose events met these versions before."""
    stream, message = Stream(service.stub), request("a", [b"row"] * len(met), stage=stage)
    message.inputs.add(name="version", datatype="BYTES", shape=[len(met)])
    message.raw_input_contents.append(encode(list(met)))
    stream.send(message)
    found = stream.finish()["a"]
    return [found[row][1] for row in range(len(met))]


def test_stages_of_one_model_change_over_together_and_an_event_meets_one_version(tmp_path, models):
    service = Service(tmp_path, "tests.operators.stored:Ending", batch=16, arguments=["--models", str(models)], stages=AGAIN)
    for stage in ("work", "again"):
        service.http(f"/sluice/v1/stages/{stage}", {"variants": {"plain": {"share": 1.0, "version": "2"}}})
    eventually(lambda: {lane["version"] for stage in service.http("/sluice/v1/stages")[1] for lane in stage["lanes"]} == {"2"}, "version 2 at both")
    assert begin(service, version="1")["stages"] == ["work", "again"]
    eventually(lambda: service.http("/sluice/v1/stages/again/update")[1]["phase"] == "promoting", "the change")
    assert answers(service, "work", b"") == [b"row v1"]
    assert answers(service, "again", b"plain:2", b"", b"plain:1", b"plain:7") == [b"row v2", b"row v1", b"row v1", b"row v1"]
    assert ended(service)["phase"] == "done"
    assert answers(service, "again", b"plain:2") == [b"row v1"]  # none has come for twice the SLO
    service.close()


# how a new version is loaded


def test_a_new_version_is_loaded_at_idle_priority_but_not_another_variant(tmp_path, models):
    service = Service(tmp_path, "tests.operators.stored:Scheduled", batch=16, arguments=["--models", str(models)])
    service.change(variants={"plain": {"share": 1.0, "version": "2"}})
    eventually(lambda: [lane["version"] for lane in service.stage()["lanes"]] == ["2"], "version 2 alone")
    begin(service, version="1")
    assert ended(service)["phase"] == "done"
    assert answers(service, "work", b"") == [b"row v1 %d" % (os.SCHED_IDLE if can_take_back() else os.sched_getscheduler(0))]
    service.change(variant="marked")
    eventually(lambda: [lane["variant"] for lane in service.stage()["lanes"]] == ["marked"], "the other variant alone")
    assert answers(service, "work", b"") == [b"row v3 %d" % os.sched_getscheduler(0)]
    service.close()


# the commands


def sluice(service, *arguments):
    command = [sys.executable, "-m", "jobs.cli", *arguments, "--service-http", f"127.0.0.1:{service.http_port}"]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def test_the_commands(service, models):
    done = sluice(service, "update", "work", "--version", "1")
    assert (done.returncode, done.stderr) == (0, "")
    assert "plain:2 -> plain:1 done" in done.stdout
    listed = sluice(service, "versions", "work").stdout.splitlines()
    assert next(line for line in listed if line.startswith("plain           1 ")).split() == ["plain", "1", "1", "100%"]
    back = sluice(service, "rollback", "work")
    assert "plain:1 -> plain:2 done" in back.stdout
    store(models, "11", b"broken")
    failed = sluice(service, "update", "work", "--version", "11", "--canary", "5%")
    assert failed.returncode == 1
    assert "rolled back: it cannot be loaded: operator tests.operators.stored:Ending cannot be loaded: ValueError: this version" in failed.stdout


def test_an_update_under_way_is_not_overrun_and_can_be_ended(service):
    started = sluice(service, "update", "work", "--version", "1", "--canary", "5%", "--for", "10min", "--detach")
    assert "plain:2 -> plain:1 loading" in started.stdout
    assert "is being updated" in sluice(service, "update", "work", "--version", "1").stderr
    assert service.http("/sluice/v1/stages/work", {"variant": "marked"})[0] == 422
    ended_by_hand = sluice(service, "rollback", "work")
    assert ended_by_hand.returncode == 0
    assert "rolled back: asked for" in ended_by_hand.stdout


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--canary", "much"], "--canary is 'much'; use a share such as 5% or 0.05"),
        (["--for", "60"], "--for is '60': write a number and a unit"),
    ],
)
def test_a_flag_that_makes_no_sense_is_explained(service, arguments, text):
    failed = sluice(service, "update", "work", *arguments)
    assert failed.returncode == 2
    assert text in failed.stderr


def test_a_service_that_is_away_is_named():
    failed = subprocess.run([sys.executable, "-m", "jobs.cli", "versions", "work", "--service-http", "127.0.0.1:1"], capture_output=True, text=True, timeout=60)
    assert failed.returncode == 2
    assert "the operator service at 127.0.0.1:1: [Errno 111] Connection refused; name it with --service-http" in failed.stderr


def test_two_sizes_of_replicas_serve_side_by_side(service):
    service.change(variants={"plain": {"share": 0.5, "cores": 2}, "marked": {"share": 0.5, "cores": 0.5}})
    eventually(lambda: [lane["state"] for lane in service.stage()["lanes"]] == ["serving"] * 2, "both to serve")
    eventually(lambda: service.stage()["processes"]["cores"] == 2.5, "two cores and a half")
    assert {lane["variant"]: lane["cores"] for lane in service.stage()["lanes"]} == {"plain": 2, "marked": 0.5}
    sizes = [1, min(2, len(os.sched_getaffinity(0)))]
    eventually(lambda: sorted(len(os.sched_getaffinity(pid)) for pid in service.pids()) == sizes, "each bound to as many processors as it has cores")
    stream = Stream(service.stub)
    for number in range(4):
        stream.send(request(number, [b"row"] * 20))
    results = [result for answers in stream.finish().values() for _, result in answers.values()]
    assert (results.count(b"row v2"), results.count(b"row v3")) == (40, 40)
