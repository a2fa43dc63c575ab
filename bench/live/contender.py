"""Who is compared: a policy of the registry, what it is set to, and whether it may choose a variant.

    defaults    every field that is a time (`..._s`) divided by the load's time factor, those of `behavior` too; the others as documented
    tuned       the best of GRIDS[policy] on another slice (`tuning`); times of a grid are of a run, not divided

Policies that know one variant run the most accurate one. Their replicas are of one unit, as their papers and products have it: they have no
say in a size, or begin with the smallest (Themis).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from enum import StrEnum
from typing import Any

from autoscaler.planner.model import Problem
from autoscaler.policies.policy import Policy, PolicySpec
from autoscaler.policies.registry import POLICIES
from autoscaler.policies.registry import policy as registered

Parameters = Mapping[str, float]
"""Fields of a policy; those of a value in it as `behavior.down_window_s`."""


class Start(StrEnum):
    """What runs at first: planned for the load's first seconds, for its peak or for its mean."""

    FIRST = "first"
    PEAK = "peak"
    MEAN = "mean"


@dataclass(frozen=True, slots=True)
class Contender:
    """name: of its row. policy: in the registry. variants: all, or the most accurate one alone. units: replicas of one unit at first, else as planned."""

    name: str
    policy: str
    parameters: Parameters = field(default_factory=dict)
    variants: bool = False
    one_unit: bool = True
    start: Start = Start.FIRST

    def data(self) -> dict[str, Any]:
        """Ready for JSON."""
        return {"name": self.name, "policy": self.policy, "parameters": dict(self.parameters), "variants": self.variants, "one_unit": self.one_unit,
                "start": self.start.value}

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Contender:
        """The inverse of `data`."""
        return cls(**{**data, "start": Start(data["start"])})

    def spec(self) -> PolicySpec:
        """As the registry has policies, under the contender's own name; of the policy that it lists now."""
        shipped = POLICIES[self.policy]

        def build(problem: Problem) -> Policy:
            return changed(shipped.build(problem), self.parameters)  # type: ignore[operator]

        return replace(shipped, name=self.name, describe=f"{shipped.describe}; {words(self.parameters)}", build=build)


FIXED = (
    Contender("sluice", "sluice", variants=True, one_unit=False),
    Contender("themis", "themis"),
    Contender("fa2", "fa2"),
    Contender("static_peak", "static", one_unit=False, start=Start.PEAK),
    Contender("static_mean", "static", one_unit=False, start=Start.MEAN),
)
TODAY = ("hpa", "keda_lag", "flink_autoscaler")
"""What users run today: each with its defaults and tuned."""

GRIDS: Mapping[str, Mapping[str, tuple[float, ...]]] = {
    "hpa": {"target": (0.3, 0.45, 0.6, 0.8), "interval_s": (2.0, 7.5), "behavior.down_window_s": (15.0, 60.0, 150.0)},
    "keda_lag": {"lag_threshold": (2.0, 5.0, 10.0, 20.0), "interval_s": (2.0, 7.5), "behavior.down_window_s": (15.0, 60.0, 150.0)},
    "flink_autoscaler": {"target": (0.4, 0.55, 0.7), "window_s": (5.0, 20.0), "stabilization_s": (5.0, 20.0), "scale_down_interval_s": (15.0, 60.0),
                         "catch_up_s": (30.0,), "restart_s": (4.0,), "interval_s": (2.0,)},
}


def defaults(policy: str, problem: Problem, time_factor: int) -> Contender:
    """problem: any; only the policy's own fields are read."""
    return Contender(policy, policy, scaled(registered(policy, problem), time_factor))


def scaled(policy: Policy, time_factor: int) -> dict[str, float]:
    """Its times, as parameters, divided."""
    return {name: value / time_factor for name, value in _times(policy)}


def grid(policy: str) -> Iterator[Contender]:
    """All that are tried, each under the policy's name with `_tuned`."""
    names = list(GRIDS[policy])
    for values in itertools.product(*GRIDS[policy].values()):
        yield Contender(f"{policy}_tuned", policy, dict(zip(names, values, strict=True)))


def changed(policy: Any, parameters: Parameters) -> Any:
    """With those fields. TypeError for one that it does not have."""
    own = {name: value for name, value in parameters.items() if "." not in name}
    inner: dict[str, dict[str, float]] = {}
    for name, value in parameters.items():
        if "." in name:
            part, _, rest = name.partition(".")
            inner.setdefault(part, {})[rest] = value
    return replace(policy, **own, **{part: changed(getattr(policy, part), values) for part, values in inner.items()})


def words(parameters: Parameters) -> str:
    return ", ".join(f"{name} {value:g}" for name, value in parameters.items()) or "as shipped"


def _times(value: Any, prefix: str = "") -> Iterator[tuple[str, float]]:
    for found in fields(value):
        held = getattr(value, found.name)
        if found.name.endswith("_s") and isinstance(held, float):
            yield f"{prefix}{found.name}", held
        elif found.name == "behavior" and is_dataclass(held):
            yield from _times(held, f"{prefix}{found.name}.")
