"""Dead letters are listed with what failed and why, and once that is mended, sent again and answered."""

import time

import pytest

from tests.e2e.commands import rewrite, sluice
from tests.e2e.feed import Sent, collect

pytestmark = [pytest.mark.kafka, pytest.mark.flink]
HEADERS = [("trace", b"1"), ("trace", b"2"), ("empty", None)]


def outcome_of(stream, sent):
    return collect(stream.bootstrap_servers, stream.pipeline.sink.name, stream.pipeline.dead_letters.name, sent)


def letters(stream, verb, *arguments):
    """The printed lines of `sluice dead-letters`."""
    return sluice("dead-letters", verb, stream.pipeline.dead_letters.name, *arguments, "--bootstrap-servers", stream.bootstrap_servers).splitlines()


@pytest.fixture
def mended(stream):
    """Replaces the operator by one that takes every row, until the test ends."""
    text = stream.config.pipeline.read_text()

    def mend():
        assert "Faulty" in text
        rewrite(stream, text.replace("Faulty", "Echo"))

    yield mend
    rewrite(stream, text)


def test_what_failed_is_listed_with_the_reason_and_comes_out_once_mended(stream, mended, tmp_path):
    sent = Sent(stream, "letters")
    failed = [sent.send(b"raise %d" % number, HEADERS, key=b"key") for number in range(3)]
    unread = sent.send(b"row", [("deadline", b"soon"), *HEADERS])
    assert set(outcome_of(stream, sent).reasons) == {*failed, unread}

    ours = [part for event_id in sent.ids() for part in ("--event-id", event_id)]
    listed = letters(stream, "list", "--reason", "operator-error", *ours)
    assert len(listed) == 3
    for event_id, line in zip(failed, sorted(listed, key=lambda line: line.partition("event-id=")[2]), strict=True):
        assert f"event-id={event_id} trace=1 trace=2 empty=null" in line
        assert "dead-letter-stage=answer" in line
        assert "cannot take raise" in line
    assert {tuple(line.split()) for line in letters(stream, "list", "--totals", *ours)} == {
        ("3", "operator-error", "answer"), ("1", "bad-header", "source")}

    replay = ["--to", stream.pipeline.source.name, *ours, "--progress", str(tmp_path / "progress")]
    assert letters(stream, "replay", "--dry-run", "--reason", "operator-error", *replay)[-1].startswith("3 would be sent")
    mended()
    told = "sent to {}, {} had been sent before, 0 cannot be (stubs and parts of events)"
    assert letters(stream, "replay", "--reason", "operator-error", *replay) == [f"3 {told.format(stream.pipeline.source.name, 0)}"]
    outcome = until_output(stream, sent, failed)
    assert outcome.values == {event_id: b"raise %d!" % number for number, event_id in enumerate(failed)}

    assert letters(stream, "replay", "--reason", "operator-error", *replay) == [f"0 {told.format(stream.pipeline.source.name, 3)}"]
    letters(stream, "replay", "--reason", "bad-header", "--without-header", "deadline", *replay)
    outcome = until_output(stream, sent, [*failed, unread])
    for event_id in sent.ids():
        record = outcome.records[event_id]
        assert record.key == (None if event_id == unread else b"key")
        assert [header for header in record.headers if header[0] in ("trace", "empty")] == HEADERS
        assert not [name for name, _ in record.headers if name.startswith(("dead-letter", "source-topic"))]
        assert outcome.output[event_id] == 1


def until_output(stream, sent, ids):
    """The outcome once all of these are in the output, whatever else is in the dead letters."""
    limit = time.monotonic() + 60
    while not set(ids) <= (outcome := outcome_of(stream, sent)).output.keys():
        assert time.monotonic() < limit, f"not in the output: {set(ids) - outcome.output.keys()}"
    return outcome
