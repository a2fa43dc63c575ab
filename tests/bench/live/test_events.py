"""What became of events."""

from math import inf

import pytest

from bench.live.events import Answer, Source, smoothed, told

SENT = {"a": Source(1000, 7), "b": Source(1100, 3), "c": Source(1900, 1), "d": Source(2000, 5), "e": Source(4100, 9)}


def test_every_event_is_one_thing_and_what_has_no_answer_is_wrong():
    found = told(SENT, {"a": Answer(1100, 7), "b": Answer(1201, 3), "d": Answer(2050, 6)}, {"c": "expired", "x": "poison"}, 100.0, 1000)
    assert (found.events, found.late, found.shed, found.dead_lettered, found.unanswered) == (5, 1, 1, 0, 1)
    assert found.violations == 3
    assert found.right == 2  # a and, too late, b; d was answered wrong
    assert found.latency_ms == (100.0, 101.0, inf, 50.0, inf)
    assert found.data()["accuracy"] == 0.4
    assert found.data()["violation_share"] == 0.6


def test_other_dead_letters_are_no_shed_ones_and_an_answer_counts_before_them():
    found = told(SENT, {"a": Answer(1001, 7)}, {"a": "poison", "b": "poison", "c": "expired"}, 100.0, 1000)
    assert (found.dead_lettered, found.shed, found.unanswered, found.late) == (1, 1, 2, 0)


def test_seconds_count_by_when_events_were_meant():
    found = told(SENT, {"a": Answer(1001, 7), "b": Answer(9999, 3), "d": Answer(2001, 5)}, {}, 100.0, 1000)
    assert found.sent_by_second == (3, 1, 0, 1)
    assert found.missed_by_second == (2, 0, 0, 1)
    assert told({"a": Source(999, 7)}, {}, {}, 100.0, 1000).sent_by_second == (1,)  # rounded to whole ms


def test_quantiles_count_what_was_never_answered():
    found = told(SENT, {"a": Answer(1010, 7), "b": Answer(1120, 3), "c": Answer(1930, 1), "d": Answer(2040, 5)}, {}, 100.0, 1000)
    assert found.quantile_ms(0.2) == 10.0
    assert found.quantile_ms(0.5) == 30.0
    assert found.quantile_ms(0.99) == inf
    assert found.data()["p99_ms"] is None
    with pytest.raises(ValueError, match="without events"):
        told({}, {}, {}, 100.0, 0)


def test_shares_over_the_last_seconds():
    assert smoothed((1, 0, 3), (2, 2, 4), 2) == [0.5, 0.25, 0.5]
    assert smoothed((0, 0), (0, 5), 1) == [None, 0.0]
