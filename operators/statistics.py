"""A stage's counters in the form of Triton's statistics extension. They are the telemetry's: serving does no work for them.

Triton counts requests where a stage counts rows, and a row's times are those of its batch, so `ns / count` is the mean time of a row.
The counters are the stage's since the service started, over all versions; `version` is the one that serves now. What it does not
measure (unpacking and packing, and how long a failed row took) is absent or 0.
"""

from __future__ import annotations

from typing import Any

from operators.hosted import HostedStage
from operators.telemetry import Histogram


def statistics(hosted: HostedStage, unix_ms_less_loop_ms: float) -> dict[str, Any]:
    """unix_ms_less_loop_ms: Unix time less the service's clock, in ms."""
    telemetry = hosted.telemetry
    tally, last = telemetry.tally, telemetry.answered_at
    return {
        "name": hosted.spec.name,
        "version": hosted.stage.setting.variant.version,
        "last_inference": 0 if last is None else int(last * 1e3 + unix_ms_less_loop_ms),
        "inference_count": tally.answered,
        "execution_count": tally.batches,
        "inference_stats": {
            "success": _duration(telemetry.total_ms),
            "fail": {"count": tally.failed + tally.expired, "ns": 0},
            "queue": _duration(telemetry.queue_ms),
            "compute_infer": _duration(telemetry.compute_ms),
        },
    }


def _duration(histogram: Histogram) -> dict[str, int]:
    return {"count": int(histogram.counts.sum()), "ns": int(histogram.sum_ms * 1e6)}
