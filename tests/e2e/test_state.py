"""A stage with state, disturbed in mid-stream: what comes out is what an undisturbed run gives. Each event is applied once, each key's in order."""

import os
import signal

import pytest

from tests.e2e.chains import expected
from tests.e2e.commands import setting
from tests.e2e.conftest import HERE, started
from tests.e2e.feed import Feed, collect, wait_for
from tests.e2e.test_kills import replica_pids
from tests.e2e.test_outage import completed, metric

pytestmark = [pytest.mark.kafka, pytest.mark.flink]
COUNT, RATE, KEYS = 6000, 1500.0, 41
CAPACITY = 1000
CHECKPOINT_TIMEOUT_S = 3
SETTINGS = {"execution.checkpointing.timeout": f"{CHECKPOINT_TIMEOUT_S} s", "metrics.fetcher.update-interval": "500"}


@pytest.fixture(scope="module")
def keyed(tmp_path_factory):
    with started(HERE / "state.yaml", tmp_path_factory, settings=SETTINGS, job_arguments=("--capacity-rows", str(CAPACITY))) as running:
        yield running


def run_through(keyed, name, disturb):
    """Feeds events of several keys, disturbs once a third is sent, and compares all that comes out with the undisturbed run."""

    def key(number):
        return b"%s-%d" % (name.encode(), number * number % KEYS)  # some keys more often than others

    def value(number):
        return b"raise %d" % number if number % 500 == 499 else b"row-%d" % number

    wanted = expected(range(COUNT), value, key)
    feed = Feed(keyed.bootstrap_servers, keyed.pipeline.source.name, name, COUNT, RATE, value, key)
    feed.start()
    wait_for(lambda: feed.sent > COUNT // 3, "a third of the events sent")
    disturb(feed)
    feed.finish()
    outcome = collect(keyed.bootstrap_servers, keyed.pipeline.sink.name, keyed.pipeline.dead_letters.name, feed)
    assert outcome.repeated() == 0
    assert {int(event_id.rpartition("-")[2]): answer for event_id, answer in outcome.values.items()} == wanted
    assert set(outcome.reasons.values()) == {"operator-error"}
    assert outcome.dead.keys() == feed.ids() - outcome.output.keys()
    last: dict[bytes, int] = {}
    for number in outcome.order:
        assert last.get(key(number), -1) < number, "a key's events left out of order"
        last[key(number)] = number


def test_a_replica_killed_then_replicas_resized_and_their_version_changed(keyed):
    def disturb(feed):
        os.kill(replica_pids(keyed)[0], signal.SIGKILL)
        for change in ({"replicas": 3}, {"variant": "other"}, {"cores": 2, "replicas": 1}, {"variant": "one", "batch": 16}, {"cores": 1, "batch": 64}):
            sent = feed.sent
            setting(keyed, "chain", change)
            wait_for(lambda before=sent: feed.sent > before + 300 or not feed.is_alive(), "some events more")

    run_through(keyed, "replicas", disturb)


def test_the_service_away_for_longer_than_a_checkpoint_may_take(keyed):
    def disturb(feed):
        restarts = keyed.rest.restarts(keyed.job_id)
        keyed.supervisor.kill("service")
        keyed.supervisor.stop_child("service")
        wait_for(lambda: (metric(keyed, "inFlightRows", "chain") or 0) >= CAPACITY, "the proxy is full")
        full = completed(keyed)
        wait_for(lambda: completed(keyed) >= full + CHECKPOINT_TIMEOUT_S + 1, "checkpoints while it is full")
        keyed.supervisor.start(keyed.service())
        wait_for(lambda: metric(keyed, "connected", "chain") == 1, "the proxy is connected again")
        assert keyed.rest.restarts(keyed.job_id) == restarts

    run_through(keyed, "service", disturb)


def test_the_taskmanager_killed_and_the_stage_rescaled(keyed):
    def disturb(feed):
        vertex = next(v for v in keyed.rest.vertices(keyed.job_id) if "chain" in v.name)
        keyed.supervisor.kill("taskmanager")
        sent = feed.sent
        wait_for(lambda: feed.sent > sent + 300, "some events more")
        keyed.rest.require(keyed.job_id, {vertex.id: (1, 2)})
        wait_for(lambda: any(v.id == vertex.id and v.parallelism == 2 for v in keyed.rest.vertices(keyed.job_id)), "the new parallelism")

    run_through(keyed, "taskmanager", disturb)
    wait_for(lambda: metric(keyed, "stateKeys", "chain") is not None, "the size of the state")
