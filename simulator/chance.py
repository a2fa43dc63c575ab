"""Chance that belongs to an event and a place, not to the order in which events get there: paired runs draw alike whatever policies do.

    u(event, place) = top 53 bits of mix(event * G + mix(seed * G + place)) / 2^53,  G = 2^64 / golden ratio, mix = the finaliser of splitmix64

Streams for everything else are numpy Generators, one per purpose and stage, from (seed, purpose, stage).

Source: Steele, Lea, Flood: Fast splittable pseudorandom number generators (OOPSLA 2014), the mix of its figure 14 (variant 13 of Stafford).
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_FIRST, _SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)


class Purpose(IntEnum):
    ARRIVALS = 1
    SERVICE = 2
    WAYS = 3
    WIDTHS = 4
    START = 5


def stream(seed: int, purpose: Purpose, stage: int = 0) -> np.random.Generator:
    return np.random.default_rng([seed, purpose, stage])


def uniform(seed: int, purpose: Purpose, stage: int, events: NDArray[np.float64]) -> NDArray[np.float64]:
    """In [0, 1), one per event number; the same for the same numbers."""
    place = _mixed(np.array([seed * 1_000_003 + purpose * 1009 + stage], np.uint64) * _GOLDEN)
    mixed = _mixed(events.astype(np.uint64) * _GOLDEN + place)
    return (mixed >> np.uint64(11)).astype(np.float64) * 2.0**-53


def _mixed(bits: NDArray[np.uint64]) -> NDArray[np.uint64]:
    bits = (bits ^ (bits >> np.uint64(30))) * _FIRST
    bits = (bits ^ (bits >> np.uint64(27))) * _SECOND
    return bits ^ (bits >> np.uint64(31))
