"""The source topic: events of the trace, a second at a time, handed to the proxies of the first stations."""

from __future__ import annotations

import numpy as np

from simulator.arrivals import Arrivals
from simulator.chance import Purpose, stream
from simulator.flow import Flow
from simulator.loop import Loop, Priority
from simulator.rows import ARRIVED, CHILDREN, COLUMNS, DEADLINE, EVENT, SENT


class Source:
    """events: sent so far."""

    def __init__(self, arrivals: Arrivals, flow: Flow, loop: Loop, seed: int) -> None:
        self.events = 0
        self._arrivals, self._flow, self._loop = arrivals, flow, loop
        self._random = stream(seed, Purpose.ARRIVALS)
        self._on_the_way = np.zeros((0, 2))  # (events, 2): arrived_s and spent ms of those that telemetry has not counted
        if arrivals.trace.seconds:
            loop.at(0.0, Priority.ARRIVAL, self._second, 0)

    def done(self, now_s: float) -> bool:
        """Whether nothing more will be sent."""
        return now_s >= self._arrivals.trace.seconds

    def arrived(self, now_s: float) -> tuple[int, tuple[float, ...]]:
        """Events that came since the last call, and what each had used of its SLO by then, ms; none of the latter without a network."""
        here = self._on_the_way[:, 0] <= now_s
        spent = self._on_the_way[here, 1]
        self._on_the_way = self._on_the_way[~here]
        return len(spent), tuple(spent.tolist()) if self._arrivals.network is not None else ()

    def _second(self, now_s: float, second: int) -> None:
        sent, arrived, deadline = self._arrivals.second(second, self._random)
        values = np.empty((COLUMNS, len(sent)))
        values[SENT], values[ARRIVED], values[DEADLINE] = sent, arrived, deadline
        values[EVENT] = self.events + np.argsort(np.argsort(sent, kind="stable"), kind="stable")
        values[CHILDREN] = self._flow.accuracies.neutral
        self.events += len(sent)
        self._on_the_way = np.concatenate([self._on_the_way, np.stack([arrived, 1000 * (arrived - sent)], axis=1)])
        for site, chosen in self._flow.split_source(values[EVENT]):
            site.coming.add(values[:, chosen], arrived[chosen])
            site.from_source.poll(now_s)
        if second + 1 < self._arrivals.trace.seconds:
            self._loop.at(float(second + 1), Priority.ARRIVAL, self._second, second + 1)


