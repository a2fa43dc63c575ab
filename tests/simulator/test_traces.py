"""Loads from text: what is read, and what is said about what cannot be."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoscaler.graph.errors import PipelineError
from simulator.arrivals import Even, Poisson, Stamps
from simulator.traces import LONGEST_LINE, Kind, from_stamps, parse_load, parse_series


def test_one_column_without_a_heading_holds_counts():
    load = parse_load("3\n\n# a remark\n0.5\n2\n", "t.csv")
    assert (load.kind, load.values.tolist(), load.seconds) == (Kind.COUNTS, [3.0, 0.5, 2.0], 3)


def test_the_heading_says_which_column_holds_what():
    assert parse_load("second,raw_rps\n900,42\n901,50\n", "t.csv").values.tolist() == [42.0, 50.0]
    stamped = parse_load("id,timestamp_ms\na,1000\nb,1500\nc,3250\n", "t.csv")
    assert (stamped.kind, stamped.values.tolist(), stamped.rates.tolist()) == (Kind.STAMPS, [0.0, 0.5, 2.25], [2.0, 0.0, 1.0])


def test_counts_win_over_the_time_they_stand_beside():
    assert parse_load("timestamp,requests\n0,7\n1,8\n", "t.csv").values.tolist() == [7.0, 8.0]


def test_a_column_may_be_named():
    assert parse_load("a,b\n1,10\n2,20\n", "t.csv", column="b").values.tolist() == [10.0, 20.0]


def test_stamps_without_a_heading_need_to_be_called_so():
    assert parse_load("10.5\n11\n", "t.csv", Kind.STAMPS).values.tolist() == [0.0, 0.5]


@pytest.mark.parametrize(("text", "line", "said"), [
    ("", 1, "there is nothing in it; write one number a line"),
    ("count\n", 1, "nothing below it"),
    ("count\n5\n-1\n", 3, "the count is -1; use numbers from 0"),
    ("5\nnan\n", 2, "'nan' is not a finite number; write 0 where nothing came"),
    ("5\ninf\n", 2, "'inf' is not a finite number"),
    ("5\nfive\n", 2, "'five' is not a number; write numbers"),
    ("5\n1e9\n", 2, "the count is 1e+09"),
    ("0\n0\n", 1, "all counts are 0"),
    ("1,2\n", 1, "2 columns and no heading; name the columns"),
    ("colour,size\n1,2\n", 1, "none of the columns colour, size has a name of counts or time stamps"),
    ("second,count\n1\n", 2, "there are only 1 columns; column 2 is needed"),
    ("second,count\n7,1\n8,1\n10,1\n", 4, "second 10 does not follow 8; write every second, 0 where nothing came"),
    ("timestamp\n2\n1\n", 3, "the time 1 comes before 2 in the line above; sort the lines"),
    ("timestamp\n0\n1700000000\n", 3, "more than 31 days after the first; times are seconds"),
    ("1\n" + "2" * (LONGEST_LINE + 1), 2, f"the line has {LONGEST_LINE + 1} characters"),
])
def test_a_wrong_load_is_told_with_its_line_and_the_mend(text, line, said):
    with pytest.raises(PipelineError) as failure:
        parse_load(text, "load.csv")
    assert str(failure.value).startswith(f"load.csv:{line}: ")
    assert said in str(failure.value)


def test_a_column_that_is_not_there_is_told_with_those_that_are():
    with pytest.raises(PipelineError, match=r"t.csv:1: there is no column 'c': the columns are a, b; name one"):
        parse_load("a,b\n1,2\n", "t.csv", column="c")


def test_stamps_of_a_topic_come_in_any_order():
    assert from_stamps([5.0, 3.0, 4.5], "kafka:t").values.tolist() == [0.0, 1.5, 2.0]
    with pytest.raises(ValueError, match="kafka:t: there is no event in it"):
        from_stamps([], "kafka:t")


@given(st.lists(st.floats(0, 1000), min_size=1, max_size=50).filter(lambda counts: sum(counts) > 0), st.floats(0.2, 20))
def test_a_faster_load_has_as_many_events(counts, factor):
    load = parse_load("\n".join(map(repr, counts)), "t.csv")
    faster = load.faster(factor)
    assert faster.values.sum() == pytest.approx(load.values.sum())
    assert faster.seconds == max(1, round(len(counts) / factor))
    assert (faster.values >= 0).all()


def test_counts_are_scaled_and_stamps_are_not():
    assert parse_load("1\n2\n", "t.csv").scaled(2.5).values.tolist() == [2.5, 5.0]
    with pytest.raises(ValueError, match="--speed-up"):
        from_stamps([0.0, 1.0], "t").scaled(2.0)
    assert from_stamps([0.0, 4.0], "t").faster(2.0).values.tolist() == [0.0, 2.0]


def test_a_load_becomes_arrivals():
    counts = parse_load("4\n2\n", "t.csv")
    assert isinstance(counts.trace(), Poisson)
    assert isinstance(counts.trace(even=True), Even)
    assert counts.trace(even=True).sent(0, np.random.default_rng(0)).tolist() == [0.125, 0.375, 0.625, 0.875]
    assert isinstance(from_stamps([0.0], "t").trace(), Stamps)


def test_a_series_is_the_last_column():
    assert parse_series("second,bytes\n0,100\n1,0\n", "b.csv", "bandwidth") == [100.0, 0.0]
    with pytest.raises(PipelineError, match=r"b.csv:2: the bandwidth is -1"):
        parse_series("3\n-1\n", "b.csv", "bandwidth")
    with pytest.raises(PipelineError, match=r"b.csv:1: there is no bandwidth"):
        parse_series("bytes\n", "b.csv", "bandwidth")
