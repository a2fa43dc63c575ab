"""What it costs to go from the running plan to another, in the unit of cost, so that a change must be worth its price.

    n, n'    replicas of a variant that run, that are planned        c    cost of a replica (the planned option's)
    H        s that the next plan is expected to stay                T    s that a replica of it starts and loads

    new      n' - n replicas more are paid while they start and serve nothing:           (n' - n) * c * (cold start + load(variant)) / H
    gone     n - n' replicas fewer, of which a share r is wanted again within H:         (n - n') * c * r * (cold start + load(variant)) / H
    resize   replicas that stay and change cores, batch or device slot in place:         min(n, n') * c * resize / H
    stall    where the number of replicas of a stage changes and its proxy in Flink with it, T_r s without output: the replicas are
             paid for nothing, and the rows that came meanwhile, lambda * T_r of them, are worked off afterwards, which takes
             lambda * T_r / h replica-seconds at h rows/s a replica:                     (n' + lambda / h) * c * T_r / H

so a replica-second is priced as the cost of a replica over the horizon, and a scale-out pays only if what it saves over H exceeds it.
A change of device or variant is a new replica; replicas of a variant that goes altogether cost nothing. All terms are per variant, so the
price of a stage is the sum over its variants (`by_variant`), where lambda is the rows/s that the stage's share takes. A variant with as
many replicas as run, with the same option, costs nothing.

Source: Sponge and Themis measure resizes of 20 to 100 ms against cold starts of seconds; the backlog lambda * T_r of a stall is ours
(no paper prices it).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from autoscaler.planner.model import Share


@dataclass(frozen=True, slots=True)
class ChangePrice:
    """running: shares by stage; a stage it does not name runs nothing yet.

    horizon_s     H, > 0
    cold_start_s  from the order of a replica to its process
    load_s        of a model, by variant; 0 where it names none
    resize_s      of a replica in place
    stall_s       T_r; 0 where proxies keep their parallelism
    rates         rows/s of each stage, for the backlog; 0 where it names none
    comes_back    r; 0 = what goes is not missed
    """

    running: Mapping[str, tuple[Share, ...]]
    horizon_s: float
    cold_start_s: float = 0.0
    load_s: Mapping[str, float] = field(default_factory=dict)
    resize_s: float = 0.0
    stall_s: float = 0.0
    rates: Mapping[str, float] = field(default_factory=dict)
    comes_back: float = 0.0

    def __post_init__(self) -> None:
        if self.horizon_s <= 0:
            raise ValueError(f"a horizon of {self.horizon_s} s; use a number above 0")

    @property
    def by_variant(self) -> bool:
        """Whether the price of several variants at once is the sum of theirs."""
        return True

    def price(self, stage: str, shares: tuple[Share, ...]) -> float:
        """In the unit of cost; 0 where nothing changes."""
        running = self.running.get(stage, ())
        if len(shares) == 1 and len(running) == 1:  # most are asked for so, hundreds for a plan
            return self._of(stage, running[0] if running[0].option.variant == shares[0].option.variant else None, shares[0])
        known = {share.option.variant: share for share in running}
        return sum(self._of(stage, known.get(share.option.variant), share) for share in shares)

    def _of(self, stage: str, before: Share | None, after: Share) -> float:
        stays = before.replicas if before is not None and before.option.device == after.option.device else 0
        more = max(0, after.replicas - stays)
        fewer = max(0, stays - after.replicas) * self.comes_back
        busy_s = (more + fewer) * (self.cold_start_s + self.load_s.get(after.option.variant, 0.0))
        if stays and before.option != after.option:
            busy_s += min(stays, after.replicas) * self.resize_s
        if after.replicas != stays:
            busy_s += self.stall_s * (after.replicas + self.rates.get(stage, 0.0) * after.share / after.option.throughput)
        return busy_s * after.option.cost / self.horizon_s
