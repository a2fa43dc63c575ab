"""Whether arrivals are more even than chance would have them: sensors and timers send so, people do not.

    n_i, t_i   events of an interval and its seconds, i = 1..k + 1      lam = sum n / sum t
    D          1/k sum (n_i - lam t_i)^2 / (lam t_i)                    index of dispersion: 1 Poisson, 0 even
    D is told  where it is SURE standard deviations below what Poisson arrivals give, by Wilson and Hilferty's cube root of a chi-square:
               D < (1 - 2 / 9k - SURE sqrt(2 / 9k))^3; else 1. So a rate that changes and a few seconds prove nothing

Intervals are those between two looks at a counter, of the newest `need.LONGEST_S`: a rate drawn through them is smoother than what came.
Source: index of dispersion for counts, Fendick, Whitt, Measurements and approximations to describe the offered traffic, Proc. IEEE 77(1), 1989.
"""

from __future__ import annotations

from collections.abc import Collection
from math import fsum, sqrt

SURE = 5.0
POISSON = 1.0


def dispersion(intervals: Collection[tuple[float, float]]) -> float:
    """Of arrivals, from (seconds, events) of intervals in a row; 1 where they are not surely more even than at random."""
    degrees = len(intervals) - 1
    seconds, events = fsum(one for one, _ in intervals), fsum(one for _, one in intervals)
    if degrees < 1 or events <= 0:
        return POISSON
    rate = events / seconds
    found = fsum((count - rate * length) ** 2 / (rate * length) for length, count in intervals) / degrees
    root = 1 - 2 / (9 * degrees) - SURE * sqrt(2 / (9 * degrees))
    return found if root > 0 and found < root**3 else POISSON
