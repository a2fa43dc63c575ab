from dataclasses import replace

import pytest

from autoscaler.graph.pipeline import SOURCE, Order, Pipeline, Stage, State, Topic, VariantSpec
from jobs.dataflow import LATEST, ORIGINAL, Crossing, Route, lay_out


def stage(name, *after, **settings):
    return Stage(name=name, after=after, operator="m:C", variants=(VariantSpec("only", 1.0),), variant="only", **settings)


def pipeline(*stages, **settings):
    return Pipeline("p", 100.0, Topic("in"), Topic("out"), Topic("dead"), stages, **settings)


def test_a_chain_has_one_plain_way_out_of_each_node():
    flow = lay_out(pipeline(stage("a", SOURCE), stage("b", "a")))
    assert flow.crossings == {SOURCE: Crossing(SOURCE, (Route("a", None),), None), "a": Crossing("a", (Route("b", None),), None)}


def test_events_that_meet_no_condition_leave_with_the_last_branch():
    flow = lay_out(pipeline(stage("a", SOURCE), stage("b", "a", when="x < 1"), stage("c", "a", when="x > 5"), stage("d", "b", "c")))
    assert flow.crossings["a"] == Crossing("a", (Route("b", "x < 1"), Route("c", "x > 5")), "c")
    assert flow.crossings.keys() == {SOURCE, "a", "b", "c"}


def test_a_branch_without_a_condition_takes_the_rest():
    flow = lay_out(pipeline(stage("a", SOURCE), stage("b", "a", when="x < 1"), stage("c", "a")))
    assert flow.crossings["a"].past is None
    assert flow.crossings.keys() == {SOURCE, "a"}


def test_two_branches_without_a_condition_are_refused_because_an_event_has_one_place():
    with pytest.raises(ValueError, match="b, c all come after a without a condition"):
        lay_out(pipeline(stage("a", SOURCE), stage("b", "a"), stage("c", "a")))


def test_only_values_that_a_later_stage_asks_for_are_kept():
    flow = lay_out(pipeline(stage("a", SOURCE), stage("b", "a"), stage("c", "b", input="a"), stage("d", "c", input=SOURCE)))
    assert [(step.read_slot, step.write_slot) for step in flow.steps] == [(LATEST, 0), (LATEST, None), (0, None), (ORIGINAL, None)]


def test_a_stage_asks_for_the_version_met_at_stages_before_it_that_run_its_model():
    again, other = stage("b", "a", input=SOURCE), replace(stage("c", "b"), variants=(VariantSpec("another", 1.0),))
    kept = [stage("d", "c", state=State(1000.0)), replace(stage("e", "d"), operator="m:Other"), replace(stage("f", "e"), operator=None, endpoint="host:1")]
    flow = lay_out(pipeline(stage("a", SOURCE), again, other, *kept, stage("g", "f")))
    assert {step.stage.name: step.same_model for step in flow.steps if step.same_model} == {"b": ("a",), "g": ("a", "b")}


def test_events_are_put_in_order_before_a_stage_with_state_unless_it_is_the_first():
    plain, first, second = stage("a", SOURCE), stage("a", SOURCE, state=State(1000.0)), stage("b", "a", state=State(1000.0))
    for stages, ordered in (((plain,), [False]), ((first,), [False]), ((plain, second), [False, True]), ((first, second), [False, True])):
        flow = lay_out(pipeline(*stages))
        assert [step.ordered for step in flow.steps] == ordered
        assert flow.numbered(pipeline(*stages)) == any(ordered)
    assert lay_out(pipeline(plain)).numbered(pipeline(plain, order=Order.KEY))
