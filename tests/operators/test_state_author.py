from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.author import AuthorError, as_operator
from operators.codec import BadInput
from operators.operator import RowError, Variant
from operators.replica import find_class
from operators.state_trial import follow


@dataclass
class Visit:
    page: str


@dataclass
class Seen:
    pages: list[str] = field(default_factory=list)


def nth(seen: int, visit: Visit) -> tuple[int, int]:
    return seen + 1, seen + 1


def history(seen: Seen, visit: Visit, *, longest: int = 3) -> tuple[Seen, list[str]]:
    """Changes its state in place, and then may raise."""
    seen.pages.append(visit.page)
    if visit.page == "bad":
        raise ValueError("a bad page")
    if visit.page == "odd":
        raise BadInput("an odd page")
    del seen.pages[:-longest]
    return seen, list(seen.pages)


def until_home(seen: int | None, visit: Visit) -> tuple[int | None, str]:
    count = (seen or 0) + 1
    return (None if visit.page == "home" else count), f"{visit.page} {count}"


def pairs(last: str, page: str) -> tuple[str, Iterator[str]]:
    return page, iter([f"{last}-{page}"] if last else [])


class Numbered:
    def __init__(self, variant: Variant, start: int = 0):
        self.start, self.name = start, variant.name

    def __call__(self, seen: int, page: str) -> tuple[int, str]:
        return seen + 1, f"{self.name} {self.start + seen}"


def test_a_function_of_state_and_event():
    assert follow(nth, [Visit("a"), Visit("b")]) == (2, [1, 2])


def test_an_event_that_raises_fails_alone_and_leaves_the_state_as_it_was():
    visits = [Visit(page) for page in ("a", "bad", "b", "odd", "c")]
    state, answers = follow(history, visits)
    assert state == Seen(["a", "b", "c"])
    assert answers == [["a"], RowError("operator-error", "ValueError: a bad page"), ["a", "b"], RowError("bad-input", "an odd page"), ["a", "b", "c"]]


def test_a_row_of_another_type_fails_alone():
    assert follow(nth, [b'{"page": "a"}', b'{"page": 1}', b"{}", b'{"page": "b"}']) == (
        2, [1, RowError("bad-input", "page is 1; str is wanted"), RowError("bad-input", "the row has no field 'page'"), 2])


def test_none_forgets_the_key():
    assert follow(until_home, [Visit("a"), Visit("home")]) == (None, ["a 1", "home 2"])
    assert follow(until_home, [Visit("a"), Visit("home"), Visit("b")]) == (1, ["a 1", "home 2", "b 1"])


def test_options():
    assert follow(history, [Visit("a"), Visit("b")], longest=1) == (Seen(["b"]), [["a"], ["b"]])


def test_a_generator_fans_out():
    assert follow(pairs, ["a", "b", "c"]) == ("c", [[], ["a-b"], ["b-c"]])
    assert as_operator(pairs).fans_out_events


def test_a_class():
    assert follow(Numbered, ["x", "y"], start=5) == (2, ["test 5", "test 6"])


@given(st.lists(st.sampled_from(["a", "b", "bad", "odd"]), max_size=12))
def test_turns_may_be_cut_anywhere(pages):
    follow(history, [Visit(page) for page in pages])  # which compares them


def test_what_depends_on_more_than_state_and_event_is_found_out():
    calls = []

    def impure(seen: int, page: str) -> tuple[int, int]:
        calls.append(page)
        return seen + 1, len(calls)

    with pytest.raises(AssertionError, match="cut into turns"):
        follow(impure, ["a", "b"])


def test_a_pipeline_file_may_name_it():
    assert find_class(f"{__name__}:nth").stateful
    assert not find_class("operators.echo:Echo").stateful


def untyped(seen, page): ...
def half(seen: int, page: str) -> str: ...
def other(seen: int, page: str) -> tuple[str, str]: ...
def no_codec(seen: set, page: str) -> tuple[set, str]: ...


@dataclass
class Needs:
    page: str


def needs(seen: Needs, page: str) -> tuple[Needs, str]: ...


@pytest.mark.parametrize(("authored", "text"), [
    (untyped, "untyped: an operator with state says its types"),
    (half, "half: an operator with state says its types"),
    (other, "other: takes a state of <class 'int'> but returns one of <class 'str'>; make them the same"),
    (no_codec, "no_codec: there is no way to read a row as <class 'set'>"),
    (needs, "needs: a state cannot begin as .*Needs.*give defaults, or take"),
])
def test_what_cannot_be_an_operator_says_why(authored, text):
    with pytest.raises(AuthorError, match=text):
        as_operator(authored)
