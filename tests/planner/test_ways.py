"""Ways of events through pipelines."""

import pytest

from autoscaler.graph.reader import parse_pipeline
from autoscaler.planner.attainment import Children, Way
from autoscaler.planner.profile import Point, Profile, StageProfile, VariantProfile, Width
from autoscaler.planner.ways import ways_of

HEAD = """
pipeline: p
slo: 500 ms
source: {topic: i}
sink: {topic: o}
dead_letters: {topic: d}
stages:
"""
OWN = 'operator: "m:O", variants: {only: {accuracy: 1}}, output: {format: json, fields: {c: INT}}'


def ways(stages, **measured):
    """measured: of a stage, what is taken, or the mean width of its fan-out."""
    profiles = []
    for name, value in measured.items():
        width = Width(value, 9) if value > 1 else None
        variant = VariantProfile("only", "cpu", (Point(1, 1, 1, 1, 1, 1),), fan_out=width)
        profiles.append(StageProfile(name, (variant,), None if width else value))
    return ways_of(parse_pipeline(HEAD + stages.replace("OWN", OWN), "f"), Profile("p", tuple(profiles)))


def test_a_chain_is_one_way():
    assert ways("  a: {OWN}\n  b: {OWN}\n") == (Way(1, ("a", "b")),)


def test_a_branch_is_two():
    text = '  a: {OWN}\n  b: {OWN, when: "c < 1"}\n  c: {OWN}\n'
    assert set(ways(text, b=0.25)) == {Way(0.25, ("a", "b", "c")), Way(0.75, ("a", "c"))}
    assert ways(text) == (Way(1, ("a", "b", "c")),)  # nobody knows: all take it


def test_children_of_a_join_are_waited_for():
    text = '  cut: {OWN, fan_out: true}\n  a: {OWN}\n  again: {OWN, when: "c < 1"}\n  read: {OWN, join: cut}\n  last: {OWN}\n'
    children = Children(3, (Way(0.5, ("a", "again")), Way(0.5, ("a",))))
    assert ways(text, cut=2.4, again=0.5) == (Way(1, ("cut", children, "read", "last")),)


def test_a_join_without_operator_takes_no_time():
    text = "  cut: {OWN, fan_out: true}\n  a: {OWN}\n  gather: {join: cut}\n"
    assert ways(text, cut=4.0) == (Way(1, ("cut", Children(4, (Way(1, ("a",)),)))),)


def test_fan_outs_within_fan_outs():
    text = ("  outer: {OWN, fan_out: true}\n  inner: {OWN, fan_out: true}\n  a: {OWN}\n  near: {OWN, join: inner}\n"
            "  far: {OWN, join: outer}\n")
    inner = Way(1, ("inner", Children(3, (Way(1, ("a",)),)), "near"))
    assert ways(text, outer=2.0, inner=2.5) == (Way(1, ("outer", Children(2, (inner,)), "far")),)


@pytest.mark.parametrize("taken", [0.0, 0.3, 1.0])
def test_shares_add_up_to_one(taken):
    text = '  a: {OWN}\n  b: {OWN, after: a, when: "c < 1"}\n  c: {OWN, after: a, when: "c < 2"}\n  d: {OWN, after: [b, c]}\n'
    assert sum(way.share for way in ways(text, b=taken, c=0.5)) == pytest.approx(1)
