"""What to run while new replicas start: those that are ready carry the load of the moment in another way.

    m            events/s of the moment                                                              (`need.Need.now`)
    ready(v)     replicas of v that serve now
    anew         stages that get a variant or device of which nothing serves yet: its replicas start as planned, and the actuator lets the
                 old ones serve until they are ready; with `variants` another variant is none such, ready replicas take it up in place
    enough       the wanted options with min(n, ready) replicas carry m in time: no bridge is needed  (needs_bridge)

    bridge       the first of these that holds the wanted number of replicas of every stage, so that they can start:
                 1  the options that run, when they carry m with the ready replicas: create first, resize after (Themis)
                 2  the best plan for m with at most ready(v) replicas of one variant each, or the most that can be carried so (`shed`)
                 3  as 2, but no replica larger than wanted
                 4  the plan itself at once
    replicas     those of the bridge, and towards the greater of what runs or starts and what is wanted as many as the devices hold beside
                 it, stage by stage in turn: nothing is taken away before the plan takes over. Those that are not ready start in the wanted
                 size where that is smaller, beside the larger ones that serve                                       (Themis too)

So the wanted replicas start whatever the bridge, and a bridge ends.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from autoscaler.planner.frontier import attempt
from autoscaler.planner.model import Option, Plan, Problem, Share, StageModel
from autoscaler.planner.standing import stand
from autoscaler.policies.levers import limit
from autoscaler.policies.policy import Levers, Pool
from autoscaler.policies.shed import shed

Shares = Mapping[str, tuple[Share, ...]]


@dataclass(frozen=True, slots=True)
class Crossing:
    """problem: at the rate of the moment. running, wanted: by stage. pools: what runs, with what is ready of it. variants: whether a ready replica
    changes its own."""

    problem: Problem
    running: Shares
    wanted: Shares
    pools: Mapping[str, tuple[Pool, ...]]
    variants: bool = False

    def needs_bridge(self) -> bool:
        """Whether replicas are missing, and those that are ready do not carry the rate as wanted."""
        missing = any(_count(shares) > self._ready(name) and not self._anew(name) for name, shares in self.wanted.items())
        if not missing or not all(map(self._ready, self.pools)):
            return False
        return not stand(self.problem, {name: shares if self._anew(name) else _only(shares, self._ready(name))
                                        for name, shares in self.wanted.items()}).serves

    def bridged(self) -> dict[str, tuple[Share, ...]]:
        """What to run now, at every stage; some replicas are ready at each."""
        now = {name: _only(shares, self._ready(name)) for name, shares in self.running.items()}
        if stand(self.problem, now).serves:
            found = self._grown(now)
            if self._holds_wanted(found):
                return found
        found = self._grown(self._best(self._few(None)))
        if not self._holds_wanted(found):
            found = self._grown(self._best(self._few(self.wanted)))
        return found if self._holds_wanted(found) else dict(self.wanted)

    def _ready(self, name: str) -> int:
        return sum(pool.ready for pool in self.pools[name])

    def _anew(self, name: str) -> bool:
        serves = {(pool.option.variant, pool.option.device) for pool in self.pools[name] if pool.ready}
        if self.variants:
            return not {share.option.device for share in self.wanted[name]} <= {device for _, device in serves}
        return not {(share.option.variant, share.option.device) for share in self.wanted[name]} <= serves

    def _few(self, largest: Shares | None) -> Problem:
        """At most the ready replicas of what can be had in place; of no option that uses more than the largest of these."""
        reach = limit(self.problem, self.running, Levers(shares=False, variants=self.variants, devices=False))
        return replace(reach, stages=tuple(self._of_ready(stage, largest[stage.name] if largest else None) for stage in reach.stages))

    def _of_ready(self, stage: StageModel, largest: tuple[Share, ...] | None) -> StageModel:
        small = stage.options if largest is None else tuple(option for option in stage.options if _within(option, largest))
        return replace(stage, options=small or stage.options, least=1, most=self._ready(stage.name), share_step=None)

    def _best(self, few: Problem) -> dict[str, tuple[Share, ...]]:
        best = attempt(few)
        if not isinstance(best, Plan):
            best, _ = shed(few, {name: _only(shares, self._ready(name)) for name, shares in self.running.items()})
        return {stage.name: stage.shares for stage in best.stages}

    def _grown(self, now: Shares) -> dict[str, tuple[Share, ...]]:
        """Replicas added to the largest share of each stage as far as the devices hold them; stages that start anew as wanted."""
        found = {name: list(self.wanted[name] if self._anew(name) else shares) for name, shares in now.items()}
        starts = {name: self._starts(name, shares) for name, shares in found.items()}
        goal = {name: max(_count(self.wanted[name]), 0 if self._anew(name) else _count(self.running[name])) for name in found}
        started = dict.fromkeys(found, 0)
        free = dict(self.problem.devices)
        for shares in found.values():
            for share in shares:
                _take(free, share.option, share.replicas)
        hungry = list(found)
        while hungry:
            for name in list(hungry):
                if _count(found[name]) + started[name] >= min(goal[name], self.problem.stage(name).most) or not _fits(free, starts[name]):
                    hungry.remove(name)
                    continue
                started[name] += 1
                _take(free, starts[name], 1)
        return {name: _with(shares, starts[name], started[name]) for name, shares in found.items()}

    def _starts(self, name: str, now: list[Share]) -> Option:
        """The option of what starts at the stage: in the wanted size, or as its largest share."""
        main = max(now, key=lambda share: share.share).option
        wanted = [share.option for share in self.wanted[name] if (share.option.variant, share.option.device) == (main.variant, main.device)]
        if len(now) > 1 or len(wanted) != 1 or wanted[0].units >= main.units:
            return main
        same_batch = [option for option in self.problem.stage(name).options
                      if (option.variant, option.device, option.units, option.batch) == (main.variant, main.device, wanted[0].units, main.batch)]
        return same_batch[0] if same_batch else main

    def _holds_wanted(self, found: Shares) -> bool:
        used: dict[str, float] = {}
        for shares in found.values():
            for share in shares:
                for kind, units in share.option.uses().items():
                    used[kind] = used.get(kind, 0.0) + units * share.replicas
        fits = all(used.get(kind, 0.0) <= units + 1e-9 for kind, units in self.problem.devices.items())
        return fits and all(_count(found[name]) >= _count(shares) for name, shares in self.wanted.items())


def _only(shares: tuple[Share, ...], ready: int) -> tuple[Share, ...]:
    """As many replicas as are ready, of several variants in proportion; at least one of each."""
    count = _count(shares)
    return tuple(replace(share, replicas=max(1, min(share.replicas, ready * share.replicas // count))) for share in shares)


def _with(shares: list[Share], option: Option, more: int) -> tuple[Share, ...]:
    """Replicas of the option added: to its own share, or as one of another size, which takes rows in proportion to what it carries."""
    if not more:
        return tuple(shares)
    same = [at for at, share in enumerate(shares) if share.option == option]
    if same:
        at = same[0]
        return (*shares[:at], replace(shares[at], replicas=shares[at].replicas + more), *shares[at + 1 :])
    (main,) = shares
    part = more * option.throughput / (more * option.throughput + main.replicas * main.option.throughput)
    return replace(main, share=main.share * (1 - part)), Share(option, more, main.share * part)


def _within(option: Option, largest: tuple[Share, ...]) -> bool:
    return any(all(units <= share.option.uses().get(kind, 0.0) + 1e-9 for kind, units in option.uses().items()) for share in largest)


def _count(shares: tuple[Share, ...] | list[Share]) -> int:
    return sum(share.replicas for share in shares)


def _fits(free: Mapping[str, float], option: Option) -> bool:
    return all(units <= free[kind] + 1e-9 for kind, units in option.uses().items() if kind in free)


def _take(free: dict[str, float], option: Option, replicas: int) -> None:
    for kind, units in option.uses().items():
        if kind in free:
            free[kind] -= replicas * units
