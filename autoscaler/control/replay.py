"""History decided again: what another policy, or this one in another version, would have answered to the states that were recorded.

Open loop: each state is as it was, so what the other would have changed by then it does not see. Where both answer the same for long, they
are alike; from the first difference on it is what the other says to somebody else's stage. `sluice simulate` closes the loop.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from autoscaler.control.arrivals import Arrivals
from autoscaler.control.decider import Decider
from autoscaler.control.records import Recorded, states
from autoscaler.policies.policy import Policy, Target


@dataclass(frozen=True, slots=True)
class Again:
    """then: what was decided. now: what the other policy decides. A stage without a target stays as it runs."""

    recorded: Recorded
    now: dict[str, Target]
    reason: str

    @property
    def is_same(self) -> bool:
        return all(self.wanted(name, dict(self.recorded.targets)) == self.wanted(name, self.now) for name in self.recorded.state.stages)

    def wanted(self, stage: str, targets: dict[str, Target]) -> tuple[object, ...]:
        """What the stage is to run: the target's, or what it runs."""
        found = targets.get(stage)
        if found is not None:
            return tuple(sorted((share.option.variant, share.option.units, share.option.batch, share.replicas) for share in found.shares))
        pools = self.recorded.state.stages[stage].pools
        return tuple(sorted((pool.option.variant, pool.option.units, pool.option.batch, pool.replicas) for pool in pools if pool.replicas))


def replay(records: Iterable[Recorded], policy: Policy) -> Iterator[Again]:
    """In the order of the records, which are of one pipeline and oldest first. The forecasts are those of the time."""
    decider = Decider(policy)
    for one in states(records):
        if one.stall_s is not None:
            decider.stalled(one.stall_s)
        if one.policy == policy.name or decider.is_due(one.state.now_s):
            decided = decider.again(one.state, one.forecast)
            yield Again(one, dict(decided.decision.targets), decided.decision.reason)


def restore(records: Iterable[Recorded], decider: Decider, arrivals: Arrivals) -> None:
    """Makes both what they were after those records of the decider's own policy."""
    for one in states(records, arrivals):
        if one.stall_s is not None:
            decider.stalled(one.stall_s)
        decider.again(one.state, one.forecast)
        arrivals.resume(one.ends)
