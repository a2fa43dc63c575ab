"""In which form a key's state is kept, and who reads which, so that an operator may keep something else from one version to the next.

    state    of version 1: as it is;  of a later one: MARK | version u16 | as it is       little-endian

The version is of what is kept, not of the code or the model. An operator that keeps something else than before says a new one, and how it
reads the older ones (operators/stateful.py, operators/state_author.py). Version 1 goes without a mark: so operators write that say nothing of
versions. A state of version 1 that happens to begin like a mark gets one, so that none is taken for another.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from struct import Struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from operators.turns import Turns, gathered, state_rows

MARK = b"\xf5state"  # 0xf5 is in no text
HEAD = Struct("<6sH")
VERSION_MAX = (1 << 16) - 1

_MARK = np.uint64(int.from_bytes(MARK, "little"))
_MARK_BITS = np.uint64((1 << 48) - 1)
_VERSION_AT = np.uint64(48)


@dataclass(frozen=True, slots=True)
class StateFormat:
    """writes: version of the states that an operator makes, 1..VERSION_MAX. reads: those that it takes, its own among them."""

    writes: int = 1
    reads: frozenset[int] = frozenset({1})

    def __post_init__(self) -> None:
        for version in (self.writes, *self.reads):
            if isinstance(version, bool) or not isinstance(version, int) or not 1 <= version <= VERSION_MAX:
                raise ValueError(f"the version of a state is {version!r}; use a whole number from 1 to {VERSION_MAX}")
        if self.writes not in self.reads:
            raise ValueError(f"states of {numbers([self.writes])} are written but not read")

    def said(self) -> dict[str, Any]:
        """As it travels between processes."""
        return {"writes": self.writes, "reads": sorted(self.reads)}

    @classmethod
    def of(cls, said: Mapping[str, Any]) -> StateFormat:
        return cls(said["writes"], frozenset(said["reads"]))


def numbers(versions: Collection[int]) -> str:
    """For people: `version 1`, `versions 1 and 3`."""
    *most, last = map(str, sorted(versions))
    return f"versions {', '.join(most)} and {last}" if most else f"version {last}"


def marked(states: Sequence[bytes] | NDArray[Any], version: int) -> Sequence[bytes] | NDArray[Any]:
    """States as they are kept, from those that an operator of this version made. b"" stays b""."""
    if version == 1 and not _begins_marked(states):
        return states
    head = HEAD.pack(MARK, version)
    return [head + state if state and (version != 1 or state.startswith(MARK)) else state for state in state_rows(states)]


def unmarked(state: bytes) -> tuple[int, bytes]:
    """(version, what the operator made) of one state."""
    if len(state) < HEAD.size or not state.startswith(MARK):
        return 1, state
    return HEAD.unpack_from(state)[1], state[HEAD.size :]


def without_marks(turns: Turns, own: int) -> tuple[Turns, NDArray[np.int64]]:
    """(the turns with states as operators made them, version of each state, shape (K,)); where nothing is kept the version is `own`."""
    versions = np.where(turns.state_bytes > 0, 1, own)
    long = np.flatnonzero(turns.state_bytes >= HEAD.size)
    heads = gathered(turns.blob, turns.state_at[long], np.dtype("<u8"))
    has_mark = (heads & _MARK_BITS) == _MARK
    if not has_mark.any():
        return turns, versions
    keys = long[has_mark]
    versions[keys] = (heads[has_mark] >> _VERSION_AT).astype(np.int64)
    state_at, state_bytes = turns.state_at.copy(), turns.state_bytes.copy()
    state_at[keys] += HEAD.size
    state_bytes[keys] -= HEAD.size
    return replace(turns, state_at=state_at, state_bytes=state_bytes), versions


def with_states(turns: Turns, states: Mapping[int, bytes]) -> Turns:
    """The turns with other states of these keys, by index."""
    state_at, state_bytes = turns.state_at.copy(), turns.state_bytes.copy()
    at = len(turns.blob)
    for key, state in states.items():
        state_at[key], state_bytes[key] = at, len(state)
        at += len(state)
    return replace(turns, blob=b"".join((turns.blob, *states.values())), state_at=state_at, state_bytes=state_bytes)


def _begins_marked(states: Sequence[bytes] | NDArray[Any]) -> bool:
    """Whether any of them begins like a mark."""
    if not isinstance(states, np.ndarray):
        return any(state.startswith(MARK) for state in states)
    size = states.dtype.itemsize
    if not len(states) or size < len(MARK):
        return False
    table = np.frombuffer(states.tobytes(), np.uint8).reshape(len(states), size)
    return bool((table[:, : len(MARK)] == np.frombuffer(MARK, np.uint8)).all(axis=1).any())
