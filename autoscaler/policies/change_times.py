"""How long each kind of change takes, and from it the price of a plan that makes them (`planner.switching`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from autoscaler.planner.model import Share
from autoscaler.planner.profile import Profile
from autoscaler.planner.switching import ChangePrice


@dataclass(frozen=True, slots=True)
class ChangeTimes:
    """Seconds; the defaults are of the example pipelines on two cores, where nothing was measured.

    cold_start_s  from the order of a replica to its process
    load_s        of a model, by variant, on top of that
    resize_s      of a replica in place
    variant_s     in which a ready replica takes up another variant in place; None = another variant is another replica, as in our service
    stall_s       without output when the job is rescaled
    """

    cold_start_s: float = 3.0
    load_s: Mapping[str, float] = field(default_factory=dict)
    resize_s: float = 0.05
    variant_s: float | None = None
    stall_s: float = 4.0

    @property
    def variants_bridge(self) -> bool:
        """Whether another variant serves sooner than a new replica."""
        return self.variant_s is not None and self.variant_s < self.cold_start_s

    def price(self, running: Mapping[str, tuple[Share, ...]], horizon_s: float) -> ChangePrice:
        """Of changes to what runs, spread over the horizon. A replica that goes is taken to be wanted again within it: so two plans of nearly
        equal cost are no reason to go back and forth. Without the stall: replicas come and go, and no proxy is rescaled for it."""
        return ChangePrice(running, horizon_s, self.cold_start_s, self.load_s, self.resize_s, comes_back=1.0)


def measured(profile: Profile) -> ChangeTimes:
    """Of a profile, the longest of each; defaults where it has nothing."""
    variants = [variant for stage in profile.stages for variant in stage.variants]
    started = [variant for variant in variants if variant.cold_start_s > 0]
    if not started:
        return ChangeTimes()
    loads: dict[str, float] = {}
    for variant in variants:
        loads[variant.name] = max(loads.get(variant.name, 0.0), variant.load_s)
    resizes = [variant.resize_ms / 1000 for variant in variants if variant.resize_ms > 0]
    return ChangeTimes(max(max(0.0, variant.cold_start_s - variant.load_s) for variant in started), loads,
                       max(resizes, default=ChangeTimes().resize_s))
