"""States that say which version wrote them, and operators that read older ones."""

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.author import AuthorError, as_operator
from operators.known_states import KnownStates
from operators.operator import RowError, Variant
from operators.replica import encoded, infer
from operators.state_author import state_version
from operators.state_format import HEAD, MARK, VERSION_MAX, StateFormat, marked, unmarked, with_states, without_marks
from operators.state_trial import follow, run_turn
from operators.stateful import StatefulOperator
from operators.turns import Applied, decode_answer, decode_turns, encode_turn

states = st.lists(st.one_of(st.binary(max_size=20), st.binary(max_size=6).map(MARK.__add__)), min_size=1, max_size=6)
versions = st.integers(1, VERSION_MAX)


def turns_of(kept):
    return decode_turns([encode_turn(state, [b"event"]) for state in kept])[0]


@given(states, versions)
def test_states_come_back_with_the_version_that_wrote_them(made, version):
    kept = marked(made, version)
    assert [unmarked(state) for state in kept if state] == [(version, state) for state in made if state]
    plain, found = without_marks(turns_of(kept), version)
    assert plain.states() == made
    assert found.tolist() == [version] * len(made)


@given(st.lists(st.tuples(st.binary(min_size=1, max_size=12), versions), min_size=1, max_size=6))
def test_each_key_may_have_another_version(made):
    kept = [marked([state], version)[0] for state, version in made]
    plain, found = without_marks(turns_of(kept), 1)
    assert list(zip(plain.states(), found.tolist(), strict=True)) == made
    assert plain.events() == [b"event"] * len(made)


@given(states)
def test_states_of_version_1_are_as_they_ever_were(made):
    assert [kept for kept, state in zip(marked(made, 1), made, strict=True) if not state.startswith(MARK)] == [s for s in made if not s.startswith(MARK)]


def test_tables_are_marked_as_lists_are():
    table = np.array([5, int.from_bytes(MARK, "little") | 7 << 48], "<u8")
    rows = [row.tobytes() for row in table]
    for version in (1, 3):
        assert list(marked(table, version)) == marked(rows, version)
    assert marked(table[:1], 1) is not None
    untouched = table[:1]
    assert marked(untouched, 1) is untouched  # no work for what needs none


def test_a_mark_in_bytes():
    assert marked([b"st"], 2) == [b"\xf5state\x02\x00st"]
    assert marked([b"st", b""], 1) == [b"st", b""]
    assert marked([b""], 2) == [b""]
    assert marked([MARK], 1) == [HEAD.pack(MARK, 1) + MARK]


def test_other_states_in_their_place():
    turns = with_states(turns_of([b"one", b"two", b""]), {1: b"TWICE", 2: b"x"})
    assert list(turns.each()) == [(b"one", [b"event"]), (b"TWICE", [b"event"]), (b"x", [b"event"])]


@pytest.mark.parametrize(("writes", "reads", "text"), [
    (0, {0}, "is 0"), (VERSION_MAX + 1, {VERSION_MAX + 1}, "65536"), (True, {True}, "is True"), (2, {1}, "not read"),
])
def test_a_format_that_is_none(writes, reads, text):
    with pytest.raises(ValueError, match=text):
        StateFormat(writes, frozenset(reads))


class Longest(StatefulOperator):
    """Keeps the longest event; version 1 kept its length alone."""

    state_version = 2
    older_states = {1: lambda state: b"?" * state[0]}  # noqa: RUF012

    def apply(self, turns):
        kept = [max([state, *events], key=len) for state, events in turns.each()]
        return Applied(kept, [kept[key] for key in turns.key_of()])


def longest():
    return Longest(Variant("v", 1.0), 1)


def test_an_operator_reads_what_its_predecessor_wrote():
    operator = longest()
    answers = infer(operator, [encode_turn(state, [b"ab"]) for state in (b"\x03", b"", b"\xf5state\2\0abcd")])
    first, second, third = map(decode_answer, answers)
    assert first == (b"\xf5state\2\0???", [b"???"])
    assert second == (b"\xf5state\2\0ab", [b"ab"])
    assert third == (b"\xf5state\2\0abcd", [b"abcd"])
    assert operator.others_met() == [1]
    assert operator.others_met() == []


def test_a_state_that_it_does_not_read_fails_its_turn_alone():
    operator = longest()
    good, bad = infer(operator, [encode_turn(b"\x03", [b"a"]), encode_turn(b"\xf5state\7\0what", [b"b"])])
    assert decode_answer(good) == (b"\xf5state\2\0???", [b"???"])
    assert bad == RowError("operator-error", "StateNotRead: the state of its key is of version 7; this operator reads versions 1 and 2")
    assert operator.others_met() == [1, 7]


def test_an_operator_that_says_nothing_does_not_take_a_later_state_for_its_own():
    class Plain(StatefulOperator):
        def apply(self, turns):
            return Applied(turns.states(), turns.events())

    (answer,) = infer(Plain(Variant("v", 1.0), 1), [encode_turn(b"\xf5state\2\0ab", [b"a"])])
    assert answer.detail == "StateNotRead: the state of its key is of version 2; this operator reads version 1"


def test_what_it_met_travels_with_the_answer():
    frame = encoded([b"a"], [1], 0, False, [1, 7])
    assert frame.states == [1, 7]


@dataclass(frozen=True)
class Pages:
    pages: int = 0
    last: str = ""


def counted(pages: int) -> Pages:
    return Pages(pages, "?")


def forgotten(page: str) -> Pages | None:
    return None


@state_version(3, {1: counted, 2: forgotten})
def visits(seen: Pages, page: str) -> tuple[Pages, str]:
    after = Pages(seen.pages + 1, page)
    return after, f"{after.pages} after {seen.last}"


class Visits:
    """As an object, which may find out its version when it is made."""

    def __init__(self, variant: Variant, kept: int = 3):
        self.state_version = kept
        self.older_states = {1: self.counted}

    def counted(self, pages: int) -> Pages:
        return Pages(pages, f"since {self.state_version}")

    def __call__(self, seen: Pages, page: str) -> tuple[Pages, str]:
        return visits(seen, page)


def test_a_function_says_its_version_and_reads_older_states_by_their_types():
    operator = as_operator(visits)(Variant("v", 1.0), 1)
    assert operator.state_facts() == {"writes": 3, "reads": [1, 2, 3]}
    assert run_turn(operator, b"41", [b"a", b"b"]) == (b'\xf5state\3\0{"pages":43,"last":"b"}', [b"42 after ?", b"43 after a"])
    assert run_turn(operator, b"\xf5state\2\0page", [b"a"])[1] == [b"1 after "]
    assert follow(visits, ["a", "b"]) == (Pages(2, "b"), ["1 after ", "2 after a"])


def test_an_object_too():
    operator = as_operator(Visits)(Variant("v", 1.0, {"kept": 5}), 1)
    assert operator.state_facts() == {"writes": 5, "reads": [1, 5]}
    assert run_turn(operator, b"1", [b"a"]) == (b'\xf5state\5\0{"pages":2,"last":"a"}', [b"2 after since 5"])


def test_an_older_state_that_is_not_what_the_annotation_says():
    operator = as_operator(visits)(Variant("v", 1.0), 1)
    (answer,) = infer(operator, [encode_turn(b'"x"', [b"a"])])
    assert answer == RowError("operator-error", 'StateNotRead: the state of its key is said to be of version 1, but the row is "x"; int is wanted')


def untyped(state): ...
def no_codec(state: set) -> Pages: ...


@pytest.mark.parametrize(("older", "text"), [(untyped, "untyped: what reads states of version 1 says of which type"), (no_codec, "no_codec: there is no way")])
def test_what_cannot_read_an_older_state_says_why(older, text):
    @state_version(2, {1: older})
    def operator(seen: Pages, page: str) -> tuple[Pages, str]: ...

    with pytest.raises(AuthorError, match=text):
        as_operator(operator)(Variant("v", 1.0), 1)


OLD, NEW, OTHER = ("plain", "1"), ("plain", "2"), ("other", "1")


def known(**formats):
    """By name of the constants above: (writes, *reads others)."""
    stage = KnownStates(60.0)
    for name, (writes, *others) in formats.items():
        stage.formats[{"old": OLD, "new": NEW, "other": OTHER}[name]] = StateFormat(writes, frozenset({writes, *others}))
    return stage


def test_nothing_is_objected_to_while_nothing_is_known():
    assert known().objection(NEW, [OLD], [OLD], 0.0) is None
    assert known(new=(2,)).objection(NEW, [OLD], [OLD], 0.0) is None


def test_one_that_reads_what_serves_may_follow_it():
    assert known(old=(1,), new=(2, 1)).objection(NEW, [OLD], [], 0.0) is None


def test_one_that_does_not_is_refused():
    assert known(old=(1,), new=(2,)).objection(NEW, [OLD], [], 0.0) == (
        "plain:2 reads states of version 2, but keys may have some of version 1; let it read them, too (docs/state.md)")


def test_states_met_lately_count_though_nobody_writes_them_any_more():
    stage = known(old=(2, 1), new=(3, 2))
    stage.met([1], 100.0)
    assert "some of version 1, met 40 s ago" in stage.objection(NEW, [OLD], [], 140.0)
    assert stage.objection(NEW, [OLD], [], 161.0) is None  # kept for 60 s


def test_states_written_count_once_their_writer_is_gone():
    stage = known(old=(1,), new=(2,))
    stage.answered(OLD, 10.0)
    stage.answered(OTHER, 10.0)  # of which nothing is known
    assert "some of version 1, met 5 s ago" in stage.objection(NEW, [], [], 15.0)


def test_two_that_serve_side_by_side_must_read_each_other():
    stage = known(old=(1,), new=(2, 1))
    assert stage.objection(NEW, [OLD], [OLD], 0.0) == (
        "plain:1 reads states of version 1, not of version 2 as plain:2 writes them: they cannot serve side by side, only change over in one step")
    assert known(old=(1, 2), new=(2, 1)).objection(NEW, [OLD], [OLD], 0.0) is None


def test_there_is_no_way_back_from_states_that_the_old_one_does_not_read():
    assert known(old=(1,), new=(2, 1)).no_way_back(OLD, NEW)
    assert not known(old=(1, 2), new=(2, 1)).no_way_back(OLD, NEW)
    assert not known(old=(1,)).no_way_back(OLD, NEW)
