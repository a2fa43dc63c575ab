"""An operator with state whose answers show every event that was applied, in which order, and how often."""

import time
from dataclasses import dataclass, replace
from zlib import crc32

from operators.operator import Variant


@dataclass(frozen=True)
class Chain:
    """number: of the key's events applied; link: checksum over all of them in order."""

    number: int = 0
    link: int = 0


def negated(kept: Chain) -> Chain:
    return replace(kept, number=-kept.number)


class Chained:
    """The variant `other` keeps the number negated, as version 2 of the state; both read each other's."""

    def __init__(self, variant: Variant, row_ms: float = 0.0):
        self._row_s = row_ms / 1000
        self._negates = variant.name == "other"
        self.state_version, other = (2, 1) if self._negates else (1, 2)
        self.older_states = {other: negated}

    def __call__(self, kept: Chain, row: bytes) -> tuple[Chain, bytes]:
        if row.startswith(b"raise"):
            raise ValueError("told to")
        time.sleep(self._row_s)
        seen = negated(kept) if self._negates else kept
        after = Chain(seen.number + 1, crc32(row, seen.link))
        return negated(after) if self._negates else after, b"%d %d" % (after.number, after.link)


def expected(numbers: range, value, key) -> dict[int, bytes]:
    """The answer to each event of a feed, undisturbed: written without the operator."""
    count, link, answers = {}, {}, {}
    for number in numbers:
        name, row = key(number), value(number)
        if not row.startswith(b"raise"):
            count[name], link[name] = count.get(name, 0) + 1, crc32(row, link.get(name, 0))
            answers[number] = b"%d %d" % (count[name], link[name])
    return answers
