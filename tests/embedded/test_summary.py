import math

from jobs.embedded.summary import Answered, Expected, answer_of, lines, quantile, summarise


def test_each_event_is_counted_in_one_place():
    expected = {e: Expected(1000, "7") for e in ("a", "b", "c", "d")}
    answered = [Answered("a", 1010, "7"), Answered("a", 1090, "7"), Answered("b", 1200, "1", late=True), Answered("x", 1000, "7")]
    told = summarise(expected, answered, [("c", "poison"), ("a", "expired")], slo_ms=100)
    assert (told.events_in, told.events_out, told.lost) == (4, 2, 1)  # d is lost
    assert (told.repeated, told.dead_lettered, told.overlapping, told.foreign) == (1, 1, 1, 1)
    assert (told.late, told.over_slo) == (1, 3)  # b, and c and d that never came
    assert told.right_share == 0.25
    assert told.reasons == {"poison": 1}
    assert (told.p50_ms, told.p99_ms) == (200.0, math.inf)
    assert not told.is_complete


def test_what_comes_out_twice_counts_with_its_first_latency():
    told = summarise({"a": Expected(0)}, [Answered("a", 5), Answered("a", 500)], [], slo_ms=100)
    assert told.p50_ms == 5.0
    assert told.is_complete


def test_children_stand_for_their_parent():
    told = summarise({"a": Expected(0)}, [Answered("a/0", 5, parent_id="a"), Answered("a/1", 6, parent_id="a")], [], slo_ms=100)
    assert (told.events_out, told.repeated, told.foreign) == (1, 0, 0)


def test_nothing_in_gives_no_quantile():
    told = summarise({}, [], [], slo_ms=100)
    assert (told.p50_ms, told.right_share, told.lost) == (None, None, 0)
    assert "latency        p50 -  p95 -  p99 -" in lines(told, 100)


def test_quantile_is_the_smallest_value_that_the_share_does_not_exceed():
    assert quantile([1, 2, 3, 4], 0.5) == 2
    assert quantile([1, 2, 3, 4], 0.51) == 3
    assert quantile([4], 0.99) == 4
    assert quantile([], 0.5) is None


def test_answers_are_read_from_the_examples_values():
    assert answer_of(b'{"label": 7, "confidence": 0.9}') == "7"
    assert answer_of(b'{"number": "042", "digits": 3}') == "042"
    assert answer_of(b'[{"label": 1}, null, {"label": 2}]') == "1?2"
    assert answer_of(b"\x00\xff") is None
    assert answer_of(None) is None
