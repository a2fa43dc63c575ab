"""In which versions the states of a stage's keys may lie in Flink, as far as the service can know, and which operators may take rows by that.

Known are the versions that were written or read lately and those that the serving operators write. The service sees a state only with its key's
next event: after it was started anew, an operator may meet one that it does not read, whose events then fail one by one, the state as it was.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from operators.state_format import StateFormat, numbers

Served = tuple[str, str]
"""Variant and version."""


class KnownStates:
    """kept_s: for how long after it was last met a version still counts. formats: of operators that were loaded."""

    def __init__(self, kept_s: float) -> None:
        self.formats: dict[Served, StateFormat] = {}
        self._kept_s = kept_s
        self._met_at: dict[int, float] = {}

    def met(self, versions: Iterable[int], now: float) -> None:
        """States of these versions were read or written."""
        for version in versions:
            self._met_at[version] = now

    def answered(self, by: Served, now: float) -> None:
        """It has written states."""
        if by in self.formats:
            self._met_at[self.formats[by].writes] = now

    def objection(self, new: Served, serving: Collection[Served], beside: Collection[Served], now: float) -> str | None:
        """Why this one may not take rows; None where it may, or is not loaded yet.

        serving: those that take rows by now. beside: those that will go on to.
        """
        if new not in self.formats:
            return None
        form = self.formats[new]
        may_lie = {version for version, at in self._met_at.items() if now - at <= self._kept_s}
        may_lie |= {self.formats[one].writes for one in serving if one in self.formats}
        unread = may_lie - form.reads
        if unread:
            has = f"{named(new)} reads states of {numbers(form.reads)}, but keys may have some of {numbers(unread)}"
            return f"{has}{self._since(unread, now)}; let it read them, too (docs/state.md)"
        for one in beside:
            if one in self.formats and form.writes not in self.formats[one].reads:
                has = f"{named(one)} reads states of {numbers(self.formats[one].reads)}, not of {numbers([form.writes])} as {named(new)} writes them"
                return f"{has}: they cannot serve side by side, only change over in one step"
        return None

    def no_way_back(self, old: Served, new: Served) -> bool:
        """Whether the old one does not read what the new one writes."""
        return old in self.formats and new in self.formats and self.formats[new].writes not in self.formats[old].reads

    def _since(self, versions: Iterable[int], now: float) -> str:
        last = max((self._met_at[version] for version in versions if version in self._met_at), default=None)
        return "" if last is None else f", met {now - last:.0f} s ago"


def named(served: Served) -> str:
    """For people."""
    return ":".join(served)
