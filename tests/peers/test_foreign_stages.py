"""A pipeline whose four stages are four servers that are not ours: an operator in Go, Triton, MLServer, an operator in plain Python.

Deadlines, window and the splitting of failed requests are our proxy's: a bad row fails alone, and nothing is lost while one is away.
"""

import json
import sys
import time

import pytest

from bench.peers import servers
from bench.peers.places import GO_OPERATOR, ROOT, there
from jobs.embedded.ports import free_ports, is_taken
from jobs.embedded.processes import Child
from tests.e2e.conftest import started, written
from tests.e2e.feed import Feed, assert_one_place, collect, wait_for

pytestmark = [pytest.mark.peers, pytest.mark.kafka, pytest.mark.flink, pytest.mark.slow]
STAGES = ("mask", "triton", "mlserver", "words")
PIPELINE = """\
pipeline: theirs
slo: 2 s
source: {{topic: theirs-in}}
sink: {{topic: theirs-out, format: json}}
dead_letters: {{topic: theirs-dead-letters}}
stages:
  mask: {{endpoint: "127.0.0.1:{mask}", model: {{input: text}}, batch: {{max: 32}}}}
  triton:
    endpoint: "127.0.0.1:{triton}"
    model: {{name: upper, input: text, shape: [1], timeout: 30 s}}
    on_late: dead-letter
    batch: {{max: 16}}
  mlserver: {{endpoint: "127.0.0.1:{mlserver}", model: {{name: upper, input: text, shape: [1]}}, batch: {{max: 32}}}}
  words: {{endpoint: "127.0.0.1:{words}", model: {{input: text}}, batch: {{max: 32}}, output: {{format: json, fields: {{words: INT, longest: STRING}}}}}}
"""


@pytest.fixture(scope="module")
def theirs(tmp_path_factory):
    ports = dict(zip(STAGES, free_ports(len(STAGES)), strict=True))
    triton_http, mlserver_http, mlserver_metrics = free_ports(3)
    folder = tmp_path_factory.mktemp("models")
    children = [
        listening("mask", (str(there(GO_OPERATOR)), str(ports["mask"])), ports["mask"]),
        listening("words", (sys.executable, str(ROOT / "examples" / "python" / "words.py"), str(ports["words"])), ports["words"]),
        servers.triton(folder / "triton", servers.UPPER, servers.TritonSetting(), ports["triton"], triton_http),
        servers.mlserver(folder / "mlserver", servers.UPPER, servers.MlserverSetting(), ports["mlserver"], mlserver_http, mlserver_metrics),
    ]
    path = written(tmp_path_factory, "theirs.yaml", PIPELINE.format(**ports))
    with started(path, tmp_path_factory, job_arguments=("--window", "64")) as running:
        for child in children:
            running.supervisor.start(child)
        running.supervisor.wait_ready(STAGES, servers.START_S)
        yield running


def listening(name, command, port):
    return Child(name, command, cwd=ROOT, ready=lambda: is_taken(port))


def outcome_of(theirs, feed):
    feed.finish()
    outcome = collect(theirs.bootstrap_servers, theirs.pipeline.sink.name, theirs.pipeline.dead_letters.name, feed)
    assert_one_place(outcome, feed, exactly_once=False)
    return outcome


def feed_of(theirs, name, count, rate, value):
    feed = Feed(theirs.bootstrap_servers, theirs.pipeline.source.name, name, count, rate, value)
    feed.start()
    return feed


def test_a_bad_row_fails_alone_at_the_server_that_cannot_take_it(theirs):
    bad = {123: b"raise", 321: b"Raise", 444: b"\xff"}
    outcome = outcome_of(theirs, feed_of(theirs, "bad", 500, 2000.0, lambda n: bad.get(n, b"card 4711 of user-%d" % n)))
    assert outcome.reasons == dict.fromkeys(("bad-123", "bad-321", "bad-444"), "operator-error")
    stage = {name: record.header("dead-letter-stage") for name, record in outcome.records.items() if name in outcome.dead}
    assert stage == {"bad-123": "triton", "bad-321": "mlserver", "bad-444": "mlserver"}
    assert "cannot take raise" in outcome.records["bad-123"].header("dead-letter-detail")
    assert "cannot take RAISE" in outcome.records["bad-321"].header("dead-letter-detail")
    assert json.loads(outcome.values["bad-42"]) == {"words": 4, "longest": "USER-##"}
    stages = [value.decode() for name, value in outcome.records["bad-42"].headers if name == "stage"]
    assert [stage.partition(";queue_us")[0] for stage in stages] == [
        "name=mask;variant=mask;version=1", "name=triton;variant=upper;version=1", "name=mlserver;variant=upper;version=", "name=words;variant=words;version=1",
    ]


@pytest.mark.parametrize("server", STAGES)
def test_nothing_is_lost_while_a_server_is_away(theirs, server):
    feed = feed_of(theirs, f"away{server}", 3000, 500.0, lambda n: b"row of user-%d" % n)
    wait_for(lambda: feed.sent > 500, "some events sent")
    theirs.supervisor.kill(server)
    outcome = outcome_of(theirs, feed)
    assert not outcome.dead
    assert all(json.loads(value)["words"] == 3 for value in outcome.values.values())
    assert theirs.rest.restarts(theirs.job_id) == 0
    theirs.supervisor.wait_ready([server], servers.START_S)


def test_rows_wait_in_the_proxy_and_expire_there(theirs):
    """The window is 64 rows and each takes Triton 50 ms: within the 2 s of the deadline it can be sent about a hundred, the others never."""
    began = time.monotonic()
    outcome = outcome_of(theirs, feed_of(theirs, "slow", 600, 5000.0, lambda n: b"slow"))
    assert set(outcome.reasons.values()) == {"expired"}
    assert 16 <= len(outcome.output) <= 200
    assert {record.header("dead-letter-stage") for name, record in outcome.records.items() if name in outcome.dead} == {"triton"}
    assert time.monotonic() - began < 20  # 600 rows would take Triton 30 s
