"""Which branch conditions a pipeline may use: Flink SQL booleans that no event can make fail.

Flink evaluates the condition inside the job, where an exception would fail the job, and with it every event. A few constructs of SQL do
throw on data (an integer division by zero, a CAST of text that is no number), so only those that cannot are let through. Whether the
condition is well-formed and of boolean type is Flink's to say, before the job is submitted.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

_TOKEN = re.compile(r"""
      (?P<space>\s+)
    | (?P<text>'(?:[^']|'')*')
    | (?P<number>\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)
    | (?P<quoted>`[^`]+`)
    | (?P<word>[A-Za-z_][A-Za-z0-9_]*)
    | (?P<operator><>|<=|>=|\|\||[=<>+\-*(),])
""", re.VERBOSE)

_KEYWORDS = frozenset([
    "AND", "OR", "NOT", "IS", "NULL", "TRUE", "FALSE", "UNKNOWN", "BETWEEN", "SYMMETRIC", "IN", "LIKE", "CASE",
    "WHEN", "THEN", "ELSE", "END", "DISTINCT", "FROM", "AS", "STRING", "VARCHAR", "INT", "INTEGER", "BIGINT", "DOUBLE", "BOOLEAN",
])
_FUNCTIONS = frozenset(["ABS", "CHAR_LENGTH", "UPPER", "LOWER", "TRIM", "COALESCE", "NULLIF", "IF", "GREATEST", "LEAST", "FLOOR", "CEIL", "TRY_CAST"])


def condition_error(when: str, fields: Iterable[str]) -> str | None:
    """What is wrong with the condition, and the mend; None when nothing is. fields: the names it may use."""
    known = set(fields)
    place = 0
    while place < len(when):
        token = _TOKEN.match(when, place)
        if token is None:
            return f"{when[place]!r} cannot be used in a condition; compare fields with = <> < <= > >=, AND, OR, NOT, IN, LIKE, IS NULL"
        wrong = _word_error(token, when[token.end():], known)
        if wrong is not None:
            return wrong
        place = token.end()
    return None


def _word_error(token: re.Match[str], rest: str, known: set[str]) -> str | None:
    if token.lastgroup == "quoted":
        return _field_error(token.group()[1:-1], known)
    if token.lastgroup != "word":
        return None
    word = token.group()
    if rest.lstrip().startswith("(") and word.upper() not in _KEYWORDS:
        if word.upper() in _FUNCTIONS:
            return None
        mend = "use TRY_CAST, which gives null where the text is no such value" if word.upper() == "CAST" else (
            f"use one of {', '.join(sorted(_FUNCTIONS))}")
        return f"the function {word} cannot be used in a condition; {mend}"
    return None if word.upper() in _KEYWORDS else _field_error(word, known)


def _field_error(name: str, known: set[str]) -> str | None:
    if name in known:
        return None
    declared = ", ".join(sorted(known)) or "none"
    return f"{name} is no field of the stage before (declared: {declared}); add it to that stage's output.fields"
