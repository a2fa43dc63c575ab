"""What a policy asks for, brought within what there is: replicas between least and most, and no more of any device than there are.

Cut first what is asked for beyond what runs, and there the stage that keeps the greatest share of its wish; then, as long as it is still
too much, what runs, in the same way; then, with every stage at its least, the widest replicas take a narrower option of the same variant
and batch. Deterministic: of equals the first stage goes without.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from autoscaler.planner.model import Problem, Share, StageModel

NEAR = 1e-9

Shares = dict[str, tuple[Share, ...]]


def within(problem: Problem, wanted: Mapping[str, tuple[Share, ...]], runs: Mapping[str, tuple[Share, ...]]) -> Shares:
    """The wish of every stage, cut. runs: what runs, by stage; a stage without a wish keeps what runs."""
    wish = {stage.name: _clamped(stage, wanted.get(stage.name) or runs.get(stage.name, ())) for stage in problem.stages}
    now = {name: sum(share.replicas for share in shares) for name, shares in runs.items()}
    granted = dict(wish)
    while over := exceeded(problem, granted):
        names = [name for name in granted if _uses(granted[name], over)]
        above = [name for name in names if _can_shrink(problem.stage(name), granted[name], over)]
        beyond = [name for name in above if _count(granted[name]) > now.get(name, 0)]
        if above:
            name = max(beyond or above, key=lambda name: _count(granted[name]) / max(1, _count(wish[name])))
            granted[name] = _one_less(problem.stage(name), granted[name], over)
            continue
        narrower = {name: shares for name in names if (shares := _narrower(problem.stage(name), granted[name], over)) is not None}
        if not narrower:
            break
        name = max(narrower, key=lambda name: max(share.option.units for share in granted[name]))
        granted[name] = narrower[name]
    return granted


def exceeded(problem: Problem, shares: Mapping[str, tuple[Share, ...]]) -> str | None:
    """The first kind of device of which these use more than there is."""
    for kind, there_is in problem.devices.items():
        used = sum(share.replicas * share.option.uses().get(kind, 0.0) for of_stage in shares.values() for share in of_stage)
        if used > there_is + NEAR:
            return kind
    return None


def no_room(problem: Problem, shares: Mapping[str, tuple[Share, ...]]) -> bool:
    """Whether these are more than the devices hold, or some stage's more than its most; for sizes of one variant side by side."""
    return exceeded(problem, shares) is not None or any(_count(of_stage) > problem.stage(name).most for name, of_stage in shares.items())


def _clamped(stage: StageModel, shares: tuple[Share, ...]) -> tuple[Share, ...]:
    return tuple(replace(share, replicas=min(max(share.replicas, stage.least), stage.most)) for share in shares)


def _count(shares: tuple[Share, ...]) -> int:
    return sum(share.replicas for share in shares)


def _uses(shares: tuple[Share, ...], kind: str) -> bool:
    return any(share.replicas and share.option.uses().get(kind) for share in shares)


def _can_shrink(stage: StageModel, shares: tuple[Share, ...], kind: str) -> bool:
    return any(share.replicas > stage.least and share.option.uses().get(kind) for share in shares)


def _one_less(stage: StageModel, shares: tuple[Share, ...], kind: str) -> tuple[Share, ...]:
    """Taken from the variant with most replicas on that kind."""
    candidates = [share for share in shares if share.replicas > stage.least and share.option.uses().get(kind)]
    most = max(candidates, key=lambda share: share.replicas)
    return tuple(replace(share, replicas=share.replicas - 1) if share is most else share for share in shares)


def _narrower(stage: StageModel, shares: tuple[Share, ...], kind: str) -> tuple[Share, ...] | None:
    """The widest share on the next smaller option of its variant, batch and device; None when there is none."""
    for share in sorted(shares, key=lambda share: -share.option.units):
        smaller = [option for option in stage.options
                   if (option.variant, option.batch, option.device) == (share.option.variant, share.option.batch, share.option.device)
                   and option.uses().get(kind, 0.0) < share.option.uses().get(kind, 0.0)]
        if smaller:
            option = max(smaller, key=lambda option: option.units)
            return tuple(replace(other, option=option) if other is share else other for other in shares)
    return None
