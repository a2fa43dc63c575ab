import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoscaler.policies.policy import Pool
from autoscaler.policies.usage_histogram import UsageHistogram, bucket_of, start_of
from autoscaler.policies.vpa import Vpa, VpaPlus
from tests.policies.suite import NO_FORECAST, problem, state

OF = problem({"only": ()}, cores=8.0)
OPTIONS = {int(option.units): option for option in OF.stages[0].options if (option.variant, option.batch) == ("v0", 1)}
HOUR = 3600.0


def filled(cores: float, hours: float, allotted: float = 1.0) -> UsageHistogram:
    usage = UsageHistogram()
    for minute in range(int(hours * 60) + 1):
        usage = usage.add(cores, allotted, 1, 60.0 * minute, 24 * HOUR)
    return usage


def running(cores: int, use: float, now_s: float, replicas: int = 1, pools: tuple[Pool, ...] | None = None):
    return state(OF, pools=pools or (Pool(OPTIONS[cores], replicas),), utilization=use, now_s=now_s)


def follow(policy, cores, use, hours):
    """The decisions of every minute until one changes the size."""
    memory = None
    for minute in range(int(60 * hours) + 1):
        decision = policy.decide(running(cores, use, 60.0 * minute), NO_FORECAST, memory)
        memory = decision.memory
        if {share.option.units for share in decision.targets["only"].shares} != {cores}:
            return minute, decision
    return None, decision


@given(st.floats(0.0, 900.0))
def test_a_bucket_holds_its_cores(cores):
    bucket = bucket_of(cores)
    assert start_of(bucket) <= cores * (1 + 1e-6) + 1e-9
    assert cores <= start_of(bucket + 1) * (1 + 1e-6)


def test_buckets_grow_by_a_twentieth():
    assert start_of(1) == pytest.approx(0.01)
    assert start_of(2) - start_of(1) == pytest.approx(0.01 * 1.05)


def test_a_sample_loses_half_its_weight_in_a_day():
    usage = UsageHistogram().add(1.0, 1.0, 1, 0.0, 24 * HOUR).add(3.0, 1.0, 1, 24 * HOUR, 24 * HOUR)
    weights = dict(usage.weights)
    assert weights[bucket_of(1.0)] == pytest.approx(0.5)
    assert weights[bucket_of(3.0)] == pytest.approx(1.0)
    assert usage.percentile(0.3) == pytest.approx(1.0, rel=0.06)
    assert usage.percentile(0.5) == pytest.approx(3.0, rel=0.06)


def test_confidence_is_days_of_a_sample_a_minute():
    assert filled(1.0, 24).confidence_days() == pytest.approx(1.0, abs=0.01)
    assert UsageHistogram().confidence_days() == 0


def test_recommendation():
    advice = Vpa(OF).recommendation(filled(1.0, 24))
    assert advice.target == pytest.approx(1.15, rel=0.06)
    assert advice.lower == pytest.approx(1.15, rel=0.06)  # (1 + 0.001)^-2
    assert advice.upper == pytest.approx(2.3, rel=0.06)  # one day of samples: twice


def test_a_short_history_has_wide_bounds():
    advice = Vpa(OF).recommendation(filled(1.0, 0.5))
    assert advice.upper > 40  # 1 + 1 / (0.5 / 24) = 49 times
    assert advice.lower == pytest.approx(0.91 * 1.15, rel=0.07)  # (1 + 0.001 * 48)^-2


def test_no_history_no_bounds():
    advice = Vpa(OF).recommendation(UsageHistogram())
    assert (advice.lower, advice.upper) == (0.0, float("inf"))


def test_a_use_of_all_there_is_grows_by_the_margin():
    minute, decision = follow(Vpa(OF), 1, 1.0, 2)
    # lower = 1.04 * 1.15 * (1 + 0.001 / days)^-2 > 1 once days > 0.011: 16 minutes or so; then the next size that holds 1.19 cores
    assert 5 < minute < 40
    assert decision.targets["only"].shares[0].option == OPTIONS[2]


def test_half_the_use_changes_nothing_for_long():
    minute, _ = follow(Vpa(OF), 2, 0.8, 6)
    assert minute is None


def test_far_too_large_shrinks_when_the_bounds_have_closed():
    minute, decision = follow(Vpa(OF), 4, 0.2, 24)  # 0.8 cores of 4: upper = 0.98 (1 + 1 / days) < 4 from a third of a day on
    assert 6 * 60 < minute < 12 * 60
    assert decision.targets["only"].shares[0].option == OPTIONS[1]


def test_a_single_instance_stays_under_the_documented_least():
    assert follow(Vpa(OF, least_replicas=2), 1, 1.0, 2)[0] is None


def test_vpa_plus_starts_the_new_size_first():
    policy = VpaPlus(OF)
    minute, decision = follow(policy, 1, 1.0, 2)
    assert [(share.option.units, share.replicas) for share in decision.targets["only"].shares] == [(1, 1), (2, 1)]
    loading = running(1, 1.0, 60.0 * minute + 60, pools=(Pool(OPTIONS[2], 0, 1, 0.5), Pool(OPTIONS[1], 1, 0, 0.5)))
    waiting = policy.decide(loading, NO_FORECAST, decision.memory)
    assert {share.option.units for share in waiting.targets["only"].shares} == {1, 2}
    loaded = running(1, 1.0, 60.0 * minute + 120, pools=(Pool(OPTIONS[2], 1, 0, 0.5), Pool(OPTIONS[1], 1, 0, 0.5)))
    done = policy.decide(loaded, NO_FORECAST, waiting.memory)
    assert [(share.option.units, share.replicas, share.share) for share in done.targets["only"].shares] == [(2, 1, 1.0)]
    assert done.memory["only"].coming is None


def test_vpa_plus_without_room_replaces_at_once():
    of = problem({"only": ()}, cores=2.0)
    _, decision = follow(VpaPlus(of), 1, 1.0, 2)
    assert [(share.option.units, share.replicas) for share in decision.targets["only"].shares] == [(2, 1)]
