"""Evidence that a new version is worse than the old one, from what both did at the same time.

    errors    k of n rows failed at the new, K of N at both: P(X >= k), X hypergeometric (Fisher's exact test, one-sided)
    latency   q = the old one's 99th percentile; k of the new one's n answers took longer than LATENCY_FACTOR q:
              P(X >= k), X binomial (n, 0.01), the most there would be if its own 99th percentile were there.
              One answer is what the rows of a request got together: rows of a batch wait alike and are no samples of their own
    accuracy  e of n labelled rows wrong at the new, E of N at the old: normal test of e/n - E/N > ACCURACY_MARGIN,
              each share with one wrong and one right row added (Agresti and Caffo 2000)

Looks. Each kind is looked at when its sample is as large as MIN_..., then twice that, four times and so on, and the k-th look rejects
below ALPHA / 3 / 2^k. So over all looks and kinds a version that is as good is turned down with a probability below ALPHA (Bonferroni).
The latency test takes the old one's percentile as known; LATENCY_FACTOR is the room for that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import erfc, exp, lgamma, log, sqrt

import numpy as np
from numpy.typing import NDArray

ALPHA = 0.001
MIN_ROWS = 100
MIN_PARTS = 200
MIN_LABELS = 50
LATENCY_FACTOR = 1.5
ACCURACY_MARGIN = 0.01
TERMS_MAX = 100_000  # of a tail's sum


@dataclass(frozen=True, slots=True)
class Served:
    """What one version did. parts: answers by their latency's bin (operators.telemetry.Histogram), None where latency says nothing."""

    rows: int = 0
    failed: int = 0
    parts: NDArray[np.int64] | None = None
    labelled: int = 0
    right: int = 0

    def since(self, before: Served) -> Served:
        parts = self.parts if self.parts is None or before.parts is None else self.parts - before.parts
        return Served(self.rows - before.rows, self.failed - before.failed, parts, self.labelled - before.labelled, self.right - before.right)


def all_of(served: Sequence[Served]) -> Served:
    """What one version did at several stages; latencies are the first one's, those of several are no one sample."""
    rows, failed, labelled, right = (sum(getattr(one, name) for one in served) for name in ("rows", "failed", "labelled", "right"))
    return Served(rows, failed, served[0].parts, labelled, right)


@dataclass(slots=True)
class Looks:
    """When there is enough to look at, and how unlikely the least must be."""

    at: int
    taken: int = 0

    def level(self, sample: int) -> float | None:
        """None: not yet."""
        if sample < self.at:
            return None
        self.taken += 1
        self.at = 2 * sample
        return ALPHA / 3 / 2**self.taken


class Judge:
    """bin_ratio: of neighbouring bounds of the histograms' bins."""

    def __init__(self, bin_ratio: float) -> None:
        self._bin_ratio = bin_ratio
        self._errors, self._latency, self._accuracy = Looks(MIN_ROWS), Looks(MIN_PARTS), Looks(MIN_LABELS)

    def objection(self, new: Served, old: Served) -> str | None:
        """Why the new version is worse; None while nothing says so."""
        return self._of_errors(new, old) or self._of_latency(new, old) or self._of_accuracy(new, old)

    def _of_errors(self, new: Served, old: Served) -> str | None:
        level = self._errors.level(new.rows)
        if level is None or more_often(new.failed, new.rows, old.failed, old.rows) >= level:
            return None
        return f"errors: {new.failed} of {new.rows} rows failed, {old.failed} of {old.rows} at the old version"

    def _of_latency(self, new: Served, old: Served) -> str | None:
        if new.parts is None or old.parts is None or old.parts.sum() < MIN_PARTS:
            return None
        count = int(new.parts.sum())
        level = self._latency.level(count)
        if level is None:
            return None
        p99 = int(np.searchsorted(np.cumsum(old.parts), 0.99 * old.parts.sum()))
        bound = p99 + 1 + round(log(LATENCY_FACTOR) / log(self._bin_ratio))
        beyond = int(new.parts[bound:].sum())
        if at_least(beyond, count, 0.01) >= level:
            return None
        return f"latency: {beyond} of {count} answers took more than {LATENCY_FACTOR} times the old version's 99th percentile"

    def _of_accuracy(self, new: Served, old: Served) -> str | None:
        if old.labelled < MIN_LABELS:
            return None
        level = self._accuracy.level(new.labelled)
        if level is None or less_right(new.right, new.labelled, old.right, old.labelled) >= level:
            return None
        return f"accuracy: {new.right} of {new.labelled} labelled rows right, {old.right} of {old.labelled} at the old version"


def more_often(bad: int, of: int, bad_old: int, of_old: int) -> float:
    """Chance of so many of the bad rows among the new one's, were they spread over both by chance."""
    bad_all, rows = bad + bad_old, of + of_old
    if not bad:
        return 1.0
    first = _choose(bad_all, bad) + _choose(rows - bad_all, of - bad) - _choose(rows, of)
    k = np.arange(bad, min(bad + TERMS_MAX, bad_all, of), dtype=np.float64)
    ratios = (bad_all - k) * (of - k) / ((k + 1) * (rows - bad_all - of + k + 1))
    return _tail(first, ratios)


def at_least(count: int, of: int, share: float) -> float:
    """Chance of so many or more of `of`, each with the chance `share`."""
    if not count:
        return 1.0
    first = _choose(of, count) + count * log(share) + (of - count) * log(1 - share)
    k = np.arange(count, min(count + TERMS_MAX, of), dtype=np.float64)
    return _tail(first, (of - k) / (k + 1) * share / (1 - share))


def less_right(right: int, of: int, right_old: int, of_old: int) -> float:
    """Chance of such a difference in the share of right answers, were the new one's less by no more than ACCURACY_MARGIN."""
    share, share_old = (right + 1) / (of + 2), (right_old + 1) / (of_old + 2)
    deviation = sqrt(share * (1 - share) / (of + 2) + share_old * (1 - share_old) / (of_old + 2))
    return 0.5 * erfc((share_old - share - ACCURACY_MARGIN) / deviation / sqrt(2))


def _choose(n: int, k: int) -> float:
    """Logarithm of n over k."""
    return lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1)


def _tail(first: float, ratios: NDArray[np.float64]) -> float:
    """The first term, by its logarithm, and those that follow, each by its ratio to the one before."""
    with np.errstate(divide="ignore"):
        terms = np.exp(first + np.cumsum(np.log(ratios)))
    return min(1.0, exp(first) + float(terms.sum()))
