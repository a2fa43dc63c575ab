"""Whole traces, events in each second, and the days of the Twitter trace that may be used for what.

    days 1-12 train, 13-14 choose, the rest only reports: all papers' windows lie there
    NASA      seen in 60 s to a second: a minute's requests come in one second, 41 on average (0.7 as they are, too few to forecast)
    Azure     requests of the conversation trace by the second in which they came
"""

from __future__ import annotations

import csv
import functools
import tarfile
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from bench.published import data_file

Counts = NDArray[np.float64]

DAY_S = 86400
TRAINING = slice(0, 12 * DAY_S)
CHOOSING = slice(12 * DAY_S, 14 * DAY_S)
REPORT_S = 14 * DAY_S
"""First second of the days that report."""
PAPERS_S = ((1299600, 1302360), (1308600, 1309200), (1768800, 1769400))
"""Seconds of the Twitter trace that a paper evaluated on: IPA's, Themis' and InfAdapter's windows."""
NASA_S = 60


@functools.cache
def twitter() -> Counts:
    """21.98 days of August 2021, the first second at a midnight."""
    return _packed("twitter_2021_08")


@functools.cache
def nasa() -> Counts:
    """58.6 days, a minute in a second."""
    counts = _packed("nasa")
    return counts[: len(counts) // NASA_S * NASA_S].reshape(-1, NASA_S).sum(axis=1)


@functools.cache
def azure() -> Counts:
    """An hour of LLM requests, from the second of the first on."""
    with data_file("azure", "AzureLLMInferenceTrace_conv.csv").open(encoding="utf-8", newline="") as lines:
        stamps = [datetime.fromisoformat(row["TIMESTAMP"][:26]) for row in csv.DictReader(lines)]
    first = stamps[0].replace(microsecond=0)
    return np.bincount([int((stamp - first).total_seconds()) for stamp in stamps]).astype(float)


def random_windows(seed: int, count: int = 5, seconds: int = 1200) -> list[int]:
    """First seconds of that many windows of the Twitter trace's days that report: apart from each other and from the papers', with events in
    all their minutes."""
    random, counts, found = np.random.default_rng(seed), twitter(), []
    while len(found) < count:
        begins = int(random.integers(REPORT_S, len(counts) - seconds))
        taken = [*PAPERS_S, *((other, other + seconds) for other in found)]
        apart = all(begins + seconds <= first or begins >= last for first, last in taken)
        if apart and counts[begins : begins + seconds].reshape(-1, 60).sum(axis=1).all():
            found.append(begins)
    return found


def _packed(folder: str) -> Counts:
    """The one file of numbers in <folder>/workload.tbz2."""
    with tarfile.open(data_file(folder, "workload.tbz2"), "r:bz2") as archive:
        packed = archive.extractfile("workload.txt")
        assert packed is not None
        return np.array(packed.read().split(), float)
