"""A stage at a foreign endpoint, asked by unary ModelInfer: a bad row fails alone, and nothing is lost while the endpoint is away."""

import sys
from pathlib import Path

import pytest

from jobs.embedded.ports import free_ports
from jobs.embedded.processes import Child
from jobs.embedded.run import is_ready
from tests.e2e.conftest import HERE, started, written
from tests.e2e.feed import Feed, assert_one_place, collect, wait_for

pytestmark = [pytest.mark.kafka, pytest.mark.flink, pytest.mark.slow]
PIPELINE = """\
pipeline: foreign
slo: 5 s
source: {{topic: foreign-in}}
sink: {{topic: foreign-out}}
dead_letters: {{topic: foreign-dead-letters}}
stages:
  ours:
    operator: operators.echo:Echo
    variants: {{only: {{accuracy: 1.0, suffix: "."}}}}
  theirs:
    endpoint: "127.0.0.1:{port}"
    model: {{name: answer, timeout: 5 s}}
    batch: {{max: 100}}
"""


@pytest.fixture(scope="module")
def foreign(tmp_path_factory):
    """A pipeline whose second stage another service plays, under the model name of that one's stage."""
    port, http_port = free_ports(2)
    command = [sys.executable, "-m", "jobs.cli", "operator", "serve", str(HERE / "echo.yaml")]
    command += ["--grpc-port", str(port), "--http-port", str(http_port), "--metrics-port", "0"]
    endpoint = Child("endpoint", tuple(command), cwd=Path.cwd(), ready=lambda: is_ready(f"127.0.0.1:{http_port}"))
    with started(written(tmp_path_factory, "foreign.yaml", PIPELINE.format(port=port)), tmp_path_factory) as running:
        running.supervisor.start(endpoint)
        running.supervisor.wait_ready(["endpoint"])
        yield running


def outcome_of(foreign, feed):
    feed.finish()
    outcome = collect(foreign.bootstrap_servers, foreign.pipeline.sink.name, foreign.pipeline.dead_letters.name, feed)
    assert_one_place(outcome, feed, exactly_once=False)
    return outcome


def test_a_bad_row_fails_alone(foreign):
    feed = Feed(foreign.bootstrap_servers, foreign.pipeline.source.name, "bad", 500, 5000.0, lambda n: b"raise" if n == 123 else b"row-%d" % n)
    feed.start()
    outcome = outcome_of(foreign, feed)
    assert outcome.reasons == {"bad-123": "operator-error"}
    assert "cannot take raise" in outcome.records["bad-123"].header("dead-letter-detail")
    assert outcome.values["bad-7"] == b"row-7.!"
    stages = [value.decode() for name, value in outcome.records["bad-7"].headers if name == "stage"]
    assert [stage.partition(";queue_us")[0] for stage in stages] == ["name=ours;variant=only;version=1", "name=theirs;variant=answer;version=1"]


def test_nothing_is_lost_when_the_endpoint_is_killed_and_comes_back(foreign):
    feed = Feed(foreign.bootstrap_servers, foreign.pipeline.source.name, "kill", 4000, 1000.0)
    feed.start()
    wait_for(lambda: feed.sent > 1000, "a quarter of the events sent")
    foreign.supervisor.kill("endpoint")
    outcome = outcome_of(foreign, feed)
    assert not outcome.dead
    assert all(value == f"row-{event_id.rpartition('-')[2]}.!".encode() for event_id, value in outcome.values.items())
    assert foreign.rest.restarts(foreign.job_id) == 0
