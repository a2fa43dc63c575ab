"""How long a plan may be expected to stay, from how long those before it stayed: what a change must pay for itself within.

    t[1..n]   when the last n plans began that start or stop replicas, n = LAST + 1 at most
    stayed    mean of the intervals between them, in s
    horizon   = min(most, max(stayed, now - t[n], LEAST_S));  most while there are fewer than two

So in a load that goes up and down faster than replicas start, changes that only save cost or gain accuracy become dearer, until it has been quiet
for as long as they take to pay for themselves: the rule of who rents skis until the rent has reached their price, which costs at most twice what
the best choice in hindsight does. Those that the load forces come all the same, and then what is there soonest is the cheapest.

Source: Karlin, Manasse, Rudolph, Sleator, Competitive snoopy caching, Algorithmica 3, 1988 (rent or buy).
"""

from __future__ import annotations

from collections.abc import Sequence

LAST = 3
"""Intervals that count."""
LEAST_S = 1.0
"""No plan is made for less."""


def with_one_more(begun: Sequence[float], now_s: float) -> tuple[float, ...]:
    """As many of those beginnings as count, and one now."""
    return (*begun[-LAST:], now_s)


def horizon_s(begun: Sequence[float], now_s: float, most_s: float) -> float:
    """s, above 0. begun: when plans began, ascending. most_s: where nothing says that they stay for less."""
    last = begun[-LAST - 1:]
    if len(last) < 2:
        return most_s
    stayed = (last[-1] - last[0]) / (len(last) - 1)
    return min(most_s, max(stayed, now_s - last[-1], LEAST_S))
