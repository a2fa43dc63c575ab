"""What the simulator says of a run: the same arrivals, files, policy object and forecaster, no processes.

The way through Kafka and Flink, which it does not model, is drawn as a delay before the stage from the events of the same run's warm-up, which
are not counted (as `bench.sim_fidelity` does from a calibration). Batches take what the profile says.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf

import numpy as np
from numpy.typing import NDArray

from autoscaler.choice import NOMINAL_RATE, Forecasts, built, choice, forecaster
from autoscaler.planner.model import CPU
from autoscaler.policies.policy import Policy
from bench.live.contender import Contender, changed
from bench.live.files import Files
from bench.live.plans import UNIT
from bench.sim_fidelity import PathDelay
from operators.repository import default_root
from simulator.arrivals import Arrivals, Stamps
from simulator.from_pipeline import model
from simulator.outcome import Outcome
from simulator.scenario import Control
from simulator.simulation import simulate


@dataclass(frozen=True, slots=True)
class Predicted:
    """Of the events sent, and the seconds begun, from the counted time on. p99_ms: None where that many are never answered."""

    violation_share: float
    p99_ms: float | None
    unit_s: float
    actions: int


def predicted(files: Files, contender: Contender, times_s: Sequence[float], warm_s: int, path_s: NDArray[np.float64], seed: int) -> Predicted:
    """times_s: from the start of the warm-up. path_s: shape (samples,), at least one."""
    made = model(files.pipeline, files.profile, NOMINAL_RATE)
    scenario = made.scenario(Arrivals(Stamps(np.array(times_s)), files.pipeline.slo_ms / 1000, PathDelay(path_s, seed)))
    run = simulate(scenario, Control(decider(files, contender), forecaster(Forecasts.TRAINED, default_root())), seed)
    assert run.records is not None
    events = run.records.events(1)
    counted = events.sent_s >= warm_s
    latency_ms = np.sort(np.where(events.outcome <= Outcome.LATE, 1000 * (events.finish_s - events.sent_s), inf)[counted])
    p99_ms = float(latency_ms[int(np.ceil(0.99 * len(latency_ms))) - 1])
    unit_s = sum(second.held.get(CPU, 0.0) for second in run.records.seconds[warm_s : int(run.duration_s)]) / UNIT
    return Predicted(float(np.mean(events.outcome[counted] != Outcome.IN_TIME)), p99_ms if p99_ms < inf else None, unit_s,
                     sum(action.at_s >= warm_s for action in run.records.actions))


def decider(files: Files, contender: Contender) -> Policy:
    """The object that the sidecar of such a run has."""
    chosen = choice(files.path, files.pipeline, contender.policy, None)
    assert chosen.problem is not None
    made: Policy = changed(built(contender.policy, chosen.problem, chosen.times, None), contender.parameters)
    return made
