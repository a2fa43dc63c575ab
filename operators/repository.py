"""Stored models in a local directory: `<root>/<model>/<variant>/<version>/`, files and `model.json` with their digests.

Names are checked so that no path leaves the root. A version is written beside its place and moved there whole, so a reader sees all
of it or nothing; it is never changed afterwards.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from operators.operator import Variant

FACTS = "model.json"
NAME = re.compile(r"[A-Za-z0-9_.-]+")


class RepositoryError(Exception):
    """No such model, or its files are not what was stored; the text says which and what to do."""


def default_root() -> Path:
    configured = os.environ.get("SLUICE_MODELS")
    return Path(configured) if configured else Path.home() / ".cache" / "sluice" / "models"


def store(root: Path, name: str, variant: str, version: str, files: Mapping[str, bytes], facts: Mapping[str, Any]) -> Path:
    """Writes a new version and returns its directory. `facts` (accuracy, how it was trained, ...) go to model.json."""
    place = _place(root, name, variant) / _named("version", version)
    if place.exists():
        raise RepositoryError(f"{place} exists already; a stored version is never changed: choose another version")
    place.parent.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(prefix=".new-", dir=place.parent))
    try:
        for file_name, content in files.items():
            (beside / _named("file", file_name)).write_bytes(content)
        digests = {file_name: hashlib.sha256(content).hexdigest() for file_name, content in files.items()}
        record = {**facts, "model": name, "variant": variant, "version": version, "sha256": digests}
        (beside / FACTS).write_text(json.dumps(record, indent=1, sort_keys=True))
        beside.chmod(0o755)
        beside.rename(place)
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        raise
    return place


def versions(root: Path, name: str, variant: str) -> list[str]:
    """Oldest first; numbers by value."""
    place = _place(root, name, variant)
    found = [entry.name for entry in place.iterdir() if (entry / FACTS).is_file() and _is_name(entry.name)] if place.is_dir() else []
    return sorted(found, key=_age)


def resolve(root: Path, name: str, variant: Variant, version: str | None = None) -> Variant:
    """The variant with its version and verified directory; the newest version when none is named."""
    known = versions(root, name, variant.name)
    if not known:
        raise RepositoryError(f"no stored model {name}/{variant.name} under {root}; train it, or point SLUICE_MODELS at the directory that has it")
    if version is not None and version not in known:
        raise RepositoryError(f"model {name}/{variant.name} has no version {version}; stored: {', '.join(known)}")
    chosen = version or known[-1]
    directory = _place(root, name, variant.name) / chosen
    verify(directory)
    return replace(variant, version=chosen, model_dir=directory)


def facts(directory: Path) -> dict[str, Any]:
    """What model.json says."""
    return json.loads((directory / FACTS).read_text())  # type: ignore[no-any-return]


def verify(directory: Path) -> None:
    for file_name, digest in facts(directory)["sha256"].items():
        path = directory / _named("file", file_name)
        if not path.is_file():
            raise RepositoryError(f"{path} is missing; store the version again under a new number")
        if hashlib.sha256(path.read_bytes()).hexdigest() != digest:
            raise RepositoryError(f"{path} is not what was stored (sha256 differs); store the version again under a new number")


def _place(root: Path, name: str, variant: str) -> Path:
    return root / _named("model", name) / _named("variant", variant)


def _named(what: str, name: str) -> str:
    if not _is_name(name):
        raise RepositoryError(f"{what} name {name!r}: use letters, digits, '_', '-' and '.', not beginning with '.'")
    return name


def _is_name(name: str) -> bool:
    return NAME.fullmatch(name) is not None and not name.startswith(".")


def _age(version: str) -> tuple[int, int, str]:
    return (1, int(version), version) if version.isdecimal() else (0, 0, version)
