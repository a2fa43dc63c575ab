"""Whatever is in the topic: the job goes on, and each event ends in the output or, with its reason, in the dead letters."""

import time

import pytest
from kafka import KafkaProducer

from tests.e2e.feed import Feed, Sent, collect, wait_for

pytestmark = [pytest.mark.kafka, pytest.mark.flink]


def outcome_of(stream, sent):
    return collect(stream.bootstrap_servers, stream.pipeline.sink.name, stream.pipeline.dead_letters.name, sent)


@pytest.mark.parametrize(("header", "value"), [
    ("deadline", b"soon"), ("deadline", b""), ("deadline", None), ("min-accuracy", b"1.5"), ("min-accuracy", b"\xff")])
def test_a_header_that_cannot_be_read_sends_the_event_to_the_dead_letters(stream, header, value):
    sent = Sent(stream, "header")
    bad = sent.send(b"row", [(header, value)])
    good = sent.send(b"row")
    outcome = outcome_of(stream, sent)
    assert outcome.reasons == {bad: "bad-header"}
    assert outcome.values == {good: b"row!"}


def test_repeated_and_null_headers_null_keys_and_null_values_survive(stream):
    sent = Sent(stream, "nulls")
    headers = [("trace", b"1"), ("trace", b"2"), ("empty", None)]
    empty = sent.send(None, headers, key=b"key")
    keyless = sent.send(b"row", headers)
    failed = sent.send(b"raise this", headers)
    outcome = outcome_of(stream, sent)
    assert outcome.values == {empty: b"!", keyless: b"row!"}
    for event_id, key in ((empty, b"key"), (keyless, None), (failed, None)):
        record = outcome.records[event_id]
        assert record.key == key
        assert [header for header in record.headers if header[0] in ("trace", "empty")] == headers
    assert outcome.records[failed].value == b"raise this"


def test_one_row_that_raises_in_512_fails_alone(stream):
    assert_only_row_200_fails(stream, b"raise", "operator-error")


def test_one_poison_in_512_rows_condemns_one_row(stream):
    assert_only_row_200_fails(stream, b"crash", "poison")


def assert_only_row_200_fails(stream, value, reason):
    feed = Feed(stream.bootstrap_servers, stream.pipeline.source.name, f"{reason.replace('-', '')}{time.monotonic_ns()}", 512, 5000.0,
                lambda number: value if number == 200 else b"row")
    feed.start()
    feed.finish()
    outcome = outcome_of(stream, feed)
    assert outcome.reasons == {f"{feed.prefix}-200": reason}
    assert len(outcome.output) == 511


def test_a_record_too_large_for_the_output_is_dead_lettered_and_one_too_large_for_that_becomes_a_stub(stream):
    sent = Sent(stream, "large")
    # the output's limit is the broker's 1,048,588 bytes; the stage adds a byte and headers to a row that just fitted the source
    name = sent.send(b"x" * 1_048_400)
    outcome = outcome_of(stream, sent)
    assert outcome.reasons == {name: "too-large"}
    record = outcome.records[name]
    assert record.header("source-topic") == stream.pipeline.source.name
    assert b'"sha256"' in record.value


def test_a_deadline_that_has_passed_is_answered_and_marked_late(stream):
    sent = Sent(stream, "late")
    late = sent.send(b"row", [("deadline", str(int(time.time() * 1000) - 5000).encode())])
    in_time = sent.send(b"row", [("deadline", str(int(time.time() * 1000) + 60_000).encode())])
    outcome = outcome_of(stream, sent)
    assert outcome.late == {late}
    assert outcome.output.keys() == {late, in_time}


def test_an_event_without_an_id_gets_one_from_its_place(stream):
    producer = KafkaProducer(bootstrap_servers=stream.bootstrap_servers)
    place = producer.send(stream.pipeline.source.name, value=b"nameless").get(timeout=30)
    name = f"{place.topic}-{place.partition}-{place.offset}"

    class One:
        prefix = f"{place.topic}-{place.partition}"

        @staticmethod
        def ids():
            return {name}

    assert outcome_of(stream, One).values == {name: b"nameless!"}


def test_the_job_never_restarted_for_any_of_it(stream):
    wait_for(lambda: stream.rest.is_running(stream.job_id), "the job runs")
    assert stream.rest.restarts(stream.job_id) == 0
