"""What became of the events of a run, and how often the answer was right.

    late            answered, later than the SLO after the intended send time
    shed            in the dead letters because it expired
    dead_lettered   in the dead letters for another reason
    unanswered      in neither topic when the run was over
    violations      all four, of the source events
    accuracy        right answers, late ones too, of the source events: what has no answer is wrong

Latency is the output's append time less the intended send time; without an answer it is infinite.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil, inf
from typing import Any

SHED = "expired"


@dataclass(frozen=True, slots=True)
class Answer:
    """at_ms: when it was appended, Unix. label: what the network said."""

    at_ms: int
    label: int


@dataclass(frozen=True, slots=True)
class Source:
    """due_ms: intended send time, Unix. label: what it is."""

    due_ms: int
    label: int


@dataclass(frozen=True, slots=True)
class Told:
    """Counts of source events; latencies in ms in the order of sending. missed_by_second, sent_by_second: by intended send time."""

    events: int
    late: int
    shed: int
    dead_lettered: int
    unanswered: int
    right: int
    latency_ms: tuple[float, ...]
    sent_by_second: tuple[int, ...]
    missed_by_second: tuple[int, ...]

    @property
    def violations(self) -> int:
        return self.late + self.shed + self.dead_lettered + self.unanswered

    def quantile_ms(self, share: float) -> float:
        """The least latency that the share of all events kept to."""
        return sorted(self.latency_ms)[ceil(share * self.events - 1e-9) - 1]

    def data(self) -> dict[str, Any]:
        """Ready for JSON; a latency that is infinite is None."""
        quantiles = {name: self.quantile_ms(share) for name, share in (("p50_ms", 0.5), ("p95_ms", 0.95), ("p99_ms", 0.99))}
        return {"events": self.events, "late": self.late, "shed": self.shed, "dead_lettered": self.dead_lettered, "unanswered": self.unanswered,
                "violation_share": self.violations / self.events, "accuracy": self.right / self.events,
                **{name: value if value < inf else None for name, value in quantiles.items()},
                "sent_by_second": list(self.sent_by_second), "missed_by_second": list(self.missed_by_second)}


def told(sent: Mapping[str, Source], answers: Mapping[str, Answer], dead: Mapping[str, str], slo_ms: float, begins_ms: int) -> Told:
    """sent, answers, dead: by event id; dead: the reason. begins_ms: the second 0. An event that is answered and dead is answered (at least
    once delivers twice). ValueError without events."""
    if not sent:
        raise ValueError("a run without events")
    counts = dict.fromkeys(("late", "shed", "dead_lettered", "unanswered", "right"), 0)
    latencies: list[float] = []
    seconds = max(0, *(one.due_ms - begins_ms for one in sent.values())) // 1000 + 1
    by_second, missed = [0] * seconds, [0] * seconds
    for event, source in sent.items():
        answer = answers.get(event)
        latencies.append(inf if answer is None else float(answer.at_ms - source.due_ms))
        second = max(0, source.due_ms - begins_ms) // 1000  # whole ms may fall before the second that they were rounded from
        by_second[second] += 1
        missed[second] += latencies[-1] > slo_ms
        if answer is None:
            counts["unanswered" if event not in dead else "shed" if dead[event] == SHED else "dead_lettered"] += 1
            continue
        counts["late"] += latencies[-1] > slo_ms
        counts["right"] += answer.label == source.label
    return Told(len(sent), counts["late"], counts["shed"], counts["dead_lettered"], counts["unanswered"], counts["right"],
                tuple(latencies), tuple(by_second), tuple(missed))


def smoothed(missed: Sequence[int], sent: Sequence[int], seconds: int) -> list[float | None]:
    """Share missed of the last `seconds`, at each second; None where nothing was sent."""
    shares: list[float | None] = []
    for at in range(len(sent)):
        among = sum(sent[max(0, at + 1 - seconds) : at + 1])
        shares.append(sum(missed[max(0, at + 1 - seconds) : at + 1]) / among if among else None)
    return shares
