"""How long a batch waits for a free replica: c servers, one queue, first come first served.

    lam    customers/s (a customer is a batch)       S    mean service time, ms         a = lam S / 1000    load, in servers
    ca2    squared coefficient of variation of the gaps between arrivals: 1 Poisson, 1/b for batches of b Poisson rows (Erlang-b)
    cs2    of the service time: 0 constant, 1 exponential
    rho    a / c, utilisation; from 1 on every wait is inf

    B(0) = 1, B(i) = a B(i-1) / (i + a B(i-1))       Erlang B
    C      = B(c) / (1 - rho (1 - B(c)))             Erlang C: share that waits                       exact for M/M/c
    M/M/c  W = C S / (c - a)                         mean                                             exact
           t_q = S / (c - a) * ln(C / (1-q)), >= 0   quantile                                         exact
    M/D/c  W = W(M/M/c) / 2 * (1 + min(1, (1-rho)(c-1)(sqrt(4+5c) - 2) / (16 rho c)))                 approximation (Cosmetatos), exact for c = 1
    M/G/c  W = (1 + cs2) / (2 cs2 / W(M/M/c) + (1 - cs2) / W(M/D/c))                                  approximation (Kimura), exact for c = 1
    G/G/c  W = W(M/M/c) (ca2 + cs2) / 2             mean                                             approximation (Allen-Cunneen), exact for M/G/1
    bulk   W = W(M/G/c) + S mean_j floor(j/c) + rho S (k-1) / (2 c (1-rho)),  j = 0..k-1              approximation, exact for c = 1:
                                                     k customers at once; the second term is the own group's, the third other groups'
    tail   P(wait > t) = C exp(-C t / W)             approximation: the wait of those who wait is taken for exponential

Sources: Erlang 1917; Cosmetatos 1975; Kimura 1986 ("A two-moment approximation for the mean waiting time in the GI/G/s queue");
Allen 1990, section 5.3. Checked against M/M/1 and M/D/1 in closed form and against a simulation in
tests/planner/test_free_replica.py, which states how far each approximation is off.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import inf, log, sqrt

NEVER = 1e-30
"""A share that is none."""


@dataclass(frozen=True, slots=True)
class Station:
    """rate: customers/s, >= 0. service_ms: mean, > 0. Squared coefficients of variation as above."""

    rate: float
    service_ms: float
    servers: int
    arrival_scv: float = 1.0
    service_scv: float = 0.0

    def __post_init__(self) -> None:
        if self.rate < 0 or self.service_ms <= 0 or self.servers < 1:
            raise ValueError(f"no station: {self}")

    @property
    def load(self) -> float:
        """a, in servers."""
        return self.rate * self.service_ms / 1000.0

    @property
    def utilization(self) -> float:
        return self.load / self.servers


def erlang_b(servers: int, load: float) -> float:
    """Share of customers that find all servers busy where nobody may wait."""
    blocked = 1.0
    for busy in range(1, servers + 1):
        blocked = load * blocked / (busy + load * blocked)
        if blocked < NEVER:  # falls with every server
            return 0.0
    return blocked


@lru_cache(maxsize=8192)  # a wait asks for the same one more than once
def erlang_c(servers: int, load: float) -> float:
    """Share of customers that wait, M/M/c; 1 where the load is too much."""
    if load >= servers:
        return 1.0
    blocked = erlang_b(servers, load)
    return blocked / (1 - load / servers * (1 - blocked))


def mmc_mean_ms(station: Station) -> float:
    """Mean, exact."""
    spare = station.servers - station.load
    return erlang_c(station.servers, station.load) * station.service_ms / spare if spare > 0 else inf


def mmc_quantile_ms(station: Station, share: float) -> float:
    """Quantile, exact; 0 where no more than 1 - share of the customers wait. 0 < share < 1."""
    spare = station.servers - station.load
    if spare <= 0:
        return inf
    waiting = erlang_c(station.servers, station.load)
    return station.service_ms / spare * log(waiting / (1 - share)) if waiting > 1 - share else 0.0


def mdc_mean_ms(station: Station) -> float:
    """Mean, approximation; exact for one server."""
    c, rho = station.servers, station.utilization
    if rho >= 1:
        return inf
    if rho == 0:
        return 0.0
    more = (1 - rho) * (c - 1) * (sqrt(4 + 5 * c) - 2) / (16 * rho * c)
    return mmc_mean_ms(station) / 2 * (1 + min(1.0, more))  # never more than with exponential times


def mgc_mean_ms(station: Station) -> float:
    """Mean, approximation; exact for one server. Poisson arrivals whatever `arrival_scv` says."""
    exponential, constant = mmc_mean_ms(station), mdc_mean_ms(station)
    if not 0 < exponential < inf:
        return exponential
    scv = station.service_scv
    if scv > 1:  # the interpolation is one only between constant and exponential
        return exponential * (1 + scv) / 2
    return (1 + scv) / (2 * scv / exponential + (1 - scv) / constant)


def ggc_mean_ms(station: Station) -> float:
    """Mean, approximation; for arrivals more regular than Poisson from above, as gaps are then too short for long queues."""
    return inf if station.utilization >= 1 else mmc_mean_ms(station) * (station.arrival_scv + station.service_scv) / 2


def bulk_mean_ms(station: Station, group: int) -> float:
    """Mean, approximation; exact for one server. `group` customers arrive at once; the station's rate counts single customers."""
    rho = station.utilization
    if rho >= 1:
        return inf
    own = sum(place // station.servers for place in range(group)) / group
    others = rho * (group - 1) / (2 * station.servers * (1 - rho))
    return mgc_mean_ms(station) + station.service_ms * (own + others)


def tail_quantile_ms(mean_ms: float, waiting: float, share: float) -> float:
    """Quantile, approximation, from the mean wait of all customers and the share that waits at all. 0 < share < 1."""
    if mean_ms == inf:
        return inf
    return mean_ms / waiting * log(waiting / (1 - share)) if waiting > 1 - share else 0.0
