"""Which of many labels no other beats in every component.

Components are minimised. They are compared after rounding to 2^-40 of the largest magnitude in the component, so that sums which differ
only by the order of their terms count as equal; of equals the first in order stays. Inf is allowed.

Labels are gone through in lexicographic order, 512 at a time: a block is first held against what was kept before (with two values beside
the ticks by looking up a staircase, O(log kept) each; otherwise by comparing with all), then against itself, 64 labels first, then what is
left of them. A block that is all there is has nothing before it.
"""

from __future__ import annotations

import numpy as np

BLOCK = 512
OWN = 64
"""Labels that are compared with each other at a time, before those that stay are with the rest of their block."""
EARLIER = np.triu(np.ones((BLOCK, BLOCK), dtype=bool), 1)
DIGITS = 2.0 ** 40


def nondominated(ticks: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Indices of the labels that stay, in lexicographic order. ticks: shape (labels,); values: shape (labels, components)."""
    if len(ticks) == 0:
        return np.zeros(0, dtype=np.int64)
    keys = np.column_stack([ticks.astype(float), *(_rounded(column) for column in values.T)])
    order = np.lexsort(keys.T[::-1])
    keys = keys[order]
    if keys.shape[1] == 2:
        return order[_falling(keys[:, 1])]
    if len(keys) <= BLOCK:
        return order[_own(keys)]
    kept: list[np.ndarray] = []
    seen = _Staircase() if keys.shape[1] == 3 else _All(keys.shape[1])
    for start in range(0, len(keys), BLOCK):
        block = np.arange(start, min(start + BLOCK, len(keys)))
        block = block[~seen.beats(keys[block])]
        block = block[_own(keys[block])]
        seen.add(keys[block])
        kept.append(block)
    return order[np.concatenate(kept)]


def _rounded(column: np.ndarray) -> np.ndarray:
    finite = column[np.isfinite(column)]
    scale = np.abs(finite).max() if len(finite) else 0.0
    return np.rint(column * (DIGITS / scale)) if scale > 0 else column


def _falling(prices: np.ndarray) -> np.ndarray:
    before = np.concatenate([[np.inf], np.minimum.accumulate(prices)[:-1]])
    stays = prices < before
    stays[0] = True
    return np.flatnonzero(stays)


def _own(keys: np.ndarray) -> np.ndarray:
    """Of a block in lexicographic order; an earlier label that is no worse beats a later one."""
    if len(keys) > 2 * OWN:
        near = np.concatenate([start + _own(keys[start : start + OWN]) for start in range(0, len(keys), OWN)])
        return near[_unbeaten(keys[near])]
    return _unbeaten(keys)


def _unbeaten(keys: np.ndarray) -> np.ndarray:
    beaten = EARLIER[: len(keys), : len(keys)].copy()
    for column in keys.T[1:]:  # by the first they are sorted
        beaten &= column[:, None] <= column[None, :]
    return np.flatnonzero(~beaten.any(axis=0))


class _Staircase:
    """What is kept, of labels with two values, all with ticks no later than those to come: first values rising, second falling."""

    def __init__(self) -> None:
        self.first, self.second = np.zeros(0), np.zeros(0)

    def beats(self, keys: np.ndarray) -> np.ndarray:
        place = np.searchsorted(self.first, keys[:, 1], side="right")
        return np.concatenate([[np.inf], self.second])[place] <= np.where(np.isinf(keys[:, 2]) & (place == 0), -np.inf, keys[:, 2])

    def add(self, keys: np.ndarray) -> None:
        first, second = np.concatenate([self.first, keys[:, 1]]), np.concatenate([self.second, keys[:, 2]])
        order = np.lexsort((second, first))
        first, second = first[order], second[order]
        stays = _falling(second)
        self.first, self.second = first[stays], second[stays]


class _All:
    def __init__(self, columns: int) -> None:
        self.keys = np.zeros((0, columns))

    def beats(self, keys: np.ndarray) -> np.ndarray:
        beaten = np.zeros(len(keys), dtype=bool)
        for start in range(0, len(self.keys), BLOCK):
            no_worse = np.ones((len(self.keys[start:start + BLOCK]), len(keys)), dtype=bool)
            for mine, theirs in zip(self.keys[start:start + BLOCK].T[1:], keys.T[1:], strict=True):
                no_worse &= mine[:, None] <= theirs[None, :]
            beaten |= no_worse.any(axis=0)
        return beaten

    def add(self, keys: np.ndarray) -> None:
        self.keys = np.concatenate([self.keys, keys])
