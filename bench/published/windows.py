"""The exact windows of the Twitter trace (2021-08) that the papers evaluated on: events in each second."""

from __future__ import annotations

import csv

from bench.published import data_file

DIVIDERS = {"themis_twitter": 1.5, "ipa_bursty": 8.0, "ipa_fluctuating": 8.0, "ipa_steady_low": 8.0, "ipa_steady_high": 8.0,
            "infadapter_eval": 1.0}
"""By which the papers divide the raw counts; Themis' once more by the pipeline's own (bench.published.themis)."""


def window(name: str, divider: float | None = None) -> tuple[float, ...]:
    """Events/s in each second. divider: in place of the paper's. KeyError for a window there is not."""
    by = DIVIDERS[name] if divider is None else divider
    with data_file("windows", f"{name}.csv").open(encoding="utf-8", newline="") as lines:
        return tuple(int(row["raw_rps"]) / by for row in csv.DictReader(lines))
