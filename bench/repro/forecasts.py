"""Which forecaster a contender gets."""

from __future__ import annotations

from simulator.forecasts import Forecaster, WindowMax


def surging() -> Forecaster:
    """Themis' judgement of a surge from the last minute's greatest rate."""
    return WindowMax(10)
