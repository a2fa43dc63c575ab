"""A real broker: up, used, stopped, and nothing of it left."""

import psutil
import pytest

from jobs.consumer import TopicReader
from jobs.embedded import broker
from jobs.embedded.ports import free_ports, is_taken
from jobs.embedded.processes import Supervisor
from jobs.producer import Load, Replay, Sample
from jobs.shape import Shape

pytestmark = [pytest.mark.kafka, pytest.mark.slow]


def test_events_go_through_a_broker_that_leaves_nothing_behind(tmp_path):
    port, controller = free_ports(2)
    config = broker.BrokerConfig(tmp_path / "broker", port, controller)
    broker.prepare(config)
    with Supervisor(tmp_path / "logs") as supervisor:
        supervisor.start(broker.child(config))
        supervisor.wait_ready(["broker"], 60)
        process = psutil.Process(supervisor.pid("broker"))
        assert process.name() == "java"
        topics = [broker.NewTopic("in", 2), broker.NewTopic("out", 1, broker.APPEND_TIME)]
        assert broker.create_topics(config.bootstrap_servers, topics) == ["in", "out"]
        assert broker.create_topics(config.bootstrap_servers, topics) == []

        client = {"bootstrap_servers": config.bootstrap_servers}
        samples = [Sample(b"a", "1", b"k"), Sample(b"b", "2")]
        sent = Replay("in", samples, Load(1000, Shape.STEADY, None, 50), client, "t").run()
        with TopicReader(["in"], client) as reader:
            got = {record.event_id: record for record in reader.to_end()}
        assert got.keys() == sent.intended_ms.keys() == {f"t-{n}" for n in range(50)}
        assert all(got[e].timestamp_ms == ms for e, ms in sent.intended_ms.items())
        assert sent.failed == set()
        with pytest.raises(LookupError, match="no topic absent"):
            TopicReader(["absent"], client)
    assert not process.is_running()
    assert not is_taken(port)
