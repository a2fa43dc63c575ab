"""What can become of an event: exactly one of these."""

from __future__ import annotations

from enum import IntEnum


class Outcome(IntEnum):
    """UNFINISHED: the run ended before the event did."""

    IN_TIME = 0
    LATE = 1
    EXPIRED = 2
    FAILED = 3
    INCOMPLETE = 4
    UNFINISHED = 5
