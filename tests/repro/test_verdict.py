"""What a comparison may claim."""

from __future__ import annotations

import pytest

from bench.repro.level import HEADLINE
from bench.repro.runs import BOUND, Rows
from bench.repro.study import Case, Contender, Role
from bench.repro.verdict import targets, word

CASE = Case("one", tuple(Contender(name, role, lambda level, seed: None) for name, role in (("theirs", Role.PAPER), ("ours", Role.ALL))))


def rows(**figures):
    return Rows(CASE, HEADLINE, {name: [{"violation_share": violations, "cost": cost}] * 2 for name, (violations, cost) in figures.items()})


@pytest.mark.parametrize(("theirs", "ours", "bound", "says"), [
    ((0.1, 10.0), (0.01, 10.0), (0.0, 9.0), "reached"),
    ((0.1, 10.0), (0.1, 10.0), (0.0, 9.0), "missed"),
    ((0.0, 10.0), (0.0, 10.0), (0.0, 9.0), "no room, the bound is nearer"),  # fewer violations than none there are not
    ((0.0, 10.0), (0.0, 10.0), (0.0, 5.0), "missed")])
def test_a_gain_is_asked_for_where_the_bound_leaves_room(theirs, ours, bound, says):
    found = targets(rows(theirs=theirs, ours=ours, **{BOUND: bound}), ("violation_share", "cost"))
    assert word(found["ours"]) == says
