"""Copies of rows for a shadow lane, and how its answers compare with those that were given. A copy's answers go nowhere else."""

from __future__ import annotations

import json
import weakref
from collections.abc import Callable, Mapping
from typing import Any

from operators.actions import Answer, Status
from operators.operator import RowError
from operators.protocol.rows import decode
from operators.requests import Request, results
from operators.turns import TurnError, decode_answer

COPY_ROWS_MAX = 64  # of one request
HELD_MAX = 64  # requests of which copies are on their way; beyond, nothing is copied
INEXACT = ("DOUBLE", "FLOAT", "DECIMAL")

Said = Callable[[bytes], object]
"""What an answer says: answers that say the same agree."""


class Twins:
    """share: of the rows of each request, from its first row on."""

    def __init__(self, share: float, said: Said) -> None:
        self.compared = 0
        self.agreed = 0
        self._share = share
        self._said = said
        self._credit = 0.0
        self._held: weakref.WeakSet[_Pair] = weakref.WeakSet()
        """Those that their requests still know: one whose client went away is gone with it."""

    def of(self, request: Request) -> Request | None:
        """A copy of some rows of a request whose answers it hears from now on."""
        self._credit = min(self._credit + self._share * request.table.count, float(COPY_ROWS_MAX))
        rows = min(int(self._credit), request.table.count)
        if not rows or len(self._held) >= HELD_MAX:
            return None
        self._credit -= rows
        pair = _Pair(self, request, rows)
        self._held.add(pair)
        request.twin = pair
        return Request(request.stage, request.id, request.table, request.deadlines[:rows], None, pair, rows, is_copy=True)

    def dropped(self, copy: Request) -> None:
        """The shadow lane had no room for it."""
        pair = copy.owner
        assert isinstance(pair, _Pair)
        self._held.discard(pair)
        pair.original.twin = None

    def ended(self, pair: _Pair, given: Mapping[int, list[bytes]], copied: Mapping[int, list[bytes]]) -> None:
        self._held.discard(pair)
        for row in given.keys() & copied.keys():
            self.compared += 1
            self.agreed += [*map(self._said, given[row])] == [*map(self._said, copied[row])]


class _Pair:
    """The answers to some rows from both sides, as far as there are any: `rows` to come from each."""

    def __init__(self, twins: Twins, original: Request, rows: int) -> None:
        self.original, self.rows = original, rows
        self._twins = twins
        self._left = 2 * rows
        self._given: dict[int, list[bytes]] = {}
        self._copied: dict[int, list[bytes]] = {}

    def answered(self, request: Request, answer: Answer) -> None:
        side = self._copied if request.is_copy else self._given
        payload, children, number = results(answer)
        values = iter(decode(payload, number))
        counts = [1] * len(answer.run) if children is None else children.tolist()
        for row, status, many in zip(answer.run.rows.tolist(), answer.status.tolist(), counts, strict=True):
            answers = [next(values) for _ in range(many)] if status in (Status.OK, Status.LATE) else None
            if row < self.rows:
                self._left -= 1
                if answers is not None:
                    side[row] = answers
        if not self._left:
            self._twins.ended(self, self._given, self._copied)


def meaning(fields: Mapping[str, str]) -> Said:
    """fields: of the stage's output, as the pipeline file declares them. JSON answers are compared by those that are exact; without any,
    and where an answer is no such JSON, the bytes are."""
    exact = [name for name, kind in fields.items() if not kind.upper().startswith(INEXACT)]

    def said(answer: bytes) -> object:
        if not exact:
            return answer
        try:
            content: Any = json.loads(answer)
            return tuple(json.dumps(content[name], sort_keys=True) for name in exact)
        except (ValueError, KeyError, TypeError):
            return answer

    return said


def of_turns(said: Said) -> Said:
    """Of answers to turns: what is said of each event. The states may differ, which are the operator's own business."""

    def of_events(answer: bytes) -> object:
        try:
            _, answers = decode_answer(answer, fans_out=True)
        except TurnError:
            return answer
        return [events if isinstance(events, RowError) else [*map(said, events)] for events in answers]

    return of_events
