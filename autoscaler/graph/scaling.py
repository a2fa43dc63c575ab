"""What a pipeline file says of its autoscaler: the section `autoscaler`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

_PERIOD = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]):([0-5]\d)")
MINUTES_A_DAY = 24 * 60


class Fallback(StrEnum):
    """While telemetry is stale: what runs stays, or the last plan comes back that was seen to keep the SLO."""

    HOLD = "hold"
    LAST_SAFE = "last-safe"


@dataclass(frozen=True, slots=True)
class Period:
    """Minutes of the day in UTC, the end excluded; one that ends before it begins goes on past midnight."""

    start: int
    end: int

    def holds(self, now_s: float) -> bool:
        """now_s: Unix time."""
        minute = int(now_s // 60) % MINUTES_A_DAY
        return self.start <= minute < self.end if self.start < self.end else minute >= self.start or minute < self.end


@dataclass(frozen=True, slots=True)
class Scaling:
    """policy: by its name; None = the reactive rule, which needs no profile.

    enabled         false = advice: decide and record, change nothing
    stale_after_ms  older telemetry says nothing
    cool_down_ms    after a change of a stage nothing of it is taken away for so long
    excluded        periods in which nothing is changed
    """

    policy: str | None = None
    enabled: bool = True
    stale_after_ms: float = 5000.0
    fallback: Fallback = Fallback.HOLD
    cool_down_ms: float = 0.0
    excluded: tuple[Period, ...] = ()

    def is_excluded(self, now_s: float) -> bool:
        return any(period.holds(now_s) for period in self.excluded)


def parse_period(text: str) -> Period:
    """`HH:MM-HH:MM`; ValueError for anything else."""
    match = _PERIOD.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is no period of a day")
    hours = [int(number) for number in match.groups()]
    return Period(hours[0] * 60 + hours[1], hours[2] * 60 + hours[3])
