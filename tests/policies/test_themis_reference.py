"""Themis' horizontal optimum, found by hand from the published coefficients: every plan equal, by the DP and by trying all batches."""

import itertools
import math

import pytest

from autoscaler.policies.fa2 import Fa2
from autoscaler.policies.horizontal_dp import PUBLISHED_SIZING
from autoscaler.policies.policy import Forecast, StageState, State
from bench.published.themis import Surface, latency_ms, problem, rates, released

VIDEO = (
    Surface("video-detector", (39.90889958924582, 7.784141716703453, 1.8333345492230113, 0.4507066167132669), 2.0),
    Surface("video-classifier", (28.084275010842124, 2.626952412159743, 6.807172001409088, 0.4588339579256442), 1.0),
)
SENTIMENT = (
    Surface("audio-to-text", (67.8249419632761, 11.027503901723342, 24.070936392902027, 32.28070452315141), 2.0),
    Surface("sentiment-analysis", (15.966355447124066, 2.5183518963351523, -0.8067341513465052, 1.2390206700475155), 1.0),
)
PIPELINES = {"video": (VIDEO, 300.0, 1.0), "sentiment": (SENTIMENT, 500.0, 1.1)}

OPTIMA = [  # pipeline, events/s, batches, instances, cost, end-to-end ms
    ("video", 20, (1, 1), (2, 2), 78, 99),
    ("video", 50, (2, 1), (3, 3), 117, 240),
    ("video", 100, (2, 1), (6, 5), 215, 194),
    ("video", 183, (2, 2), (11, 8), 372, 230),
    ("sentiment", 20, (1, 1), (4, 1), 99, None),
    ("sentiment", 50, (2, 1), (9, 2), 218, 371),
    ("sentiment", 100, (3, 1), (14, 3), 337, 459),
    ("sentiment", 183, (3, 1), (25, 5), 595, 417),
]


def plan(pipeline: str, rate: float) -> list:
    stages, slo_ms, multiplier = PIPELINES[pipeline]
    chain = problem(stages, slo_ms, rate, multiplier)
    state = State(0.0, (rate,), {stage.name: StageState(()) for stage in stages})
    targets = Fa2(chain).decide(state, Forecast(10.0, {})).targets
    return [targets[stage.name].shares[0] for stage in stages]


@pytest.mark.parametrize(("pipeline", "cores", "batch", "expected"), [
    ("video", 1, 1, (56, 43)), ("video", 4, 1, (25, 17)), ("video", 4, 4, (78, 46)),
    ("sentiment", 1, 1, (166, 25)), ("sentiment", 4, 1, (90, 12)), ("sentiment", 4, 4, (186, 34)),
])
def test_latencies_of_the_released_surfaces(pipeline, cores, batch, expected):
    stages, _, multiplier = PIPELINES[pipeline]
    assert tuple(latency_ms(stage.coefficients, batch, cores, multiplier) for stage in stages) == expected


@pytest.mark.parametrize(("pipeline", "rate", "batches", "instances", "cost", "latency"), OPTIMA)
def test_horizontal_optimum(pipeline, rate, batches, instances, cost, latency):
    shares = plan(pipeline, rate)
    assert tuple(share.option.batch for share in shares) == batches
    assert tuple(share.replicas for share in shares) == instances
    assert sum(share.replicas * share.option.cost for share in shares) == cost
    taken_ms = sum(share.option.latency_ms + PUBLISHED_SIZING.wait_ms(share.option, rate, share.replicas) for share in shares)
    assert latency is None or taken_ms == latency


@pytest.mark.parametrize("pipeline", ["video", "sentiment"])
@pytest.mark.parametrize("rate", [7, 33, 71, 120, 160])
def test_no_batches_are_cheaper(pipeline, rate):
    stages, slo_ms, multiplier = PIPELINES[pipeline]
    demand = round(rate + math.sqrt(rate))
    costs = []
    for batches in itertools.product(range(1, 5), repeat=2):
        cost, taken_ms = 0.0, 0.0
        for stage, batch in zip(stages, batches, strict=True):
            ms = latency_ms(stage.coefficients, batch, 1, multiplier)
            cost += math.ceil(demand / (1000 * batch // ms)) * (stage.memory_gb + 18)
            taken_ms += ms + (math.ceil((batch - 1) * -math.log(0.01) * 1000 / rate) if batch > 1 else 0)
        if taken_ms < slo_ms:
            costs.append(cost)
    assert sum(share.replicas * share.option.cost for share in plan(pipeline, rate)) == min(costs)


@pytest.mark.data
@pytest.mark.parametrize("pipeline", ["video", "sentiment"])
def test_the_released_files_hold_these_coefficients(shared, pipeline):
    stages, slo_ms, multiplier = PIPELINES[pipeline]
    assert released(pipeline, 50.0) == problem(stages, slo_ms, 50.0, multiplier)


@pytest.mark.data
@pytest.mark.parametrize(("pipeline", "most"), [("video", 183), ("sentiment", 107)])
def test_the_window_has_the_published_peak(shared, pipeline, most):
    seconds = rates(pipeline)
    assert len(seconds) == 660
    assert round(max(seconds)) == most
