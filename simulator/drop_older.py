"""IPA's drop limit: a row whose event came longer ago than that is given up when a batch is taken, whatever its deadline.

    dropped   deadline < now + margin      margin = slo_s - drop_s, as a deadline is when the event came plus its SLO

With a network on the way deadlines count from the sending, so a row is dropped that much earlier. Source: IPA (JSys 2024),
the drop limit of its queues.
"""

from __future__ import annotations

from dataclasses import dataclass

from operators.batching import Release, Rule, SetAside, View, Wait


@dataclass(slots=True)
class DropOlder:
    """rule: decides about the rest. margin_s: slo_s - drop_s."""

    rule: Rule
    margin_s: float

    def decide(self, view: View, now: float) -> Release | SetAside | Wait:
        release = self.rule.decide(view, now)
        if not isinstance(release, Release):
            return release
        before = now + self.margin_s
        return release._replace(drop_before=before if release.drop_before is None else max(before, release.drop_before))

    def observe(self, rows: int, late: int) -> None:
        self.rule.observe(rows, late)
