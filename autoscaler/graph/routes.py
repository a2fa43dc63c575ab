"""Which way an event goes: each one takes exactly one way through the graph, so none is doubled and none is lost.

Stages that come `after` the same stage are tried in the file's order: an event goes to the first whose `when` it meets,
else to the one without `when`. If all have one and it meets none, it goes past the last of them: where that stage's own
results go, by the same rule, and in the end to the sink.

    locate -> classify -> reclassify (when: "confidence < 0.9") -> read

    choices("locate")      classify
    choices("classify")    reclassify when confidence < 0.9, else read
    choices("reclassify")  read
    choices("read")        the sink
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from autoscaler.graph.pipeline import SOURCE, Stage


@dataclass(frozen=True, slots=True)
class Choice:
    """One way on. to: a stage, or None for the sink. when: its condition, None for all that are left."""

    to: str | None
    when: str | None


def takers(stages: tuple[Stage, ...], name: str) -> tuple[Stage, ...]:
    """The stages written `after` this one (or after "source"), in the file's order."""
    return tuple(stage for stage in stages if name in stage.after)


def choices(stages: tuple[Stage, ...], name: str) -> tuple[Choice, ...]:
    """Ways on for an event whose latest value comes from `name` (a stage or "source"), to be tried in order; the last takes all."""
    ways: list[Choice] = []
    following = takers(stages, name)
    while following:
        ways += [Choice(stage.name, stage.when) for stage in following if stage.when is not None]
        rest = [stage for stage in following if stage.when is None]
        if rest:
            return (*ways, Choice(rest[0].name, None))
        following = takers(stages, following[-1].name)
    return (*ways, Choice(None, None))


def feeders(stages: tuple[Stage, ...]) -> Mapping[str, tuple[str, ...]]:
    """For each stage, whose value an event may carry when it gets there: stages in the file's order, "source" first."""
    feeding: dict[str, list[str]] = {stage.name: [] for stage in stages}
    for name in (SOURCE, *(stage.name for stage in stages)):
        for to in dict.fromkeys(choice.to for choice in choices(stages, name)):
            if to is not None:
                feeding[to].append(name)
    return {name: tuple(names) for name, names in feeding.items()}


def reaches_sink_without(stages: tuple[Stage, ...], name: str) -> bool:
    """Whether an event can get from the source to the sink without coming to that stage."""
    seen, ahead = {SOURCE}, [SOURCE]
    while ahead:
        for choice in choices(stages, ahead.pop()):
            if choice.to is None:
                return True
            if choice.to != name and choice.to not in seen:
                seen.add(choice.to)
                ahead.append(choice.to)
    return False
