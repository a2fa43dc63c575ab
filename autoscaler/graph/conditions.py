"""The names in a branch's condition. Flink judges the rest of its SQL before a job is submitted; nothing is evaluated here."""

from __future__ import annotations

import re
from collections.abc import Mapping

from autoscaler.graph.section import nearest, one_of
from autoscaler.graph.tree import Report

LONGEST = 2000  # characters of a condition

_TOKEN = re.compile(r"'(?:[^']|'')*'|`(?P<quoted>[^`]+)`|(?P<bare>[A-Za-z_][A-Za-z0-9_]*)(?P<call>\s*\()?|[0-9][0-9.eE]*")
_SQL = frozenset(
    """and or not is null true false unknown between symmetric in like similar to escape case when then else end cast as
    try_cast distinct from boolean tinyint smallint int integer bigint float double decimal string varchar char date time
    timestamp interval""".split()
)


def names_in(condition: str) -> tuple[str, ...]:
    """Identifiers that may be fields: neither SQL words, text in quotes nor functions; in order, each once."""
    names = []
    for match in _TOKEN.finditer(condition):
        bare = match["bare"]
        if match["quoted"]:
            names.append(match["quoted"])
        elif bare and not match["call"] and bare.lower() not in _SQL:
            names.append(bare)
    return tuple(dict.fromkeys(names))


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
    names = names_in(condition)
    for name in names:
        if name not in known and (meant := nearest(name, known)):
            report.add(place, f"{place} asks for {name!r}, which {one_of(fields)} does not declare", f"did you mean {meant}?")
            return
    used = [name for name in names if name in known]
    if not used:
        report.add(place, f"{place} uses no field of {one_of(fields)}", f"use {one_of(known)}")
    for name in used:
        _check_shared(name, fields, place, report)


def _check_shared(name: str, fields: Mapping[str, Mapping[str, str]], place: str, report: Report) -> None:
    for stage, declared in fields.items():
        if name not in declared:
            what = f"{place} asks for {name!r}, which an event from {stage} does not have"
            report.add(place, what, f"add it to stages.{stage}.output.fields")
    if len({declared[name] for declared in fields.values() if name in declared}) > 1:
        types = ", ".join(f"{declared[name]} in {stage}" for stage, declared in fields.items() if name in declared)
        report.add(place, f"{place} asks for {name!r}, which is {types}", "declare it with one type")
