"""Stages that are slower than their profile says, and a problem that says so too.

    x        measured / profiled ms of a batch, at the rows that batches had of late                       (profiled_ms)
    s        log x, smoothed: s += (log x - s) * (1 - exp(-dt / T)), T = RISE_S while log x is above s, FALL_S below
    factor   STEP^k, k >= 0 whole: k rises to round(s / log STEP) once s / log STEP > k + 1/2, falls to it once s / log STEP < k - 3/4

so that a factor stands still while x does, and noise of less than half a step is none. A stage that is faster than its profile is planned
as profiled: what is at stake is a deadline, not a core. All options of a stage are slowed alike, as by a machine that others use, or by
rows that are harder than those that were profiled.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from autoscaler.planner.model import Option, Problem, Share, StageModel
from autoscaler.policies.policy import State

STEP = 1.1
MOST = 8.0
"""What is slower still does not run, it hangs."""
RISE_S, FALL_S = 3.0, 30.0


@dataclass(slots=True)
class Slowness:
    """Of one stage, as it is measured again and again. factor: what to plan with."""

    factor: float = 1.0
    _smoothed: float = 0.0

    @classmethod
    def at(cls, factor: float) -> Slowness:
        """One that has been so for long."""
        return cls(factor, math.log(factor))

    def observe(self, ratio: float, seconds: float) -> None:
        """ratio: x, > 0. seconds: since the last one."""
        found = math.log(min(max(ratio, 1 / MOST), MOST))
        over_s = RISE_S if found > self._smoothed else FALL_S
        self._smoothed += (found - self._smoothed) * -math.expm1(-seconds / over_s)
        level, here = self._smoothed / math.log(STEP), round(math.log(self.factor) / math.log(STEP))
        if level > here + 0.5 or level < here - 0.75:
            self.factor = STEP ** max(0, round(level))


def profiled_ms(stage: StageModel, option: Option, rows: float) -> float:
    """Of a batch of so many rows on a replica like the option: linear between its stage's batches of that variant, device and units, beyond
    them as at the nearest."""
    alike = {other.batch: other.latency_ms for other in (*stage.options, option)
             if (other.variant, other.device, other.units) == (option.variant, option.device, option.units)}
    batches = sorted(alike)
    return float(np.interp(rows, batches, [alike[batch] for batch in batches]))


def slowed(problem: Problem, factors: Mapping[str, float]) -> Problem:
    """The same problem with the stages of `factors` that much slower."""
    return replace(problem, stages=tuple(_slowed(stage, factors.get(stage.name, 1.0)) for stage in problem.stages))


def _slowed(stage: StageModel, factor: float) -> StageModel:
    if factor == 1:
        return stage
    options = tuple(replace(option, latency_ms=option.latency_ms * factor, throughput=option.throughput / factor) for option in stage.options)
    return replace(stage, options=options)


def shares_in(stage: StageModel, shares: tuple[Share, ...]) -> tuple[Share, ...]:
    """The same shares in the stage's own options of the same variant, device, units and batch. One that the stage does not have stays."""
    return tuple(replace(share, option=_own(stage, share.option)) for share in shares)


def state_in(problem: Problem, state: State) -> State:
    """The same state in the problem's own options."""
    stages = {name: replace(seen, pools=tuple(replace(pool, option=_own(problem.stage(name), pool.option)) for pool in seen.pools))
              for name, seen in state.stages.items()}
    return replace(state, stages=stages)


def _own(stage: StageModel, option: Option) -> Option:
    key = (option.variant, option.device, option.units, option.batch)
    return next((own for own in stage.options if (own.variant, own.device, own.units, own.batch) == key), option)
