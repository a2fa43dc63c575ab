"""Which forecaster a contender gets."""

from __future__ import annotations

from autoscaler.forecast.forecaster import Forecaster
from autoscaler.forecast.plain import WindowMax


def surging() -> Forecaster:
    """Themis' judgement of a surge from the last minute's greatest rate."""
    return WindowMax(10)
