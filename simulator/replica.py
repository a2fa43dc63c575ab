"""One simulated replica: what it holds, what it runs as, and the batch times that go with that."""

from __future__ import annotations

from dataclasses import dataclass, field

from autoscaler.planner.model import Option
from simulator.cluster import COST, Ask


@dataclass(slots=True, eq=False)
class Replica:
    """option: as it runs. means: mean seconds by rows of its batches, shared with others of the option. ask: for units it waits for.

    to          what its newest resize leads to; None = it was never resized
    in_place    it takes over a replica of another variant, so it only loads
    busy_units  of the batch it runs; 0 = none
    """

    number: int
    option: Option
    means: dict[int, float]
    in_place: bool = False
    ready: bool = False
    gone: bool = False
    ask: Ask | None = None
    held: dict[str, float] = field(default_factory=dict)
    busy_units: float = 0.0
    to: Option | None = None


def holds(option: Option) -> dict[str, float]:
    """Units by kind, and the cost."""
    return {**option.uses(), COST: option.cost}


def beyond(option: Option, held: dict[str, float]) -> dict[str, float]:
    """What the option needs on top of what is held."""
    return {kind: amount - held.get(kind, 0.0) for kind, amount in holds(option).items() if amount > held.get(kind, 0.0)}


def freed(option: Option, held: dict[str, float]) -> dict[str, float]:
    """What the option leaves of what is held."""
    needs = holds(option)
    return {kind: amount - needs.get(kind, 0.0) for kind, amount in held.items() if amount > needs.get(kind, 0.0)}
