"""Operators from an author's own typed functions and classes: a pipeline file names them as `module:name`, nothing is imported from here.

    def shout(text: str, *, mark: str = "!") -> str:                one row at a time; options are keyword-only, their values the variant's
        return text.upper() + mark

    def scores(images: Batch[Pixels]) -> Batch[Score]: ...           a batch at once: as many answers as rows, in their order
    def words(text: str) -> Iterator[str]: ...                       fans out: each value becomes an event of its own
    def count(seen: int, visit: Visit) -> tuple[int, Answer]: ...    with state: operators/state_author.py

    class Threshold:                                                 what takes long to set up: once per replica, in the constructor
        def __init__(self, limit: float = 90.0): ...                 options; one named `variant` or `cores` gets what Operator gets
        def __call__(self, reading: Reading) -> Level: ...

How rows become values of these types is in operators/codec.py. A row that is not of the type, or for which BadInput is raised, fails as
`bad-input`, any other exception fails its row as `operator-error`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

import numpy as np

from operators.codec import Array, BadInput, Read, TypeNotKnown, Write, apart, array_of, reader, together, writer
from operators.operator import Operator, RowError, Variant

DETAIL_MAX = 500
GIVEN = ("variant", "cores")

T = TypeVar("T")


class Batch(list[T]):
    """The rows of a batch; of raw tensors it is one array, shape (rows, *shape of one)."""


class AuthorError(TypeError):
    """A function or class that cannot be an operator; the text says why."""


@dataclass(frozen=True, slots=True)
class Signature:
    """What a function or class says of itself. takes, gives: types of one value; takes_array, gives_array: what they say of a raw tensor, if they do."""

    takes: Any
    gives: Any
    is_batch: bool
    fans_out: bool
    options: Mapping[str, inspect.Parameter]
    takes_array: Array | None
    gives_array: Array | None


def takes_state(authored: Any) -> bool:
    """Whether it takes two values, a state and an event."""
    return len(values_of(authored)) == 2


def values_of(authored: Any) -> list[inspect.Parameter]:
    """The parameters that are not options."""
    is_class = isinstance(authored, type)
    parameters = list(inspect.signature(authored.__call__ if is_class else authored).parameters.values())[is_class:]
    return [parameter for parameter in parameters if parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD)]


def signature(authored: Any) -> Signature:
    """AuthorError where it is not typed, or takes something else than one row or batch."""
    name = getattr(authored, "__name__", repr(authored))
    called = authored.__call__ if isinstance(authored, type) else authored
    hints = get_type_hints(called, include_extras=True)
    parameters = list(inspect.signature(called).parameters.values())[isinstance(authored, type) :]
    rows = values_of(authored)
    if len(rows) != 1 or rows[0].name not in hints or "return" not in hints:
        raise AuthorError(f"{name}: an operator takes one row and says its types, as in `def {name}(row: bytes) -> bytes`")
    takes, gives = hints[rows[0].name], hints["return"]
    is_batch = get_origin(takes) is Batch
    if is_batch != (get_origin(gives) is Batch):
        raise AuthorError(f"{name}: takes {takes} and gives {gives}; both are of a batch, or both of one row")
    fans_out = get_origin(gives) in (Iterator, Iterable, Generator)
    if isinstance(authored, type):
        options = dict(list(inspect.signature(authored).parameters.items()))
    else:
        options = {parameter.name: parameter for parameter in parameters if parameter.kind is parameter.KEYWORD_ONLY}
    of_one = (get_args(takes)[0], get_args(gives)[0]) if is_batch else (takes, get_args(gives)[0] if fans_out else gives)
    return Signature(*of_one, is_batch, fans_out, options, *map(array_of, of_one))


def as_operator(authored: Any) -> type[Operator]:
    """The operator class of a function or of a class whose objects are called."""
    if takes_state(authored):
        from operators.state_author import as_stateful  # which builds on this module

        return as_stateful(authored)
    said = signature(authored)
    try:
        read, write = reader(said.takes), writer(said.gives)
    except TypeNotKnown as error:
        raise AuthorError(f"{authored.__name__}: {error}") from error

    class Authored(Operator):
        fans_out = said.fans_out
        model = getattr(authored, "model", None)
        row_bytes = None if said.takes_array is None else said.takes_array.row_bytes

        def __init__(self, variant: Variant, cores: int) -> None:
            super().__init__(variant, cores)
            options = options_of(authored.__name__, said.options, variant, cores)
            if isinstance(authored, type):
                made = authored(**options)
                self._call = made
                self._resized = getattr(made, "resize", None)
            else:
                self._call = (lambda value: authored(value, **options)) if options else authored
                self._resized = None

        def infer(self, rows: Sequence[bytes]) -> Sequence[bytes | list[bytes] | RowError]:
            return _batch(self._call, rows, said, read, write) if said.is_batch else [_row(self._call, row, said, read, write) for row in rows]

        def resize(self, cores: int) -> None:
            super().resize(cores)
            if self._resized is not None:
                self._resized(cores)

    Authored.__name__ = Authored.__qualname__ = authored.__name__
    Authored.__doc__ = authored.__doc__
    return Authored


def options_of(name: str, known: Mapping[str, inspect.Parameter], variant: Variant, cores: int) -> dict[str, Any]:
    """What the constructor or function gets by name: the variant's options, and `variant` and `cores` where it asks for them."""
    chosen = dict(variant.options)
    takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in known.values())
    strange = sorted(set(chosen) - (set(known) - set(GIVEN)))
    if strange and not takes_any:
        raise AuthorError(f"{name} has no option {strange[0]!r}; it has {', '.join(sorted(set(known) - set(GIVEN))) or 'none'}")
    chosen |= {key: value for key, value in (("variant", variant), ("cores", cores)) if key in known}
    missing = [
        parameter.name
        for parameter in known.values()
        if parameter.default is parameter.empty and parameter.kind not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL) and parameter.name not in chosen
    ]
    if missing:
        raise AuthorError(f"{name} needs the option {missing[0]!r}; say it with the variant in the pipeline file")
    return chosen


def _row(call: Callable[[Any], Any], row: bytes, said: Signature, read: Read, write: Write) -> bytes | list[bytes] | RowError:
    try:
        answer = call(read(row))
        return [write(child) for child in answer] if said.fans_out else write(answer)
    except BadInput as error:
        return RowError("bad-input", str(error)[:DETAIL_MAX])
    except Exception as error:  # one row's failure, whatever the author's code raises, is that row's
        return RowError("operator-error", f"{type(error).__name__}: {error}"[:DETAIL_MAX])


def _batch(call: Callable[[Any], Any], rows: Sequence[bytes], said: Signature, read: Read, write: Write) -> list[bytes | list[bytes] | RowError]:
    """Rows that cannot be read fail alone; what the call raises fails the batch, which is then halved down to the row at fault."""
    takes, gives = said.takes_array, said.gives_array
    whole = together(takes, rows) if takes is not None and rows else None
    if whole is not None:
        return _written(_called(call, whole, rows), len(rows), gives, write)
    answers: list[bytes | list[bytes] | RowError] = []
    values, places = [], []
    for place, row in enumerate(rows):
        try:
            values.append(read(row))
            places.append(place)
            answers.append(b"")
        except BadInput as error:
            answers.append(RowError("bad-input", str(error)[:DETAIL_MAX]))
    if not values:
        return answers
    found = _called(call, np.stack(values) if takes is not None else Batch(values), values)
    for place, answer in zip(places, _written(found, len(values), gives, write), strict=True):
        answers[place] = answer
    return answers


def _called(call: Callable[[Any], Any], batch: Any, values: Sequence[Any]) -> Any:
    """The call's answers, or what was wrong with its one row."""
    try:
        found = call(batch)
        return found if isinstance(found, np.ndarray) else list(found)
    except BadInput as error:
        if len(values) > 1:
            raise  # halved by whoever runs it
        return RowError("bad-input", str(error)[:DETAIL_MAX])


def _written(found: Any, count: int, gives: Array | None, write: Write) -> list[bytes | list[bytes] | RowError]:
    if isinstance(found, RowError):
        return [found]
    if len(found) != count:
        raise TypeError(f"{len(found)} answers to {count} rows")
    rows = apart(gives, found, count) if gives is not None else None
    return list(rows) if rows is not None else [write(value) for value in found]
