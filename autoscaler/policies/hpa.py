"""The Kubernetes HorizontalPodAutoscaler on CPU use, each stage a workload of its own; batch, size and variant stay as they run.

    n        replicas now, of which m are ready           u    CPU use of what the ready ones are allotted, 0..1
    ratio    u / target
    d        ceil(n * ratio), n while |ratio - 1| <= tolerance
             up with some not ready: ratio over all n with those at 0; no step when that turns the ratio around or into the tolerance
    then     hpa_behavior.py: recommendations of 300 s before a step down, limits on the change in 15 s, least .. most
    not known (u None): the share of time in batches stands in for it; nothing ready: no step
    more than the devices hold: cut as bounds.py says, as pods that stay pending
    left out: --horizontal-pod-autoscaler-cpu-initialization-period and -initial-readiness-delay, which tell starting pods from ready ones

Defaults as documented: sync period 15 s (--horizontal-pod-autoscaler-sync-period), tolerance 0.1 (--horizontal-pod-autoscaler-tolerance),
target 80 % of the CPU request where an autoscaler names no metric (autoscaling/v2 API), no step while a metric is missing.
Source: Kubernetes documentation, "Horizontal Pod Autoscaling", algorithm details and configurable scaling behavior.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from autoscaler.planner.model import Problem
from autoscaler.policies.bounds import within
from autoscaler.policies.hpa_behavior import Behavior, Bounds, Past, settle, spread
from autoscaler.policies.policy import Decision, Forecast, StageState, State, Target, running
from autoscaler.policies.sizes import lightest

NEAR = 1e-9


@dataclass(frozen=True, slots=True)
class Hpa:
    """target: of the CPU use, 0..1. memory: the past of every stage."""

    problem: Problem
    interval_s: float = 15.0
    target: float = 0.8
    tolerance: float = 0.1
    behavior: Behavior = Behavior()
    name: ClassVar[str] = "hpa"

    def decide(self, state: State, forecast: Forecast, memory: object = None) -> Decision:
        past: Mapping[str, Past] = memory if isinstance(memory, Mapping) else {}
        wanted, kept, words = {}, {}, []
        for stage in self.problem.stages:
            seen = state.stages[stage.name]
            now = sum(pool.replicas for pool in seen.pools)
            desired = self._desired(seen, now)
            bounds = Bounds(stage.least, stage.most)
            replicas, kept[stage.name] = settle(desired, now, past.get(stage.name, Past()), self.behavior, bounds, state.now_s)
            wanted[stage.name] = spread(seen.pools, replicas, lightest(stage))
            words.append(f"{stage.name} at {_use(seen):.0%} of its CPU: {desired} wanted, {replicas} set")
        targets = within(self.problem, wanted, running(self.problem, state))
        return Decision({name: Target(shares) for name, shares in targets.items()}, kept, "; ".join(words))

    def _desired(self, seen: StageState, now: int) -> int:
        ready = sum(pool.ready for pool in seen.pools)
        if not ready:
            return now
        ratio = _use(seen) / self.target
        if self._near(ratio):
            return now
        if ratio > 1 and ready < now:
            ratio *= ready / now
            if ratio < 1 or self._near(ratio):
                return now
            return math.ceil(now * ratio - NEAR)
        return math.ceil(ready * ratio - NEAR)

    def _near(self, ratio: float) -> bool:
        return abs(ratio - 1) <= self.tolerance + NEAR


def _use(seen: StageState) -> float:
    return seen.busy if seen.utilization is None else seen.utilization
