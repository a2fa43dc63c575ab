"""Which forecaster is used: the one that would have been cheapest lately, by a rolling back-test of all of them.

    f        what a candidate would have had us provide = its forecast at w / (w + 1), the newsvendor's quantile
    y        highest rate that came within the horizon
    cost     w max(0, y - f) + max(0, f - y): an event/s too little costs w times one too much
    C        sum of the costs over the newest `window` origins / sum of y
    change   only to one with C < (1 - margin) C of the one in use, so that two alike do not take turns
    cold     the most of the last `safe_s` times `safe_factor`, until `least` origins have been settled

w is Sluice's own price of shortage (policies.sluice), so that what is compared is what the policy would have paid. Ties go to the candidate
named first: put the simplest there.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from autoscaler.forecast.forecaster import Forecaster
from autoscaler.forecast.plain import WindowMax
from autoscaler.forecast.rolling_origin import STEP_S, RollingOrigin
from autoscaler.policies.need import newsvendor
from autoscaler.policies.policy import Forecast

SHORTAGE = 19.0


@dataclass(frozen=True, slots=True)
class Choice:
    """How one is chosen; the letters of the module's table. step_s: between origins."""

    shortage: float = SHORTAGE
    window: int = 2160
    margin: float = 0.05
    least: int = 12
    safe_s: int = 120
    safe_factor: float = 1.2
    step_s: int = STEP_S


class Chooser:
    """Remembers: one object for one stream. ValueError without candidates, or with different horizons."""

    def __init__(self, candidates: Mapping[str, Forecaster], choice: Choice = Choice()) -> None:
        horizons = {candidate.horizon_s for candidate in candidates.values()}
        if len(horizons) != 1:
            raise ValueError(f"candidates with the horizons {sorted(horizons)} s; all need the same one")
        self.candidates = dict(candidates)
        self.chosen: str | None = None
        self._choice = choice
        self._horizon_s = horizons.pop()
        self._quantile = newsvendor(choice.shortage, 1.0)
        self._safe = WindowMax(choice.safe_s, self._horizon_s, choice.safe_factor)
        self._costs: dict[str, deque[float]] = {name: deque(maxlen=choice.window) for name in candidates}
        self._came: deque[float] = deque(maxlen=choice.window)
        self._past = RollingOrigin(self._horizon_s, self._attempt, self._learn, choice.step_s)

    @property
    def horizon_s(self) -> float:
        return self._horizon_s

    def forecast(self, now_s: float, rates: Sequence[float]) -> Forecast:
        self._past.advance(now_s, rates)
        return (self._safe if self.chosen is None else self.candidates[self.chosen]).forecast(now_s, rates)

    def costs(self) -> dict[str, float]:
        """C of each candidate over the window; empty while nothing has come."""
        total = sum(self._came)
        return {name: sum(costs) / total for name, costs in self._costs.items()} if total > 0 else {}

    def _attempt(self, now_s: float, rates: Sequence[float]) -> dict[str, float]:
        found = {name: candidate.forecast(now_s, rates) for name, candidate in self.candidates.items()}
        return {name: forecast.at(self._quantile) for name, forecast in found.items() if forecast.quantiles}

    def _learn(self, attempt: Mapping[str, float], came: float) -> None:
        if len(attempt) < len(self.candidates):
            return  # nothing was known yet
        self._came.append(came)
        for name, provided in attempt.items():
            self._costs[name].append(cost(provided, came, self._choice.shortage))
        if len(self._came) >= self._choice.least:
            self._choose(self.costs())

    def _choose(self, costs: Mapping[str, float]) -> None:
        if not costs:
            return
        best = min(costs, key=lambda name: costs[name])
        if self.chosen is None or costs[best] < (1 - self._choice.margin) * costs[self.chosen]:
            self.chosen = best


def cost(provided: float, came: float, shortage: float) -> float:
    return shortage * max(0.0, came - provided) + max(0.0, provided - came)
