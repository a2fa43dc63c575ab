"""Stop with a savepoint, start from it or from a retained checkpoint, with a changed pipeline file: nothing is lost, and exactly once is kept."""

import re

import pytest
from kafka import KafkaConsumer, KafkaProducer, OffsetAndMetadata, TopicPartition

from autoscaler.graph.pipeline import Delivery
from autoscaler.graph.reader import parse_pipeline
from jobs.consumer import TopicReader
from jobs.embedded import broker
from jobs.embedded.run import topics_of
from tests.e2e.commands import rewrite, sluice
from tests.e2e.conftest import ONE_MODE
from tests.e2e.feed import Feed, assert_one_place, collect, wait_for

pytestmark = [pytest.mark.kafka, pytest.mark.flink]


def begun(stream, name):
    """A feed of which a third is sent."""
    feed = Feed(stream.bootstrap_servers, stream.pipeline.source.name, name, 4500, 1500.0)
    feed.start()
    wait_for(lambda: feed.sent > 1500, "a third of the events sent")
    return feed


def start(stream, pipeline, *arguments, status=0):
    """What `sluice start` says; the stream's job is then the new one."""
    service = f"127.0.0.1:{stream.ports.grpc}"
    said = sluice("start", str(pipeline), "--flink", stream.cluster.rest_address, *arguments,
                  "--bootstrap-servers", stream.bootstrap_servers, "--service", service, status=status)
    return said, (re.search(r"JobID ([0-9a-f]{32})", said) or [None, ""])[1]


def ended(stream, feed):
    feed.finish()
    outcome = collect(stream.bootstrap_servers, stream.pipeline.sink.name, stream.pipeline.dead_letters.name, feed)
    assert_one_place(outcome, feed, exactly_once=stream.pipeline.delivery is Delivery.EXACTLY_ONCE)
    assert not outcome.dead
    return outcome


def passed(record):
    return [value.decode().partition(";")[0].removeprefix("name=") for name, value in record.headers if name == "stage"]


def test_stopped_with_a_savepoint_it_goes_on_with_other_variants_and_one_stage_more(stream):
    feed = begun(stream, "savepoint")
    said = sluice("stop", "--flink", stream.cluster.rest_address)
    savepoint = re.search(r"start it again with --from (\S+)", said)[1]
    assert stream.rest.state(stream.job_id) == "FINISHED"
    text = stream.config.pipeline.read_text()
    changed = text.replace('only: {accuracy: 1.0, suffix: "!", row_ms: 0.05}', 'other: {accuracy: 0.9, suffix: "!"}')
    assert changed != text
    rewrite(stream, f"{changed}  more:\n    operator: operators.echo:Echo\n    variants: {{only: {{accuracy: 1.0}}}}\n")
    said, stream.job_id = start(stream, stream.config.pipeline, "--from", savepoint)
    assert f"starting from {savepoint}" in said
    outcome = ended(stream, feed)
    assert passed(outcome.records["savepoint-0"]) == ["answer"]
    feed = Feed(stream.bootstrap_servers, stream.pipeline.source.name, "changed", 100, 1000.0)
    feed.start()
    assert passed(ended(stream, feed).records["changed-0"]) == ["answer", "more"]


def test_cancelled_it_goes_on_from_its_latest_retained_checkpoint(stream):
    feed = begun(stream, "checkpoint")
    stream.rest.cancel(stream.job_id)
    stream.rest.wait_ended(stream.job_id)
    said, stream.job_id = start(stream, stream.config.pipeline, "--checkpoints", str(stream.cluster.checkpoints),
                                "--checkpoints", str(stream.cluster.savepoints))
    assert re.search(r"starting from file:\S+/chk-\d+", said)
    ended(stream, feed)
    wait_for(lambda: stream.rest.checkpoints(stream.job_id)["counts"]["completed"] > 2, "checkpoints, though the command named none of their settings")


@ONE_MODE
def test_without_a_snapshot_it_begins_at_the_earliest_offset_whatever_its_group_has_committed(stream, tmp_path):
    path = tmp_path / "fresh.yaml"
    path.write_text(re.sub(r"(pipeline: |topic: )", r"\1fresh-", (stream.config.pipeline.read_text())))
    pipeline = parse_pipeline(path.read_text(), "fresh.yaml")
    broker.create_topics(stream.bootstrap_servers, topics_of(pipeline))
    with KafkaProducer(bootstrap_servers=stream.bootstrap_servers) as producer:
        for number in range(20):
            producer.send(pipeline.source.name, b"row-%d" % number, partition=number % 2)
    with KafkaConsumer(bootstrap_servers=stream.bootstrap_servers, group_id=f"sluice-{pipeline.name}") as consumer:
        consumer.commit({TopicPartition(pipeline.source.name, partition): OffsetAndMetadata(10, "", -1) for partition in (0, 1)})

    said, _ = start(stream, path, status=2)
    assert "say where to start from" in said
    said, _ = start(stream, path, "--checkpoints", str(tmp_path), status=2)
    assert "no complete checkpoint or savepoint" in said
    said, job_id = start(stream, path, "--fresh")
    with TopicReader([pipeline.sink.name], {"bootstrap_servers": stream.bootstrap_servers}) as reader:
        found = set()
        wait_for(lambda: found.update(record.value for record in reader.poll()) or len(found) == 20, "every event from the first on")
    stream.rest.cancel(job_id)
    assert found == {b"row-%d!" % number for number in range(20)}
