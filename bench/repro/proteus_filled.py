"""Proteus with all devices at work: the program leaves open what the rest of them host, and the policy lets it go.

    idle(t)   devices of kind t that no target holds; where families keep their devices, of the family's own
    load      part of the events that a share takes / (its replicas * rows/s of one)
    fill      one replica more to the share with the greatest load of a kind with an idle device, until there is none

Accuracy stays as it is. The paper has exactly one variant on each device; which one, where any will do, is not in its program.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from autoscaler.policies.policy import Decision, Forecast, State, Target
from autoscaler.policies.proteus import Proteus


@dataclass(frozen=True, slots=True)
class Filled:
    """parts: of the events, by family."""

    proteus: Proteus
    parts: Mapping[str, float]

    @property
    def name(self) -> str:
        return self.proteus.name

    @property
    def interval_s(self) -> float:
        return self.proteus.interval_s

    def decide(self, state: State, forecast: Forecast, memory: object = None) -> Decision:
        decision = self.proteus.decide(state, forecast, memory)
        held = decision.memory if self.proteus.fixed_families and isinstance(decision.memory, dict) else None
        return replace(decision, targets=filled(decision.targets, self.proteus.problem.devices, self.parts, held or None))


def filled(targets: Mapping[str, Target], devices: Mapping[str, float], parts: Mapping[str, float],
           held: Mapping[tuple[str, str], float] | None = None) -> dict[str, Target]:
    """held: units by (kind, family) that the family keeps; None = all share the devices."""
    places = [(name, share) for name, target in targets.items() for share in target.shares]
    counts = [share.replicas for _, share in places]

    def pool(place: int) -> tuple[str, str]:
        name, share = places[place]
        return share.option.device, name if held is not None else ""

    idle: dict[tuple[str, str], float] = dict(held) if held is not None else {(kind, ""): units for kind, units in devices.items()}
    for place, (_, share) in enumerate(places):
        idle[pool(place)] = idle.get(pool(place), 0.0) - share.replicas * share.option.units
    while free := [place for place, (_, share) in enumerate(places) if idle[pool(place)] >= share.option.units]:
        fullest = max(free, key=lambda place: parts[places[place][0]] * places[place][1].share / (counts[place] * places[place][1].option.throughput))
        counts[fullest] += 1
        idle[pool(fullest)] -= places[fullest][1].option.units
    grown = iter(counts)
    return {name: replace(target, shares=tuple(replace(share, replicas=next(grown)) for share in target.shares)) for name, target in targets.items()}
