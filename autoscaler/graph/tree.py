"""A YAML file as plain values that know their lines.

The composed node tree is turned into dicts, lists and scalars; a table beside them says on which line each path
(`stages.classify.on_late`) stands. Only plain values are allowed, and what aliases unfold to is bounded.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from autoscaler.graph.errors import PipelineError, PipelineErrors

LARGEST_BYTES = 1 << 20
DEEPEST = 24  # nested values; a pipeline file needs 6
MOST_VALUES = 20_000  # after aliases are unfolded

_PLAIN = {f"tag:yaml.org,2002:{name}" for name in ("str", "int", "float", "bool", "null")}
_MERGE = "tag:yaml.org,2002:merge"


@dataclass(slots=True)
class Report:
    """Collects what is wrong with one file.

    lines   of each path in it
    broken  paths whose value could not even be made out, so that nothing more is to be said of them
    kind    of file, which is also its first key
    """

    file: str
    lines: dict[str, int] = field(default_factory=dict)
    broken: set[str] = field(default_factory=set)
    errors: list[PipelineError] = field(default_factory=list)
    kind: str = "pipeline"

    def add(self, path: str, what: str, mend: str) -> None:
        """A fault at `path`, or at the nearest enclosing path that is in the file."""
        self.add_at(self.line(path), what, mend)

    def add_at(self, line: int, what: str, mend: str) -> None:
        self.errors.append(PipelineError(self.file, line, what, mend))

    def line(self, path: str) -> int:
        while path and path not in self.lines:
            path = path[: max(path.rfind("."), path.rfind("["), 0)]
        return self.lines.get(path, 1)

    def raise_if_any(self) -> None:
        if self.errors:
            raise PipelineErrors(self.errors)


def read_text(path: Path, kind: str = "pipeline") -> str:
    """The file's text; PipelineErrors when it cannot be read, is too large or is not UTF-8."""
    try:
        with path.open("rb") as file:
            raw = file.read(LARGEST_BYTES + 1)
    except OSError as error:
        raise _unreadable(path, 1, f"the file cannot be read ({error.strerror})", f"name a {kind} file") from error
    if len(raw) > LARGEST_BYTES:
        raise _unreadable(path, 1, "the file is larger than 1 MiB", "name a pipeline file")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise _unreadable(path, line, "the file is not UTF-8", "save it as UTF-8") from error


def _unreadable(path: Path, line: int, what: str, mend: str) -> PipelineErrors:
    return PipelineErrors([PipelineError(str(path), line, what, mend)])


def load(text: str, report: Report) -> dict[str, object]:
    """The file's mapping; faults go to the report. Raises at once where the text is not YAML at all."""
    try:
        _bound_depth(text, report)
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        report.add_at(mark.line + 1 if mark else 1, f"this is not YAML ({error.problem or error.context})", "mend the syntax")
    except yaml.YAMLError as error:
        line = text.count("\n", 0, getattr(error, "position", 0)) + 1
        report.add_at(line, "this is not YAML (a character that YAML forbids)", "remove it")
    report.raise_if_any()
    if not isinstance(root, yaml.MappingNode):
        report.add_at(1, "the file holds no keys", f"start with {report.kind}: NAME")
        report.raise_if_any()
    value = _Unfolding(report).value(root, "")
    return value if isinstance(value, dict) else {}


def _bound_depth(text: str, report: Report) -> None:
    """The composer recurses; the event stream does not, so depth is bounded there."""
    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > DEEPEST:
            report.add_at(event.start_mark.line + 1, f"values are nested more than {DEEPEST} deep", "flatten them")
            report.raise_if_any()


class _Unfolding:
    """One walk from nodes to values, with a count of what aliases make of them."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._values = 0
        self._open: set[int] = set()  # nodes being unfolded, to find an alias inside itself
        self._constructor = yaml.constructor.SafeConstructor()

    def value(self, node: yaml.Node, path: str) -> object:
        self._values += 1
        line = node.start_mark.line + 1
        if self._values > MOST_VALUES:
            self._report.add_at(line, f"aliases unfold to more than {MOST_VALUES} values", "write them out")
            self._report.raise_if_any()
        if id(node) in self._open:
            self._report.add_at(line, f"{path or 'the file'} holds an alias to itself", "write the value out")
            return None
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, path)
        self._open.add(id(node))
        value = self._mapping(node, path) if isinstance(node, yaml.MappingNode) else self._sequence(node, path)
        self._open.discard(id(node))
        return value

    def _scalar(self, node: yaml.ScalarNode, path: str) -> object:
        mend = "write plain text, a number, true or false"
        if node.tag not in _PLAIN:
            return self._broken(path, f"is of the kind {_kind(node.tag)}", f"{mend}, or put it in quotes")
        try:
            value = self._constructor.construct_object(node)
        except (ValueError, yaml.YAMLError):
            return self._broken(path, f"is {node.value!r}, which is no {_kind(node.tag)}", mend)
        if isinstance(value, float) and not math.isfinite(value):
            return self._broken(path, f"is {node.value}", "write a finite number")
        return value

    def _broken(self, path: str, what: str, mend: str) -> None:
        self._report.add(path, f"{path} {what}", mend)
        self._report.broken.add(path)

    def _sequence(self, node: yaml.SequenceNode, path: str) -> list[object]:
        values = []
        for index, item in enumerate(node.value):
            place = f"{path}[{index}]"
            self._report.lines[place] = item.start_mark.line + 1
            values.append(self.value(item, place))
        return values

    def _mapping(self, node: yaml.MappingNode, path: str) -> dict[str, object]:
        values: dict[str, object] = {}
        first: dict[str, int] = {}
        for key_node, item in node.value:
            line = key_node.start_mark.line + 1
            key = self._key(key_node, path)
            if key is None:
                continue
            place = f"{path}.{key}" if path else key
            if key in values:
                self._report.add_at(line, f"{place} is there twice, first on line {first[key]}", "remove one")
                continue
            first[key] = self._report.lines[place] = line
            values[key] = self.value(item, place)
        return values

    def _key(self, node: yaml.Node, path: str) -> str | None:
        line, within = node.start_mark.line + 1, f" in {path}" if path else ""
        if node.tag == _MERGE:
            self._report.add_at(line, f"the merge key <<{within} is not supported", "write the keys out")
        elif not isinstance(node, yaml.ScalarNode) or node.tag != "tag:yaml.org,2002:str":
            written = repr(node.value) if isinstance(node, yaml.ScalarNode) else "a list or mapping"
            self._report.add_at(line, f"the key {written}{within} is not text", "put it in quotes")
        else:
            return str(node.value)
        return None


def _kind(tag: str) -> str:
    return tag.removeprefix("tag:yaml.org,2002:")
