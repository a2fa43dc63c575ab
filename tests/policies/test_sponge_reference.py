"""Sponge over its published 600 seconds: mean and most cores, and the seconds in which no size is enough, all equal."""

import pytest

from autoscaler.policies.policy import Forecast, StageState, State
from autoscaler.policies.sponge import Sponge
from bench.published.sponge import MOST_BATCH, MOST_CORES, RATE, latency_ms, measured_ms, problem, spent_ms

RUNS = [  # latency scale, KB, mean cores, most cores, seconds without a size that is enough
    (1.0, 100, 1.00, 2, 0), (1.0, 200, 1.04, 2, 0), (1.0, 500, 1.49, 16, 2),
    (2.0, 100, 2.03, 3, 0), (2.0, 200, 2.22, 5, 0), (2.0, 500, 3.20, 16, 4),
]


@pytest.mark.data
@pytest.mark.parametrize(("scale", "payload_kb", "mean", "most", "late"), RUNS)
def test_reference_run(shared, scale, payload_kb, mean, most, late):
    policy = Sponge(problem(scale))
    cores, reasons = [], []
    for second, spent in enumerate(spent_ms(payload_kb)):
        state = State(float(second), (RATE,), {"detect": StageState(())}, (spent,))
        decision = policy.decide(state, Forecast(1.0, {}))
        cores.append(decision.targets["detect"].shares[0].option.units)
        reasons.append(decision.reason)
    assert len(cores) == 600
    assert round(sum(cores) / len(cores), 2) == mean
    assert max(cores) == most
    assert sum("nothing serves them in time" in reason for reason in reasons) == late


@pytest.mark.data
def test_the_fit_is_within_its_published_error(shared):
    points = {key: ms for key, ms in measured_ms().items() if key[0] <= MOST_BATCH and key[1] <= MOST_CORES}
    errors = [abs(latency_ms(*key) - ms) for key, ms in points.items()]
    assert len(points) == 20
    assert sum(errors) / len(errors) == pytest.approx(1.95, abs=0.05)
