"""Trained forecasters on disk: a version of the model `forecast` in the model repository, one variant for each horizon.

`forecast/<horizon>s/<version>/` holds the arrays as safetensors, and in model.json what else there is, how they were trained and the digests.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from safetensors.numpy import load as arrays_of
from safetensors.numpy import save as packed

from autoscaler.forecast.trained import Trained, arrays, restored, settings
from operators import repository
from operators.operator import Variant

MODEL = "forecast"
ARRAYS = "forecasters.safetensors"


def variant(horizon_s: float) -> str:
    return f"{horizon_s:g}s"


def save(root: Path, trained: Trained, facts: Mapping[str, object]) -> Path:
    """Stores them as the next version and returns its directory. facts: how they were trained. RepositoryError, OSError."""
    name = variant(trained.horizon_s)
    version = str(max((int(known) for known in repository.versions(root, MODEL, name) if known.isdecimal()), default=0) + 1)
    return repository.store(root, MODEL, name, version, {ARRAYS: packed(arrays(trained))}, {**facts, "settings": settings(trained)})


def has(root: Path, horizon_s: float) -> bool:
    """Whether there are any for that horizon that this release can read. RepositoryError when they are not what was stored."""
    try:
        load(root, horizon_s)
    except ValueError:
        return False
    except repository.RepositoryError:
        if repository.versions(root, MODEL, variant(horizon_s)):
            raise
        return False
    return True


def load(root: Path, horizon_s: float) -> Trained:
    """The newest version for that horizon. RepositoryError when there is none or it is not what was stored; ValueError when it is another release's."""
    place = repository.resolve(root, MODEL, Variant(variant(horizon_s), 0.0)).model_dir
    assert place is not None  # resolve names the directory or raises
    return restored(arrays_of((place / ARRAYS).read_bytes()), repository.facts(place)["settings"])
