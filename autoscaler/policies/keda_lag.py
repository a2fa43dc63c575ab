"""KEDA's Kafka trigger, each stage a ScaledObject of its own; batch, size and variant stay as they run.

    lag      records behind, and rows waiting for the stage: what would lag were there a topic before it
    d        ceil(lag / lag_threshold), n while |lag / (n lag_threshold) - 1| <= tolerance         (a HorizontalPodAutoscaler's AverageValue)
             at most `partitions`, where given: consumers beyond them idle                         (allowIdleConsumers false)
    then     hpa_behavior.py, the autoscaler behind it
    none run (n = 0): one as soon as lag > activation_lag, looked at every `polling_s`
    to none  where the stage's least is 0: after `cooldown_s` without lag > activation_lag
    more than the devices hold: cut as bounds.py says, as pods that stay pending

Defaults as documented: lagThreshold 10, activationLagThreshold 0, pollingInterval 30 s, cooldownPeriod 300 s (only to zero), and of the
autoscaler behind it sync period 15 s, tolerance 0.1. KEDA's minReplicaCount and maxReplicaCount (0 and 100) are the stage's least and most.
Source: KEDA documentation 2.21, "Apache Kafka" and "ScaledObject specification"; its 2.15 pages say lagThreshold 5.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from autoscaler.planner.model import Problem, StageModel
from autoscaler.policies.bounds import within
from autoscaler.policies.hpa_behavior import Behavior, Bounds, Past, settle, spread
from autoscaler.policies.policy import Decision, Forecast, State, Target, running
from autoscaler.policies.sizes import lightest

NEAR = 1e-9


@dataclass(frozen=True, slots=True)
class LagPast:
    """active_s: last time with enough lag. polled_s: last look at a stage of which nothing ran."""

    past: Past = Past()
    active_s: float | None = None
    polled_s: float | None = None


@dataclass(frozen=True, slots=True)
class KedaLag:
    """lag_threshold: records a replica. partitions: of the topic, the most consumers that help. memory: LagPast of every stage."""

    problem: Problem
    interval_s: float = 15.0
    lag_threshold: float = 10.0
    activation_lag: float = 0.0
    polling_s: float = 30.0
    cooldown_s: float = 300.0
    tolerance: float = 0.1
    partitions: int | None = None
    behavior: Behavior = Behavior()
    name: ClassVar[str] = "keda_lag"

    def decide(self, state: State, forecast: Forecast, memory: object = None) -> Decision:
        known: Mapping[str, LagPast] = memory if isinstance(memory, Mapping) else {}
        wanted, kept, words = {}, {}, []
        for stage in self.problem.stages:
            replicas, kept[stage.name] = self._replicas(stage, state, known.get(stage.name, LagPast()))
            wanted[stage.name] = spread(state.stages[stage.name].pools, replicas, lightest(stage))
            words.append(f"{stage.name} lags by {_lag(stage, state)}: {replicas} set")
        targets = within(self.problem, wanted, running(self.problem, state))
        return Decision({name: Target(shares) for name, shares in targets.items()}, kept, "; ".join(words))

    def _replicas(self, stage: StageModel, state: State, known: LagPast) -> tuple[int, LagPast]:
        lag, at_s = _lag(stage, state), state.now_s
        now = sum(pool.replicas for pool in state.stages[stage.name].pools)
        active = lag > self.activation_lag
        active_s = at_s if active or known.active_s is None else known.active_s
        if now == 0:
            due = known.polled_s is None or at_s - known.polled_s >= self.polling_s - NEAR
            started = max(1, stage.least) if active and due else stage.least
            return started, LagPast(Past(), active_s, at_s if due else known.polled_s)
        if stage.least == 0 and not active and at_s - active_s >= self.cooldown_s - NEAR:
            return 0, LagPast(Past(), active_s, at_s)
        bounds = Bounds(max(1, stage.least), stage.most)
        replicas, past = settle(self._desired(lag, now), now, known.past, self.behavior, bounds, at_s)
        return replicas, LagPast(past, active_s)

    def _desired(self, lag: int, now: int) -> int:
        desired = now if abs(lag / (now * self.lag_threshold) - 1) <= self.tolerance + NEAR else math.ceil(lag / self.lag_threshold - NEAR)
        return desired if self.partitions is None else min(desired, self.partitions)


def _lag(stage: StageModel, state: State) -> int:
    return state.stages[stage.name].lag + state.stages[stage.name].queue
