"""Stages with state in a pipeline file: what is read, what is refused, how it is drawn."""

import pytest

from autoscaler.graph.draw import draw
from autoscaler.graph.errors import PipelineError
from autoscaler.graph.pipeline import State
from autoscaler.graph.reader import parse_pipeline
from tests.graph.test_reader import stages


def test_the_key_is_the_events_own_by_default():
    (stage,) = parse_pipeline(stages("a: {SERVED, state: {ttl: 10 min}}"), "f").stages
    assert stage.state == State(ttl_ms=600_000.0, field=None, max_bytes=1 << 20)


def test_or_a_field_of_what_the_stage_before_answers():
    text = stages("a: {SERVED, FIELDS}", "b: {SERVED, state: {key: x, ttl: 1 s, max_bytes: 100}}")
    assert parse_pipeline(text, "f").stage("b").state == State(1000.0, "x", 100)


def test_or_of_the_sources_json():
    text = stages("a: {SERVED, state: {key: card, ttl: 1 s}}").replace("{topic: in}", "{topic: in, format: json}")
    assert parse_pipeline(text, "f").stage("a").state == State(1000.0, "card")


@pytest.mark.parametrize(("lines", "error"), [
    (["a: {SERVED, state: 3}"], "f:7: stages.a.state is 3; write a mapping, key: value"),
    (["a: {SERVED, state: {}}"], "f:7: stages.a.state.ttl is missing; add ttl"),
    (["a: {SERVED, state: {ttl: 5}}"], "f:7: stages.a.state.ttl is 5; write a number and a unit, as in 100 ms"),
    (["a: {SERVED, state: {ttl: 1 s, keys: x}}"], "f:7: stages.a.state.keys is not a key of the pipeline file; did you mean key?"),
    (["a: {SERVED, state: {ttl: 1 s, key: a-b}}"], "f:7: stages.a.state.key is 'a-b'; name a field of the row, or remove it for the event's own key"),
    (["a: {SERVED, state: {ttl: 1 s, max_bytes: 99999999}}"],
     "f:7: stages.a.state.max_bytes is 99999999; use a whole number from 1 to 16777216"),
    (["a: {SERVED, on_late: dead-letter, state: {ttl: 1 s}}"],
     "f:7: stages.a.on_late is 'dead-letter', but the next events of a key need the late ones; use answer, or remove it"),
    (["a: {endpoint: 'h:1', state: {ttl: 1 s}}"], "f:7: stages.a.state does not go with endpoint; remove it"),
    (["a: {SERVED, fan_out: true}", "b: {join: a, state: {ttl: 1 s}}"], "f:8: stages.b.state does not go with join, without an operator; remove it"),
    (["a: {SERVED, FIELDS}", "b: {SERVED, when: x < 1, state: {ttl: 1 s}}"],
     "f:8: stages.b.when does not go with state, whose keys need every event; remove it"),
    (["a: {SERVED, FIELDS}", "b: {SERVED, after: a, when: x < 1}", "c: {SERVED, after: a, state: {ttl: 1 s}}"],
     "f:9: stages.c.state needs every event, but some go past c; let it come after every branch, in its after too"),
    (["a: {SERVED, state: {key: card, ttl: 1 s}}"],
     "f:7: stages.a.state.key is 'card', but the source's rows are raw; say source.format: json, or remove the key"),
    (["a: {SERVED, FIELDS}", "b: {SERVED, state: {key: y, ttl: 1 s}}"],
     "f:8: stages.b.state.key is 'y', which a row from a does not have; add it to stages.a.output.fields"),
    (["a: {SERVED, FIELDS}", "b: {SERVED, input: source, state: {key: x, ttl: 1 s}}"],
     "f:8: stages.b.state.key is 'x', but the source's rows are raw; say source.format: json, or remove the key"),
])
def test_what_cannot_be_is_refused_with_the_mend(lines, error):
    with pytest.raises(PipelineError) as refused:
        parse_pipeline(stages(*lines), "f")
    assert str(refused.value) == error


def test_after_branches_that_meet_again_there_is_every_event():
    parse_pipeline(stages("a: {SERVED, FIELDS}", "b: {SERVED, after: a, when: x < 1}", "c: {SERVED, state: {ttl: 1 s}}"), "f")
    parse_pipeline(stages("a: {SERVED, FIELDS}", "b: {SERVED, after: a, when: x < 1}", "c: {SERVED, after: a}",
                          "d: {SERVED, after: [b, c], state: {ttl: 1 s}}"), "f")


def test_it_is_drawn():
    text = stages("a: {SERVED, state: {ttl: 10 min}}", "b: {SERVED, FIELDS}", "c: {SERVED, state: {key: x, ttl: 90 s, max_bytes: 100}}")
    drawn = draw(parse_pipeline(text, "f"))
    assert "│    state      per the event's key; anew after 10 min without an event; up to\n│               1048576 bytes\n" in drawn
    assert "│    state      per key x; anew after 90 s without an event; up to 100 bytes\n" in drawn


def test_what_a_stage_holds_back_is_known():
    text = stages("a: {SERVED, FIELDS}", "b: {SERVED, state: {key: x, ttl: 1 s}}", "c: {SERVED}")
    plain = parse_pipeline(text, "f")
    assert [plain.orders_after(stage) for stage in plain.stages] == [True, False, False]
    by_key = parse_pipeline("order: key\n" + text, "f")
    assert [by_key.orders_after(stage) for stage in by_key.stages] == [True] * 3
