"""One decision after another of one policy: what it is shown, what it remembers, what it answered. Pure; the loop, a restart and a replay
run the same.

A restart shows the policy the states of its last records again and throws the answers away: so it remembers what it remembered, whatever
that is, and its first own decision starts from what runs.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import Any

from autoscaler.forecast.forecaster import Forecaster
from autoscaler.policies.change_times import ChangeTimes
from autoscaler.policies.policy import Decision, Forecast, Policy, State

NO_FORECAST = Forecast(0.0, {})


@dataclass(frozen=True, slots=True)
class Decided:
    """One decision and all that it rested on."""

    state: State
    forecast: Forecast
    decision: Decision


@dataclass(slots=True)
class Decider:
    """forecaster: None where forecasts are given (a replay has those of the time)."""

    policy: Policy
    forecaster: Forecaster | None = None
    memory: object = None
    _due_s: float | None = field(init=False, default=None)

    def is_due(self, now_s: float) -> bool:
        """At the policy's own interval; who is asked sooner as well is asked then too."""
        return self._due_s is None or now_s >= self._due_s

    def decide(self, state: State, whole_seconds: tuple[float, ...] = ()) -> Decided:
        """whole_seconds: the source's rate in each second of the clock that is over, for the forecaster."""
        forecast = self.forecaster.forecast(state.now_s, whole_seconds) if self.forecaster is not None else NO_FORECAST
        return self.again(state, forecast)

    def again(self, state: State, forecast: Forecast) -> Decided:
        """With that forecast."""
        decision = self.policy.decide(state, forecast, self.memory)
        self.memory = decision.memory
        if self._due_s is None or state.now_s >= self._due_s + self.policy.interval_s:
            self._due_s = state.now_s + self.policy.interval_s
        elif state.now_s >= self._due_s:
            self._due_s += self.policy.interval_s
        return Decided(state, forecast, decision)

    def stalled(self, stall_s: float) -> None:
        """A rescale of the job took that long: a policy that prices it does so by what was measured."""
        policy: Any = self.policy
        if is_dataclass(policy) and any(found.name == "times" for found in fields(policy)) and isinstance(policy.times, ChangeTimes):
            self.policy = replace(policy, times=replace(policy.times, stall_s=stall_s))  # type: ignore[type-var]
