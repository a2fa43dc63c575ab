"""The examples' models, trained once for all tests of a run."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def digit_models(tmp_path_factory) -> Path:
    """A repository that holds every variant of the model `digits`."""
    from operators.training import train_all

    root = tmp_path_factory.mktemp("models")
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
