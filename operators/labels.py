"""Right or wrong: answers of each version held against labels that come back later.

While a new version is on trial, the answers to rows that bring an event id are remembered, the last KEPT of them. A label that comes
for one counts for the version that gave it, once.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from operators.actions import Answer, Status
from operators.operator import Variant
from operators.protocol.rows import decode
from operators.requests import Request, results

KEPT = 100_000
ANSWER_BYTES_MAX = 4096  # longer ones are not remembered
FIELD = "label"  # of an answer that is a JSON object, which a label that is none is compared with

Version = tuple[str, str]


@dataclass(slots=True)
class Labelled:
    labelled: int = 0
    right: int = 0


class Labels:
    def __init__(self) -> None:
        self._counts: dict[Version, Labelled] = {}
        self._answers: dict[bytes, tuple[Version, bytes]] = {}

    def of(self, variant: Variant) -> Labelled:
        return self._counts.get(variant.served, Labelled())

    def answered(self, request: Request, answer: Answer) -> None:
        """Remembers what the rows of a request with ids were answered; those that fan out or failed are not."""
        payload, children, number = results(answer)
        if children is not None or request.ids is None:
            return
        ids, values = request.ids.rows(), iter(decode(payload, number))
        version = answer.variant.served
        for row, status in zip(answer.run.rows.tolist(), answer.status.tolist(), strict=True):
            if status in (Status.OK, Status.LATE):
                value = next(values)
                if ids[row] and len(value) <= ANSWER_BYTES_MAX:
                    self._answers[ids[row]] = version, value
        while len(self._answers) > KEPT:
            del self._answers[next(iter(self._answers))]

    def label(self, event_id: str, label: object) -> bool:
        """False where no answer to that event is remembered."""
        found = self._answers.pop(event_id.encode(), None)
        if found is None:
            return False
        version, answer = found
        self.count(*version, is_right(answer, label))
        return True

    def count(self, variant: str, version: str, right: bool) -> None:
        """A verdict that somebody else came to."""
        counts = self._counts.setdefault((variant, version), Labelled())
        counts.labelled += 1
        counts.right += right


def is_right(answer: bytes, label: object) -> bool:
    """An object is compared with an answer's fields of those names, anything else with its field `label`; an answer without fields, as a
    whole."""
    try:
        said: Any = json.loads(answer)
    except ValueError:
        said = answer.decode(errors="replace")
    if isinstance(said, Mapping):
        wanted = label if isinstance(label, Mapping) else {FIELD: label}
        return all(name in said and said[name] == value for name, value in wanted.items())
    return bool(said == label or str(said) == str(label))
