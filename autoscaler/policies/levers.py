"""A problem cut down to what a policy may change, so that policies are compared with the same levers, and each lever's worth is seen.

What a lever forbids stays as it runs. An option o of a stage is kept when, for the pools R that run there,

    variants    o.variant is one of R's
    batch       o.batch is the one R's pool of that variant runs; of a variant that does not run, one of R's
    vertical    o.units is that of R on the same device; on a device that nothing runs on, the least offered
    devices     o.device is one of R's
    horizontal  least = most = replicas that run, all of one variant: without this lever a stage cannot be shared
    shares      one variant at a time

What runs is always kept, whatever the levers say. A stage that runs nothing is left free: there is nothing to keep.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from autoscaler.planner.model import Option, Problem, RateTerm, Share, StageModel
from autoscaler.policies.policy import Levers

IN_PLACE = Levers(variants=False, shares=False, horizontal=False, devices=False, parallelism=False)
"""What takes no load and no new replica: the batch, and the cores of a replica."""


def limit(problem: Problem, running: Mapping[str, tuple[Share, ...]], levers: Levers) -> Problem:
    """The same problem with only the options and replicas that the levers reach from what runs."""
    return replace(problem, stages=tuple(_limited(stage, running.get(stage.name, ()), levers) for stage in problem.stages))


def unconditioned(problem: Problem, running: Mapping[str, tuple[Share, ...]]) -> Problem:
    """The same problem for who does not know that rates depend on the variant upstream: the factor of what runs now counts for all.

    Of an origin that runs nothing, the mean over its variants.
    """
    variants = {stage.name: list(dict.fromkeys(option.variant for option in stage.options)) for stage in problem.stages}

    def flat(term: RateTerm) -> RateTerm:
        if not term.by_variant or term.origin is None:
            return term
        shares = {share.option.variant: share.share for share in running.get(term.origin, ())}
        weights = shares or dict.fromkeys(variants[term.origin], 1.0)
        mean = sum(weight * term.by_variant.get(name, 1.0) for name, weight in weights.items()) / sum(weights.values())
        return RateTerm(term.origin, term.factor * mean)

    return replace(problem, stages=tuple(replace(stage, rates=tuple(flat(term) for term in stage.rates)) for stage in problem.stages))


def _limited(stage: StageModel, running: tuple[Share, ...], levers: Levers) -> StageModel:
    if not running:
        return stage
    kept = tuple(option for option in stage.options if _reachable(option, stage, running, levers))
    missing = tuple(share.option for share in running if share.option not in kept)
    shares = stage.share_step if levers.shares and levers.horizontal else None
    if levers.horizontal:
        return replace(stage, options=kept + missing, share_step=shares)
    replicas = sum(share.replicas for share in running)
    return replace(stage, options=kept + missing, share_step=shares, least=replicas, most=replicas)


def _reachable(option: Option, stage: StageModel, running: tuple[Share, ...], levers: Levers) -> bool:
    ran = [share.option for share in running]
    if not levers.variants and option.variant not in {other.variant for other in ran}:
        return False
    if not levers.devices and option.device not in {other.device for other in ran}:
        return False
    if not levers.batch:
        same = {other.batch for other in ran if other.variant == option.variant}
        if option.batch not in (same or {other.batch for other in ran}):
            return False
    if not levers.vertical:
        units = {other.units for other in ran if other.device == option.device}
        if option.units not in (units or {min(other.units for other in stage.options if other.device == option.device)}):
            return False
    return True
