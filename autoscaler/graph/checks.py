"""What must hold between the stages of a pipeline, beyond each value by itself.

Every check reports at the path it is about and goes on; those on the flow of events run only once all names are right.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from autoscaler.graph.fields import check_condition
from autoscaler.graph.pipeline import SOURCE, Format, Pipeline, Stage
from autoscaler.graph.routes import choices, feeders, reaches_sink_without, takers
from autoscaler.graph.section import nearest, one_of
from autoscaler.graph.tree import Report


def check(pipeline: Pipeline, report: Report) -> None:
    _topics(pipeline, report)
    _budget(pipeline, report)
    names_right = [_names(stage, index, pipeline.stages, report) for index, stage in enumerate(pipeline.stages)]
    if all(names_right) and _reached(pipeline.stages, report):
        feeding = feeders(pipeline.stages)
        _conditions(pipeline, feeding, report)
        _states(pipeline, feeding, report)
        _flow(pipeline, feeding, report)


def _topics(pipeline: Pipeline, report: Report) -> None:
    seen: dict[str, str] = {}
    for place in ("source", "sink", "dead_letters"):
        name = getattr(pipeline, place).name
        if name and name in seen:
            report.add(f"{place}.topic", f"{place}.topic is {name!r}, as {seen[name]}.topic is", "use a topic of its own")
        seen.setdefault(name, place)


def _budget(pipeline: Pipeline, report: Report) -> None:
    """The first setting must fit. Foreign endpoints and joins without operator cost us nothing."""
    ours = [stage for stage in pipeline.stages if stage.is_ours]
    needs = {
        "replicas": sum(stage.replicas.initial for stage in ours),
        "cores": sum(stage.replicas.initial * stage.cores for stage in ours),
    }
    for key, needed in needs.items():
        allowed = getattr(pipeline.budget, key)
        if allowed is not None and allowed < needed:
            what = f"budget.{key} is {allowed}, but the stages start with {needed}"
            report.add(f"budget.{key}", what, f"use at least {needed} or fewer initial replicas")


def _names(stage: Stage, index: int, stages: tuple[Stage, ...], report: Report) -> bool:
    """Whether `after`, `input` and `join` name earlier stages."""
    earlier = [before.name for before in stages[:index]]
    before_count = len(report.errors)
    named = [("after", name) for name in stage.after]
    named += [(key, name) for key, name in (("input", stage.input), ("join", stage.join)) if name is not None]
    for key, name in named:
        if name in earlier or (name == SOURCE and key != "join"):
            continue
        place = f"stages.{stage.name}.{key}"
        known = earlier if key == "join" else [SOURCE, *earlier]
        if name == stage.name:
            report.add(place, f"{place} names the stage itself", f"use {one_of(known)}" if known else "remove it")
        elif any(later.name == name for later in stages):
            if key == "after" and _reaches(stage.name, name, stages):
                report.add(place, f"{place} names {name}, which comes after {stage.name}", "break the circle")
            else:
                report.add(place, f"{place} names {name}, which is written later", f"write {name} before {stage.name}")
        else:
            meant = nearest(name, known)
            mend = f"did you mean {meant}?" if meant else f"use {one_of(known)}" if known else "remove it"
            report.add(place, f"{place} names {name!r}, which is no stage", mend)
    return len(report.errors) == before_count


def _reaches(start: str, goal: str, stages: tuple[Stage, ...]) -> bool:
    seen, ahead = {start}, [start]
    while ahead:
        for stage in takers(stages, ahead.pop()):
            if stage.name not in seen:
                seen.add(stage.name)
                ahead.append(stage.name)
    return goal in seen


def _reached(stages: tuple[Stage, ...], report: Report) -> bool:
    """Of the stages after one stage, only one may be without `when`: an event is always in one place."""
    right = True
    for name in (SOURCE, *(stage.name for stage in stages)):
        taking, *starved = [stage.name for stage in takers(stages, name) if stage.when is None] or [""]
        for starving in starved:
            what = f"stages.{starving} comes after {name}, but {taking} takes every event that leaves {name}"
            report.add(f"stages.{starving}.after", what, f"give one of them a when, or come after {taking}")
            right = False
    return right


def _conditions(pipeline: Pipeline, feeding: Mapping[str, tuple[str, ...]], report: Report) -> None:
    for stage in pipeline.stages:
        place = f"stages.{stage.name}.when"
        if stage.when is None:
            continue
        if SOURCE in feeding[stage.name]:
            what = f"{place} asks for fields, but events of the source have none"
            report.add(place, what, "remove it, or come after a stage with output.fields")
            continue
        fields = {name: pipeline.stage(name).output.fields for name in feeding[stage.name]}
        check_condition(stage.when, fields, place, report)


def _states(pipeline: Pipeline, feeding: Mapping[str, tuple[str, ...]], report: Report) -> None:
    """A stage with state gets every event, so that a key's can be put in order; and where its key is a field, each row has it."""
    for stage in pipeline.stages:
        if stage.state is None:
            continue
        place = f"stages.{stage.name}.state"
        if stage.when is None and reaches_sink_without(pipeline.stages, stage.name):
            what = f"{place} needs every event, but some go past {stage.name}"
            report.add(place, what, "let it come after every branch, in its after too")
        field = stage.state.field
        rows_of = feeding[stage.name] if stage.input is None else (stage.input,)
        for name in rows_of if field is not None else ():
            if name == SOURCE and pipeline.source.format is not Format.JSON:
                report.add(f"{place}.key", f"{place}.key is {field!r}, but the source's rows are raw", "say source.format: json, or remove the key")
            elif name != SOURCE and field not in pipeline.stage(name).output.fields:
                what = f"{place}.key is {field!r}, which a row from {name} does not have"
                report.add(f"{place}.key", what, f"add it to stages.{name}.output.fields")


@dataclass(frozen=True, slots=True)
class _Arrival:
    """What is true of every event that gets to a stage: the fan-outs it is a child of, and the stages it has passed."""

    frames: tuple[str, ...] = ()
    passed: frozenset[str] = frozenset()


def _flow(pipeline: Pipeline, feeding: Mapping[str, tuple[str, ...]], report: Report) -> None:
    """Follows frames and passed stages through the graph in the file's order."""
    before: dict[str, _Arrival] = {}  # at the stage, after its join
    after: dict[str, _Arrival] = {SOURCE: _Arrival(passed=frozenset({SOURCE}))}
    joined: dict[str, str] = {}
    for stage in pipeline.stages:
        arriving = [after[name] for name in feeding[stage.name]]
        here = _Arrival(arriving[0].frames, frozenset.intersection(*(arrival.passed for arrival in arriving)))
        if any(arrival.frames != here.frames for arrival in arriving):
            what = f"stages.{stage.name} gets children of a fan-out and events that are none"
            report.add(f"stages.{stage.name}.after", what, "join the children first")
            return
        if stage.join is not None:
            if not _check_join(stage, pipeline, here, joined, report):
                return
            joined[stage.join] = stage.name
            here = before[stage.join]
        before[stage.name] = here
        _check_input(stage, pipeline, here, report)
        frames = (*here.frames, stage.name) if stage.fan_out else here.frames
        after[stage.name] = _Arrival(frames, here.passed | {stage.name})
    _check_escapes(pipeline.stages, after, joined, report)


def _check_join(stage: Stage, pipeline: Pipeline, here: _Arrival, joined: dict[str, str], report: Report) -> bool:
    place = f"stages.{stage.name}.join"
    fan_out = stage.join or ""
    if not pipeline.stage(fan_out).fan_out:
        report.add(place, f"{place} names {fan_out}, which does not fan out", f"give {fan_out} fan_out: true")
    elif fan_out in joined:
        what = f"{place} names {fan_out}, whose children {joined[fan_out]} joins already"
        report.add(place, what, f"come after {joined[fan_out]}, without join")
    elif fan_out not in here.frames:
        report.add(place, f"{place} names {fan_out}, but its children do not come here", f"come after {fan_out}")
    elif here.frames[-1] != fan_out:
        report.add(place, f"{place} names {fan_out}, but {here.frames[-1]} fanned out after it", f"join {here.frames[-1]} first")
    else:
        return True
    return False


def _check_input(stage: Stage, pipeline: Pipeline, here: _Arrival, report: Report) -> None:
    if stage.input is None or stage.input in here.passed:
        return
    place = f"stages.{stage.name}.input"
    what = f"{place} names {stage.input}, which an event here may not have passed"
    if any(stage.input == other.name and other.fan_out for other in pipeline.stages):
        what = f"{place} names {stage.input}, whose children are joined or elsewhere"
    report.add(place, what, f"use {one_of(name for name in _ordered(pipeline, here))}")


def _ordered(pipeline: Pipeline, here: _Arrival) -> list[str]:
    return [name for name in (SOURCE, *(stage.name for stage in pipeline.stages)) if name in here.passed]


def _check_escapes(stages: tuple[Stage, ...], after: Mapping[str, _Arrival], joined: Mapping[str, str], report: Report) -> None:
    """Children that one stage joins must not get to the sink on their own."""
    for stage in stages:
        if not any(choice.to is None for choice in choices(stages, stage.name)):
            continue
        for fan_out in after[stage.name].frames:
            if fan_out in joined:
                joiner = joined[fan_out]
                what = f"stages.{joiner}.join joins the children of {fan_out}, but some go to the sink from {stage.name}"
                report.add(f"stages.{joiner}.join", what, f"let {joiner} come after {stage.name} too")
