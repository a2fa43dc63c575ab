"""What a comparison may claim: the two targets of every study, and ratios of violations.

    same levers   no metric significantly worse than the paper's own system (paired, 95 %)
    all levers    at least one metric GAIN better than the paper's, significantly, where the offline bound leaves that much room
    ratio         of violations, only with at least LEAST_EVENTS of them in the denominator; else None
"""

from __future__ import annotations

from bench.repro.row import LESS_IS_BETTER
from bench.repro.runs import BOUND, Rows
from bench.repro.study import Role

GAIN = 0.2
LEAST_EVENTS = 20


def worse(rows: Rows, contender: str, metrics: tuple[str, ...]) -> list[str]:
    """Metrics in which it is significantly worse than the paper's system."""
    assert rows.case.paper is not None
    return [metric for metric in metrics if rows.against(contender, rows.case.paper, metric).sign == _bad(metric)]


def gains(rows: Rows, contender: str, metrics: tuple[str, ...]) -> dict[str, float]:
    """By metric, how much better than the paper's system, as a share of its figure; < 0 = worse."""
    assert rows.case.paper is not None
    found = {}
    for metric in metrics:
        mine, theirs = rows.spread(contender, metric).mean, rows.spread(rows.case.paper, metric).mean
        if theirs:
            found[metric] = _bad(metric) * (theirs - mine) / abs(theirs)
    return found


def room(rows: Rows, metrics: tuple[str, ...]) -> dict[str, float]:
    """By metric that is bounded, how much better than the paper's system anything could be: not at all than none of what less is better of."""
    assert rows.case.paper is not None
    bounds = rows.by_seed.get(BOUND, [])
    found = {}
    for metric in metrics:
        theirs = rows.spread(rows.case.paper, metric).mean
        if bounds and metric in bounds[0] and (theirs or metric in LESS_IS_BETTER):
            found[metric] = _bad(metric) * (theirs - rows.spread(BOUND, metric).mean) / abs(theirs) if theirs else 0.0
    return found


def targets(rows: Rows, metrics: tuple[str, ...]) -> dict[str, dict]:
    """By contender of ours: what it was to reach and whether it did, None with a single seed; none where the case has no system of a paper."""
    found: dict[str, dict] = {}
    several = all(len(by_seed) > 1 for by_seed in rows.by_seed.values())
    if rows.case.paper is None:
        return found
    for one in rows.case.contenders:
        if one.role is Role.SAME:
            bad = worse(rows, one.name, metrics)
            found[one.name] = {"target": "no metric significantly worse", "worse": bad, "reached": not bad if several else None}
        elif one.role is Role.ALL:
            better = gains(rows, one.name, metrics)
            sure = [metric for metric, gain in better.items()
                    if gain >= GAIN and rows.against(one.name, rows.case.paper, metric).sign == -_bad(metric)]
            left = room(rows, metrics)
            too_little = bool(left) and set(left) == set(metrics) and all(share < GAIN for share in left.values())
            found[one.name] = {"target": f"one metric {100 * GAIN:.0f} % better", "gains": better, "room": left, "better": sure,
                               "reached": bool(sure) if several else None, "bound_leaves_room": not too_little}
    return found


def word(told: dict) -> str:
    """Whether a target was reached, for people."""
    if told["reached"] is None:
        return "not known from one seed"
    return "reached" if told["reached"] else "missed" if told.get("bound_leaves_room", True) else "no room, the bound is nearer"


def ratio(rows: Rows, contender: str, other: str) -> float | None:
    """violations of `contender` for each of `other`; None with too few."""
    counts = [sum(row["violation_share"] * row["events"] for row in rows.by_seed[name]) for name in (contender, other)]
    return counts[0] / counts[1] if counts[1] >= LEAST_EVENTS else None


def _bad(metric: str) -> int:
    """The sign of a difference for the worse."""
    return 1 if metric in LESS_IS_BETTER else -1
