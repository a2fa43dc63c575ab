"""How many events of a key fell into the last B slices of time, for the turns of many keys at once.

    a[i]     slice of event i: its time // width of a slice      int64 (N,), key after key, each key's in order of arrival
    n[k]     events of key k                                     int64 (K,), >= 1
    l[k]     newest slice of key k before                        int64 (K,)
    c[k,d]   events of slice l[k] - d so far                     uint32 (K, B)

    m[i]     = max(l, a[j] of the key for j <= i)                the key's now: time that goes back counts as a late event
    r[i]     = sum of c[k,d] with l - d > m[i] - B   +   number of j <= i of the key with a[j] > m[i] - B
    l'[k]    = m at the key's last event
    c'[k,d]  = c[k, d - (l' - l)]   +   number of the key's events with a[j] = l' - d

Where a key's time never goes back, m = a and the second part of r is a difference of positions, found by one search in all keys' slices, each key's
lifted above those of the key before. Keys whose time does go back are counted event by event. O(N log N + K B).

Exact in slices: a window of B slices covers between B - 1 and B slices' widths of time.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def state_type(slices: int) -> np.dtype[Any]:
    """Of one key: total of events, newest slice, events of the newest slice, of the one before, and so on; fewer slices, smaller states."""
    return np.dtype([("total", "<u8"), ("newest", "<i8"), ("counts", "<u4", (slices,))])


def slide(
    states: NDArray[Any], kept: NDArray[np.bool_], counts: NDArray[np.int64], at: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(events of its key in the last slices, events of its key in all) as of each event, shape (N,); `states` (K,) become the new ones.

    kept: keys that had a state before; counts: n; at: a.
    """
    if not len(at):
        return np.empty(0, np.int64), np.empty(0, np.int64)
    key, first = np.repeat(np.arange(len(counts)), counts), np.cumsum(counts) - counts
    last = first + counts - 1
    states["newest"][~kept] = at[first][~kept]
    total = states["total"][key].astype(np.int64) + np.arange(len(at)) - first[key] + 1
    states["total"] += counts.astype(np.uint64)
    back = np.zeros(len(at), bool)
    back[1:] = (at[1:] < at[:-1]) & (key[1:] == key[:-1])
    goes_back = at[first] < states["newest"]
    goes_back[key[back]] = True
    recent = np.empty(len(at), np.int64)
    for k in np.flatnonzero(goes_back).tolist():
        recent[first[k] : last[k] + 1] = _one_by_one(states[k], at[first[k] : last[k] + 1])
    forward = ~goes_back[key]
    if forward.all():
        recent = _all_at_once(states, at, key, first, last)
    elif forward.any():
        chosen = np.flatnonzero(~goes_back)
        part = states[chosen]
        ends = np.cumsum(counts[chosen])
        recent[forward] = _all_at_once(part, at[forward], np.repeat(np.arange(len(chosen)), counts[chosen]), ends - counts[chosen], ends - 1)
        states[chosen] = part
    return recent, total


def _all_at_once(
    states: NDArray[Any], at: NDArray[np.int64], key: NDArray[np.int64], first: NDArray[np.int64], last: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Keys whose time does not go back."""
    counts, newest = states["counts"], states["newest"].copy()
    slices = counts.shape[1]
    # of this turn: positions apart, where a step of a window or more counts as one window
    steps = np.zeros(len(at), np.int64)
    steps[1:] = np.where(key[1:] == key[:-1], np.minimum(at[1:] - at[:-1], slices), 0)
    reached = np.cumsum(steps)
    reached -= reached[first][key]
    lifted = reached + key * (int(reached.max()) + slices + 1)
    here = np.arange(len(at)) - np.searchsorted(lifted, lifted - slices, "right") + 1
    # of the turns before: the slices that are still in the window
    shift = at - newest[key]
    upto = np.cumsum(counts, axis=1, dtype=np.int64)  # (K, B): events of the newest d + 1 slices
    left = slices - 1 - np.minimum(shift, slices)  # index of the oldest slice still inside, -1 = none is
    before = np.where(left >= 0, upto[key, np.maximum(left, 0)], 0)
    # the new states
    moved = at[last] - newest
    source = np.arange(slices) - np.minimum(moved, slices)[:, None]  # (K, B): where a slice stood
    old = np.where(source >= 0, np.take_along_axis(counts, np.maximum(source, 0), axis=1), 0)
    age = at[last][key] - at
    inside = age < slices
    new = np.bincount(key[inside] * slices + age[inside], minlength=counts.size).reshape(counts.shape)
    states["counts"] = old + new
    states["newest"] = at[last]
    return here + before


def _one_by_one(state: Any, at: NDArray[np.int64]) -> list[int]:
    """One key, event by event; the state is changed in place."""
    counts = state["counts"].tolist()
    newest, slices, recent = int(state["newest"]), len(counts), []
    for now in at.tolist():
        if now > newest:
            moved = min(now - newest, slices)
            counts = [0] * moved + counts[: slices - moved]
            newest = now
        if newest - now < slices:
            counts[newest - now] += 1
        recent.append(sum(counts))
    state["counts"], state["newest"] = counts, newest
    return recent
