"""The papers' own predictor as their reproductions run it: trained on days 1-12 of the Twitter trace, its epoch chosen on days 13-14.

All papers' windows lie behind these days. The weights are made anew for each study, in seconds, with a fixed seed.
"""

from __future__ import annotations

import functools

from autoscaler.forecast.examples import Load
from autoscaler.forecast.lstm import Lstm, Shape
from bench.published.traces import CHOOSING, DAY_S, TRAINING, twitter

SEED = 1


@functools.cache
def predictor(shape: Shape, quick: bool) -> Lstm:
    """quick: one day and two epochs, for a smoke run."""
    from autoscaler.forecast.training import Effort, Slices, train_lstm  # torch, only where a study needs it

    counts = twitter()
    days = 1 if quick else 12
    training = Load(counts[TRAINING][-days * DAY_S :], float(12 - days) * DAY_S)
    effort = Effort(network=2000, epochs=2) if quick else Effort()
    return train_lstm(Slices([training], [Load(counts[CHOOSING], 12.0 * DAY_S)]), shape, SEED, effort)
