"""The ways that events take through a pipeline, each with its share: what `attainment` asks about.

A fan-out whose children are joined counts its children as worked on at once, as many as its widest variant makes on average, rounded
up. A branch of which the profile does not know how many take it is taken by all. Children that nothing joins: one of them is followed.
"""

from __future__ import annotations

from math import ceil

from autoscaler.graph.pipeline import SOURCE, Pipeline
from autoscaler.planner.attainment import Children, Step, Way
from autoscaler.planner.catalogue import passing
from autoscaler.planner.profile import Profile


def ways_of(pipeline: Pipeline, profile: Profile) -> tuple[Way, ...]:
    """All of them; their shares add up to 1. Exponential in the number of branches."""
    known = {stage.name: measured.taken for stage in pipeline.stages if (measured := profile.stage(stage.name))}
    taken = {stage.name: 1.0 if known.get(stage.name) is None else known[stage.name] for stage in pipeline.stages}
    joins = {stage.join: stage.name for stage in pipeline.stages if stage.join is not None}

    def onward(name: str, end: str | None) -> list[Way]:
        """From the stage to `end`, neither of them included; end None: the sink."""
        found = []
        for to, share in passing(pipeline.stages, name, taken).items():
            if share == 0:
                continue
            found += [Way(share, ())] if to == end or to is None else [Way(share * way.share, way.path) for way in through(to, end)]
        return found

    def through(name: str, end: str | None) -> list[Way]:
        """From that stage on, itself included."""
        stage = pipeline.stage(name)
        own: tuple[Step, ...] = () if stage.is_plain_join else (name,)
        if not stage.fan_out or name not in joins:
            return [Way(way.share, own + way.path) for way in onward(name, end)]
        children = Children(_width(profile, name), tuple(onward(name, joins[name])))
        return [Way(way.share, (*own, children, *way.path)) for way in through(joins[name], end)]

    return tuple(onward(SOURCE, None))


def _width(profile: Profile, name: str) -> int:
    """1 where it was not measured."""
    stage = profile.stage(name)
    means = [variant.fan_out.mean for variant in stage.variants if variant.fan_out is not None] if stage is not None else []
    return ceil(max(means, default=1.0))
