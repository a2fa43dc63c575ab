"""The examples' models, those that set-up has trained."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def digit_models() -> Path:
    """The repository, which holds every variant of the model `digits`; what is missing or damaged is trained."""
    from operators import repository
    from operators.training import train_all

    root = repository.default_root()
    train_all(root, say=lambda line: None)
    return root


@pytest.fixture(scope="session")
def classifier(digit_models):
    """Makes a classifier of that variant, as a replica process would."""
    from operators import repository
    from operators.digits import Classifier
    from operators.operator import Variant

    def make(name: str, cores: int = 1) -> Classifier:
        return Classifier(repository.resolve(digit_models, Classifier.model, Variant(name, 0.0, {"network": name})), cores)

    return make
