"""Decision records: what was seen, forecast, planned, done and what became of it, as JSON that reads back as the same state.

    version  1: the keys below. A reader refuses a version it does not know; keys that it does not know it ignores
    inputs   arrivals: [[ms, events since the start], ...] of the source since the record before; ends: its offsets then; stages: of `policies.policy.State`;
             windows: figures for people, that no policy reads
    in_flight  by stage: rows that a proxy may have in flight, why, and the range that is known (control/window.py, control/scatter.py)
    stages   by stage: actions (calls made), outcome (none, advised, confirmed, withheld, failed: why)

A decision is `decision`; what the reactive rule writes has its own keys and no `kind`, and cannot be decided again.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from autoscaler.control.arrivals import Arrivals
from autoscaler.control.decider import Decided
from autoscaler.planner.model import Option, Plan, Problem, Share
from autoscaler.policies.policy import Decision, Forecast, Pool, StageState, State, Target

VERSION = 1
KIND = "decision"
SINCE_MS = 1000.0


class WrongDecision(ValueError):
    """A record that cannot be read; the text says why."""


@dataclass(frozen=True, slots=True)
class Circumstances:
    """Beside the decision itself. arrivals: points since the record before. ends: offsets at the last of them. stall_s: what a rescale takes, measured.
    in_flight: `control.window.Window.data` by stage."""

    pipeline: str
    policy: str
    mode: str
    sequence: int
    arrivals: Sequence[tuple[float, float]] = ()
    ends: Mapping[int, int] = field(default_factory=dict)
    windows: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    chosen_forecaster: str | None = None
    stall_s: float | None = None
    took_ms: float = 0.0
    in_flight: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StageOutcome:
    """actions: calls made of the service or of Flink, in order. outcome: none, advised, confirmed, withheld: why, failed: why."""

    actions: tuple[Mapping[str, Any], ...] = ()
    outcome: str = "none"

    def data(self) -> dict[str, Any]:
        together: dict[str, Any] = {}
        for action in self.actions:
            together.update(action)
        return {"actions": together, "outcome": self.outcome}


def record(decided: Decided, around: Circumstances, outcomes: Mapping[str, StageOutcome]) -> dict[str, Any]:
    """Ready for JSON."""
    state, decision = decided.state, decided.decision
    return {
        "version": VERSION, "kind": KIND, "pipeline": around.pipeline, "sequence": around.sequence, "at_ms": round(state.now_s * SINCE_MS),
        "policy": around.policy, "mode": around.mode, "reason": decision.reason, "took_ms": round(around.took_ms, 3),
        "inputs": {
            "arrivals": [[round(at_s * SINCE_MS), round(events, 3)] for at_s, events in around.arrivals],
            "ends": {str(partition): end for partition, end in around.ends.items()},
            "spent_ms": list(state.spent_ms),
            "stages": {name: _stage_data(stage) for name, stage in state.stages.items()},
            "windows": dict(around.windows),
        },
        "forecast": {"horizon_s": decided.forecast.horizon_s, "quantiles": {str(of): rate for of, rate in decided.forecast.quantiles.items()},
                     "surge": decided.forecast.surge, "forecaster": around.chosen_forecaster},
        "plan": _plan_data(decision.plan),
        "targets": {name: {"shares": [_share_data(share) for share in target.shares], "parallelism": target.parallelism}
                    for name, target in decision.targets.items()},
        "stall_s": around.stall_s,
        "in_flight": dict(around.in_flight),
        "stages": {name: outcome.data() for name, outcome in outcomes.items()},
    }


def _stage_data(stage: StageState) -> dict[str, Any]:
    pools = [{**_option_data(pool.option), "ready": pool.ready, "starting": pool.starting, "share": pool.share} for pool in stage.pools]
    figures = {name: getattr(stage, name) for name in StageState.__slots__ if name != "pools"}
    return {"pools": pools, **figures}


def _option_data(option: Option) -> dict[str, Any]:
    return {"variant": option.variant, "device": option.device, "units": option.units, "batch": option.batch}


def _share_data(share: Share) -> dict[str, Any]:
    return {**_option_data(share.option), "replicas": share.replicas, "share": share.share}


def _plan_data(plan: Plan | None) -> dict[str, Any] | None:
    if plan is None:
        return None
    return {"latency_ms": plan.latency_ms, "accuracy": plan.totals.accuracy, "cost": plan.totals.cost, "change": plan.totals.change,
            "exact": plan.exact, "gap": plan.gap,
            "stages": {stage.name: {"rate": stage.rate, "time_ms": stage.time_ms, "shares": [_share_data(share) for share in stage.shares]}
                       for stage in plan.stages}}


# reading


@dataclass(frozen=True, slots=True)
class Recorded:
    """A record read back. state: without rates and dispersion, which `states` adds from the arrivals."""

    pipeline: str
    policy: str
    mode: str
    sequence: int
    state: State
    forecast: Forecast
    arrivals: tuple[tuple[float, float], ...]
    ends: Mapping[int, int]
    targets: Mapping[str, Target]
    reason: str
    stall_s: float | None


def parse(value: bytes | str | None) -> dict[str, Any]:
    """The JSON object; WrongDecision when it is none, or of a version that is not known."""
    try:
        found = json.loads(value or b"")
    except (ValueError, RecursionError) as error:
        raise WrongDecision(f"no JSON: {error}") from error
    if not isinstance(found, dict):
        raise WrongDecision(f"a {type(found).__name__}, not an object")
    if found.get("version", VERSION) != VERSION:
        raise WrongDecision(f"version {found['version']}; this release reads {VERSION}")
    return found


def is_decision(found: Mapping[str, Any]) -> bool:
    """Of a policy, which can be decided again."""
    return found.get("kind") == KIND


def recorded(found: Mapping[str, Any], problem: Problem) -> Recorded:
    """WrongDecision for what lacks a field, or names a stage or an option that the problem does not have."""
    try:
        inputs, forecast = found["inputs"], found["forecast"]
        stages = {name: _stage(problem, name, stage) for name, stage in inputs["stages"].items()}
        missing = {stage.name for stage in problem.stages} - stages.keys()
        if missing:
            raise WrongDecision(f"it says nothing of stage {min(missing)}")
        return Recorded(
            found["pipeline"], found["policy"], found["mode"], found["sequence"],
            State(found["at_ms"] / SINCE_MS, (), stages, tuple(inputs["spent_ms"])),
            Forecast(forecast["horizon_s"], {float(of): rate for of, rate in forecast["quantiles"].items()}, forecast["surge"]),
            tuple((at_ms / SINCE_MS, events) for at_ms, events in inputs["arrivals"]),
            {int(partition): end for partition, end in inputs["ends"].items()},
            {name: Target(tuple(_share(problem, name, share) for share in target["shares"]), target["parallelism"])
             for name, target in found["targets"].items()},
            found["reason"], found["stall_s"])
    except (KeyError, TypeError, AttributeError) as error:
        raise WrongDecision(f"it lacks a field or has a wrong one: {error}") from error


def states(records: Iterable[Recorded], arrivals: Arrivals | None = None) -> Iterator[Recorded]:
    """Each with its rates and their dispersion. arrivals: what was known before, and afterwards what is known then. A gap or a counter that began anew
    begins the rates anew, too."""
    known = arrivals if arrivals is not None else Arrivals()
    for one in records:
        for at_s, events in one.arrivals:
            try:
                known.add(at_s, events)
            except ValueError:
                known.forget()
                known.add(at_s, events)
        now_s = one.state.now_s
        yield replace(one, state=replace(one.state, rates=known.rates(now_s), dispersion=known.dispersion(now_s)))


def _stage(problem: Problem, name: str, found: Mapping[str, Any]) -> StageState:
    pools = tuple(Pool(_option(problem, name, pool), pool["ready"], pool["starting"], pool["share"]) for pool in found["pools"])
    return StageState(pools, **{key: found[key] for key in StageState.__slots__ if key in found and key != "pools"})  # older records lack some


def _share(problem: Problem, name: str, found: Mapping[str, Any]) -> Share:
    return Share(_option(problem, name, found), found["replicas"], found["share"])


def _option(problem: Problem, name: str, found: Mapping[str, Any]) -> Option:
    wanted = (found["variant"], found["device"], found["units"], found["batch"])
    for option in problem.stage(name).options:
        if (option.variant, option.device, option.units, option.batch) == wanted:
            return option
    raise WrongDecision(f"stage {name} has no option {wanted} in this profile")


def lines(found: Mapping[str, Any]) -> list[str]:
    """For people."""
    told = [f"decision {found.get('sequence', '?')} of {found.get('policy', '?')} ({found.get('mode', '?')}): {found.get('reason', '')}"]
    if not is_decision(found):
        return told + [f"  {name}: {stage.get('action')}, {stage.get('outcome')}: {stage.get('reason')}" for name, stage in found["stages"].items()]
    inputs, forecast = found["inputs"], found["forecast"]
    points = inputs["arrivals"]
    if len(points) > 1:
        told.append(f"  arrivals: {(points[-1][1] - points[0][1]) / (points[-1][0] - points[0][0]) * SINCE_MS:.0f} events/s since the decision before")
    if forecast["quantiles"]:
        quantiles = ", ".join(f"{float(of):.0%} {rate:.0f}" for of, rate in forecast["quantiles"].items())
        told.append(f"  forecast for {forecast['horizon_s']:g} s by {forecast['forecaster'] or 'a safe maximum'}: {quantiles} events/s")
    for name, stage in inputs["stages"].items():
        pools = ", ".join(f"{pool['ready']} of {pool['ready'] + pool['starting']} x {_option_words(pool)}" for pool in stage["pools"])
        told.append(f"  {name} runs {pools or 'nothing'}; {stage['rate']:.0f} rows/s, {stage['queue']} waiting, busy {stage['busy']:.0%}, "
                    f"{stage['violations']:.1%} violations")
    plan = found["plan"]
    if plan is not None:
        told.append(f"  plan: {plan['latency_ms']:.1f} ms, accuracy {plan['accuracy']:.4f}, cost {plan['cost']:g}, of that change {plan['change']:.3g}")
        told += [f"    {name}: " + ", ".join(f"{share['replicas']} x {_option_words(share)}" for share in stage["shares"])
                 + f" for {stage['rate']:.0f} rows/s" for name, stage in plan["stages"].items()]
    told += [f"  {name}: {_window_words(chosen)}" for name, chosen in found.get("in_flight", {}).items()]
    told += [f"  {name}: {json.dumps(stage['actions']) if stage['actions'] else 'as it is'}, {stage['outcome']}" for name, stage in found["stages"].items()]
    return told


def _window_words(chosen: Mapping[str, Any]) -> str:
    known = chosen["range"]
    curve = "" if known is None else (f"; {known['best_rps']:.0f} rows/s from {known['lower']:.0f} rows in the service on, "
                                      f"of {known['slices']} slices up to {known['seen']:.0f} rows")
    return f"window {chosen['rows']} rows a proxy ({chosen['basis']}{curve})"


def _option_words(option: Mapping[str, Any]) -> str:
    return f"{option['variant']} ({option['units']:g} {option['device']}, batch {option['batch']})"


def decision_of(one: Recorded) -> Decision:
    """What was decided then, without memory and plan."""
    return Decision(one.targets, None, one.reason)
