"""What runs while replicas start: in place first, room for what starts, and an end to it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autoscaler.planner.standing import stand
from autoscaler.policies.bridge import Crossing
from autoscaler.policies.policy import Pool
from tests.policies.ladder import cores, ladder, replicas, runs


def crossing(rate: float, running, wanted, ready: int = 1, on: float = 8, variants: bool = False) -> Crossing:
    return Crossing(replace(ladder(cores=on), rate=rate), running, wanted, pools(running, ready), variants)


def pools(running, ready: int):
    """Of each stage's first share so many replicas are ready, of the others none."""
    return {name: tuple(Pool(share.option, 0 if at else ready, share.replicas if at else max(0, share.replicas - ready))
                        for at, share in enumerate(shares)) for name, shares in running.items()}


P = ladder()


def test_no_bridge_where_nothing_is_missing_or_what_is_ready_is_enough():
    assert not crossing(400, runs(P, "small", 4, 4), runs(P, "small", 1, 1, 3), ready=3).needs_bridge()
    assert not crossing(100, runs(P, "small", 4, 4), runs(P, "small", 1, 1, 3)).needs_bridge()  # one core carries 250 rows/s
    assert crossing(400, runs(P, "small", 4, 4), runs(P, "small", 1, 1, 3)).needs_bridge()


def test_no_bridge_where_nothing_is_ready():
    assert not crossing(400, runs(P), runs(P, "small", 1, 1, 3), ready=0).needs_bridge()


def test_a_new_variant_starts_beside_the_old_one_that_carries_the_load():
    here = crossing(10, runs(P, "large", 1, 1), runs(P, "small", 1, 1, 2))
    assert here.needs_bridge()
    old, new = here.bridged()["s0"]
    assert (old.option, old.replicas) == (runs(P, "large", 1, 1)["s0"][0].option, 1)
    assert (new.option, new.replicas) == (runs(P, "small", 1, 1)["s0"][0].option, 2)
    assert old.share + new.share == pytest.approx(1.0)


def test_the_old_variant_is_made_larger_until_the_new_one_is_ready():
    # one core of the large one carries 50 rows/s, four carry more
    here = crossing(80, runs(P, "large", 1, 1), runs(P, "small", 1, 1, 2))
    old, new = here.bridged()["s0"]
    assert (old.option.variant, old.replicas, new.option.variant, new.replicas) == ("large", 1, "small", 2)
    assert old.option.units > 1
    assert stand(here.problem, {"s0": (replace(old, share=1.0),)}).serves


def test_a_ready_replica_of_the_new_variant_serves_beside_the_old_one_until_enough_are():
    (large,), (small,) = runs(P, "large", 1, 1, 2)["s0"], runs(P, "small", 1, 1, 2)["s0"]
    running = {"s0": (replace(large, share=0.25), replace(small, share=0.75))}
    half = {"s0": (Pool(large.option, 2, 0, 0.25), Pool(small.option, 1, 1, 0.75))}
    wanted = {"s0": (replace(small, share=1.0),)}
    here = Crossing(replace(P, rate=300), running, wanted, half)
    assert here.needs_bridge()
    assert sorted(share.option.variant for share in here.bridged()["s0"] for _ in range(share.replicas)) == ["large"] * 2 + ["small"] * 2
    assert not Crossing(replace(P, rate=200), running, wanted, half).needs_bridge()  # one carries 250 rows/s


def test_a_variant_that_starts_beside_another_is_not_put_off():
    (small,), (large,) = runs(P, "small", 1, 1)["s0"], runs(P, "large", 1, 1, 2)["s0"]
    both = {"s0": (replace(small, share=0.25), replace(large, share=0.75))}
    assert {share.option.variant: share.replicas for share in crossing(100, both, both).bridged()["s0"]} == {"small": 1, "large": 2}


def test_another_variant_taken_up_in_place_is_no_new_one():
    assert crossing(400, runs(P, "large", 1, 1), runs(P, "small", 1, 1, 3), variants=True).needs_bridge()
    assert not crossing(150, runs(P, "large", 1, 1), runs(P, "small", 1, 1, 1), variants=True).needs_bridge()


def test_replicas_are_made_before_the_ready_one_is_made_smaller():
    # one of 4 cores carries 400 rows/s, one of a single core does not; the second starts beside it in the wanted size
    here = crossing(400, runs(P, "small", 4, 4), runs(P, "small", 1, 1, 2))
    assert here.needs_bridge()
    large, new = here.bridged()["s0"]
    assert [(share.replicas, share.option.batch, share.option.units) for share in (large, new)] == [(1, 4, 4), (1, 4, 1)]
    assert large.share + new.share == pytest.approx(1.0)
    assert new.share / large.share == pytest.approx(new.option.throughput / large.option.throughput)


def test_the_ready_one_is_made_larger_when_it_does_not_carry_the_load_as_it_is():
    here = crossing(400, runs(P, "small", 1, 1), runs(P, "small", 1, 2, 3))
    (share, *new) = here.bridged()["s0"]
    assert share.replicas + sum(one.replicas for one in new) == 3
    assert stand(here.problem, {"s0": (replace(share, replicas=1, share=1.0),)}).serves


def test_a_bridge_leaves_room_for_what_starts():
    # as it runs, 4 cores carry the load, but 8 cores hold one such replica and two of 2 cores, not three
    here = crossing(400, runs(P, "small", 4, 4), runs(P, "small", 1, 2, 4))
    (share,) = here.bridged()["s0"]
    assert (share.replicas, share.option.units) == (4, 2)
    assert cores(here.bridged()) <= 8


def test_what_starts_already_is_not_taken_away():
    here = crossing(400, runs(P, "small", 4, 1, 5), runs(P, "small", 1, 1, 3), on=16)
    assert replicas(here.bridged()) == 5


@settings(deadline=None, max_examples=40)
@given(rate=st.floats(1, 1500), was=st.tuples(st.sampled_from(["small", "large"]), st.sampled_from([1, 4]), st.sampled_from([1, 2, 4])),
       goal=st.tuples(st.sampled_from([1, 4]), st.sampled_from([1, 2, 4])), wanted=st.integers(1, 8), variants=st.booleans())
def test_every_bridge_fits_and_holds_the_wanted_replicas(rate, was, goal, wanted, variants):
    running, planned = runs(P, *was), runs(P, was[0], *goal, wanted)
    if cores(planned) > 8:
        return
    here = crossing(rate, running, planned, variants=variants)
    if here.needs_bridge():
        assert cores(here.bridged()) <= 8
        assert replicas(here.bridged()) >= wanted


@pytest.mark.parametrize("stages", [2, 3])
def test_stages_share_the_devices(stages):
    chain = ladder(cores=2 * stages, stages=stages)
    here = Crossing(replace(chain, rate=300.0), runs(chain), runs(chain, "small", 1, 1, 2), pools(runs(chain), 1))
    assert cores(here.bridged()) <= 2 * stages
    assert all(replicas({name: shares}) == 2 for name, shares in here.bridged().items())
