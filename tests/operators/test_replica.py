import pytest

from operators.echo import Echo, Faulty, Splitter
from operators.operator import Operator, RowError, Variant
from operators.protocol.rows import decode
from operators.replica import LoadError, encoded, find_class, infer, load

PLAIN = Variant("plain", 1.0)
WISH = {"operator": "operators.echo:Echo", "name": "v", "accuracy": 0.9, "options": {"suffix": "!"}, "version": None, "repository": "", "cores": 1}


class Short(Operator):
    def infer(self, rows):
        return rows[:-1]


class Texts(Operator):
    def infer(self, rows):
        return [row.decode() for row in rows]


class Picky(Operator):
    def infer(self, rows):
        return [row or RowError("bad-input", "empty") for row in rows]


def test_an_exception_fails_the_row_at_fault():
    rows = [b"a", b"b", b"raise", b"c", b"d"]
    answers = infer(Faulty(PLAIN, 1), rows)
    assert answers[2] == RowError("operator-error", "ValueError: cannot take raise")
    assert answers[:2] + answers[3:] == [b"a", b"b", b"c", b"d"]


@pytest.mark.parametrize(
    ("operator", "text"),
    [(Short, "TypeError: Short.infer answered 0 of 1 rows"), (Texts, "TypeError: Texts.infer answered a str where a bytes is wanted")],
)
def test_answers_of_the_wrong_number_or_type_are_operator_errors(operator, text):
    assert infer(operator(PLAIN, 1), [b"a", b"b"]) == [RowError("operator-error", text)] * 2


def test_results_are_encoded_by_part():
    answers = infer(Picky(PLAIN, 1), [b"a", b"", b"bc"])
    frame = encoded(answers, [2, 1], 5, fans_out=False)
    assert frame.sizes == [5, 6]
    assert decode(frame.payload, 2) == [b"a", b"bc"]
    assert frame.failed.tolist() == [0, 2, 0]
    assert frame.reasons == {1: "bad-input: empty"}


def test_children_are_counted():
    frame = encoded(infer(Splitter(PLAIN, 1), [b"a,b", b""]), [2], 5, fans_out=True)
    assert frame.children.tolist() == [2, 0]
    assert decode(frame.payload, 2) == [b"a", b"b"]


def test_the_variant_reaches_the_operator():
    operator = load(WISH)
    assert isinstance(operator, Echo)
    assert infer(operator, [b"a"]) == [b"a!"]
    assert operator.variant.version == "1"


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        ("operators.nothing:Echo", "no module named 'operators.nothing'"),
        ("operators.echo:os", "no operator class 'os'; it has"),
    ],
)
def test_a_class_that_is_not_there_is_named(spec, text):
    with pytest.raises(LoadError, match=text):
        find_class(spec)
