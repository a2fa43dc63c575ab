"""Between what a policy says, shares of measured options, and what the service has, lanes with a batch, cores and replicas of each variant.

    seen     a lane as the option of its variant that is nearest: in cores, then the largest batch that is not larger, else the smallest
    order    shares as the setting of a stage. Several sizes of one variant are one lane: replicas together, cores and batch of the largest,
             until the policy asks for one size only
    loose    the batch of an order is a bound, and the service itself batches no more rows than the load needs. Where the caller says so, the
             bound is the largest measured batch of that size that takes at most half of the stage's share of the SLO, so that a jump is met
             before anybody decides anything; never less than the policy's
    shown    a lane that has the order's numbers is shown as the shares that it stands for, the large ones ready first
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from autoscaler.planner.catalogue import SHARE_OF_BATCH
from autoscaler.planner.model import Option, Share, StageModel
from autoscaler.policies.policy import Pool
from autoscaler.telemetry import Lane

NEAR = 1e-6


@dataclass(frozen=True, slots=True)
class LaneOrder:
    """What one variant is to have. share: of the rows, 0..1."""

    variant: str
    batch: int
    cores: float
    replicas: int
    share: float = 1.0

    def is_met_by(self, lane: Lane) -> bool:
        return (self.variant, self.batch, self.cores, self.replicas) == (lane.variant, lane.batch, lane.cores, lane.replicas)


Order = tuple[LaneOrder, ...]


def order(stage: StageModel, shares: Sequence[Share], loose_ms: float | None = None) -> Order:
    """One lane for each variant. loose_ms: how long a batch may take where the bound is loose; None = the policy's own batch."""
    found = []
    for variant in dict.fromkeys(share.option.variant for share in shares if share.replicas):
        own = [share for share in shares if share.option.variant == variant and share.replicas]
        largest = max(own, key=lambda share: share.option.units).option
        batch = largest.batch if loose_ms is None else _loose(stage, largest, loose_ms)
        units = int(largest.units) if largest.units == int(largest.units) else largest.units
        found.append(LaneOrder(variant, batch, units, sum(share.replicas for share in own), sum(share.share for share in own)))
    return tuple(found)


def loose_ms(slo_ms: float, deadline_share: float) -> float:
    """deadline_share: the stage's part of the SLO, 0..1."""
    return slo_ms * deadline_share * SHARE_OF_BATCH


def _loose(stage: StageModel, option: Option, limit_ms: float) -> int:
    alike = [other.batch for other in stage.options
             if (other.variant, other.device, other.units) == (option.variant, option.device, option.units) and other.latency_ms <= limit_ms]
    return max([option.batch, *alike])


def standing(lanes: Iterable[Lane]) -> Order:
    """What the wanted lanes have, with their shares of 1."""
    wanted = [lane for lane in lanes if lane.is_wanted]
    whole = sum(lane.share for lane in wanted)
    return tuple(LaneOrder(lane.variant, lane.batch, lane.cores, lane.replicas, lane.share / whole if whole else 1 / len(wanted)) for lane in wanted)


def pools(stage: StageModel, lanes: Iterable[Lane], shares: Sequence[Share] = (), asked: Order = ()) -> tuple[Pool, ...]:
    """What runs, in the stage's options. shares, asked: what a policy wanted last, and what that was as an order. Lanes of variants that the
    stage's options do not have are left out."""
    found: list[Pool] = []
    orders = {each.variant: each for each in asked}
    here = list(lanes)
    whole = sum(lane.share for lane in here if lane.is_wanted) or 1.0
    for lane in here:
        if not lane.is_wanted:
            continue
        own = [share for share in shares if share.option.variant == lane.variant and share.replicas]
        if own and lane.variant in orders and orders[lane.variant].is_met_by(lane):
            found += _spread(own, lane.ready, lane.share / whole)
        elif (option := nearest(stage, lane)) is not None:
            found.append(Pool(option, min(lane.ready, lane.replicas), max(0, lane.replicas - lane.ready), lane.share / whole))
    return tuple(found)


def _spread(own: Sequence[Share], ready: int, of_rows: float) -> list[Pool]:
    """The ready replicas to the largest size first: it ran before."""
    left, taken = ready, dict[int, int]()
    for place in sorted(range(len(own)), key=lambda place: -own[place].option.units):
        taken[place] = min(left, own[place].replicas)
        left -= taken[place]
    together = sum(share.share for share in own) or 1.0
    return [Pool(share.option, taken[place], share.replicas - taken[place], of_rows * share.share / together) for place, share in enumerate(own)]


def nearest(stage: StageModel, lane: Lane) -> Option | None:
    own = [option for option in stage.options if option.variant == lane.variant]
    if not own:
        return None
    units = min((option.units for option in own), key=lambda units: (abs(units - lane.cores), units))
    fitting = sorted((option for option in own if option.units == units), key=lambda option: option.batch)
    return next((option for option in reversed(fitting) if option.batch <= lane.batch), fitting[0])


def same(one: Order, other: Order) -> bool:
    """Whether both ask for the same lanes, in any order."""
    def key(orders: Order) -> Mapping[str, LaneOrder]:
        return {each.variant: each for each in orders}

    mine, theirs = key(one), key(other)
    return mine.keys() == theirs.keys() and all(
        replace(mine[name], share=0.0) == replace(theirs[name], share=0.0) and abs(mine[name].share - theirs[name].share) <= NEAR for name in mine)
