"""Rows to values of an author's types, and values to rows.

    bytes                               the row as it is
    str                                 UTF-8
    Annotated[NDArray, Array("<f4", (8, 8))]   a raw tensor: the values one after the other, little-endian
    dataclasses, int, float, bool, None, list[X], dict[str, X], X | Y, Literal, Any    JSON

Reading checks every type and names the place of what is wrong; fields that a dataclass does not have are passed over, so that a stream may
get new ones. An int is taken for a float, never a bool for a number.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from math import prod
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import numpy as np
from numpy.typing import NDArray

Read = Callable[[bytes], Any]
Write = Callable[[Any], bytes]
Check = Callable[[Any, str], Any]
"""(what JSON holds, where it stands) -> value; BadInput where it is something else."""


class BadInput(ValueError):
    """A row is not what the operator takes. Raised by an operator, too, it fails that row with the reason `bad-input`."""


class TypeNotKnown(TypeError):
    """There is no codec for this annotation; the text names it."""


@dataclass(frozen=True, slots=True)
class Array:
    """dtype as numpy writes it, little-endian; shape of one row."""

    dtype: str
    shape: tuple[int, ...]

    @property
    def row_bytes(self) -> int:
        return prod(self.shape) * np.dtype(self.dtype).itemsize


def array_of(kind: Any) -> Array | None:
    """What an annotation says of a raw tensor; None when it is none."""
    if get_origin(kind) is not Annotated:
        return None
    return next((said for said in get_args(kind)[1:] if isinstance(said, Array)), None)


def reader(kind: Any) -> Read:
    if kind is bytes:
        return bytes
    if kind is str:
        return _text
    array = array_of(kind)
    if array is not None:
        return partial(_tensor, array)
    check = _check(kind)
    return lambda row: check(_json(row), "")


def writer(kind: Any) -> Write:
    """Writes only what is of that type: TypeError otherwise."""
    if kind is bytes:
        return partial(_same, bytes)
    if kind is str:
        return lambda value: _same(str, value).encode()
    array = array_of(kind)
    if array is not None:
        return partial(_raw, array)
    check = _check(kind)

    def write(value: Any) -> bytes:
        plain = _plain(value)
        try:
            check(plain, "")
        except BadInput as error:
            raise TypeError(f"the answer is not what the annotation says: {error}") from error
        return json.dumps(plain, separators=(",", ":"), allow_nan=False).encode()

    return write


def _text(row: bytes) -> str:
    try:
        return row.decode()
    except UnicodeDecodeError as error:
        raise BadInput(f"not UTF-8: {error.reason} at byte {error.start}") from error


def _json(row: bytes) -> Any:
    try:
        return json.loads(row)
    except (ValueError, RecursionError) as error:
        raise BadInput(f"not JSON: {error}") from error


def together(array: Array, rows: Sequence[bytes]) -> NDArray[Any] | None:
    """All rows as one array of shape (rows, *shape of one), without work by row; None where a row is none."""
    size = array.row_bytes
    if any(len(row) != size for row in rows):
        return None
    return np.frombuffer(bytearray(b"".join(rows)), array.dtype).reshape(len(rows), *array.shape)


def apart(array: Array, values: Any, count: int) -> list[bytes] | None:
    """The rows of such an array, likewise; None where it is not one of `count` rows."""
    if not isinstance(values, np.ndarray) or values.shape != (count, *array.shape):
        return None
    raw, size = np.ascontiguousarray(values, array.dtype).tobytes(), array.row_bytes
    return [raw[at : at + size] for at in range(0, count * size, size)] if size else None


def _tensor(array: Array, row: bytes) -> Any:
    if len(row) != array.row_bytes:
        raise BadInput(f"the row has {len(row)} bytes; {array.dtype} of shape {list(array.shape)} takes {array.row_bytes}")
    return np.frombuffer(row, array.dtype).reshape(array.shape)


def _raw(array: Array, value: Any) -> bytes:
    if np.shape(value) != array.shape:
        raise TypeError(f"the answer has shape {list(np.shape(value))}; the annotation says {list(array.shape)}")
    return np.ascontiguousarray(value, array.dtype).tobytes()


def _same(kind: type, value: Any) -> Any:
    if type(value) is not kind:
        raise TypeError(f"the answer is a {type(value).__name__}; the annotation says {kind.__name__}")
    return value


def _plain(value: Any) -> Any:
    """As json takes it."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    if isinstance(value, dict):
        return {key: _plain(entry) for key, entry in value.items()}
    return value.item() if isinstance(value, np.generic) else value


def _check(kind: Any) -> Check:
    origin, arguments = get_origin(kind), get_args(kind)
    if kind is Any:
        return lambda value, where: value
    if kind in (int, float, str, bool, NoneType, None):
        return partial(_scalar, NoneType if kind is None else kind)
    if origin is Literal:
        return partial(_literal, arguments)
    if origin in (Union, UnionType):
        return partial(_union, [_check(choice) for choice in arguments], kind)
    if kind is list or origin is list:
        return partial(_list, _check(arguments[0]) if arguments else _check(Any))
    if kind is dict or (origin is dict and arguments[0] is str):
        return partial(_dict, _check(arguments[1]) if arguments else _check(Any))
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        return _object_check(kind)
    raise TypeNotKnown(f"there is no way to read a row as {kind!r}; use bytes, str, a dataclass, or what JSON has")


def _scalar(kind: type, value: Any, where: str) -> Any:
    if type(value) is kind:
        return value
    if kind is float and type(value) is int:
        return float(value)
    raise BadInput(f"{where or 'the row'} is {_short(value)}; {'null' if kind is NoneType else kind.__name__} is wanted")


def _literal(choices: tuple[Any, ...], value: Any, where: str) -> Any:
    for choice in choices:
        if type(choice) is type(value) and choice == value:
            return value
    raise BadInput(f"{where or 'the row'} is {_short(value)}; use {', '.join(map(repr, choices))}")


def _union(checks: list[Check], kind: Any, value: Any, where: str) -> Any:
    for check in checks:
        try:
            return check(value, where)
        except BadInput:
            continue
    raise BadInput(f"{where or 'the row'} is {_short(value)}; {kind} is wanted")


def _list(check: Check, value: Any, where: str) -> list[Any]:
    if type(value) is not list:
        raise BadInput(f"{where or 'the row'} is {_short(value)}; a list is wanted")
    return [check(entry, f"{where}[{at}]") for at, entry in enumerate(value)]


def _dict(check: Check, value: Any, where: str) -> dict[str, Any]:
    if type(value) is not dict:
        raise BadInput(f"{where or 'the row'} is {_short(value)}; an object is wanted")
    return {key: check(entry, f"{where}.{key}") for key, entry in value.items()}


def _object_check(kind: type) -> Check:
    hints = get_type_hints(kind)
    fields = {field.name: _check(hints[field.name]) for field in dataclasses.fields(kind) if field.init}
    needed = {
        field.name
        for field in dataclasses.fields(kind)
        if field.init and field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    }

    def check(value: Any, where: str) -> Any:
        if not isinstance(value, Mapping):
            raise BadInput(f"{where or 'the row'} is {_short(value)}; an object with the fields {', '.join(fields)} is wanted")
        missing = sorted(needed - value.keys())
        if missing:
            raise BadInput(f"{where or 'the row'} has no field {missing[0]!r}")
        return kind(**{name: read(value[name], f"{where}.{name}".lstrip(".")) for name, read in fields.items() if name in value})

    return check


def _short(value: Any) -> str:
    text = json.dumps(value, default=repr)
    return text if len(text) <= 40 else f"{text[:37]}..."
