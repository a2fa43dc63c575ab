import gc

import numpy as np
import pytest

from operators.actions import Answer, Batch, Result
from operators.batching import Reason
from operators.labels import Labels, is_right
from operators.operator import RowError, Variant
from operators.protocol.rows import RowTable, encode
from operators.queue import runs_of
from operators.requests import Request
from operators.turns import encode_answer
from operators.twins import HELD_MAX, Twins, meaning, of_turns
from operators.wire import AnswerFrame

VARIANT = Variant("plain", 0.9, version="2")


class Nobody:
    def answered(self, request, answer):
        pass


def request(rows, ids=None):
    table = RowTable(encode([b"row"] * rows), rows)
    known = None if ids is None else RowTable(encode(ids), len(ids))
    return Request("work", "1", table, np.full(rows, 9.0), None, Nobody(), rows, ids=known)


def answer(asked, values, statuses=None):
    """The request's rows, as far as there are values, answered together."""
    statuses = statuses or [0] * len(values)
    (run,) = runs_of(asked, np.full(len(values), 9.0), 0.0)
    payload = encode([value for value, status in zip(values, statuses, strict=True) if status < 2])
    frame = AnswerFrame(0, [len(payload)], memoryview(payload))
    reasons = ["operator-error: no"] * sum(status >= 2 for status in statuses)
    assert Batch([run], len(run), Reason.IDLE, 0.0)
    return Answer(run, np.array(statuses, np.uint8), 0, len(reasons), 0.0, reasons, VARIANT, Result(0.0, payload=frame))


def tell(asked, copy, given, copied):
    asked.twin.answered(asked, answer(asked, *given))
    copy.owner.answered(copy, answer(copy, *copied))


def test_a_share_of_the_rows_is_copied():
    twins = Twins(0.25, lambda answer: answer)
    sizes = [0 if (copy := twins.of(request(10))) is None else copy.left for _ in range(4)]
    assert sum(sizes) == 10  # 40 * 0.25


def test_answers_are_compared_row_by_row():
    twins = Twins(1.0, lambda answer: answer)
    asked = request(3)
    copy = twins.of(asked)
    tell(asked, copy, ([b"a", b"b", b"c"],), ([b"a", b"x", b"c"],))
    assert (twins.compared, twins.agreed) == (3, 2)


def test_rows_that_failed_on_either_side_are_not_compared():
    twins = Twins(1.0, lambda answer: answer)
    asked = request(2)
    copy = twins.of(asked)
    tell(asked, copy, ([b"a", b""], [0, 2]), ([b"a", b"b"],))
    assert (twins.compared, twins.agreed) == (1, 1)


def test_only_so_many_are_on_their_way():
    twins = Twins(1.0, lambda answer: answer)
    held = [(asked, twins.of(asked)) for asked in [request(1) for _ in range(HELD_MAX + 5)]]
    assert sum(copy is not None for _, copy in held) == HELD_MAX
    held.clear()  # their clients are gone
    gc.collect()
    assert twins.of(request(1)) is not None


def test_a_dropped_copy_is_not_waited_for():
    twins = Twins(1.0, lambda answer: answer)
    asked = request(1)
    twins.dropped(twins.of(asked))
    assert asked.twin is None


def test_answers_mean_what_their_exact_fields_say():
    said = meaning({"label": "INT", "confidence": "DOUBLE"})
    assert said(b'{"label": 7, "confidence": 0.91}') == said(b'{"label": 7, "confidence": 0.92}')
    assert said(b'{"label": 7, "confidence": 0.91}') != said(b'{"label": 1, "confidence": 0.91}')
    assert said(b"no json") != said(b"other")
    assert meaning({})(b"a") == b"a"


# labels


@pytest.mark.parametrize(
    ("given", "label", "right"),
    [
        (b'{"label": 7, "confidence": 0.9}', 7, True),
        (b'{"label": 7, "confidence": 0.9}', 1, False),
        (b'{"kind": "cat"}', {"kind": "cat"}, True),
        (b'{"kind": "cat"}', {"kind": "dog"}, False),
        (b'{"kind": "cat"}', "cat", False),
        (b"cat", "cat", True),
        (b"7", 7, True),
        (b"\xff", "cat", False),
    ],
)
def test_an_answer_is_held_against_its_label(given, label, right):
    assert is_right(given, label) is right


def test_a_label_counts_once_for_the_version_that_answered():
    labels = Labels()
    asked = request(2, ids=[b"e-1", b"e-2"])
    labels.answered(asked, answer(asked, [b"7", b"8"]))
    assert labels.label("e-1", 7)
    assert not labels.label("e-1", 7)
    assert labels.label("e-2", 7)
    assert not labels.label("e-3", 7)
    counts = labels.of(VARIANT)
    assert (counts.labelled, counts.right) == (2, 1)


def test_failed_rows_have_nothing_to_label():
    labels = Labels()
    asked = request(2, ids=[b"e-1", b"e-2"])
    labels.answered(asked, answer(asked, [b"", b"8"], [2, 0]))
    assert not labels.label("e-1", 7)
    assert labels.label("e-2", 8)


def test_answers_to_turns_agree_by_their_events_whatever_state_they_leave():
    said = of_turns(meaning({"label": "INT"}))
    first = encode_answer(b"old", [b'{"label": 1, "score": 0.5}', RowError("bad-input", "no"), [b'{"label": 2}', b'{"label": 3}']])
    second = encode_answer(b"\xf5state\2\0new", [b'{"label": 1, "score": 0.6}', RowError("bad-input", "no"), [b'{"label": 2}', b'{"label": 3}']])
    assert said(first) == said(second)
    assert said(first) != said(encode_answer(b"old", [b'{"label": 9}', RowError("bad-input", "no"), [b'{"label": 2}', b'{"label": 3}']]))
    assert said(b"no answer") == b"no answer"
