from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from autoscaler.planner.model import Option, Share
from autoscaler.policies.bounds import exceeded, within
from tests.policies.suite import problem

CHAIN = problem({"first": (), "second": ("first",)}, cores=8)
NARROW, WIDE = (next(option for option in CHAIN.stages[0].options if option.units == units) for units in (1.0, 4.0))


def share(replicas: int, option: Option = NARROW) -> tuple[Share, ...]:
    return (Share(option, replicas),)


def counts(shares):
    return {name: of_stage[0].replicas for name, of_stage in shares.items()}


def test_a_wish_that_fits_is_granted():
    wish = {"first": share(3), "second": share(5)}
    assert within(CHAIN, wish, {}) == wish


def test_least_and_most_bound_each_stage():
    assert counts(within(replace(CHAIN, devices={}), {"first": share(0), "second": share(50)}, {})) == {"first": 1, "second": 12}


def test_new_replicas_go_without_before_running_ones():
    granted = within(CHAIN, {"first": share(6), "second": share(6)}, {"first": share(6), "second": share(1)})
    assert counts(granted) == {"first": 6, "second": 2}  # 8 cores


def test_what_keeps_most_of_its_wish_gives_first():
    assert counts(within(CHAIN, {"first": share(12), "second": share(4)}, {})) == {"first": 6, "second": 2}  # half of both wishes


def test_at_the_least_replicas_sizes_shrink():
    granted = within(replace(CHAIN, devices={"cpu": 5}), {"first": share(1, WIDE), "second": share(1, WIDE)}, {})
    assert [of_stage[0].option.units for of_stage in granted.values()] == [2, 2]  # 4 + 4, 2 + 4, 2 + 2


def test_a_stage_without_a_wish_keeps_what_runs():
    runs = {"first": share(2), "second": share(3)}
    assert counts(within(CHAIN, {"first": share(8)}, runs)) == {"first": 5, "second": 3}


@given(first=st.integers(0, 20), second=st.integers(0, 20), wide=st.booleans(), cores=st.integers(2, 30))
def test_never_more_than_there_is(first, second, wide, cores):
    of = replace(CHAIN, devices={"cpu": cores})
    granted = within(of, {"first": share(first, WIDE if wide else NARROW), "second": share(second)}, {})
    assert exceeded(of, granted) is None
    assert all(1 <= of_stage[0].replicas <= 12 for of_stage in granted.values())
