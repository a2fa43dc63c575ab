"""The section of a study in docs/reproduction.md."""

from __future__ import annotations

from bench.repro.document import section
from bench.repro.level import HEADLINE, Level
from bench.repro.runs import BOUND, Found, Rows
from bench.repro.study import Case, Contender, Role, Study

FIGURES = dict.fromkeys(("violation_share", "late_share", "lost_share", "unavoidable_share", "cost", "cores", "used_cores", "accuracy", "accuracy_all",
                         "goodput", "p50_s", "p95_s", "p99_s", "actions", "decision_ms"), 0.5)


def test_what_a_bound_does_not_bound_is_left_open():
    case = Case("one", (Contender("theirs", Role.PAPER, lambda level, seed: None),))
    biased = Level(0.15, 0.2)
    by_seed = {"theirs": [FIGURES, FIGURES], BOUND: [{"violation_share": 0.0}] * 2}
    found = Found({"one": Rows(case, HEADLINE, by_seed)}, {("one", biased.name): Rows(case, biased, by_seed)}, {})
    text = section(Study("study", "A study", (case,), {}), found, 2, "2026-01-01")
    assert f"| one | {biased.name} | theirs | 50.00 | 0.5 | 50.00 |" in text
    assert f"| one | {biased.name} | {BOUND} | 0.00 | - | - |" in text
