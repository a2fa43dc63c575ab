"""Maxima of consecutive seconds, counted back from the newest: what the papers' networks and Holt-Winters read."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from autoscaler.forecast.forecaster import Series, newest


def maxima(rates: Sequence[float], bucket_s: int, count: int) -> Series:
    """Of the last `count` buckets of `bucket_s` seconds, newest last; fewer where the rates do not reach back, and only whole ones.
    Shape (at most count,)."""
    seen = newest(rates, bucket_s * count)
    return maxima_of(seen[None, len(seen) % bucket_s :], bucket_s)[0]


def maxima_of(windows: Series, bucket_s: int) -> Series:
    """Shape (n, k bucket_s) to (n, k)."""
    return windows.reshape(len(windows), -1, bucket_s).max(axis=2) if windows.size else np.empty((len(windows), 0))
