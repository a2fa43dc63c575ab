"""What a pipeline must carry, and how soon: from the rates seen, the forecast, what waits, and what the events have already used of their SLO.

    r[t]      events/s of the source in each past second, t = 1 the newest                      State.rates
    m         mean of the newest w seconds: w = 3, doubled up to 48 while nothing says that the rate has changed, which is as long as the
              mean of the newest 3 and that of the newest w are no further off than they may be by chance, with t = 3, w and v = 2w:
                  -DOWN sqrt(m[v] / t) <= m[t] - m[v] <= UP sqrt(m[v] / t)
              the newest second alone in a surge, r[1] - c > m[3] + 3 sqrt(m[3])                 (present)
    c         what r[1] may be catching up on: over the GAP seconds before it, l - r of those with r < l - 3 sqrt(l), where l is the mean of the
              up to 48 before these: what a network holds up comes all at once, and is no surge   (caught_up)
    z(q)      quantile of the normal distribution
    D         dispersion of the arrivals, 1 where they come at random                                   State.dispersion
    R         m + z(q) sqrt(D m / w): the rate itself is not known better than so; that arrivals come at random is the sizing's affair
    q         = u / (u + o), what one event/s too little costs (u) and one too much (o): the newsvendor's quantile   (newsvendor)
    F         rate behind the forecast at q of the highest second of the next H: the highest of H seconds at rate x is about
              x + sqrt(2 ln H) sqrt(x); F is that x, the rest is chance, which the sizing has      (expected)
    B         rows that wait beyond those of a queue in order, r b / 2 S for a stage's rate r and S stages, in events of the source  (backlog)
    T         s, catch-up time
    rate      = max(R, F) + B / T                                                                (need)
    now       = m + B / T: what is there needs no margin; where it is short for a moment rows wait, and a margin on everything costs as much
    budget b  ms = SLO - quantile q' of what the last window's events had used when they arrived (Sponge's cl, not its maximum: rows are
              served by deadline, so a few pressed ones overtake the others), of those events that the fastest options could still serve in
              time: for the others no plan does anything                                         (budget)

Sources: windows that grow while nothing has changed: Bifet, Gavalda, Learning from time-changing data with adaptive windowing (ADWIN), SDM'07,
here with Poisson bounds; newsvendor: Arrow, Harris, Marschak, Optimal Inventory Policy, Econometrica 19(3), 1951. cl: Sponge, EuroMLSys'24, section 3.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist

from autoscaler.planner.model import Problem
from autoscaler.policies.policy import Forecast, State

PRESENT_S = 3
"""Least w. Long enough to be known to a quarter at 5 events/s, short enough to see a ramp."""
LONGEST_S = 48
UP, DOWN = 1.5, 2.0
"""Standard deviations; less upwards, because too little costs more than too much."""
SURGE_SIGMAS = 3.0
GAP_S = 5
LEAST_BUDGET = 0.05
"""Share of the SLO below which no budget is planned for: such events are lost whatever runs."""


@dataclass(frozen=True, slots=True)
class Need:
    """rate: events/s to carry within the horizon. now: events/s there are to carry. budget_ms: of the SLO. surge: the load jumps.

    dispersion: of the arrivals, 1 Poisson, 0 even
    """

    rate: float
    now: float
    budget_ms: float
    surge: bool = False
    dispersion: float = 1.0


def newsvendor(under: float, over: float) -> float:
    """Quantile to provide for when one too little costs `under` and one too much costs `over`, both > 0."""
    if not (under > 0 and over > 0):
        raise ValueError(f"the prices of too little and too much are {under} and {over}; use numbers above 0")
    return under / (under + over)


def present(rates: Sequence[float], quantile: float, dispersed: float = 1.0) -> tuple[float, bool]:
    """The rate there is, at a quantile of what it may be, and whether it jumps. 0 where nothing was seen. dispersed: D."""
    if not rates:
        return 0.0, False
    mean, seconds = _steady(rates)
    newest = rates[-PRESENT_S:]
    recent = math.fsum(newest) / len(newest)
    surge = rates[-1] - caught_up(rates) > recent + SURGE_SIGMAS * math.sqrt(recent)
    level, seconds = (rates[-1], 1) if surge else (mean, seconds)
    sigmas = NormalDist().inv_cdf(quantile) if 0 < quantile < 1 else 0.0
    return max(0.0, level + sigmas * math.sqrt(dispersed * level / seconds)), surge


def caught_up(rates: Sequence[float]) -> float:
    """Events that the newest second may have brought for those before it."""
    before, gap = rates[-LONGEST_S - GAP_S - 1 : -GAP_S - 1], rates[-GAP_S - 1 : -1]
    if not before:
        return 0.0
    level = math.fsum(before) / len(before)
    return math.fsum(level - rate for rate in gap if rate < level - SURGE_SIGMAS * math.sqrt(level))


def _steady(rates: Sequence[float]) -> tuple[float, int]:
    """m and w."""
    seconds = min(PRESENT_S, len(rates))
    newest = mean = math.fsum(rates[-seconds:]) / seconds
    while 2 * seconds <= min(LONGEST_S, len(rates)):
        longer = math.fsum(rates[-2 * seconds:]) / (2 * seconds)
        if not all(-DOWN * math.sqrt(longer / part) <= of_part - longer <= UP * math.sqrt(longer / part)
                   for of_part, part in ((newest, PRESENT_S), (mean, seconds))):
            break
        mean, seconds = longer, 2 * seconds
    return mean, seconds


def backlog(problem: Problem, state: State, multiples: Mapping[str, float], budget_ms: float) -> float:
    """Events of the source whose rows wait beyond what a queue in order holds; stages drain side by side, so the longest counts.

    multiples: rows of each stage for one event of the source.
    """
    longest, lag = 0.0, 0
    source = state.rates[-1] if state.rates else 0.0
    for stage in problem.stages:
        seen, rows = state.stages[stage.name], multiples[stage.name]
        in_order = source * rows * budget_ms / 1000 / (2 * len(problem.stages))
        if rows > 0:
            longest = max(longest, (seen.queue - in_order) / rows)
        lag += seen.lag
    return longest + max(0.0, lag - source * budget_ms / 1000)


def budget(slo_ms: float, spent_ms: Sequence[float], quantile: float, fastest_ms: float = 0.0) -> float:
    """ms that the pipeline itself may take for the events to be in time at that quantile of what they have used before. fastest_ms: it takes so
    long at least."""
    ordered = sorted(spent for spent in spent_ms if slo_ms - spent >= fastest_ms)
    if not ordered:
        return slo_ms
    at = max(0, math.ceil(quantile * len(ordered)) - 1)
    return max(LEAST_BUDGET * slo_ms, slo_ms - ordered[at])


def expected(forecast: Forecast | None, quantile: float) -> float:
    """The rate behind the forecast at the quantile; 0 where there is none."""
    if forecast is None or not forecast.quantiles:
        return 0.0
    highest = max(0.0, forecast.at(quantile))
    beyond = math.sqrt(2 * math.log(forecast.horizon_s)) if forecast.horizon_s > 1 else 0.0
    return ((math.sqrt(beyond * beyond + 4 * highest) - beyond) / 2) ** 2
