from dataclasses import replace

from autoscaler.planner.queueing import NoWait
from autoscaler.policies.fa2 import Fa2
from autoscaler.policies.policy import Pool
from autoscaler.policies.static import Static
from tests.policies.suite import CHAIN, DIAMOND, FORECAST, NO_FORECAST, at_start, state


def shares(decision):
    return {name: target.shares[0] for name, target in decision.targets.items()}


def test_one_size_and_the_cheapest_variant():
    for share in shares(Fa2(CHAIN).decide(state(CHAIN), NO_FORECAST)).values():
        assert (share.option.variant, share.option.units) == ("v0", 1)


def test_given_options_are_kept_to():
    heavy = tuple(option for option in CHAIN.stages[0].options if (option.variant, option.units) == ("v1", 2))
    found = shares(Fa2(CHAIN, options={"first": heavy}).decide(state(CHAIN), NO_FORECAST))
    assert found["first"].option in heavy
    assert found["second"].option.variant == "v0"


def test_headroom_and_strict_deadline():
    option = next(option for option in CHAIN.stages[0].options if (option.variant, option.units, option.batch) == ("v0", 1, 1))
    of = replace(CHAIN, slo_ms=2 * option.latency_ms)  # 36 ms: only batch 1 in both, and exactly
    assert "no batches meet" in Fa2(of, sizing=NoWait()).decide(state(of), NO_FORECAST).reason
    met = replace(of, slo_ms=of.slo_ms + 1)
    with_headroom = shares(Fa2(met).decide(state(met, (50.0,)), NO_FORECAST))["first"].replicas
    assert with_headroom == 2  # 50 + sqrt(50) = 57 of 55.6 rows/s
    assert shares(Fa2(met, sizing=NoWait()).decide(state(met, (50.0,)), NO_FORECAST))["first"].replicas == 1


def test_parallel_branches_share_one_budget():
    found = shares(Fa2(DIAMOND).decide(state(DIAMOND, (100.0,)), NO_FORECAST))
    assert found["left"] == found["right"]
    ways_ms = sum(found[name].option.latency_ms for name in ("split", "left", "join"))
    assert ways_ms < DIAMOND.slo_ms


def test_before_a_rate_is_known_the_forecast_counts():
    assert "40 events/s" in Fa2(CHAIN).decide(at_start(CHAIN), FORECAST).reason
    assert "0 events/s" in Fa2(CHAIN).decide(at_start(CHAIN), NO_FORECAST).reason


def test_static_keeps_what_runs_or_what_it_is_told():
    wide = CHAIN.stages[0].options[11]
    runs = state(CHAIN, pools=(Pool(wide, 2),))
    assert {share.option for share in shares(Static(CHAIN).decide(runs, FORECAST)).values()} == {wide}
    busy, idle = (Static(CHAIN, peak_rate=200.0).decide(state(CHAIN, (rate,)), FORECAST).targets for rate in (200.0, 1.0))
    assert busy == idle == Fa2(CHAIN).decide(state(CHAIN, (200.0,)), FORECAST).targets
    assert Static(CHAIN).decide(at_start(CHAIN), FORECAST).targets == Fa2(CHAIN).decide(state(CHAIN, (CHAIN.rate,)), FORECAST).targets
