"""How long changes take, from a profile and as a price."""

from __future__ import annotations

import pytest

from autoscaler.planner.model import Share
from autoscaler.planner.profile import Profile, StageProfile, VariantProfile
from autoscaler.policies.change_times import ChangeTimes, measured
from tests.policies.ladder import option


def test_a_profile_gives_the_longest_of_each():
    small, large = VariantProfile("small", "cpu", (), 3.0, 2.0, 0.5), VariantProfile("large", "cpu", (), 6.0, 4.5, 2.0)
    times = measured(Profile("p", (StageProfile("a", (small,)), StageProfile("b", (large, VariantProfile("small", "cpu", (), 3.0, 2.5))))))
    assert times == ChangeTimes(cold_start_s=1.5, load_s={"small": 2.5, "large": 4.5}, resize_s=0.002)


def test_a_profile_without_times_leaves_the_defaults():
    assert measured(Profile("p", ())) == ChangeTimes()


def test_a_new_replica_costs_its_start_and_load_spread_over_the_horizon():
    running = {"a": (Share(option("small", 1, 2), 1),)}
    price = ChangeTimes(cold_start_s=3.0, load_s={"small": 1.0}).price(running, 60.0)
    assert price.price("a", running["a"]) == 0.0
    assert price.price("a", (Share(option("small", 1, 2), 2),)) == pytest.approx(2.0 * (3.0 + 1.0) / 60.0)


@pytest.mark.parametrize(("variant_s", "bridges"), [(None, False), (1.0, True), (3.0, False)])
def test_another_variant_bridges_only_when_it_serves_sooner_than_a_replica(variant_s, bridges):
    assert ChangeTimes(cold_start_s=3.0, variant_s=variant_s).variants_bridge is bridges
