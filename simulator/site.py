"""A station as it runs: its proxies, its pools of replicas, and which rows go to which.

    weight(p)   share of a wanted pool with ready replicas; what is left of 1 goes to the pools that leave, by their shares, else to all
                wanted ones that are ready; before any is ready, by the shares
    rows        n rows are split by largest credit: credit(p) += n * weight(p), p gets as many as leave its credit least from 0

Another option of the same variant and device changes a pool; several at once are replicas of several sizes in one pool. One variant in
place of another is the product's own change-over inside a stage, old replicas serving until the new are ready. Where several are
exchanged, or a ready replica takes up another variant in place (`variant_s`), pools come and go: beside each other, an old one leaves when
all new ones are ready; in place, at once, and new replicas take over as many as leave.
"""

from __future__ import annotations

from dataclasses import replace

from autoscaler.planner.model import Share, StageModel
from autoscaler.policies.policy import Pool as Seen
from simulator.inbox import Coming, Handed
from simulator.network import Station
from simulator.pool import Outlet, Pool, World
from simulator.proxy import Gathering, Proxy, Request
from simulator.rows import Slots
from simulator.truth import Factors


class Site:
    """pools: wanted ones and those that leave. coming, handed: the inboxes of its two proxies. true_rate: rows/s of one of their subtasks."""

    def __init__(self, world: World, station: Station, factors: Factors, gathering: Gathering, outlet: Outlet) -> None:
        self.station = station
        self.pools: list[Pool] = []
        self.parallelism = 1
        self.coming = Coming(world.rows)
        self.handed = Handed()
        self.from_source = Proxy(world.loop, self.coming, gathering, self._deliver)
        self.from_stages = Proxy(world.loop, self.handed, gathering, self._deliver)
        self.true_rate = 1 / gathering.row_s if gathering.row_s else None
        self._handed = 0
        self._world = world
        self._factors = factors
        self._outlet = Outlet(outlet.answered, outlet.lost, self._settled)
        self._credits: dict[Pool, float] = {}
        self._only: Pool | None = None
        self._settling = False
        self._gone_s = 0.0  # of pools that are no more: unit-seconds in batches, rows late, rows seen
        self._gone_late = self._gone_seen = 0

    @property
    def proxies(self) -> tuple[Proxy, Proxy]:
        return self.from_source, self.from_stages

    def rescale(self, parallelism: int) -> None:
        """Subtasks of its proxies."""
        self.parallelism = parallelism
        for proxy in self.proxies:
            proxy.subtasks = parallelism

    def accept(self, parts: list[Slots], count: int, now_s: float) -> None:
        """Rows that another station handed on, `count` in all."""
        self._handed += count
        self.from_stages.more(self.handed.add(parts, count, now_s), now_s)

    def arrived(self, now_s: float) -> int:
        """Rows that came here so far, sent on or not."""
        return self._handed + self.coming.taken + self.coming.here(now_s)

    def queued(self, now_s: float) -> int:
        """Rows that wait, in proxies and pools."""
        return sum(pool.stage.queued for pool in self.pools) + sum(proxy.backlog(now_s) for proxy in self.proxies)

    def ratio(self, model: StageModel) -> float | None:
        """Measured over believed time of a batch, of the wanted pool with most ready replicas; None before any was measured."""
        ready = [pool for pool in self.pools if not pool.retiring and pool.ready]
        return max(ready, key=lambda pool: pool.ready).ratio(model) if ready else None

    def seen(self) -> tuple[Seen, ...]:
        """What policies are shown: what was last wanted, and how much of it is ready; not what still serves beside it."""
        return tuple(seen for pool in self.pools if not pool.retiring for seen in pool.shown())

    # changes

    def begin(self, shares: tuple[Share, ...], now_s: float) -> None:
        self._settling = True
        for share in shares:
            pool = Pool(self._world, self.station, self._factors, self._outlet, share.option, share.share)
            self.pools.append(pool)
            pool.begin(share.replicas, now_s)
        self._settling = False
        self._settled(now_s)

    def change(self, shares: tuple[Share, ...], now_s: float) -> None:
        sizes: dict[tuple[str, str], tuple[Share, ...]] = {}
        for share in shares:
            if share.replicas > 0:
                sizes[share.option.variant, share.option.device] = (*sizes.get((share.option.variant, share.option.device), ()), share)
        if not sizes:
            return  # a stage without replicas would answer nobody
        wanted = {key: together(of_key) for key, of_key in sizes.items()}
        here = {(pool.option.variant, pool.option.device): pool for pool in self.pools if not pool.retiring}
        for key, pool in here.items():
            pool.wanted_sizes = sizes.get(key, ())
        leaving = [pool for key, pool in here.items() if key not in wanted]
        entering = [share for key, share in wanted.items() if key not in here]
        in_place = self._world.changes.variant_s is not None
        self._settling = True
        if len(here) == len(wanted) == len(leaving) == 1 and not in_place:
            (share,) = entering
            leaving[0].share = share.share
            leaving[0].change(share.option, share.replicas, now_s)
        else:
            self._exchange(wanted, here, leaving, entering, now_s)
        self._settling = False
        self._settled(now_s)

    def _exchange(self, wanted: dict, here: dict[tuple[str, str], Pool], leaving: list[Pool], entering: list[Share], now_s: float) -> None:
        in_place = self._world.changes.variant_s is not None
        free = sum(pool.replicas for pool in leaving) if in_place else 0
        for key, share in wanted.items():
            if key in here and in_place:
                free += max(0, here[key].replicas - share.replicas)
        for pool in leaving:
            pool.retiring = True
            if in_place:
                pool.change(pool.option, 0, now_s)
        for key in sorted(here, key=lambda key: key in wanted and wanted[key].replicas > here[key].replicas):
            if key in wanted:
                free = self._grown(here[key], wanted[key], free, now_s)
        for share in entering:
            pool = Pool(self._world, self.station, self._factors, self._outlet, share.option, share.share)
            self.pools.append(pool)
            free = self._grown(pool, share, free, now_s)

    def _grown(self, pool: Pool, share: Share, free: int, now_s: float) -> int:
        more = min(free, max(0, share.replicas - pool.replicas))
        pool.share = share.share
        pool.change(share.option, share.replicas, now_s, more)
        return free - more

    def _settled(self, now_s: float) -> None:
        """Pools that left hand over their rows; those that may leave now do."""
        if self._settling:
            return
        self._settling = True
        wanted = [pool for pool in self.pools if not pool.retiring]
        over = bool(wanted) and all(pool.ready > 0 for pool in wanted)
        for pool in [pool for pool in self.pools if pool.retiring]:
            if over and pool.replicas:
                pool.change(pool.option, 0, now_s)
            if not pool.replicas and pool.stage.queued and wanted:
                for request in pool.evict(now_s):
                    self._weighed()
                    self._deliver(request, now_s)
            if not pool.replicas and pool.stage.idle and pool.empty:
                self._retired(pool, now_s)
        self._weighed()
        self._settling = False

    def _retired(self, pool: Pool, now_s: float) -> None:
        self.pools.remove(pool)
        self._credits.pop(pool, None)
        self._gone_s += pool.busy_s(now_s)
        self._gone_late += pool.late
        self._gone_seen += pool.seen

    def busy_s(self, now_s: float) -> float:
        return self._gone_s + sum(pool.busy_s(now_s) for pool in self.pools)

    def tallies(self) -> tuple[int, int]:
        """Rows late or lost, and rows that ended here, so far."""
        return self._gone_late + sum(pool.late for pool in self.pools), self._gone_seen + sum(pool.seen for pool in self.pools)

    def aside(self) -> int:
        """Rows that wait and will be late."""
        return sum(pool.stage.aside for pool in self.pools)

    # rows

    def _deliver(self, request: Request, now_s: float) -> None:
        if self._only is not None:
            self._only.accept(request, now_s)
            return
        first = 0
        for pool, count in self._split(len(request.slots)):
            pool.accept(Request(request.slots[first : first + count], request.proxy), now_s)
            first += count

    def _weighed(self) -> None:
        weights = self._weights()
        self._credits = {pool: self._credits.get(pool, 0.0) for pool in weights}
        self._only = next(iter(weights)) if len(weights) == 1 else None

    def _weights(self) -> dict[Pool, float]:
        wanted = [pool for pool in self.pools if not pool.retiring]
        ready = [pool for pool in wanted if pool.ready]
        leaving = [pool for pool in self.pools if pool.retiring and pool.replicas and pool.ready]
        missing = 1 - sum(pool.share for pool in ready)
        weights = {pool: pool.share for pool in ready}
        if missing > 1e-9 and leaving:
            total = sum(pool.share for pool in leaving)
            weights |= {pool: missing * pool.share / total for pool in leaving}
        return _normalised(weights or {pool: pool.share for pool in wanted})

    def _split(self, rows: int) -> list[tuple[Pool, int]]:
        weights = self._weights()
        for pool, weight in weights.items():
            self._credits[pool] = self._credits.get(pool, 0.0) + rows * weight
        counts = dict.fromkeys(weights, 0)
        for pool in weights:
            counts[pool] = min(rows - sum(counts.values()), max(0, int(self._credits[pool])))
        for _ in range(rows - sum(counts.values())):
            counts[max(weights, key=lambda pool: self._credits[pool] - counts[pool])] += 1
        for pool, count in counts.items():
            self._credits[pool] -= count
        return [(pool, count) for pool, count in counts.items() if count]


def together(shares: tuple[Share, ...]) -> Share:
    """Several sizes of one variant as one share, of the last one's option: batches are gathered as it says."""
    return replace(shares[-1], replicas=sum(share.replicas for share in shares), share=sum(share.share for share in shares))


def _normalised(weights: dict[Pool, float]) -> dict[Pool, float]:
    total = sum(weights.values())
    return {pool: weight / total for pool, weight in weights.items()} if total > 0 else dict.fromkeys(weights, 1 / max(1, len(weights)))

