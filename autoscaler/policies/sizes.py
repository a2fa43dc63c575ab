"""The options of a stage by variant, device, size and batch, for policies that hold some of these fixed."""

from __future__ import annotations

from autoscaler.planner.model import Option, StageModel


def lightest(stage: StageModel) -> Option:
    """The cheapest option, of equals the fastest: its variant, device and size are what a paper with one fixed instance runs."""
    return min(stage.options, key=lambda option: (option.cost, option.latency_ms))


def like(stage: StageModel, option: Option) -> tuple[Option, ...]:
    """Same variant and device, every size and batch; smallest size first, then smallest batch."""
    found = [other for other in stage.options if (other.variant, other.device) == (option.variant, option.device)]
    return tuple(sorted(found, key=lambda option: (option.units, option.batch)))


def sized(options: tuple[Option, ...], units: float) -> tuple[Option, ...]:
    """Those of that size."""
    return tuple(option for option in options if option.units == units)


def smallest(options: tuple[Option, ...]) -> tuple[Option, ...]:
    return sized(options, min(option.units for option in options))


def largest(options: tuple[Option, ...]) -> tuple[Option, ...]:
    return sized(options, max(option.units for option in options))


def with_units(stage: StageModel, option: Option, units: float) -> Option:
    """The same variant, device and batch with at least so many units, or the most there are; the option itself when it is the only one."""
    sizes = sorted((other for other in like(stage, option) if other.batch == option.batch), key=lambda other: other.units)
    return next((other for other in sizes if other.units >= units), sizes[-1])
