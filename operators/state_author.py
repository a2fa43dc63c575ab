"""Operators with state from an author's own typed functions and classes, as in operators/author.py, but of two values.

    def count(seen: int, visit: Visit) -> tuple[int, Answer]: ...              state and event to new state and answer
    def watch(seen: Seen | None, visit: Visit) -> tuple[Seen | None, Alarm]    None: nothing is kept of the key
    def alarms(seen: Seen, visit: Visit) -> tuple[Seen, Iterator[Alarm]]: ...  fans out: each value becomes an event of its own

The state begins as None where its type has None, else as its type called without arguments. An event whose call raises fails alone: what it may
have done to the state is undone by applying the events before it again, so calls must depend on nothing but state and event.

One that keeps something else than its predecessor says so, and how it reads what that one kept; the annotation says what that was:

    @state_version(2, {1: from_pages})                               def from_pages(pages: list[str]) -> Seen: ...
    def history(seen: Seen, visit: Visit) -> tuple[Seen, int]: ...   a class has the attributes state_version and older_states instead
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import NoneType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from operators.author import DETAIL_MAX, AuthorError, options_of, values_of
from operators.codec import BadInput, Read, TypeNotKnown, Write, reader, writer
from operators.operator import RowError, Variant
from operators.stateful import ReadOlder, StatefulOperator, StateNotRead
from operators.turns import Answer, Applied, Turns

Named = TypeVar("Named", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class StateSignature:
    """What a function or class says of itself. state, takes, gives: types of one value."""

    state: Any
    takes: Any
    gives: Any
    fans_out: bool
    options: Mapping[str, inspect.Parameter]

    def initial(self) -> Any:
        """The state of a key that has none; TypeError where its type cannot be called without arguments."""
        return None if NoneType in (self.state, *get_args(self.state)) else self.state()


def state_version(version: int, older: Mapping[int, Callable[[Any], Any]] | None = None) -> Callable[[Named], Named]:
    """Of what a function keeps, from 1 on; and, by version, what makes its state of an older one: a function with a typed parameter."""

    def said(authored: Named) -> Named:
        vars(authored).update(state_version=version, older_states=dict(older or {}))
        return authored

    return said


def signature(authored: Any) -> StateSignature:
    """AuthorError where it is not typed, or is not of a state and an event."""
    name = getattr(authored, "__name__", repr(authored))
    is_class = isinstance(authored, type)
    called = authored.__call__ if is_class else authored
    hints = get_type_hints(called, include_extras=True)
    parameters = list(inspect.signature(called).parameters.values())[is_class:]
    values = values_of(authored)
    returned = hints.get("return")
    if len(values) != 2 or any(value.name not in hints for value in values) or get_origin(returned) is not tuple or len(get_args(returned)) != 2:
        raise AuthorError(f"{name}: an operator with state says its types, as in `def {name}(state: int, event: bytes) -> tuple[int, bytes]`")
    state, gives = get_args(returned)
    if hints[values[0].name] != state:
        raise AuthorError(f"{name}: takes a state of {hints[values[0].name]} but returns one of {state}; make them the same")
    fans_out = get_origin(gives) in (Iterator, Iterable, Generator)
    options = inspect.signature(authored).parameters if is_class else {p.name: p for p in parameters if p.kind is p.KEYWORD_ONLY}
    return StateSignature(state, hints[values[1].name], get_args(gives)[0] if fans_out else gives, fans_out, dict(options))


def as_stateful(authored: Any) -> type[StatefulOperator]:
    """The operator class of a function or of a class whose objects are called with a state and an event."""
    said = signature(authored)
    try:
        codec = _Codec(reader(said.state), writer(said.state), reader(said.takes), writer(said.gives), said)
    except TypeNotKnown as error:
        raise AuthorError(f"{authored.__name__}: {error}") from error
    try:
        said.initial()
    except TypeError as error:
        raise AuthorError(f"{authored.__name__}: a state cannot begin as {said.state}(): {error}; give defaults, or take `... | None`") from error

    class Authored(StatefulOperator):
        fans_out_events = said.fans_out
        model = getattr(authored, "model", None)

        def __init__(self, variant: Variant, cores: int) -> None:
            super().__init__(variant, cores)
            options = options_of(authored.__name__, said.options, variant, cores)
            if isinstance(authored, type):
                self._call = authored(**options)
            else:
                self._call = (lambda state, value: authored(state, value, **options)) if options else authored
            versioned = self._call if isinstance(authored, type) else authored
            self.state_version = getattr(versioned, "state_version", 1)
            self.older_states = {version: codec.older(version, read) for version, read in getattr(versioned, "older_states", {}).items()}

        def apply(self, turns: Turns) -> Applied:
            states: list[bytes] = []
            answers: list[Answer] = []
            for state, events in turns.each():
                after, found = codec.turn(self._call, state, events)
                states.append(after)
                answers += found
            return Applied(states, answers)

        def resize(self, cores: int) -> None:
            super().resize(cores)
            if hasattr(self._call, "resize"):
                self._call.resize(cores)

    Authored.__name__ = Authored.__qualname__ = authored.__name__
    Authored.__doc__ = authored.__doc__
    return Authored


Call = Callable[[Any, Any], tuple[Any, Any]]


@dataclass(frozen=True, slots=True)
class _Codec:
    read_state: Read
    write_state: Write
    read: Read
    write: Write
    said: StateSignature

    def turn(self, call: Call, before: bytes, events: Sequence[bytes]) -> tuple[bytes, list[Answer]]:
        """The state after the events, and an answer to each."""
        state, known, applied = self._state(before), before, []
        answers: list[Answer] = []
        for event in events:
            try:
                value = self.read(event)
            except BadInput as error:
                answers.append(RowError("bad-input", str(error)[:DETAIL_MAX]))
                continue
            try:
                after, output = call(state, value)
                answers.append([self.write(each) for each in output] if self.said.fans_out else self.write(output))
            except Exception as error:  # whatever the author's code raises is this event's failure
                answers.append(_failure(error))
                known = self._written(self._again(call, known, applied))
                state, applied = self._state(known), []
            else:
                state = after
                applied.append(event)
        return self._written(state), answers

    def older(self, version: int, function: Callable[[Any], Any]) -> ReadOlder:
        """What reads states of an older version; AuthorError where the function does not say what they were."""
        name = getattr(function, "__name__", repr(function))
        taken, hints = values_of(function), get_type_hints(function, include_extras=True)
        if len(taken) != 1 or taken[0].name not in hints:
            raise AuthorError(f"{name}: what reads states of version {version} says of which type they were, as in `def {name}(state: int) -> Seen`")
        try:
            read = reader(hints[taken[0].name])
        except TypeNotKnown as error:
            raise AuthorError(f"{name}: {error}") from error

        def older_read(state: bytes) -> bytes:
            try:
                kept = read(state)
            except BadInput as error:
                raise StateNotRead(f"the state of its key is said to be of version {version}, but {error}") from error
            return self._written(function(kept))

        return older_read

    def _again(self, call: Call, before: bytes, events: Sequence[bytes]) -> Any:
        state = self._state(before)
        for event in events:
            state, output = call(state, self.read(event))
            if self.said.fans_out:
                for _ in output:  # what a generator does to the state, it does while it runs
                    pass
        return state

    def _state(self, state: bytes) -> Any:
        return self.read_state(state) if state else self.said.initial()

    def _written(self, state: Any) -> bytes:
        return b"" if state is None else self.write_state(state)


def _failure(error: Exception) -> RowError:
    if isinstance(error, BadInput):
        return RowError("bad-input", str(error)[:DETAIL_MAX])
    return RowError("operator-error", f"{type(error).__name__}: {error}"[:DETAIL_MAX])
