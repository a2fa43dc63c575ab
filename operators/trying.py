"""An operator run on a few rows by hand: `sluice operator try`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import yaml

from operators import replica
from operators.author import AuthorError
from operators.operator import Operator, RowError
from operators.repository import RepositoryError
from operators.state_trial import run_turn
from operators.stateful import StatefulOperator
from operators.turns import Answer


class TryError(Exception):
    """It cannot be tried; the text says why."""


@dataclass(frozen=True, slots=True)
class Outcome:
    lines: list[str]
    failed: int


def options_of(texts: Sequence[str]) -> dict[str, object]:
    """`key=value` each, the value as YAML reads it: numbers are numbers."""
    found: dict[str, object] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not key or not equals:
            raise TryError(f"{text!r} is no option; use KEY=VALUE")
        try:
            found[key] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise TryError(f"option {key}: {value!r} is no YAML value") from error
    return found


def try_rows(spec: str, rows: Sequence[bytes], options: dict[str, object], variant: str, models: Path) -> Outcome:
    """One line per answer, then one of times. The operator is loaded and run as a replica does, but in this process."""
    wish = {"operator": spec, "name": variant, "accuracy": 1.0, "options": options, "version": None, "repository": str(models), "cores": 1}
    began = perf_counter()
    try:
        operator = replica.load(wish)
    except (replica.LoadError, RepositoryError, AuthorError) as error:
        raise TryError(str(error)) from error
    except Exception as error:  # the author's own constructor
        raise TryError(f"{spec} cannot be loaded: {type(error).__name__}: {error}") from error
    loaded = perf_counter()
    answers = _answers(operator, rows) if rows else []
    done = perf_counter()
    lines = [line for number, answer in enumerate(answers) for line in _lines(number, answer)]
    failed = sum(isinstance(answer, RowError) for answer in answers)
    times = f"loaded in {(loaded - began) * 1e3:.0f} ms, {len(rows)} rows in {(done - loaded) * 1e3:.1f} ms, {failed} failed"
    return Outcome([*lines, times], failed)


def _answers(operator: Operator, rows: Sequence[bytes]) -> list[Answer]:
    """With state, the rows are the events of one key."""
    if isinstance(operator, StatefulOperator):
        return run_turn(operator, b"", rows)[1]
    return list(replica.infer(operator, rows))


def _lines(number: int, answer: bytes | list[bytes] | RowError) -> list[str]:
    if isinstance(answer, RowError):
        return [f"{number}: FAILED {answer.reason}: {answer.detail}"]
    if isinstance(answer, list):
        return [f"{number}.{child}: {_text(value)}" for child, value in enumerate(answer)] or [f"{number}: (none)"]
    return [f"{number}: {_text(answer)}"]


def _text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return repr(value)
