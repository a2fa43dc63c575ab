"""A set of variants at once, the most accurate filled first: accuracy against cores and loading.

    lam         events/s expected * (1 + margin)
    n[m]        cores of variant m: 0, or 2..B
    k1, k0      capacity that meets the SLO = k1 * cores + k0, least squares over the profiled sizes; k0 cut to int(min(k0, 0.99))
    tp[m](n)    floor(kappa * (k1[m] * n + k0[m])), 0 for n = 0
    lam[m]      min(tp[m], lam - sum of tp of the more accurate)                        (the most accurate first)
    AA          sum of lam[m] / lam * acc[m]
    RC          sum of n[m]
    LC          the longest load time of a variant whose n is new and not 0

        maximise    AA - alpha * RC / B - beta * LC / (longest load time of all)
        subject to  sum of tp[m] >= lam,  RC <= B

    Infeasible: the lightest variant on all B cores. Every 30 s. Fewer cores than run only when 4 decisions in a row say so; until then
    what runs shares out the new load.

Solved exactly. For each longest load time that may be paid, over the variants from the most accurate on:

    best[cores, load left] = greatest alpha-free AA * lam so far                        (transition: one more variant, its n)

O(variants^2 * B^2 * loads reached). The paper has one task; of a graph, each stage is adapted for itself on its own rows, with an even part of
the SLO along the longest way, and B is shared out by the cores its stages have now. A profile with one size only is scaled by
replicas of it, as cores of one pod.

Source: InfAdapter (EuroMLSys 2023), section 4, and its released weights (alpha 0.05, beta 0.001); the paper itself sweeps the weight of the
cores over 0.0125, 0.05, 0.2. Gurobi there, this recurrence here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from autoscaler.planner.model import CPU, Option, Problem, Share, StageModel
from autoscaler.policies.arrivals import expected_rate, in_order, longest_way, rows_per_second
from autoscaler.policies.policy import Decision, Forecast, State, Target


@dataclass(frozen=True, slots=True)
class Line:
    """capacity(cores) = k1 * cores + k0 rows/s; k0 cut as released."""

    k1: float
    k0: int

    @classmethod
    def fit(cls, points: Mapping[float, float]) -> Line:
        """points: cores to rows/s that meet the SLO. One point: a line through the origin."""
        if len(points) == 1:
            ((cores, capacity),) = points.items()
            return cls(capacity / cores, 0)
        mean_x = sum(points) / len(points)
        mean_y = sum(points.values()) / len(points)
        k1 = sum((x - mean_x) * (y - mean_y) for x, y in points.items()) / sum((x - mean_x) ** 2 for x in points)
        return cls(k1, int(min(mean_y - k1 * mean_x, 0.99)))

    def carries(self, cores: float, kappa: float) -> int:
        """rows/s to plan with, whole; 0 where the line says less."""
        return max(math.floor(kappa * (self.k1 * cores + self.k0) + 1e-9), 0)


@dataclass(frozen=True, slots=True)
class Ladder:
    """One variant in each of its sizes. sizes: (cores, rows/s to plan with, the share of it: option and replicas), fewest cores first."""

    variant: str
    accuracy: float
    load_s: float
    sizes: tuple[tuple[int, int, Share], ...]


@dataclass(frozen=True, slots=True)
class Memory:
    """steps_down: decisions in a row that asked for fewer cores, by stage."""

    steps_down: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class InfAdapter:
    """load_s: of each variant, 0 where it names none. fit_cores: sizes the line is fitted on; () = all profiled. sets: several variants at once."""

    problem: Problem
    alpha: float = 0.05
    beta: float = 0.001
    kappa: float = 0.8
    budget: int = 20
    least_cores: int = 2
    margin: float = 0.1
    quantile: float = 0.5
    past_s: int = 60
    steps_before_down: int = 4
    load_s: Mapping[str, float] = field(default_factory=dict)
    fit_cores: tuple[int, ...] = ()
    sets: bool = True
    interval_s: float = 30.0
    name: str = "infadapter"

    @classmethod
    def of(cls, problem: Problem) -> InfAdapter:
        """With the problem's cores as the budget, where it names them."""
        return cls(problem, budget=int(problem.devices.get(CPU, 20)))

    def decide(self, state: State, forecast: Forecast, memory: object = None) -> Decision:
        source = expected_rate(state, forecast, self.quantile, self.past_s) * (1 + self.margin)
        steps = memory.steps_down if isinstance(memory, Memory) else {}
        budgets = self._budgets(state)
        chosen: dict[str, tuple[Share, ...]] = {}
        rates: dict[str, float] = {}
        waiting: dict[str, int] = {}
        reasons: list[str] = []
        for stage in in_order(self.problem):
            rates[stage.name] = rows_per_second(stage, source, rates, chosen)
            now = {pool.option.variant: _cores(pool.option) * pool.replicas for pool in state.stages[stage.name].pools}
            shares, reason = self.choose(stage, rates[stage.name], now, budgets[stage.name])
            waiting[stage.name] = steps.get(stage.name, 0) + 1 if _total(shares) < sum(now.values()) else 0
            if 0 < waiting[stage.name] < self.steps_before_down:
                kept = self.fill(stage, rates[stage.name], state.stages[stage.name].pools)
                shares, reason = kept or shares, f"fewer cores would do, {waiting[stage.name]} of {self.steps_before_down}" if kept else reason
            elif waiting[stage.name]:
                waiting[stage.name] = 0
            chosen[stage.name] = shares
            reasons.append(f"{stage.name}: {reason}")
        return Decision({name: Target(shares) for name, shares in chosen.items()}, Memory(waiting), "; ".join(reasons))

    def choose(self, stage: StageModel, rate: float, now: Mapping[str, float], budget: int) -> tuple[tuple[Share, ...], str]:
        """The best set of variants for `rate` rows/s. now: cores of each variant that runs."""
        ladders = self.ladders(stage, budget)
        load = math.ceil(max(rate, 1.0) - 1e-9)
        longest = max((ladder.load_s for ladder in ladders), default=0.0) or 1.0
        best: tuple[float, int, tuple[Share, ...]] | None = None
        for limit in sorted({0.0, *(ladder.load_s for ladder in ladders)}):
            for mass, cores, shares in self._fillings(ladders, load, budget, now, limit):
                value = mass / load - self.alpha * cores / budget - self.beta * limit / longest
                if best is None or value > best[0] + 1e-12 or (value > best[0] - 1e-12 and cores < best[1]):
                    best = (value, cores, shares)
        if best is None:
            return self._all_on_the_lightest(ladders, budget), f"{load} rows/s are more than {budget} cores carry"
        return best[2], f"objective {best[0]:.5f} on {best[1]} cores"

    def ladders(self, stage: StageModel, budget: int) -> tuple[Ladder, ...]:
        """Variants of the stage, the most accurate first, in the sizes that the budget allows."""
        limit = self.problem.slo_ms / longest_way(self.problem)
        found = []
        for variant in dict.fromkeys(option.variant for option in stage.options):
            sizes = _sizes(stage, variant, limit)
            line = Line.fit({cores: share.option.throughput for cores, share in sizes.items() if not self.fit_cores or cores in self.fit_cores}
                            or {cores: share.option.throughput for cores, share in sizes.items()})
            if len(sizes) == 1:
                ((cores, share),) = sizes.items()
                sizes = {cores * count: replace(share, replicas=count) for count in range(1, min(max(budget // cores, 1), stage.most) + 1)}
            offered = tuple((cores, line.carries(cores, self.kappa), share) for cores, share in sorted(sizes.items())
                            if cores >= min(self.least_cores, max(sizes), budget))
            accuracy = next(option.accuracy for option in stage.options if option.variant == variant)
            found.append(Ladder(variant, accuracy, self.load_s.get(variant, 0.0), offered))
        return tuple(sorted(found, key=lambda ladder: -ladder.accuracy))

    def fill(self, stage: StageModel, rate: float, pools: tuple) -> tuple[Share, ...]:
        """What runs, with new quotas; () when it does not carry `rate`."""
        left = load = math.ceil(max(rate, 1.0) - 1e-9)
        carried = {(ladder.variant, cores): capacity for ladder in self.ladders(stage, self.budget) for cores, capacity, _ in ladder.sizes}
        shares: list[Share] = []
        for pool in sorted(pools, key=lambda pool: -pool.option.accuracy):
            part = min(carried.get((pool.option.variant, _cores(pool.option) * pool.replicas), 0), left)
            left -= part
            shares += [Share(pool.option, pool.replicas, part / load)] if part else []
        return tuple(shares) if left == 0 else ()

    def _fillings(self, ladders: tuple[Ladder, ...], load: int, budget: int, now: Mapping[str, float],
                  limit: float) -> list[tuple[float, int, tuple[Share, ...]]]:
        """(accuracy mass, cores, shares) of every non-dominated way that changes no variant that loads for longer than `limit`."""
        # best[cores, load left] = (greatest mass so far, its shares)
        best: dict[tuple[int, int], tuple[float, tuple[Share, ...]]] = {(0, load): (0.0, ())}
        for ladder in ladders:
            allowed = [size for size in ladder.sizes if ladder.load_s <= limit or size[0] == now.get(ladder.variant)]
            following = dict(best)
            for (cores, left), (mass, shares) in best.items():
                if left == 0 or (shares and not self.sets):
                    continue
                for size, capacity, share in allowed:
                    part = min(capacity, left)
                    key = (cores + size, left - part)
                    if part == 0 or key[0] > budget:
                        continue
                    reached = mass + part * ladder.accuracy
                    if key not in following or reached > following[key][0] + 1e-12:
                        following[key] = (reached, (*shares, replace(share, share=part / load)))
            best = following
        return [(mass, cores, shares) for (cores, left), (mass, shares) in best.items() if left == 0]

    def _all_on_the_lightest(self, ladders: tuple[Ladder, ...], budget: int) -> tuple[Share, ...]:
        lightest = max(ladders, key=lambda ladder: (max((capacity for cores, capacity, _ in ladder.sizes if cores <= budget), default=0),
                                                    -ladder.accuracy))
        fitting = [share for cores, _, share in lightest.sizes if cores <= budget] or [lightest.sizes[0][2]]
        return (fitting[-1],)

    def _budgets(self, state: State) -> dict[str, int]:
        """B by stage, in parts as their cores now; all of it where there is one stage."""
        cores = {stage.name: max(sum(_cores(pool.option) * pool.replicas for pool in state.stages[stage.name].pools), 1)
                 for stage in self.problem.stages}
        return {name: max(int(self.budget * part / sum(cores.values())), 1) for name, part in cores.items()}


def ms_plus(problem: Problem) -> InfAdapter:
    """Model-Switching+: the same objective and the same capacities, one variant at a time (InfAdapter's baseline `reconfig_msp`)."""
    return replace(InfAdapter.of(problem), sets=False, name="ms_plus")


def _sizes(stage: StageModel, variant: str, limit_ms: float) -> dict[int, Share]:
    """The smallest batch at each size, as InfAdapter does not batch; what misses the limit only if nothing meets it."""
    own = [option for option in stage.options if option.variant == variant]
    meeting = [option for option in own if option.latency_ms <= limit_ms] or own
    return {_cores(option): Share(option, 1) for option in sorted(meeting, key=lambda option: -option.batch)}


def _cores(option: Option) -> int:
    return max(round(option.units), 1)


def _total(shares: tuple[Share, ...]) -> int:
    return sum(_cores(share.option) * share.replicas for share in shares)
