"""What forecasters are trained on: windows of a load and what came after each.

    window   events/s of the `history_s` seconds before an instant
    highest  most of the `horizon_s` seconds from that instant on
    scale    most of the window's last SCALE_S seconds; instants where it is 0 are left out, there is nothing to learn a share of
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

import numpy as np

from autoscaler.forecast.conformal import SCALE_S
from autoscaler.forecast.forecaster import Series


@dataclass(frozen=True, slots=True, eq=False)
class Load:
    """counts: events in each second. start_s: of the first, since a midnight."""

    counts: Series
    start_s: float = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class Examples:
    """windows: shape (n, history_s), oldest first. now_s, highest, scale: shape (n,)."""

    windows: Series
    now_s: Series
    highest: Series
    scale: Series

    def __len__(self) -> int:
        return len(self.now_s)


def examples(loads: Sequence[Load], history_s: int, horizon_s: float, step_s: int) -> Examples:
    """One in every `step_s` seconds of each load. ValueError when no load is long enough."""
    found = [_of(load, history_s, ceil(horizon_s), step_s) for load in loads if len(load.counts) >= history_s + ceil(horizon_s)]
    if not any(len(one) for one in found):
        raise ValueError(f"no load holds {history_s + ceil(horizon_s)} s with events in them; give a longer one")
    return Examples(*(np.concatenate([getattr(one, name) for one in found]) for name in Examples.__slots__))


def _of(load: Load, history_s: int, horizon_s: int, step_s: int) -> Examples:
    counts = np.asarray(load.counts, float)
    spans = np.lib.stride_tricks.sliding_window_view(counts, history_s + horizon_s)[::step_s]  # (n, history + horizon), a view
    scale = spans[:, max(0, history_s - SCALE_S) : history_s].max(axis=1)
    kept = np.flatnonzero(scale > 0)
    now_s = load.start_s + history_s + step_s * kept
    return Examples(spans[kept, :history_s], now_s, spans[kept, history_s:].max(axis=1), scale[kept])
