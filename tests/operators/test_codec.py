import json
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from operators.codec import Array, BadInput, TypeNotKnown, apart, array_of, reader, together, writer


@dataclass
class Point:
    x: float
    y: float = 0.0


@dataclass
class Track:
    name: str
    points: list[Point]
    kind: Literal["car", "bike"] = "car"
    note: str | None = None
    tags: dict[str, int] = field(default_factory=dict)


Pixels = Annotated[NDArray[np.float32], Array("<f4", (2, 3))]

finite = st.floats(allow_nan=False, allow_infinity=False)
points = st.builds(Point, finite, finite)
tracks = st.builds(
    Track, st.text(), st.lists(points, max_size=3), st.sampled_from(["car", "bike"]), st.none() | st.text(), st.dictionaries(st.text(), st.integers())
)
VALUES = {
    bytes: st.binary(),
    str: st.text(),
    int: st.integers(),
    float: finite,
    bool: st.booleans(),
    list[int | None]: st.lists(st.none() | st.integers()),
    dict[str, float]: st.dictionaries(st.text(), finite),
    Point: points,
    Track: tracks,
}


@given(pair=st.sampled_from(list(VALUES)).flatmap(lambda kind: st.tuples(st.just(kind), VALUES[kind])))
def test_what_was_written_is_read_again(pair):
    kind, value = pair
    assert reader(kind)(writer(kind)(value)) == value


@given(values=st.lists(st.floats(width=32, allow_nan=False), min_size=6, max_size=6))
def test_raw_tensors(values):
    array = np.array(values, "<f4").reshape(2, 3)
    row = writer(Pixels)(array)
    assert row == array.tobytes()
    assert np.array_equal(reader(Pixels)(row), array)


@given(rows=st.lists(st.binary(min_size=24, max_size=24) | st.binary(max_size=25), min_size=1, max_size=5))
def test_raw_tensors_of_a_batch_are_those_of_its_rows(rows):
    array = array_of(Pixels)
    read = together(array, rows)
    if any(len(row) != 24 for row in rows):
        assert read is None
    else:
        assert read.tobytes() == np.stack([reader(Pixels)(row) for row in rows]).tobytes()
        assert read.shape == (len(rows), 2, 3)
        assert read.flags.writeable
        assert apart(array, read, len(rows)) == rows


def test_an_array_of_another_kind_is_written_as_its_rows_would_be():
    array, numbers = array_of(Pixels), np.arange(24).reshape(4, 2, 3)
    assert apart(array, numbers, 4) == [writer(Pixels)(row) for row in numbers]
    assert apart(array, numbers.transpose(0, 2, 1), 4) is None
    assert apart(array, numbers, 3) is None
    assert apart(array, numbers.tolist(), 4) is None


json_values = st.recursive(st.none() | st.booleans() | st.floats() | st.text(max_size=3), st.lists, max_leaves=5)


@given(row=st.binary(max_size=30) | json_values.map(json.dumps).map(str.encode))
def test_any_row_is_read_or_is_bad_input(row):
    for kind in (*VALUES, Pixels, Any):
        try:
            reader(kind)(row)
        except BadInput:
            continue


@pytest.mark.parametrize(
    ("kind", "row", "said"),
    [
        (str, b"\xff", "not UTF-8"),
        (Point, b"{", "not JSON"),
        (Point, b"[]", "an object with the fields x, y is wanted"),
        (Point, b"{}", "no field 'x'"),
        (Point, b'{"x": "1"}', 'x is "1"; float is wanted'),
        (Point, b'{"x": true}', "x is true; float is wanted"),
        (int, b"1.0", "the row is 1.0; int is wanted"),
        (Track, b'{"name": "a", "points": [{"x": 1}, {"x": null}]}', r"points\[1\].x is null"),
        (Track, b'{"name": "a", "points": [], "kind": "bus"}', "use 'car', 'bike'"),
        (Track, b'{"name": "a", "points": [], "note": 3}', "note is 3"),
        (Track, b'{"name": "a", "points": [], "tags": {"b": "c"}}', 'tags.b is "c"'),
        (Pixels, b"1234", "24"),
    ],
)
def test_what_is_wrong_with_a_row_is_said(kind, row, said):
    with pytest.raises(BadInput, match=said):
        reader(kind)(row)


def test_defaults_and_further_fields():
    assert reader(Point)(b'{"x": 1, "new": [1]}') == Point(1.0, 0.0)


@pytest.mark.parametrize(
    ("kind", "value"),
    [(bytes, "a"), (str, b"a"), (int, 1.5), (Point, Point("1")), (list[int], [1, "2"]), (float, float("nan")), (Pixels, np.zeros((3, 2)))],
)
def test_an_answer_of_another_type_is_not_written(kind, value):
    with pytest.raises((TypeError, ValueError)):
        writer(kind)(value)


def test_numbers_of_numpy_are_numbers():
    assert writer(Point)(Point(np.float64(1.5), np.float32(2))) == b'{"x":1.5,"y":2.0}'


@pytest.mark.parametrize("kind", [set, complex, dict[int, str], object])
def test_types_without_a_codec(kind):
    with pytest.raises(TypeNotKnown):
        reader(kind)
