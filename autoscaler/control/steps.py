"""From what a stage has to what it shall have: the calls of the service's interface, in the order in which they are made.

    in place   batch and cores of replicas that run: at once, nothing loads                                        first
    replicas   more or fewer of them                                                                                then
    variants   other lanes, or other shares: one call, the service loads the new beside the old
    growth     of every stage before anything shrinks anywhere: what fails half-way leaves too much, not too little

Source: Themis, section 3 (arXiv 2407.14843): in place while the load grows, replicas once it is stable; when is the policy's affair.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from autoscaler.control.lanes import LaneOrder, Order, same


class Turn(IntEnum):
    """When a call is made."""

    GROW_IN_PLACE = 0
    GROW = 1
    SHRINK_IN_PLACE = 2
    SHRINK = 3


@dataclass(frozen=True, slots=True)
class Step:
    """body: of `PATCH /sluice/v1/stages/{stage}`."""

    stage: str
    turn: Turn
    body: Mapping[str, Any]

    @property
    def is_in_place(self) -> bool:
        return self.turn in (Turn.GROW_IN_PLACE, Turn.SHRINK_IN_PLACE)


def steps(has: Mapping[str, Order], wanted: Mapping[str, Order]) -> list[Step]:
    """By stage. A stage of which nothing is known to run is left alone."""
    found = [step for stage, order in wanted.items() if has.get(stage) and order for step in _of_stage(stage, has[stage], order)]
    return sorted(found, key=lambda step: step.turn)


def _of_stage(stage: str, has: Order, wanted: Order) -> list[Step]:
    if same(has, wanted):
        return []
    if len(has) == len(wanted) == 1 and has[0].variant == wanted[0].variant:
        return _of_lane(stage, has[0], wanted[0])
    return [Step(stage, Turn.GROW, {"variants": body(wanted)})]


def _of_lane(stage: str, has: LaneOrder, wanted: LaneOrder) -> list[Step]:
    found = []
    in_place = {name: getattr(wanted, name) for name in ("batch", "cores") if getattr(wanted, name) != getattr(has, name)}
    if in_place:
        shrinks = wanted.cores < has.cores or (wanted.cores == has.cores and wanted.batch < has.batch)
        found.append(Step(stage, Turn.SHRINK_IN_PLACE if shrinks else Turn.GROW_IN_PLACE, in_place))
    if wanted.replicas != has.replicas:
        found.append(Step(stage, Turn.GROW if wanted.replicas > has.replicas else Turn.SHRINK, {"replicas": wanted.replicas}))
    return found


def body(order: Order) -> dict[str, dict[str, Any]]:
    """The value of `variants` in a setting."""
    return {lane.variant: {"share": round(min(1.0, lane.share), 6), "replicas": lane.replicas, "batch": lane.batch, "cores": lane.cores} for lane in order}
