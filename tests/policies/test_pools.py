"""Pools as they run, as shares."""

from __future__ import annotations

from autoscaler.planner.model import Share
from autoscaler.policies.policy import Pool
from autoscaler.policies.pools import merged
from tests.policies.ladder import option


def test_pools_of_one_variant_count_as_one_share_of_the_most_frequent_option():
    few, many, other = option("small", 1, 1), option("small", 4, 1), option("large", 1, 1)
    assert merged((Pool(few, 1, 0, 0.25), Pool(many, 2, 1, 0.25), Pool(other, 1, 0, 0.5))) == (Share(many, 4, 0.5), Share(other, 1, 0.5))
    assert merged((Pool(few, 0, 0),)) == ()
