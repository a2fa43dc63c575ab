"""A stage's counters in the form of Triton's statistics extension. They are the telemetry's: serving does no work for them.

Triton counts requests where a stage counts rows, and a row's times are those of its batch, so `ns / count` is the mean time of a row.
One entry for each version that has answered since the service started, and for the one that serves now; variants that share a version's name
share its entry. `batch_stats` has the batches that replicas computed, by their rows. What is not measured (unpacking and packing, and how
long a failed row took) is 0, with the counts that go with it: perf_analyzer ends where the three computing counts differ.
"""

from __future__ import annotations

from typing import Any

from operators.hosted import HostedStage
from operators.telemetry import Histogram, Ledger


def statistics(hosted: HostedStage, unix_ms_less_loop_ms: float, version: str = "") -> list[dict[str, Any]]:
    """unix_ms_less_loop_ms: Unix time less the service's clock, in ms. version: of this one alone."""
    ledgers: dict[str, Ledger] = {hosted.stage.setting.variant.version: Ledger()}
    for (_, found), ledger in hosted.telemetry.ledgers.items():
        ledgers.setdefault(found, Ledger()).add_all(ledger)
    return [_entry(hosted.spec.name, found, ledger, unix_ms_less_loop_ms) for found, ledger in ledgers.items() if version in ("", found)]


def _entry(name: str, version: str, ledger: Ledger, offset_ms: float) -> dict[str, Any]:
    tally, last = ledger.tally, ledger.answered_at
    return {
        "name": name,
        "version": version,
        "last_inference": 0 if last is None else int(last * 1e3 + offset_ms),
        "inference_count": tally.answered,
        "execution_count": tally.batches,
        "inference_stats": {
            "success": _duration(ledger.total_ms),
            "fail": {"count": tally.failed + tally.expired, "ns": 0},
            "queue": _duration(ledger.queue_ms),
            **_computed(_duration(ledger.compute_ms)),
        },
        "batch_stats": [
            {"batch_size": rows, **_computed({"count": count, "ns": int(spent_ms * 1e6)})} for rows, (count, spent_ms) in sorted(ledger.batch_ms.items())
        ],
    }


def _computed(infer: dict[str, int]) -> dict[str, dict[str, int]]:
    nothing = {"count": infer["count"], "ns": 0}
    return {"compute_input": nothing, "compute_infer": infer, "compute_output": nothing}


def _duration(histogram: Histogram) -> dict[str, int]:
    return {"count": int(histogram.counts.sum()), "ns": int(histogram.sum_ms * 1e6)}
