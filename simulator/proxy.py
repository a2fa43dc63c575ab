"""A stage's proxy in Flink: gathers rows into micro-batches and keeps the window. The rule is the connector's `SendQueue`.

    u      rows sent and not answered          w    window: rows that may be        h    rows worth gathering, by the service's hint
    a      rows that the service has set aside, as of the last millisecond: they take no place in the window, up to WINDOW_ROWS in all
    t_1    when the row that waits longest came, or the last micro-batch left, the later

    room = max(w, min(w + a, WINDOW_ROWS)) - u
    g                 PATIENCE while u >= PLENTY_ROWS, for then the next rows would wait in the service anyway; else 1
    u = 0             at once
    room < min(waiting, max(1, w / 4)), capped at the largest request      not now: the next answers make more room
    else              when g * h rows wait, the largest request at most; at the latest at t_1 + g * linger
    h                 ceil(rate * GATHER_S), from 1 to GATHER_MAX, as of the last millisecond; told with every answer

While the job is rescaled nothing is sent. A subtask takes `row_s` of its own time for a row, so p subtasks send n rows at the earliest
n * row_s / p after those before: the proxy's own capacity, p / row_s rows/s. Rows of the source and rows that other stages hand on are gathered by two
proxies of the same stage, as by two subtasks.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import ceil, inf

from simulator.inbox import Inbox
from simulator.loop import PROXY, Loop
from simulator.rows import Slots

GATHER_S = 0.002  # as the service tells proxies, and how often it looks at its rate (operators.hosted)
GATHER_MAX = 512
CONTROL_S = 0.001
WINDOW_ROWS = 8192
PLENTY_ROWS = 512
PATIENCE = 4


@dataclass(frozen=True, slots=True)
class Gathering:
    """The connector's settings; the defaults are its own. linger_s = 0 with max_rows = 1: every row by itself.

    row_s: time of one subtask for one row, whose inverse is DS2's true processing rate; 0 = not known, and no limit
    """

    max_rows: int = 2048
    linger_s: float = 0.002
    window: int = WINDOW_ROWS
    row_s: float = 0.0


class Request:
    """A micro-batch: what the stage's runs point to. slots: as they were sent; by_deadline: as the stage got them."""

    __slots__ = ("by_deadline", "proxy", "slots")

    def __init__(self, slots: Slots, proxy: Proxy) -> None:
        self.slots = self.by_deadline = slots
        self.proxy = proxy


def gathered(rate: float) -> int:
    """Rows worth gathering when that many rows/s arrive."""
    rows = ceil(rate * GATHER_S)
    return GATHER_MAX if rows > GATHER_MAX else rows or 1


class Proxy:
    def __init__(self, loop: Loop, inbox: Inbox, settings: Gathering, deliver: Callable[[Request, float], None]) -> None:
        self.inbox = inbox
        self.unanswered = 0
        self.hint = settings.max_rows  # rows worth gathering; the service sets it, and the two below
        self.aside = 0
        self.window = settings.window
        self.subtasks = 1
        self._not_before_s = 0.0
        self._loop = loop
        self._settings = settings
        self._deliver = deliver
        self._worth = min(settings.max_rows, max(1, settings.window // 4))
        self._left_s = -inf
        self._timer_s = inf
        self._sending = False
        self._blocked = False  # by the window
        self._plenty = False  # as of the last look at what is due, as is the next
        self._full = settings.max_rows  # rows that are sent without waiting for more

    def backlog(self, now_s: float) -> int:
        """Rows that wait here."""
        return self.inbox.here(now_s)

    def resize(self, window: int, now_s: float) -> None:
        """The window, from now on."""
        if window != self.window:
            self.window, self._worth = window, min(self._settings.max_rows, max(1, window // 4))
            self.poll(now_s)

    def answered(self, hint: int, now_s: float, aside: int = 0) -> None:
        """Rows were, and `unanswered` is less; sends what that lets out. While only the number unanswered changes, what is due
        does not, but where there are no longer plenty."""
        self.aside = aside
        if hint != self.hint or not self.unanswered or self._blocked or (self._plenty and self.unanswered < PLENTY_ROWS):
            self.hint = hint
            self.poll(now_s)

    def more(self, count: int, now_s: float) -> None:
        """Rows came, and `count` wait now. Where they do not fill a micro-batch, what is due by its first row stays due, and its timer runs."""
        if not self.unanswered or self._timer_s == inf or count >= self._full:
            self.poll(now_s)

    def poll(self, now_s: float) -> None:
        """Sends what is due and comes back when more will be."""
        if self._sending:
            return
        self._sending = True
        due_s = self._due_s(now_s)
        while due_s <= now_s:
            count, room, most = self.inbox.here(now_s), self._room(), self._settings.max_rows
            if count > room:
                count = room
            slots = self.inbox.take(count if count < most else most)
            self._left_s = now_s
            self.unanswered += len(slots)
            if self._settings.row_s:
                self._not_before_s = max(self._not_before_s, now_s + len(slots) * self._settings.row_s / self.subtasks)
            self._deliver(Request(slots, self), now_s)
            due_s = self._due_s(now_s)
        self._sending = False
        if due_s < self._timer_s:
            self._timer_s = due_s
            self._loop.at(due_s, PROXY, self._timer)

    def stall(self, until_s: float) -> None:
        self._not_before_s = max(self._not_before_s, until_s)
        self._loop.at(until_s, PROXY, self._timer)

    def _room(self) -> int:
        window = max(self.window, min(self.window + self.aside, WINDOW_ROWS)) if self.aside else self.window
        return window - self.unanswered

    def _timer(self, now_s: float, _: None) -> None:
        if now_s >= self._timer_s:
            self._timer_s = inf
        self.poll(now_s)

    def _due_s(self, now_s: float) -> float:
        first_s = self.inbox.first_s()
        if first_s == inf:
            return inf
        if self.unanswered:
            room = self._room()
            self._blocked = room < self._worth and (room <= 0 or room < self.inbox.here(now_s))
            if self._blocked:
                return inf
            self._plenty = self.unanswered >= PLENTY_ROWS
            patience = PATIENCE if self._plenty else 1
            full, most = self.hint * patience, self._settings.max_rows
            self._full = full if full < most else most
            linger_s = (first_s if first_s > self._left_s else self._left_s) + self._settings.linger_s * patience
            full_s = self.inbox.nth_s(self._full)
            due_s = full_s if full_s < linger_s else linger_s
        else:
            due_s = first_s
        return due_s if due_s > self._not_before_s else self._not_before_s
