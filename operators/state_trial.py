"""An operator with state in its author's own tests: `follow(count, [Visit("a"), Visit("b")])`. It runs as in a replica, in this process."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from operators.author import as_operator
from operators.codec import reader, writer
from operators.operator import RowError, Variant
from operators.replica import infer
from operators.state_author import signature
from operators.state_format import unmarked
from operators.stateful import StatefulOperator
from operators.turns import Answer, decode_answer, encode_turn


def follow(authored: Any, events: Sequence[Any], **options: Any) -> tuple[Any, list[Any]]:
    """(state at the end, answer to each event) of one key, whose events are bytes or values of their type. An event that fails is answered with its
    RowError; an operator class is given and gives bytes.

    AssertionError where it matters how the events are cut into turns: that is chance, so no answer may depend on it.
    """
    is_class = isinstance(authored, type) and issubclass(authored, StatefulOperator)
    kind: type[StatefulOperator] = authored if is_class else as_operator(authored)  # type: ignore[assignment]
    said = None if is_class else signature(authored)
    write = writer(said.takes) if said is not None else bytes
    rows = [event if isinstance(event, bytes) else write(event) for event in events]
    operator = kind(Variant("test", 1.0, options), 1)
    together = _turns(operator, rows, max(1, len(rows)))
    for size in {1, 2, 3} - {len(rows)}:
        cut = _turns(operator, rows, size)
        assert cut == together, f"cut into turns of {size}, the events come to {cut!r}, in one turn to {together!r}"
    (_, state), answers = unmarked(together[0]), together[1]
    if said is None:
        return state, answers
    read, read_state = reader(said.gives), reader(said.state)
    values = [_value(answer, read) for answer in answers]
    return (read_state(state) if state else said.initial()), values


def run_turn(operator: StatefulOperator, state: bytes, rows: Sequence[bytes]) -> tuple[bytes, list[Answer]]:
    """One turn; where it fails whole, its events go one by one, as they would in Flink."""
    (answer,) = infer(operator, [encode_turn(state, rows)])
    if isinstance(answer, bytes):
        return decode_answer(answer, operator.fans_out_events)
    assert isinstance(answer, RowError)
    if len(rows) == 1:
        return state, [answer]
    answers: list[Answer] = []
    for row in rows:
        state, found = run_turn(operator, state, [row])
        answers += found
    return state, answers


def _turns(operator: StatefulOperator, rows: Sequence[bytes], size: int) -> tuple[bytes, list[Answer]]:
    state, answers = b"", []
    for at in range(0, len(rows), size):
        state, found = run_turn(operator, state, rows[at : at + size])
        answers += found
    return state, answers


def _value(answer: Answer, read: Any) -> Any:
    if isinstance(answer, RowError):
        return answer
    return [read(child) for child in answer] if isinstance(answer, list) else read(answer)
