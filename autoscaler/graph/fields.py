"""The fields a branch's condition asks for: every event that may get to the branch must have them, with one type."""

from __future__ import annotations

import re
from collections.abc import Mapping

from autoscaler.graph.condition import condition_error
from autoscaler.graph.section import nearest
from autoscaler.graph.tree import Report

LONGEST = 2000  # characters of a condition

_WORD = re.compile(r"'(?:[^']|'')*'|`(?P<quoted>[^`]+)`|(?P<bare>[A-Za-z_]\w*)", re.ASCII)


def check_condition(condition: str, fields: Mapping[str, Mapping[str, str]], place: str, report: Report) -> None:
    """`fields`: of each stage whose value an event may carry here, its declared fields."""
    if len(condition) > LONGEST:
        report.add(place, f"{place} is longer than {LONGEST} characters", "shorten it")
        return
    silent = [stage for stage, declared in fields.items() if not declared]
    for stage in silent:
        report.add(place, f"{place} asks for fields, but {stage} declares none", f"add stages.{stage}.output.fields")
    if silent:
        return
    known = list(dict.fromkeys(name for declared in fields.values() for name in declared))
    error = condition_error(condition, known)
    if error is not None:
        what, _, mend = error.partition("; ")
        meant = nearest(what.partition(" ")[0], known) if " is no field " in what else None
        report.add(place, f"{place}: {what}", f"did you mean {meant}?" if meant else mend)
        return
    for name in _named(condition, known):
        _check_shared(name, fields, place, report)


def _named(condition: str, known: list[str]) -> list[str]:
    words = {match["quoted"] or match["bare"] for match in _WORD.finditer(condition)}
    return [name for name in known if name in words]


def _check_shared(name: str, fields: Mapping[str, Mapping[str, str]], place: str, report: Report) -> None:
    for stage, declared in fields.items():
        if name not in declared:
            what = f"{place} asks for {name!r}, which an event from {stage} does not have"
            report.add(place, what, f"add it to stages.{stage}.output.fields")
    if len({declared[name] for declared in fields.values() if name in declared}) > 1:
        types = " and ".join(f"{declared[name]} in {stage}" for stage, declared in fields.items() if name in declared)
        report.add(place, f"{place} asks for {name!r}, which is {types}", "declare it with one type")
