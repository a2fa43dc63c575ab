import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.protocol.rows import RowsError, RowTable, decode, encode

ROWS = st.lists(st.binary(max_size=20), max_size=30) | st.lists(st.binary(min_size=3, max_size=3), max_size=30)


def test_a_row_is_its_length_and_its_bytes():
    assert encode([b"ab", b""]) == b"\x02\0\0\0ab\0\0\0\0"


@given(ROWS)
def test_rows_come_back(rows):
    assert decode(encode(rows), len(rows)) == rows


@given(ROWS, st.data())
def test_a_span_is_the_rows_encoded(rows, data):
    first = data.draw(st.integers(0, len(rows)))
    last = data.draw(st.integers(first, len(rows)))
    assert bytes(RowTable(encode(rows), len(rows)).span(first, last)) == encode(rows[first:last])


@given(st.lists(st.binary(max_size=5), min_size=1), st.data())
def test_gathered_rows_come_in_the_order_asked(rows, data):
    order = data.draw(st.permutations(range(len(rows))))
    assert RowTable(encode(rows), len(rows)).gather(np.array(order)) == encode([rows[at] for at in order])


@pytest.mark.parametrize(
    ("raw", "count", "text"),
    [
        (b"\x05\0\0\0ab", 1, "row 0 says 5 bytes but only 2 are left"),
        (b"\x02\0\0\0ab", 2, "2 rows but holds 6 bytes"),
        (b"\x04\0\0\0abcd\0\0", 2, "end before row 1"),
        (b"\x02\0\0\0ab\0", 1, "1 bytes are left"),
        (b"\xff\xff\xff\xff", 1, "row 0 says 4294967295 bytes"),
        (b"", 3, "3 rows but holds 0 bytes"),
        (b"abc", 0, "3 bytes are left after the tensor's 0 rows"),
    ],
)
def test_lying_lengths_are_named(raw, count, text):
    with pytest.raises(RowsError, match=text):
        RowTable(raw, count)


@given(st.binary(max_size=40), st.integers(0, 10))
def test_any_bytes_are_rows_or_an_error(raw, count):
    try:
        rows = decode(raw, count)
    except RowsError:
        return
    assert encode(rows) == raw
