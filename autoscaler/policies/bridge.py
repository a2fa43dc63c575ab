"""What to run while new replicas start: the replicas that are ready carry the load of the moment in another way.

    m            events/s of the moment                                                              (`need.Need.now`)
    ready(v)     replicas of v that serve now
    enough       the wanted options with min(n, ready) replicas carry m in time: no bridge is needed  (needs_bridge)

    bridge       1  the options that run, when they carry m with the ready replicas: create first, resize after (Themis)
                 2  the best plan for m with at most ready(v) replicas of one variant each; of other variants only when a variant loads
                    sooner than a replica starts
                 3  what is left when m cannot be carried so                                          (`shed`)
    replicas     those of the bridge, and as many towards the wanted number as the devices hold beside it, stage by stage in turn
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from autoscaler.planner.frontier import plan
from autoscaler.planner.model import Option, Plan, Problem, Share
from autoscaler.planner.standing import stand
from autoscaler.policies.levers import limit
from autoscaler.policies.policy import Levers
from autoscaler.policies.shed import shed

Shares = Mapping[str, tuple[Share, ...]]


def needs_bridge(problem: Problem, wanted: Shares, ready: Mapping[str, int]) -> bool:
    """Whether replicas are missing, some are ready at every stage, and those that are do not carry the problem's rate as wanted."""
    missing = any(_count(shares) > ready[name] for name, shares in wanted.items())
    if not missing or not all(ready[name] for name in wanted):
        return False
    return not stand(problem, _only_ready(wanted, ready)).serves


def bridged(problem: Problem, running: Shares, wanted: Shares, ready: Mapping[str, int], loads_sooner: bool) -> dict[str, tuple[Share, ...]]:
    """What to run now, at every stage; `ready` is above 0 at each, so each runs something."""
    if stand(problem, _only_ready(running, ready)).serves:
        return _towards(problem, running, wanted, ready)
    reach = limit(problem, running, Levers(shares=False, variants=loads_sooner, devices=loads_sooner))
    few = replace(reach, stages=tuple(replace(stage, least=1, most=ready[stage.name], share_step=None) for stage in reach.stages))
    best = plan(few)
    if not isinstance(best, Plan):
        best, _ = shed(few, best, _only_ready(running, ready))
    return _towards(problem, {stage.name: stage.shares for stage in best.stages}, wanted, ready)


def _towards(problem: Problem, now: Shares, wanted: Shares, ready: Mapping[str, int]) -> dict[str, tuple[Share, ...]]:
    """The shares of now, with replicas added to the largest of each stage as far as the devices hold them."""
    found = {name: list(shares) for name, shares in now.items()}
    free = dict(problem.devices)
    for name, shares in found.items():
        for at, share in enumerate(shares):
            shares[at] = replace(share, replicas=max(1, min(share.replicas, ready[name])) if len(shares) == 1 else share.replicas)
            _take(free, share.option, shares[at].replicas)
    hungry = [name for name in found if _count(found[name]) < _count(wanted[name])]
    while hungry:
        for name in list(hungry):
            at = max(range(len(found[name])), key=lambda place, name=name: found[name][place].share)
            share = found[name][at]
            if _count(found[name]) >= min(_count(wanted[name]), problem.stage(name).most) or not _fits(free, share.option):
                hungry.remove(name)
                continue
            found[name][at] = replace(share, replicas=share.replicas + 1)
            _take(free, share.option, 1)
    return {name: tuple(shares) for name, shares in found.items()}


def _only_ready(shares: Shares, ready: Mapping[str, int]) -> dict[str, tuple[Share, ...]]:
    """As many replicas as are ready, at least one of each variant."""
    return {name: tuple(replace(share, replicas=max(1, min(share.replicas, _part(share, of, ready[name])))) for share in of)
            for name, of in shares.items()}


def _part(share: Share, of: tuple[Share, ...], ready: int) -> int:
    return ready if len(of) == 1 else ready * share.replicas // max(1, _count(of))


def _count(shares: tuple[Share, ...] | list[Share]) -> int:
    return sum(share.replicas for share in shares)


def _fits(free: Mapping[str, float], option: Option) -> bool:
    return all(units <= free[kind] + 1e-9 for kind, units in option.uses().items() if kind in free)


def _take(free: dict[str, float], option: Option, replicas: int) -> None:
    for kind, units in option.uses().items():
        if kind in free:
            free[kind] -= replicas * units
