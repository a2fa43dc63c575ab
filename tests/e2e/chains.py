"""An operator with state whose answers show every event that was applied, in which order, and how often."""

import time
from dataclasses import dataclass
from zlib import crc32


@dataclass(frozen=True)
class Chain:
    """number: of the key's events applied; link: checksum over all of them in order."""

    number: int = 0
    link: int = 0


def chain(seen: Chain, row: bytes, *, row_ms: float = 0.0) -> tuple[Chain, bytes]:
    if row.startswith(b"raise"):
        raise ValueError("told to")
    time.sleep(row_ms / 1000)
    after = Chain(seen.number + 1, crc32(row, seen.link))
    return after, b"%d %d" % (after.number, after.link)


def expected(numbers: range, value, key) -> dict[int, bytes]:
    """The answer to each event of a feed, undisturbed: written without the operator."""
    count, link, answers = {}, {}, {}
    for number in numbers:
        name, row = key(number), value(number)
        if not row.startswith(b"raise"):
            count[name], link[name] = count.get(name, 0) + 1, crc32(row, link.get(name, 0))
            answers[number] = b"%d %d" % (count[name], link[name])
    return answers
