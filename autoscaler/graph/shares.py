"""How much of what is left of an event's deadline a stage may spend.

    w[s]     weight of stage s, e.g. its expected time; > 0
    rest[s]  heaviest way from s to the sink, s included       rest[s] = w[s] + max of rest[t] over the ways on to t, 0 at the sink
    share[s] = w[s] / rest[s]                                  0 < share <= 1, and 1 for a stage before the sink

An event that reaches s with d ms left may spend share[s] * d there. If every stage keeps to its share, the event is in time
whichever way it goes, and what one stage saves, later ones may spend. A join without an operator takes no share: its is 0.
"""

from __future__ import annotations

from collections.abc import Mapping

from autoscaler.graph.pipeline import Pipeline
from autoscaler.graph.routes import choices


def deadline_shares(pipeline: Pipeline, weights: Mapping[str, float] | None = None) -> dict[str, float]:
    """Each stage's share, in the file's order; `weights` are 1 where the mapping names none. ValueError for a weight not above 0."""
    given = weights or {}
    rest: dict[str, float] = {}
    shares: dict[str, float] = {}
    for stage in reversed(pipeline.stages):
        weight = 0.0 if stage.is_plain_join else float(given.get(stage.name, 1.0))
        if not stage.is_plain_join and not 0 < weight < float("inf"):
            raise ValueError(f"the weight of stage {stage.name} is {weight}; use a number above 0")
        ahead = [rest[way.to] for way in choices(pipeline.stages, stage.name) if way.to is not None]
        rest[stage.name] = weight + max(ahead, default=0.0)
        shares[stage.name] = weight / rest[stage.name] if weight else 0.0
    return {stage.name: shares[stage.name] for stage in pipeline.stages}
