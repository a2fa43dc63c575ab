"""Sluice's own policy: every lever at once, for what may come, at a price for every change.

    need          rate, evenness of arrivals and budget of the SLO: present rate, forecast at the newsvendor's quantile, backlog, what
                  events have used                                                                                             (`need`)
    held          that rate, or the greatest that was there in the last `stabilization_s` where it is greater, without a margin: the greatest
                  of many upper bounds would be far above each; least budget of that time
    change(P)     price of the way from what runs to P: cold starts, loads, resizes                              (`planner.switching`),
                  spread over `payback_s`, or over as long as plans have stayed of late where that is less              (`tenure`)
    P(x)          best plan for need x, change included                                                          (`planner.frontier`)

    slowness      options of a stage whose batches take longer than profiled are planned with as much longer             (`slowness`)

    1  P(need), when it differs from what runs in batch and cores only                     in place: fast both ways
    2  else P(held)                                                                        up at once, down after `stabilization_s`
    3  else P(need)                                                                        held asks for more than can be had
    4  else what is left when not all can be had                                           (`shed`)
    keep          what runs, when it does the same and P's value is not greater: P has paid for its change, so it gains while it stays
    bridge        while replicas of P start, those that are ready carry the load of the moment by faster variants, more cores, larger
                  batches; P follows when it can carry it with the replicas it has, and stays the goal as long as it holds  (`bridge`)
    parallelism   p' = ceil(rate / (utilization * true rate of a subtask)), and only up, when
                  (p' * true rate - rate) * payback_s > rate * T_r: what the rescaled job gains outweighs what its stall T_r leaves behind

Decides once a second; a caller that learns of a jump sooner asks sooner, nothing here counts calls.

Where it breaks: the sizing's model of the wait is what a plan's promise rests on; parallelism never goes down by itself (a restart of the
job to free a task slot has no price here); of several variants that serve at once a bridge plans
only the one that carries most anew, the others go on as they are.

Sources: two-stage actions: Themis, section 3 (arXiv 2407.14843); price of the stall: papers' mapping to Flink, none of them counts it;
p': Kalavri et al., Three steps is all you need (DS2), OSDI'18.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from autoscaler.planner.evaluate import same, slowest_way
from autoscaler.planner.frontier import attempt
from autoscaler.planner.model import Plan, Problem, Share
from autoscaler.planner.queueing import ServiceWait
from autoscaler.planner.standing import Standing, stand
from autoscaler.policies.bridge import Crossing
from autoscaler.policies.change_times import ChangeTimes
from autoscaler.policies.dispersion import POISSON
from autoscaler.policies.levers import limit, unconditioned
from autoscaler.policies.need import Need, backlog, budget, expected, newsvendor, present
from autoscaler.policies.policy import Decision, Forecast, Levers, Pool, State, Target
from autoscaler.policies.pools import merged
from autoscaler.policies.shed import shed
from autoscaler.policies.slowness import shares_in, slowed, state_in
from autoscaler.policies.tenure import horizon_s, with_one_more

PRESSED = 0.95
"""Quantile of what events have used of their SLO; beyond it they are few, and served first by their deadlines."""
UTILIZATION = 0.7
"""Of a proxy's subtasks; `job.autoscaler.utilization.target` of Flink's autoscaler."""


Footing = set[tuple[str, str, int, float]]
"""Of a stage: variant, device, replicas and share of each share; what cannot be changed in place."""


@dataclass(frozen=True, slots=True)
class Knowledge:
    """What the policy uses of what it is told; each can be taken away, to see what it is worth."""

    deadlines: bool = True
    switching: bool = True
    forecast: bool = True
    uncertainty: bool = True
    conditioned_rates: bool = True
    slowness: bool = True


@dataclass(frozen=True, slots=True)
class Memory:
    """needs: of the last `stabilization_s`, oldest first: (when in s, events/s there were, ms). goal: what a bridge leads to; None = no bridge.

    begun: when the last plans began that start or stop replicas, in s, ascending; wanted: the footing of the last one (`_footings`)
    """

    needs: tuple[tuple[float, float, float], ...] = ()
    goal: Mapping[str, tuple[Share, ...]] | None = None
    begun: tuple[float, ...] = ()
    wanted: Mapping[str, Footing] | None = None


@dataclass(frozen=True, slots=True)
class Sluice:
    """problem: the model, its rate is not read. times: what changes take, measured.

    interval_s       between decisions
    stabilization_s  nothing is taken away before the need was lower for so long
    catch_up_s       to drain a backlog in
    payback_s        a change must gain more than it costs within, at most
    shortage         price of one event/s too little, against 1 for one too much
    """

    problem: Problem
    times: ChangeTimes = ChangeTimes()
    levers: Levers = Levers()
    knowledge: Knowledge = Knowledge()
    interval_s: float = 1.0
    stabilization_s: float = 10.0
    catch_up_s: float = 10.0
    payback_s: float = 60.0
    shortage: float = 19.0
    name: str = field(default="sluice", init=False)

    def decide(self, state: State, forecast: Forecast, memory: Memory | None = None) -> Decision:
        factors = {name: stage.slowness for name, stage in state.stages.items() if stage.slowness > 1 and self.knowledge.slowness}
        slow = slowed(self.problem, factors)
        if memory is not None and memory.goal is not None:
            memory = replace(memory, goal={name: shares_in(slow.stage(name), shares) for name, shares in memory.goal.items()})
        if not factors:
            return self._decided(state, forecast, memory)
        decision = replace(self, problem=slow)._decided(state_in(slow, state), forecast, memory)
        targets = {name: replace(target, shares=shares_in(self.problem.stage(name), target.shares)) for name, target in decision.targets.items()}
        words = ", ".join(f"{name} {factor:.2f} times as slow as profiled" for name, factor in factors.items())
        return replace(decision, targets=targets, reason=f"{decision.reason}; {words}")

    def _decided(self, state: State, forecast: Forecast, memory: Memory | None) -> Decision:
        running = {stage.name: merged(state.stages[stage.name].pools) for stage in self.problem.stages}
        if not state.rates and not forecast.quantiles and all(running.values()):
            return Decision({}, memory, "no rate is known yet: as it runs")
        memory = memory or Memory(wanted=_footings(running))
        problem = self._known(running, horizon_s(memory.begun, state.now_s, self.payback_s))
        need = self._need(problem, state, forecast, running)
        recent = tuple(past for past in memory.needs if past[0] > state.now_s - self.stabilization_s)
        needs = (*recent, (state.now_s, need.now, need.budget_ms))
        held = replace(need, rate=max(need.rate, *(past[1] for past in needs)), budget_ms=min(past[2] for past in needs))
        goal = stand(_at(problem, held), memory.goal) if memory.goal is not None else None
        chosen, reason, feasible = (goal.plan, "on the way", True) if goal is not None and goal.holds else _chosen(problem, running, need, held)
        wanted = {stage.name: stage.shares for stage in chosen.stages}
        pools = {name: stage.pools for name, stage in state.stages.items()}
        crossing = Crossing(_at(problem, need, need.now), running, wanted, pools, self.times.variants_bridge)
        bridging = self.knowledge.switching and crossing.needs_bridge()
        shares = crossing.bridged() if bridging else wanted
        if bridging:
            reason += ", bridged until replicas are ready"
        targets = {}
        for stage in chosen.stages:
            parallelism = self._parallelism(state, stage.name, stage.rate)
            if not _runs(shares[stage.name], state.stages[stage.name].pools) or parallelism is not None:
                targets[stage.name] = Target(shares[stage.name], parallelism)
        asked = f"{need.rate:.0f} {'even ' if need.dispersion < POISSON else ''}events/s in {need.budget_ms:.0f} ms" + (", surging" if need.surge else "")
        footings = _footings(wanted)
        begun = memory.begun if footings == memory.wanted else with_one_more(memory.begun, state.now_s)
        return Decision(targets, Memory(needs, wanted if bridging else None, begun, footings), f"{asked}: {reason}", chosen, feasible)

    def _known(self, running: Mapping[str, tuple[Share, ...]], stays_s: float) -> Problem:
        """The problem as the policy may see and change it. stays_s: how long its next plan is expected to stay."""
        problem = limit(self.problem, running, self.levers)
        if not self.knowledge.conditioned_rates:
            problem = unconditioned(problem, running)
        return replace(problem, switching=self.times.price(running, stays_s) if self.knowledge.switching else None)

    def _need(self, problem: Problem, state: State, forecast: Forecast, running: Mapping[str, tuple[Share, ...]]) -> Need:
        quantile = newsvendor(self.shortage, 1.0) if self.knowledge.uncertainty else 0.5
        dispersed = state.dispersion if self.knowledge.uncertainty else POISSON
        rate, surge = present(state.rates, quantile, dispersed)
        seen, _ = present(state.rates, 0.5)
        _, fastest_ms = slowest_way(problem, {stage.name: min(option.latency_ms for option in stage.options) for stage in problem.stages})
        budget_ms = budget(problem.slo_ms, state.spent_ms, PRESSED, fastest_ms) if self.knowledge.deadlines else problem.slo_ms
        drain = backlog(problem, state, _multiples(problem, running), budget_ms) / self.catch_up_s
        coming = expected(forecast, quantile) if self.knowledge.forecast else 0.0
        return Need(max(rate, coming) + drain, seen + drain, budget_ms, surge, dispersed)

    def _parallelism(self, state: State, stage: str, rate: float) -> int | None:
        seen = state.stages[stage]
        if not self.levers.parallelism or not seen.true_rate:
            return None
        wanted = math.ceil(rate / (UTILIZATION * seen.true_rate) - 1e-9)
        pays = (wanted * seen.true_rate - rate) * self.payback_s > rate * self.times.stall_s
        return wanted if wanted > seen.parallelism and pays else None


def _runs(shares: tuple[Share, ...], pools: tuple[Pool, ...]) -> bool:
    """Whether exactly this runs or starts, size by size."""
    runs = [Share(pool.option, pool.replicas, pool.share) for pool in pools if pool.replicas]
    return len(runs) == len(shares) and all(any(share.option == one.option and share.replicas == one.replicas and same(share.share, one.share)
                                                for one in runs) for share in shares)


def _chosen(problem: Problem, running: Mapping[str, tuple[Share, ...]], need: Need, held: Need) -> tuple[Plan, str, bool]:
    """Steps 1 to 4 and keep; whether it is all that is asked."""
    here = _at(problem, need)
    best = attempt(here)
    if isinstance(best, Plan) and _in_place(best, running):
        return *_kept_or(best, here, running, "in place"), True
    if held.rate > need.rate or held.budget_ms < need.budget_ms:
        there = _at(problem, held)
        safe = attempt(there)
        if isinstance(safe, Plan):
            return *_kept_or(safe, there, running, "for the last seconds' need" if _in_place(safe, running) else "new plan"), True
    if not isinstance(best, Plan):
        return *shed(here, running), False
    return *_kept_or(best, here, running, "new plan"), True


def _kept_or(best: Plan, problem: Problem, running: Mapping[str, tuple[Share, ...]], reason: str) -> tuple[Plan, str]:
    now = _standing(problem, running)
    if now is not None and now.holds and not _greater(best.value, now.plan.value):
        return now.plan, "as it runs"
    return best, reason


def _greater(value: tuple[float, ...], than: tuple[float, ...]) -> bool:
    for mine, theirs in zip(value, than, strict=True):
        if not same(mine, theirs):
            return mine > theirs
    return False


def _standing(problem: Problem, running: Mapping[str, tuple[Share, ...]]) -> Standing | None:
    return stand(problem, running) if all(running.values()) else None


def _at(problem: Problem, need: Need, rate: float | None = None) -> Problem:
    """Only the first stage meets the source's arrivals: behind it rows come as its batches are answered."""
    sizing = problem.sizing
    if isinstance(sizing, ServiceWait) and len(problem.stages) == 1:
        sizing = replace(sizing, dispersion=need.dispersion)
    return replace(problem, rate=need.rate if rate is None else rate, slo_ms=need.budget_ms, sizing=sizing)


def _in_place(best: Plan, running: Mapping[str, tuple[Share, ...]]) -> bool:
    """Whether only batches and cores differ from what runs."""
    return all(_footing(stage.shares) == _footing(running[stage.name]) for stage in best.stages)


def _footings(shares: Mapping[str, tuple[Share, ...]]) -> dict[str, Footing]:
    return {name: _footing(of_stage) for name, of_stage in shares.items()}


def _footing(shares: tuple[Share, ...]) -> Footing:
    return {(share.option.variant, share.option.device, share.replicas, round(share.share, 9)) for share in shares}


def _multiples(problem: Problem, running: Mapping[str, tuple[Share, ...]]) -> dict[str, float]:
    """Rows of each stage for one event of the source, with the variants that run."""
    assumed = {stage.name: running[stage.name] or (Share(stage.options[0], 1),) for stage in problem.stages}
    return {stage.name: stage.rate for stage in stand(replace(problem, rate=1.0, switching=None), assumed).plan.stages}
