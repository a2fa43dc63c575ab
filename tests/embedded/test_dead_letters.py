import json

import pytest

from jobs.consumer import Record, shown
from jobs.dead_letters import Choice, Progress, is_replayable, original_headers


def letter(*headers, value=b"v", offset=3):
    return Record("dead", 1, offset, 1_700_000_000_000, b"k", value, tuple(headers))


def test_a_replay_sends_what_came_in_and_keeps_the_id():
    record = letter(
        ("h", b"1"), ("h", b"2"), ("n", None), ("event-id", b"e"), ("deadline", b"5"), ("stage", b"name=c"),
        ("dead-letter-reason", b"poison"), ("dead-letter-stage", b"c"), ("source-topic", b"t"), ("source-offset", b"4"))
    assert original_headers(record) == [("h", b"1"), ("h", b"2"), ("n", None), ("event-id", b"e"), ("deadline", b"5")]


def test_a_choice_takes_by_reason_stage_and_id_together():
    record = letter(("event-id", b"e"), ("dead-letter-reason", b"poison"), ("dead-letter-stage", b"c"))
    assert Choice().takes(record)
    assert Choice(frozenset({"poison", "expired"}), frozenset({"c"}), frozenset({"e"})).takes(record)
    assert not Choice(frozenset({"expired"})).takes(record)
    assert not Choice(frozenset({"poison"}), frozenset({"d"})).takes(record)


def test_stubs_and_parts_of_events_cannot_be_replayed():
    stub = json.dumps({"size": 9, "sha256": "00", "topic": "t", "partition": 0, "offset": 1}).encode()
    assert not is_replayable(letter(("dead-letter-reason", b"too-large"), value=stub))
    assert is_replayable(letter(("dead-letter-reason", b"too-large"), value=b"large"))
    assert not is_replayable(letter(("parent-id", b"e")))


def test_progress_survives_a_write_that_broke_off(tmp_path):
    path = tmp_path / "p.jsonl"
    Progress(path, "dead").note([(0, 1), (1, 7)])
    with path.open("a") as file:
        file.write("[1, 1")
    again = Progress(path, "dead")
    assert again.done == {(0, 1), (1, 7)}
    again.note([(1, 12)])
    assert Progress(path, "dead").done == {(0, 1), (1, 7), (1, 12)}
    with pytest.raises(ValueError, match="not other"):
        Progress(path, "other")


def test_a_record_is_shown_on_one_line():
    assert shown(letter(("event-id", b"e"), ("n", None), value=b"\x00\x01")) == "22:13:20.000Z dead-1@3 key=k [event-id=e n=null] <2 bytes>"
