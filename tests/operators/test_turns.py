import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.operator import RowError, Variant
from operators.replica import infer
from operators.stateful import NO_TURN, StatefulOperator
from operators.turns import Applied, TurnError, decode_answer, decode_turns, encode_answer, encode_applied, encode_turn

NUMBER = np.dtype("<i8")
events = st.lists(st.binary(max_size=20), min_size=1, max_size=6)
turns = st.lists(st.tuples(st.binary(max_size=20), events), min_size=1, max_size=6)
plain = st.one_of(st.binary(max_size=9), st.builds(RowError, st.just("bad-input"), st.text(max_size=9)))
children = st.one_of(st.lists(st.binary(max_size=5), max_size=3), st.builds(RowError, st.just("bad-input"), st.text(max_size=9)))


class Sum(StatefulOperator):
    """Events and states are numbers; -1 raises."""

    def apply(self, turns):
        numbers = turns.event_table(NUMBER)
        if (numbers == -1).any():
            raise ValueError("below zero")
        states, _ = turns.state_table(NUMBER)
        ends = np.cumsum(numbers)[turns.first + turns.counts - 1]
        begins = np.cumsum(numbers)[turns.first] - numbers[turns.first]
        sums = np.cumsum(numbers) + np.repeat(states - begins, turns.counts)
        return Applied(states + ends - begins, sums)


def number(value):
    return value.to_bytes(8, "little", signed=True)


def test_a_turn_in_bytes():
    row = encode_turn(b"st", [b"one", b""])
    assert row == b"\2\0\0\0" b"\2\0\0\0" b"\3\0\0\0\0\0\0\0" b"st" b"one"


def test_an_answer_in_bytes():
    answer = encode_answer(b"st", [b"one", RowError("bad-input", "no"), [b"x", b""]])
    assert answer == (b"\3\0\0\0" b"\2\0\0\0" b"\4\0\0\0" b"\1\0\0\0\xff\xff\xff\xff\2\0\0\0" b"\3\0\0\0\x0d\0\0\0\1\0\0\0\0\0\0\0"
                      b"st" b"one" b"bad-input: no" b"x")


@given(turns)
def test_turns_come_out_as_they_went_in(said):
    found, right = decode_turns([encode_turn(state, rows) for state, rows in said])
    assert right.all()
    assert list(found.each()) == said
    assert found.key_of().tolist() == [key for key, (_, rows) in enumerate(said) for _ in rows]


@given(turns, st.data())
def test_what_is_no_turn_is_told_apart_and_disturbs_no_other(said, data):
    rows = [encode_turn(state, events) for state, events in said]
    broken = data.draw(st.integers(0, len(rows) - 1))
    rows[broken] = data.draw(st.one_of(st.just(rows[broken][:-1]), st.just(rows[broken] + b"x"), st.binary(max_size=7), st.just(b"\0" * 8)))
    found, right = decode_turns(rows)
    if right[broken]:  # bytes that happen to be another turn
        return
    assert right.tolist() == [at != broken for at in range(len(rows))]
    assert list(found.each()) == [turn for at, turn in enumerate(said) if at != broken]


@given(st.binary(max_size=20), st.one_of(st.lists(plain, max_size=5), st.lists(children, max_size=5)))
def test_answers_come_out_as_they_went_in(state, said):
    fans_out = any(isinstance(answer, list) for answer in said)
    assert decode_answer(encode_answer(state, said), fans_out) == (state, said)


@given(st.binary(max_size=60))
def test_any_bytes_are_an_answer_or_an_error(row):
    try:
        state, answers = decode_answer(row, fans_out=True)
    except TurnError:
        return
    assert encode_answer(state, answers) == row or any(isinstance(answer, RowError) for answer in answers)


@given(st.lists(st.tuples(st.integers(0, 100), st.lists(st.integers(0, 100), min_size=1, max_size=4)), min_size=1, max_size=5))
def test_tables_are_encoded_as_lists_are(said):
    taken, _ = decode_turns([encode_turn(number(state), [number(event) for event in events]) for state, events in said])
    numbers, (states, kept) = taken.event_table(NUMBER), taken.state_table(NUMBER)
    assert kept.all()
    from_lists = encode_applied(taken, Applied([number(s) for s in states.tolist()], [number(n) for n in numbers.tolist()]))
    assert encode_applied(taken, Applied(states, numbers)) == from_lists
    assert numbers.tolist() == [event for _, events in said for event in events]


def test_too_few_states_or_answers_are_an_error():
    taken, _ = decode_turns([encode_turn(b"", [b"a", b"b"])])
    with pytest.raises(TurnError, match="1 states and 1 answers for 1 keys with 2 events"):
        encode_applied(taken, Applied([b"s"], [b"a"]))


def test_a_batch_operator_keeps_keys_apart():
    rows = [encode_turn(b"", [number(1), number(2)]), encode_turn(number(10), [number(5)])]
    first, second = infer(Sum(Variant("v", 1.0), 1), rows)
    assert decode_answer(first) == (number(3), [number(1), number(3)])
    assert decode_answer(second) == (number(15), [number(15)])


def test_a_batch_that_raises_is_cut_down_to_the_turn_at_fault():
    rows = [encode_turn(b"", [number(1)]), encode_turn(b"", [number(-1), number(2)]), encode_turn(b"", [number(3)]), b"no turn",
            encode_turn(b"", [b"short"])]
    answers = infer(Sum(Variant("v", 1.0), 1), rows)
    assert decode_answer(answers[0]) == (number(1), [number(1)])
    assert answers[1] == RowError("operator-error", "ValueError: below zero")
    assert decode_answer(answers[2]) == (number(3), [number(3)])
    assert answers[3] == NO_TURN
    assert answers[4] == RowError("bad-input", "an event has 5 bytes; at least 8 are wanted")


def test_a_state_of_another_size_is_an_error():
    taken, _ = decode_turns([encode_turn(b"", [b"a"]), encode_turn(b"abc", [b"a"])])
    with pytest.raises(TurnError, match="a state has 3 bytes; it should have 8"):
        taken.state_table(NUMBER)
