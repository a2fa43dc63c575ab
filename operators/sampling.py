"""Which rows arrive at each stage: a few source events sent through the graph by hand, without Flink.

An event goes the one way that autoscaler/graph/routes.py says. A branch's condition is asked of SQLite, whose SQL agrees with Flink's
on comparisons, AND, OR, NOT, IN, BETWEEN, LIKE and IS NULL of plain fields; where it cannot (a function it does not have), nobody
knows who takes the branch, so every event both takes it and goes past. Rows that an operator refuses end there.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from autoscaler.graph.pipeline import SOURCE, Pipeline, Stage
from autoscaler.graph.routes import choices

Answers = Sequence[bytes | list[bytes] | None]
"""One per row: its answer, its children, or None where it was refused."""


@dataclass(frozen=True, slots=True)
class Event:
    """values: of every stage passed, "source" first. last: whose value is the latest. parents: numbers of the fan-outs' parents, outermost first."""

    values: Mapping[str, bytes]
    last: str = SOURCE
    parents: tuple[int, ...] = ()

    def answered(self, stage: str, value: bytes, parents: tuple[int, ...]) -> Event:
        return replace(self, values={**self.values, stage: value}, last=stage, parents=parents)


@dataclass(slots=True)
class Walk:
    """Events on their way through a pipeline's stages, to be answered in the file's order.

    arriving  at each stage, before its join
    taken     of each stage's `when`: events that met it and events asked; absent where it could not be asked
    """

    pipeline: Pipeline
    arriving: dict[str, list[Event]] = field(default_factory=dict)
    taken: dict[str, tuple[int, int]] = field(default_factory=dict)
    _parents: dict[str, list[Event]] = field(default_factory=dict)  # of each fan-out, by number

    def begin(self, rows: Sequence[bytes]) -> None:
        self.arriving = {stage.name: [] for stage in self.pipeline.stages}
        self._route(SOURCE, [Event({SOURCE: row}) for row in rows])

    def events(self, stage: Stage) -> list[Event]:
        """At the stage, its children joined: the array of their values is the latest value then."""
        if stage.join is None:
            return self.arriving[stage.name]
        parents = self._parents[stage.join]
        children: list[list[bytes]] = [[] for _ in parents]
        for event in self.arriving[stage.name]:
            children[event.parents[-1]].append(event.values[event.last])
        name = f"{stage.name} (joined)"
        return [parent.answered(name, _array(rows), parent.parents) for parent, rows in zip(parents, children, strict=True)]

    def pass_on(self, stage: Stage, events: Sequence[Event], answers: Answers) -> None:
        """To the stages after it. events: as `events` gave them."""
        leaving: list[Event] = []
        for event, answer in zip(events, answers, strict=True):
            if isinstance(answer, bytes):
                leaving.append(event.answered(stage.name, answer, event.parents))
            elif answer is not None:
                siblings = self._parents.setdefault(stage.name, [])
                siblings.append(event)
                leaving += [event.answered(stage.name, child, (*event.parents, len(siblings) - 1)) for child in answer]
        if stage.fan_out:
            self._parents.setdefault(stage.name, [])
        self._route(stage.name, leaving)

    def _route(self, name: str, events: list[Event]) -> None:
        for way in choices(self.pipeline.stages, name):
            meeting, rest = events, []
            if way.when is not None:
                assert way.to is not None
                met = self._ask(way.when, events)
                if met is None:
                    rest = events
                else:
                    meeting = [event for event, one in zip(events, met, strict=True) if one]
                    rest = [event for event, one in zip(events, met, strict=True) if not one]
                    before = self.taken.get(way.to, (0, 0))
                    self.taken[way.to] = (before[0] + len(meeting), before[1] + len(events))
            if way.to is not None:
                self.arriving[way.to] += meeting
            events = rest

    def _ask(self, when: str, events: list[Event]) -> list[bool] | None:
        """Whether each event's latest value meets the condition; None where SQLite cannot say."""
        database = sqlite3.connect(":memory:")
        try:
            database.execute("PRAGMA case_sensitive_like = ON")
            return [_meets(database, when, self.pipeline.stage(event.last), event.values[event.last]) for event in events]
        except sqlite3.Error:
            return None
        finally:
            database.close()


def _meets(database: sqlite3.Connection, when: str, stage: Stage, value: bytes) -> bool:
    try:
        known = json.loads(value)
    except ValueError:
        known = None
    known = known if isinstance(known, dict) else {}
    fields = {name: known.get(name) for name in stage.output.fields}
    plain = {name: field if isinstance(field, str | int | float | None) else None for name, field in fields.items()}
    columns = ", ".join(f'? AS "{name}"' for name in plain)
    found = database.execute(f"SELECT ({when}) FROM (SELECT {columns})", tuple(plain.values())).fetchone()
    return bool(found[0])


def _array(rows: Sequence[bytes]) -> bytes:
    """As the joiner writes it; a value that is no JSON as text."""
    return b"[" + b",".join(_json(row) for row in rows) + b"]"


def _json(row: bytes) -> bytes:
    try:
        json.loads(row)
    except ValueError:
        return json.dumps(row.decode(errors="replace")).encode()
    return row


async def rows_of_stages(pipeline: Pipeline, source: Sequence[bytes], ask: Callable[[Stage, list[bytes]], Awaitable[Answers]]) -> tuple[
    dict[str, list[bytes]], dict[str, float]
]:
    """Rows of each stage, and the share of its `when` where that is known. ask: the stage's answers, called in the file's order."""
    walk, rows = Walk(pipeline), dict[str, list[bytes]]()
    walk.begin(source)
    for stage in pipeline.stages:
        events = walk.events(stage)
        rows[stage.name] = [event.values[stage.input or event.last] for event in events]
        answers: Answers = rows[stage.name] if stage.is_plain_join else await ask(stage, rows[stage.name])
        walk.pass_on(stage, events, answers)
    return rows, {name: met / asked for name, (met, asked) in walk.taken.items() if asked}
