"""What a run did with its events: counts, accuracy and latency, from what lies in the topics."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from jobs.consumer import Record


@dataclass(frozen=True, slots=True)
class Expected:
    """An event that went in. intended_ms: when it was due to be sent. truth: the right answer, None when unknown."""

    intended_ms: int
    truth: str | None = None


@dataclass(frozen=True, slots=True)
class Answered:
    """An event that came out. answer: None when the value holds none that can be compared."""

    event_id: str
    appended_ms: int
    answer: str | None = None
    late: bool = False
    parent_id: str | None = None


@dataclass(frozen=True, slots=True)
class Summary:
    """Counts are of events. right_share and quantiles are None when there is nothing to tell them from.

    A dead-lettered or lost event is wrong, and infinitely late. An event that is in the output and the dead letters
    counts as answered, and as overlapping.
    """

    events_in: int
    events_out: int
    lost: int
    repeated: int
    dead_lettered: int
    overlapping: int
    foreign: int
    late: int
    over_slo: int
    right_share: float | None
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    reasons: Mapping[str, int] = field(default_factory=dict)

    @property
    def is_complete(self) -> bool:
        return self.lost == 0


def summarise(expected: Mapping[str, Expected], answered: Sequence[Answered], dead: Sequence[tuple[str, str]], slo_ms: float) -> Summary:
    """answered and dead in the topics' order, repeats included; dead is of (event id, reason)."""
    first: dict[str, Answered] = {}
    seen: Counter[str] = Counter()
    repeats_of = Counter(a.event_id for a in answered)
    for one in answered:
        event_id = one.parent_id or one.event_id
        seen[event_id] += 1
        first.setdefault(event_id, one)
    dead_reasons: dict[str, str] = {}
    for event_id, reason in dead:
        dead_reasons.setdefault(event_id, reason)
    out = expected.keys() & first.keys()
    dead_only = (expected.keys() & dead_reasons.keys()) - out
    latencies = [float(first[e].appended_ms - expected[e].intended_ms) for e in out]
    latencies += [math.inf] * (len(expected) - len(out))
    judged = [e for e, event in expected.items() if event.truth is not None]
    right = sum(1 for e in judged if e in first and first[e].answer == expected[e].truth)
    dead_counts = Counter(event_id for event_id, _ in dead)
    return Summary(
        events_in=len(expected),
        events_out=len(out),
        lost=len(expected) - len(out) - len(dead_only),
        repeated=sum(n - 1 for n in repeats_of.values()) + sum(n - 1 for n in dead_counts.values()),
        dead_lettered=len(dead_only),
        overlapping=len(expected.keys() & dead_reasons.keys() & out),
        foreign=len((first.keys() | dead_reasons.keys()) - expected.keys()),
        late=sum(1 for e in out if first[e].late),
        over_slo=sum(1 for latency in latencies if latency > slo_ms),
        right_share=right / len(judged) if judged else None,
        p50_ms=quantile(latencies, 0.50),
        p95_ms=quantile(latencies, 0.95),
        p99_ms=quantile(latencies, 0.99),
        reasons=dict(Counter(dead_reasons[e] for e in dead_only)),
    )


def quantile(values: Iterable[float], share: float) -> float | None:
    """The smallest value that at least that share of them does not exceed; None of none."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else None


def answered_from(record: Record) -> Answered:
    return Answered(
        record.event_id,
        record.timestamp_ms,
        answer_of(record.value),
        record.header("late") == "true",
        record.header("parent-id"),
    )


def answer_of(value: bytes | None) -> str | None:
    """What an output value says, to be compared with the truth: a label, a number read, or labels side by side."""
    try:
        found = json.loads(value or b"")
    except ValueError:
        return None
    return _said(found)


def _said(found: object) -> str | None:
    if isinstance(found, dict):
        for key in ("number", "label"):
            if found.get(key) is not None:
                return str(found[key])
        return None
    if isinstance(found, list):
        return "".join(_said(one) or "?" for one in found)
    return str(found) if isinstance(found, str | int) else None


def lines(summary: Summary, slo_ms: float) -> list[str]:
    """The summary for people, one fact a line."""
    s = summary
    reasons = ", ".join(f"{n} {reason}" for reason, n in sorted(s.reasons.items()))
    told = [
        f"events in      {s.events_in}",
        f"events out     {s.events_out}",
        f"lost           {s.lost}",
        f"repeated       {s.repeated}",
        f"dead-lettered  {s.dead_lettered}" + (f"  ({reasons})" if reasons else ""),
        f"late           {s.late} marked so; {s.over_slo} over {slo_ms:g} ms end to end",
        "accuracy       " + ("unknown" if s.right_share is None else f"{s.right_share:.2%} of the true labels"),
        f"latency        p50 {_ms(s.p50_ms)}  p95 {_ms(s.p95_ms)}  p99 {_ms(s.p99_ms)}",
    ]
    if s.overlapping:
        told.append(f"in both        {s.overlapping} (answered and dead-lettered)")
    if s.foreign:
        told.append(f"not ours       {s.foreign} in the output that this run did not send")
    return told


def _ms(value: float | None) -> str:
    if value is None:
        return "-"
    return "never" if math.isinf(value) else f"{value:.0f} ms"
