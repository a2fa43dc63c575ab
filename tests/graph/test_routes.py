import pytest

from autoscaler.graph.pipeline import SOURCE, Pipeline, Stage, Topic, VariantSpec
from autoscaler.graph.routes import Choice, choices, feeders
from autoscaler.graph.shares import deadline_shares


def stage(name, *after, **settings):
    return Stage(name=name, after=after, operator="m:C", variants=(VariantSpec("only", 1.0),), variant="only", **settings)


def pipeline(*stages):
    return Pipeline("p", 100.0, Topic("in"), Topic("out"), Topic("dead"), stages)


BRANCH = (stage("locate", SOURCE), stage("classify", "locate"), stage("again", "classify", when="c < 1"), stage("read", "again"))


def test_an_event_goes_past_a_branch_to_what_comes_after_it():
    assert choices(BRANCH, "classify") == (Choice("again", "c < 1"), Choice("read", None))
    assert choices(BRANCH, "again") == (Choice("read", None),)
    assert choices(BRANCH, "read") == (Choice(None, None),)


def test_branches_are_tried_in_the_files_order_and_the_one_without_a_condition_last():
    stages = (stage("a", SOURCE), stage("rest", "a"), stage("b", "a", when="x < 1"), stage("c", "a", when="x > 5"))
    assert choices(stages, "a") == (Choice("b", "x < 1"), Choice("c", "x > 5"), Choice("rest", None))


def test_an_event_that_meets_no_condition_goes_past_the_last_branch():
    stages = (stage("a", SOURCE), stage("b", "a", when="x < 1"), stage("c", "a", when="x > 5"), stage("d", "c"))
    assert choices(stages, "a") == (Choice("b", "x < 1"), Choice("c", "x > 5"), Choice("d", None))
    assert choices(stages, "b") == (Choice(None, None),)


def test_a_stage_after_a_branch_is_fed_by_both_ways():
    assert feeders(BRANCH) == {"locate": (SOURCE,), "classify": ("locate",), "again": ("classify",), "read": ("classify", "again")}


def test_a_branch_at_the_end_lets_events_past_to_the_sink():
    stages = (stage("a", SOURCE), stage("b", "a", when="x < 1"))
    assert choices(stages, "a") == (Choice("b", "x < 1"), Choice(None, None))
    assert choices(stages, "b") == (Choice(None, None),)


def test_a_chain_splits_what_is_left_evenly_over_the_stages_ahead():
    assert deadline_shares(pipeline(*BRANCH)) == {"locate": 1 / 4, "classify": 1 / 3, "again": 1 / 2, "read": 1.0}


def test_the_heaviest_way_on_counts():
    stages = (stage("a", SOURCE), stage("quick", "a", when="x < 1"), stage("slow", "a"), stage("end", "quick", "slow"))
    shares = deadline_shares(pipeline(*stages), {"quick": 1.0, "slow": 5.0, "end": 3.0, "a": 2.0})
    assert shares == {"a": 2 / 10, "quick": 1 / 4, "slow": 5 / 8, "end": 1.0}  # a: 2 / (2 + 5 + 3)


def test_a_join_without_an_operator_takes_no_time():
    join = Stage(name="j", after=("f",), operator=None, variants=(), variant=None, join="f")
    assert deadline_shares(pipeline(stage("f", SOURCE, fan_out=True), join)) == {"f": 1.0, "j": 0.0}


def test_a_weight_must_be_above_0():
    with pytest.raises(ValueError, match=r"the weight of stage a is 0\.0; use a number above 0"):
        deadline_shares(pipeline(stage("a", SOURCE)), {"a": 0})
