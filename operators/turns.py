"""A key's turn: its state and some of its events, in order, as one row of a stage with state; and what comes back. Little-endian.

    row      events n u32 | bytes of the state u32 | bytes of each event u32 [n] | state | events
    answer   events n u32 | bytes of the state u32 | elements m u32 | elements of each event i32 [n], -1 = it failed
             | bytes of each element u32 [m] | state | elements

A state of no bytes is that of a key of which nothing is kept. An event that failed has one element, its `reason: detail`; any other its
results. A turn has at least one event.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from struct import Struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from operators.operator import RowError

TURN = Struct("<II")
APPLIED = Struct("<III")
FAILED = -1

Answer = bytes | list[bytes] | RowError
"""Of one event: a result, results where the stage fans out, or why it failed."""


class TurnError(ValueError):
    """Bytes that are no turn, or no answer to one."""


@dataclass(frozen=True, slots=True)
class Turns:
    """The turns of a batch, K keys with N events together, taken apart without work per event.

    counts       events of each key, >= 1                             int64 (K,)
    first        where each key's events begin among all              int64 (K,)
    state_at, state_bytes    place and size of each state in blob     int64 (K,)
    event_at, event_bytes    place and size of each event in blob     int64 (N,), key after key, each key's in order
    """

    blob: bytes
    counts: NDArray[np.int64]
    first: NDArray[np.int64]
    state_at: NDArray[np.int64]
    state_bytes: NDArray[np.int64]
    event_at: NDArray[np.int64]
    event_bytes: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.counts)

    def key_of(self) -> NDArray[np.int64]:
        """Index of each event's key, shape (N,)."""
        return np.repeat(np.arange(len(self.counts)), self.counts)

    def states(self) -> list[bytes]:
        return _cut(self.blob, self.state_at, self.state_bytes)

    def events(self) -> list[bytes]:
        return _cut(self.blob, self.event_at, self.event_bytes)

    def each(self) -> Iterator[tuple[bytes, list[bytes]]]:
        """State and events of each key."""
        events = self.events()
        for state, at, count in zip(self.states(), self.first.tolist(), self.counts.tolist(), strict=True):
            yield state, events[at : at + count]

    def event_table(self, dtype: np.dtype[Any]) -> NDArray[Any]:
        """The head of every event as this structure, shape (N,); TurnError where an event is shorter."""
        if len(self.event_bytes) and int(self.event_bytes.min()) < dtype.itemsize:
            raise TurnError(f"an event has {int(self.event_bytes.min())} bytes; at least {dtype.itemsize} are wanted")
        return gathered(self.blob, self.event_at, dtype)

    def state_table(self, dtype: np.dtype[Any]) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """(the states as this structure, zeros where nothing is kept; whether something is), shape (K,). TurnError for a state of another size."""
        kept = self.state_bytes > 0
        wrong = kept & (self.state_bytes != dtype.itemsize)
        if wrong.any():
            raise TurnError(f"a state has {self.state_bytes[wrong][0]} bytes; it should have {dtype.itemsize}")
        table = np.zeros(len(kept), dtype)
        table[kept] = gathered(self.blob, self.state_at[kept], dtype)
        return table, kept


@dataclass(frozen=True, slots=True)
class Applied:
    """What became of a batch of turns.

    states   the new state of each key, b"" = forget it: K of them, or a table of shape (K,)
    answers  of each event in the turns' order: N of them, or a table of shape (N,) whose rows are the results
    """

    states: Sequence[bytes] | NDArray[Any]
    answers: Sequence[Answer] | NDArray[Any]


def encode_turn(state: bytes, events: Sequence[bytes]) -> bytes:
    lengths = np.fromiter(map(len, events), "<u4", len(events)).tobytes()
    return b"".join((TURN.pack(len(events), len(state)), lengths, state, *events))


def decode_turns(rows: Sequence[bytes]) -> tuple[Turns, NDArray[np.bool_]]:
    """(the turns of all rows that are turns; which rows are)."""
    blob = b"".join(rows)
    sizes = np.fromiter(map(len, rows), np.int64, len(rows))
    starts = np.cumsum(sizes) - sizes
    right = sizes >= TURN.size
    counts, state_bytes = np.zeros(len(rows), np.int64), np.zeros(len(rows), np.int64)
    counts[right], state_bytes[right] = _numbers(blob, starts[right]), _numbers(blob, starts[right] + 4)
    right &= (counts >= 1) & (TURN.size + 4 * counts + state_bytes <= sizes)
    turns = _turns(blob, starts[right], counts[right], state_bytes[right])
    whole = turns.state_at + turns.state_bytes + _sums(turns.event_bytes, turns.first) == (starts + sizes)[right]
    if whole.all():
        return turns, right
    right[np.flatnonzero(right)[~whole]] = False
    return _turns(blob, starts[right], counts[right], state_bytes[right]), right


def _turns(blob: bytes, starts: NDArray[np.int64], counts: NDArray[np.int64], state_bytes: NDArray[np.int64]) -> Turns:
    first = np.cumsum(counts) - counts
    within = np.arange(int(counts.sum())) - np.repeat(first, counts)
    lengths = _numbers(blob, np.repeat(starts + TURN.size, counts) + 4 * within)
    state_at = starts + TURN.size + 4 * counts
    before = np.cumsum(lengths) - lengths  # bytes of all events before, over the whole batch
    event_at = np.repeat(state_at + state_bytes - before[first], counts) + before
    return Turns(blob, counts, first, state_at, state_bytes, event_at, lengths)


def encode_applied(turns: Turns, applied: Applied) -> list[bytes]:
    """The answer to each turn; TurnError where there are not as many states or answers as keys and events."""
    states = state_rows(applied.states)
    if len(states) != len(turns) or len(applied.answers) != len(turns.event_at):
        raise TurnError(f"{len(states)} states and {len(applied.answers)} answers for {len(turns)} keys with {len(turns.event_at)} events")
    places = zip(states, turns.first.tolist(), turns.counts.tolist(), strict=True)
    if isinstance(applied.answers, np.ndarray):
        size, results = applied.answers.dtype.itemsize, applied.answers.tobytes()
        return [b"".join((_head(n, len(state), size), state, results[at * size : (at + n) * size])) for state, at, n in places]
    answers = applied.answers
    return [encode_answer(state, answers[at : at + n]) for state, at, n in places]


def encode_answer(state: bytes, answers: Sequence[Answer]) -> bytes:
    elements: list[bytes] = []
    counts = []
    for answer in answers:
        if type(answer) is bytes:
            elements.append(answer)
            counts.append(1)
        elif isinstance(answer, RowError):
            elements.append(f"{answer.reason}: {answer.detail}".encode())
            counts.append(FAILED)
        else:
            elements += answer
            counts.append(len(answer))
    head = APPLIED.pack(len(answers), len(state), len(elements))
    lengths = np.fromiter(map(len, elements), "<u4", len(elements)).tobytes()
    return b"".join((head, np.array(counts, "<i4").tobytes(), lengths, state, *elements))


def decode_answer(answer: bytes, fans_out: bool = False) -> tuple[bytes, list[Answer]]:
    """(state, answers of the events); TurnError where the bytes are no answer."""
    if len(answer) < APPLIED.size:
        raise TurnError(f"{len(answer)} bytes are no answer to a turn")
    events, state_bytes, many = APPLIED.unpack_from(answer)
    at = APPLIED.size + 4 * events + 4 * many
    if at + state_bytes > len(answer):
        raise TurnError(f"the answer says {events} events, {many} elements and {state_bytes} bytes of state, but has {len(answer)} bytes")
    counts = np.frombuffer(answer, "<i4", events, APPLIED.size).tolist()
    lengths = np.frombuffer(answer, "<u4", many, APPLIED.size + 4 * events).tolist()
    if sum(map(abs, counts)) != many or at + state_bytes + sum(lengths) != len(answer) or min(counts, default=0) < FAILED:
        raise TurnError("the answer's counts do not add up")
    state, at = answer[at : at + state_bytes], at + state_bytes
    elements = []
    for length in lengths:
        elements.append(answer[at : at + length])
        at += length
    rest = iter(elements)
    return state, [_answer([next(rest) for _ in range(abs(count))], count, fans_out) for count in counts]


def _answer(elements: list[bytes], count: int, fans_out: bool) -> Answer:
    if count == FAILED:
        reason, _, detail = elements[0].decode().partition(": ")
        return RowError(reason, detail)
    return elements if fans_out else elements[0]


@lru_cache(4096)
def _head(events: int, state_bytes: int, element_bytes: int) -> bytes:
    """Of an answer whose events all have one result of the same size."""
    head = APPLIED.pack(events, state_bytes, events)
    return head + np.ones(events, "<i4").tobytes() + np.full(events, element_bytes, "<u4").tobytes()


def state_rows(states: Sequence[bytes] | NDArray[Any]) -> Sequence[bytes]:
    """One by one."""
    if not isinstance(states, np.ndarray):
        return states
    size, blob = states.dtype.itemsize, states.tobytes()
    return [blob[at : at + size] for at in range(0, len(blob), size)]


def _cut(blob: bytes, at: NDArray[np.int64], sizes: NDArray[np.int64]) -> list[bytes]:
    return [blob[begin:end] for begin, end in zip(at.tolist(), (at + sizes).tolist(), strict=True)]


def _numbers(blob: bytes, at: NDArray[np.int64]) -> NDArray[np.int64]:
    return gathered(blob, at, np.dtype("<u4")).astype(np.int64)


def gathered(blob: bytes, at: NDArray[np.int64], dtype: np.dtype[Any]) -> NDArray[Any]:
    """The structure that begins at each place."""
    if not len(at):
        return np.empty(0, dtype)
    return np.ndarray(len(blob) - dtype.itemsize + 1, dtype, blob, strides=(1,))[at]  # one may begin at every byte


def _sums(values: NDArray[np.int64], first: NDArray[np.int64]) -> NDArray[np.int64]:
    """Of each key's values."""
    return np.add.reduceat(values, first) if len(first) else np.empty(0, np.int64)
