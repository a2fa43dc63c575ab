"""Operators with state: of (state of a key, its events in order) they make (new state, answers). They keep nothing themselves.

The state lives in Flink and comes with the events (operators/turns.py), so a replica may die, be resized or updated at any moment. For that the
result must depend on state and events alone: what is run again must come out the same.

    class Count(StatefulOperator):
        def apply(self, turns):
            ...                                        # a whole batch at once, for what numpy can do

is the form for speed. Most operators are typed functions of one state and one event (operators/state_author.py).

An operator that keeps something else than its predecessor says so, and how it reads what that one kept; on the class, or in the constructor where
the model decides:

    class Count(StatefulOperator):
        state_version = 2
        older_states = {1: lambda state: state + bytes(4)}
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import numpy as np

from operators.codec import BadInput
from operators.operator import Operator, RowError, Variant
from operators.state_format import StateFormat, marked, numbers, with_states, without_marks
from operators.turns import Applied, TurnError, Turns, decode_turns, encode_applied

DETAIL_MAX = 500
NO_TURN = RowError("bad-input", "the row is no turn of a key: a stage with state takes a state and events (docs/operators.md)")

ReadOlder = Callable[[bytes], bytes]
"""A state as an older version wrote it -> as this one would have; b"" = nothing is kept. Raising fails the key's events, not its state."""


class StateNotRead(ValueError):
    """A key's state is of a version that the operator does not read."""


class StatefulOperator(Operator):
    """fans_out_events: an answer is a list, each item of which becomes an event of its own.

    state_version  of the states that it writes (operators/state_format.py)
    older_states   by version, how those of others are read
    """

    stateful = True
    fans_out_events: bool = False
    state_version: int = 1
    older_states: Mapping[int, ReadOlder] = MappingProxyType({})

    def __init__(self, variant: Variant, cores: int) -> None:
        super().__init__(variant, cores)
        self._others: set[int] = set()

    def makes_children(self) -> bool:
        return self.fans_out_events

    @property
    def state_format(self) -> StateFormat:
        """ValueError where its versions are none."""
        return StateFormat(self.state_version, frozenset({self.state_version, *self.older_states}))

    def state_facts(self) -> dict[str, Any]:
        return self.state_format.said()

    def apply(self, turns: Turns) -> Applied:
        """New states and answers. Raising fails the batch, which is then cut down to the event at fault, whose key's state stays as it was."""
        raise NotImplementedError

    def others_met(self) -> list[int]:
        """Versions other than its own whose states came since it was last asked, whether it reads them or not."""
        found, self._others = sorted(self._others), set()
        return found

    def infer(self, rows: Sequence[bytes]) -> Sequence[bytes | list[bytes] | RowError]:
        """Rows are turns."""
        turns, right = decode_turns(rows)
        if not len(turns):
            return [NO_TURN] * len(rows)
        try:
            applied = self.apply(self._own(turns))
            found = encode_applied(turns, replace(applied, states=marked(applied.states, self.state_version)))
        except (BadInput, TurnError) as error:
            if len(rows) > 1:
                raise  # halved by whoever runs it
            return [RowError("bad-input", str(error)[:DETAIL_MAX])]
        if right.all():
            return found
        answers = iter(found)
        return [next(answers) if is_turn else NO_TURN for is_turn in right.tolist()]

    def _own(self, turns: Turns) -> Turns:
        """All states as this version would have written them."""
        turns, versions = without_marks(turns, self.state_version)
        other = np.flatnonzero(versions != self.state_version)
        if not len(other):
            return turns
        states, made = turns.states(), {}
        self._others |= set(versions[other].tolist())
        for key in other.tolist():
            read = self.older_states.get(int(versions[key]))
            if read is None:
                wrote = f"the state of its key is of {numbers([int(versions[key])])}"
                raise StateNotRead(f"{wrote}; this operator reads {numbers(self.state_format.reads)}")
            made[key] = read(states[key])
        return with_states(turns, made)
