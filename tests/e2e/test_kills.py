"""kill -9 of every part, in mid-stream and under load: each event still ends in exactly one place, and the stream goes on by itself."""

import json
import os
import signal
import urllib.request

import pytest

from autoscaler.graph.pipeline import Delivery
from tests.e2e.feed import Feed, assert_one_place, collect, wait_for

pytestmark = [pytest.mark.kafka, pytest.mark.flink]
COUNT, RATE = 6000, 1500.0


def run_through(stream, name, disturb):
    """Feeds events, disturbs once a third is sent, and returns what became of them all."""
    pipeline = stream.pipeline
    feed = Feed(stream.bootstrap_servers, pipeline.source.name, name, COUNT, RATE)
    feed.start()
    wait_for(lambda: feed.sent > COUNT // 3, "a third of the events sent")
    disturb()
    feed.finish()
    outcome = collect(stream.bootstrap_servers, pipeline.sink.name, pipeline.dead_letters.name, feed)
    assert_one_place(outcome, feed, exactly_once=pipeline.delivery is Delivery.EXACTLY_ONCE)
    assert not outcome.dead, f"nothing was wrong with these rows: {set(outcome.reasons.values())}"
    assert all(value == f"row-{event_id.rpartition('-')[2]}!".encode() for event_id, value in outcome.values.items())


@pytest.mark.parametrize("part", ["service", "sidecar", "taskmanager", "broker", "jobmanager"])
def test_a_killed_part_loses_and_doubles_nothing(stream, part):
    before = next(state.restarts for state in stream.supervisor.states() if state.name == part)
    run_through(stream, f"kill{part}", lambda: stream.supervisor.kill(part))
    after = next(state.restarts for state in stream.supervisor.states() if state.name == part)
    assert after == before + 1


def test_a_killed_replica_loses_and_doubles_nothing(stream):
    def kill():
        os.kill(replica_pids(stream)[0], signal.SIGKILL)

    run_through(stream, "killreplica", kill)


def test_a_rescale_in_mid_stream_loses_and_doubles_nothing(stream):
    def rescale():
        vertex = next(v for v in stream.rest.vertices(stream.job_id) if "answer" in v.name)
        stream.rest.require(stream.job_id, {vertex.id: (1, 3 - vertex.parallelism)})
        wait_for(lambda: any(v.id == vertex.id and v.parallelism == 3 - vertex.parallelism
                             for v in stream.rest.vertices(stream.job_id)), "the new parallelism")

    run_through(stream, "rescale", rescale)


def test_settings_changed_under_load_lose_and_double_nothing(stream):
    def change():
        for setting in ({"replicas": 3}, {"batch": 16}, {"replicas": 1}, {"batch": 128, "replicas": 2}):
            request = urllib.request.Request(f"http://{stream.http_address}/sluice/v1/stages/answer", json.dumps(setting).encode(),
                                             {"Content-Type": "application/json"}, method="PATCH")
            with urllib.request.urlopen(request, timeout=10) as answer:
                assert setting.items() <= json.load(answer).items()

    run_through(stream, "settings", change)


def replica_pids(stream) -> list[int]:
    """Processes whose parent is the service."""
    parent = stream.supervisor.pid("service")
    with open(f"/proc/{parent}/task/{parent}/children", encoding="ascii") as children:
        return [int(pid) for pid in children.read().split()]
