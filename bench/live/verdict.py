"""The figures of each policy over its runs, and whether what is to be reached is reached.

Means over the valid runs, over all where none is valid; p99 the median of the runs', None where that is infinite. Counts of violations are kept
beside the shares: with fewer than FEW of them no ratio is claimed.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from math import inf
from typing import Any

from bench.live.contender import TODAY
from bench.live.store import Run

VIOLATIONS = 0.015
SAVED = 0.30
ACCURACY = 0.01
RATIO = 0.2
FEW = 20

Figures = Mapping[str, Mapping[str, Any]]
"""By policy."""


def figures(runs: Sequence[Run]) -> dict[str, Any]:
    """Of one policy; runs: at least one, as `store.counted` has them."""
    valid = [run for run in runs if not run["invalid"]] or list(runs)

    def mean(of: str) -> float:
        return statistics.fmean(run[of] for run in valid)

    p99_ms = statistics.median(inf if run["p99_ms"] is None else run["p99_ms"] for run in valid)
    return {
        "violation_share": round(mean("violation_share"), 5), "p99_ms": round(p99_ms, 1) if p99_ms < inf else None,
        "accuracy": round(mean("accuracy"), 5), "unit_s": round(mean("unit_s"), 1), "cpu_s": round(mean("cpu_s"), 1),
        "decisions": round(mean("decisions"), 1), "stalls": round(mean("stalls"), 2),
        "predicted_violation_share": round(statistics.fmean(run["predicted"]["violation_share"] for run in valid), 5),
        "predicted_unit_s": round(statistics.fmean(run["predicted"]["unit_s"] for run in valid), 1),
        **{name: round(mean(name), 1) for name in ("late", "shed", "dead_lettered", "unanswered", "events", "changes")},
        "violation_shares": [round(run["violation_share"], 5) for run in runs], "runs": len(runs), "invalid": [list(run["invalid"]) for run in runs],
        "waited": round(max(run["machine"]["waited"] for run in valid), 4), "others_cores": round(max(run["machine"]["others"] for run in valid), 3),
        "parameters": runs[0]["contender"]["parameters"],
    }


def targets(found: Figures) -> dict[str, dict[str, Any]]:
    """What `sluice` is to reach, what it has, and whether that is reached; None where a policy it is compared with is not there."""
    ours, peak = found.get("sluice"), found.get("static_peak")
    today = {name: each for name, each in found.items() if name.removesuffix("_tuned") in TODAY}
    if ours is None:
        return {}
    told: dict[str, dict[str, Any]] = {"violations": _target(ours["violation_share"], f"at most {VIOLATIONS:.1%}", ours["violation_share"] <= VIOLATIONS)}
    if peak is not None:
        saved, lost = round(1 - ours["unit_s"] / peak["unit_s"], 5), round(peak["accuracy"] - ours["accuracy"], 5)
        told["unit_s saved against static_peak"] = _target(saved, f"at least {SAVED:.0%}", saved >= SAVED)
        told["accuracy below static_peak"] = _target(lost, f"at most {ACCURACY:g}", lost <= ACCURACY)
    if today:
        best = min(today, key=lambda name: today[name]["violation_share"])
        theirs = today[best]["violation_share"]
        ratio = round(ours["violation_share"] / theirs, 5) if theirs else None
        count = theirs * today[best]["events"] * today[best]["runs"]
        told[f"violations over those of {best}, the best of those used today"] = _target(
            ratio, f"at most {RATIO:g}", ratio <= RATIO if ratio is not None and count >= FEW else None)
    return told


def _target(value: float | None, target: str, is_reached: bool | None) -> dict[str, Any]:
    return {"value": value, "target": target, "reached": is_reached}


def word(target: Mapping[str, Any]) -> str:
    if target["reached"] is None:
        return f"fewer than {FEW} violations to divide by; asked: {target['target']}"
    return f"{target['value']:.4g}, asked: {target['target']}: {'reached' if target['reached'] else 'MISSED'}"
