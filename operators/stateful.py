"""Operators with state: of (state of a key, its events in order) they make (new state, answers). They keep nothing themselves.

The state lives in Flink and comes with the events (operators/turns.py), so a replica may die, be resized or updated at any moment. For that the
result must depend on state and events alone: what is run again must come out the same.

    class Count(StatefulOperator):
        def apply(self, turns):
            ...                                        # a whole batch at once, for what numpy can do

is the form for speed. Most operators are typed functions of one state and one event (operators/state_author.py).
"""

from __future__ import annotations

from collections.abc import Sequence

from operators.codec import BadInput
from operators.operator import Operator, RowError
from operators.turns import Applied, TurnError, Turns, decode_turns, encode_applied

DETAIL_MAX = 500
NO_TURN = RowError("bad-input", "the row is no turn of a key: a stage with state takes a state and events (docs/operators.md)")


class StatefulOperator(Operator):
    """fans_out_events: an answer is a list, each item of which becomes an event of its own."""

    stateful = True
    fans_out_events: bool = False

    def makes_children(self) -> bool:
        return self.fans_out_events

    def apply(self, turns: Turns) -> Applied:
        """New states and answers. Raising fails the batch, which is then cut down to the event at fault, whose key's state stays as it was."""
        raise NotImplementedError

    def infer(self, rows: Sequence[bytes]) -> Sequence[bytes | list[bytes] | RowError]:
        """Rows are turns."""
        turns, right = decode_turns(rows)
        if not len(turns):
            return [NO_TURN] * len(rows)
        try:
            found = encode_applied(turns, self.apply(turns))
        except (BadInput, TurnError) as error:
            if len(rows) > 1:
                raise  # halved by whoever runs it
            return [RowError("bad-input", str(error)[:DETAIL_MAX])]
        if right.all():
            return found
        answers = iter(found)
        return [next(answers) if is_turn else NO_TURN for is_turn in right.tolist()]
