"""An operator in its author's own tests: `check(alarm, [Reading("a", 95.0)])`. It runs as in a replica, in this process."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from operators.author import as_operator, signature
from operators.codec import reader, writer
from operators.operator import Operator, RowError, Variant
from operators.replica import infer

Answer = bytes | list[bytes] | RowError


def loaded(authored: Any, options: dict[str, Any], cores: int = 1) -> Operator:
    """An operator class, or an author's function or class, with the options of a variant."""
    kind = authored if isinstance(authored, type) and issubclass(authored, Operator) else as_operator(authored)
    return kind(Variant("test", 1.0, options), cores)


def check(authored: Any, rows: Sequence[Any], **options: Any) -> list[Any]:
    """The answers to the rows, which are bytes or values of the input's type.

    AssertionError where a row's answer depends on the rows beside it, their number or their order, which no operator may let happen, or where
    it does not come out of its own encoding as it went in. Rows that fail are answered with their RowError.
    """
    operator = loaded(authored, options)
    typed = None if isinstance(authored, type) and issubclass(authored, Operator) else signature(authored)
    write = writer(typed.takes) if typed is not None else bytes
    sent = [row if isinstance(row, bytes) else write(row) for row in rows]
    together = infer(operator, list(sent))
    for place, row in enumerate(sent):
        (alone,) = infer(operator, [row])
        assert together[place] == alone, f"row {place} is answered {together[place]!r} among {len(sent)} rows, but {alone!r} alone"
    backwards = infer(operator, sent[::-1])
    assert backwards[::-1] == together, f"the order of rows changes their answers: {backwards[::-1]!r}, not {together!r}"
    if typed is None:
        return list(together)
    read = reader(typed.gives)
    return [_value(answer, read) for answer in together]


def _value(answer: Answer, read: Any) -> Any:
    if isinstance(answer, RowError):
        return answer
    return [read(child) for child in answer] if isinstance(answer, list) else read(answer)
