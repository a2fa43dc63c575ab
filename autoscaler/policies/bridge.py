"""What to run while new replicas start: those that are ready carry the load of the moment in another way.

    m            events/s of the moment                                                              (`need.Need.now`)
    kind         variant and device; with `variants` the device alone: ready replicas take up another variant in place
    ready(k)     replicas of kind k that serve now
    enough       every wanted kind serves already, and min(n, ready) replicas of each carry m in time: no bridge is needed  (needs_bridge)

    bridge       the first of these that holds the wanted number of replicas of every kind, so that they can start:
                 1  what serves, as it is, when that carries m: create first, resize after (Themis)
                 2  the best plan for m with at most the ready replicas of one kind at each stage, that which carries most, or the most that
                    can be carried so (`shed`); other kinds that serve go on beside it
                 3  as 2, but no replica larger than wanted
                 4  the plan itself at once
    replicas     those of the bridge, and of each kind that serves or is wanted towards the greater of what runs or starts and what is wanted
                 as many as the devices hold beside it, stage by stage in turn: nothing is taken away before the plan takes over. Those that
                 are not ready start in the wanted size where that is smaller, beside the larger ones that serve        (Themis too)
    shares       of another kind or size: in proportion to what it carries

So the wanted replicas start whatever the bridge, and a bridge ends.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, replace

from autoscaler.planner.frontier import attempt
from autoscaler.planner.model import Option, Plan, Problem, Share, StageModel
from autoscaler.planner.standing import stand
from autoscaler.policies.levers import limit
from autoscaler.policies.policy import Levers, Pool
from autoscaler.policies.pools import merged
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
        serving = {name: self._serving(name) for name in self.pools}
        if not all(serving.values()):
            return False
        ready = {name: self._counts(shares) for name, shares in serving.items()}
        missing = {name for name, shares in self.wanted.items() for kind, count in self._counts(shares).items() if count > ready[name].get(kind, 0)}
        if any(not ready[name].get(kind) for name in missing for kind in self._counts(self.wanted[name])):
            return True
        return bool(missing) and not stand(self.problem, {name: tuple(self._at_most(share, ready[name], shares) for share in shares)
                                                          for name, shares in self.wanted.items()}).serves

    def bridged(self) -> dict[str, tuple[Share, ...]]:
        """What to run now, at every stage; some replicas are ready at each."""
        now = {name: self._serving(name) for name in self.pools}
        if stand(self.problem, now).serves:
            found = self._grown(now)
            if self._holds_wanted(found):
                return found
        found = self._grown(self._best(now, None))
        if not self._holds_wanted(found):
            found = self._grown(self._best(now, self.wanted))
        return found if self._holds_wanted(found) else dict(self.wanted)

    def _serving(self, name: str) -> tuple[Share, ...]:
        return merged(tuple(replace(pool, starting=0) for pool in self.pools[name]))

    def _kind(self, option: Option) -> Hashable:
        return option.device if self.variants else (option.variant, option.device)

    def _counts(self, shares: tuple[Share, ...]) -> dict[Hashable, int]:
        """Replicas of each kind."""
        counts: dict[Hashable, int] = {}
        for share in shares:
            counts[self._kind(share.option)] = counts.get(self._kind(share.option), 0) + share.replicas
        return counts

    def _at_most(self, share: Share, ready: Mapping[Hashable, int], shares: tuple[Share, ...]) -> Share:
        """With as many of its replicas as are ready, several shares of a kind in proportion; one at least."""
        kind = self._kind(share.option)
        return replace(share, replicas=max(1, min(share.replicas, ready[kind] * share.replicas // self._counts(shares)[kind])))

    def _best(self, now: Shares, largest: Shares | None) -> Shares:
        """At most the ready replicas of what can be had in place; of no option that uses more than the largest of these."""
        main = {name: max(shares, key=lambda share: share.replicas * share.option.throughput) for name, shares in now.items()}
        reach = limit(self.problem, {name: (share,) for name, share in main.items()}, Levers(shares=False, variants=self.variants, devices=False))
        few = replace(reach, stages=tuple(self._of_ready(stage, self._counts(now[stage.name])[self._kind(main[stage.name].option)],
                                                         largest[stage.name] if largest else None) for stage in reach.stages))
        best = attempt(few)
        if not isinstance(best, Plan):
            best, _ = shed(few, {name: (replace(share, share=1.0),) for name, share in main.items()})
        found = {}
        for stage in best.stages:
            found[stage.name] = stage.shares
            for share in now[stage.name]:
                if self._kind(share.option) != self._kind(main[stage.name].option):
                    found[stage.name] = _with(found[stage.name], share.option, share.replicas)
        return found

    def _of_ready(self, stage: StageModel, ready: int, largest: tuple[Share, ...] | None) -> StageModel:
        small = stage.options if largest is None else tuple(option for option in stage.options if _within(option, largest))
        return replace(stage, options=small or stage.options, least=1, most=ready, share_step=None)

    def _grown(self, now: Shares) -> dict[str, tuple[Share, ...]]:
        """Replicas added as far as the devices hold them."""
        found = dict(now)
        free = dict(self.problem.devices)
        for shares in found.values():
            for share in shares:
                _take(free, share.option, share.replicas)
        hungry = {name: self._missing(name, shares) for name, shares in found.items()}
        while hungry:
            for name, missing in list(hungry.items()):
                held = sum(share.replicas for share in found[name]) < self.problem.stage(name).most
                if not held or not missing or not _fits(free, missing[-1]):
                    del hungry[name]
                    continue
                option = missing.pop()
                found[name] = _with(found[name], option, 1)
                _take(free, option, 1)
        return found

    def _missing(self, name: str, now: tuple[Share, ...]) -> list[Option]:
        """One for each replica that is to start, the last one first; wanted kinds before those that only run."""
        there, wanted, runs = self._counts(now), self._counts(self.wanted[name]), self._counts(self.running[name])
        missing = []
        for kind in [*wanted, *(kind for kind in there if kind not in wanted)]:
            count = max(wanted.get(kind, 0), runs.get(kind, 0) if kind in there else 0) - there.get(kind, 0)
            missing += [self._starts(name, kind, now)] * max(0, count)
        return missing[::-1]

    def _starts(self, name: str, kind: Hashable, now: tuple[Share, ...]) -> Option:
        """The option of what starts of a kind: in the wanted size, or as the largest share that serves."""
        wanted = [share for share in self.wanted[name] if self._kind(share.option) == kind]
        serve = [share for share in now if self._kind(share.option) == kind]
        if not serve:
            return max(wanted, key=lambda share: share.share).option
        main = max(serve, key=lambda share: share.share).option
        sizes = {share.option.units for share in wanted if share.option.variant == main.variant}
        smaller = [option for option in self.problem.stage(name).options if {option.units} == sizes and option.units < main.units
                   and (option.variant, option.device, option.batch) == (main.variant, main.device, main.batch)]
        return smaller[0] if smaller and len(serve) == 1 else main

    def _holds_wanted(self, found: Shares) -> bool:
        used: dict[str, float] = {}
        for shares in found.values():
            for share in shares:
                for device, units in share.option.uses().items():
                    used[device] = used.get(device, 0.0) + units * share.replicas
        fits = all(used.get(device, 0.0) <= units + 1e-9 for device, units in self.problem.devices.items())
        return fits and all(self._counts(found[name]).get(kind, 0) >= count
                            for name, shares in self.wanted.items() for kind, count in self._counts(shares).items())


def _with(shares: tuple[Share, ...], option: Option, more: int) -> tuple[Share, ...]:
    """Replicas of the option added: to its own share, or as one more, which takes rows in proportion to what it carries."""
    for at, share in enumerate(shares):
        if share.option == option:
            return (*shares[:at], replace(share, replicas=share.replicas + more), *shares[at + 1 :])
    part = more * option.throughput / (more * option.throughput + sum(share.replicas * share.option.throughput for share in shares))
    return (*(replace(share, share=share.share * (1 - part)) for share in shares), Share(option, more, part))


def _within(option: Option, largest: tuple[Share, ...]) -> bool:
    return any(all(units <= share.option.uses().get(kind, 0.0) + 1e-9 for kind, units in option.uses().items()) for share in largest)


def _fits(free: Mapping[str, float], option: Option) -> bool:
    return all(units <= free[kind] + 1e-9 for kind, units in option.uses().items() if kind in free)


def _take(free: dict[str, float], option: Option, replicas: int) -> None:
    for kind, units in option.uses().items():
        if kind in free:
            free[kind] -= replicas * units
