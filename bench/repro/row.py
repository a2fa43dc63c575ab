"""The figures of one run, by name: every row of every table.

    events, goodput           events sent; answered in time per second
    violation_share           not in time; of these late_share, lost_share; unavoidable_share of both together
    p50_s, p95_s, p99_s       from sending to the answer; inf where so many had none
    accuracy, accuracy_all    mean of the answered; of all, without an answer 0
    cost                      mean of what was held in the problem's unit of cost: spares and loading replicas among them
    cores, used_cores         held on average, of all kinds of device; in batches
    core_s, used_core_s       the same times the trace's seconds
    actions, decision_ms      carried out; wall time of a decision on average
"""

from __future__ import annotations

from autoscaler.planner.model import MEMORY
from simulator.cluster import COST
from simulator.simulation import Run
from simulator.statistics import statistics

LESS_IS_BETTER = frozenset({"violation_share", "late_share", "lost_share", "cost", "cores", "p50_s", "p95_s", "p99_s", "actions"})


def row(run: Run) -> dict[str, float]:
    found, seconds = statistics(run), max(run.duration_s, 1e-300)
    core_s = sum(units for kind, units in found.allocated_s.items() if kind not in (COST, MEMORY))
    return {
        "events": float(found.events), "goodput": found.goodput, "violation_share": found.violation_share, "late_share": found.late_share,
        "lost_share": found.lost_share, "unavoidable_share": found.unavoidable_share, "p50_s": found.latencies.p50_s,
        "p95_s": found.latencies.p95_s, "p99_s": found.latencies.p99_s, "accuracy": found.accuracy_answered or 0.0,
        "accuracy_all": found.accuracy_all, "cost": found.allocated_s.get(COST, 0.0) / seconds, "cores": core_s / seconds,
        "used_cores": found.used_s / seconds, "core_s": core_s, "used_core_s": found.used_s, "actions": float(found.actions),
        "decision_ms": 1000 * found.decision_s / max(1, found.decisions),
    }
