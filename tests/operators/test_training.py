import json
import re

import numpy as np
import pytest
import typer
from safetensors.torch import load
from typer.testing import CliRunner

from operators import repository
from operators.operator import Variant
from operators.train_cli import train
from operators.training import MODEL, RECIPES, WEIGHTS, shifted, train_all, train_variant


def test_every_variant_is_stored_with_its_facts(digit_models):
    for name in RECIPES:
        place = repository.resolve(digit_models, MODEL, Variant(name, 0.0)).model_dir
        facts = json.loads((place / "model.json").read_text())
        assert 0.9 < facts["accuracy"] < 1
        assert facts["seed"] == 7
        assert facts["training_s"] > 0
        assert facts["parameters"] == sum(tensor.numel() for tensor in load((place / WEIGHTS).read_bytes()).values())


def test_training_again_gives_the_same_weights():
    first = train_variant(RECIPES["mlp"])
    assert train_variant(RECIPES["mlp"]).weights == first.weights
    assert train_variant(RECIPES["mlp"], seed=8).weights != first.weights


def test_what_is_stored_is_kept_unless_forced(tmp_path):
    said: list[str] = []
    first = train_all(tmp_path, names=["linear"], say=said.append)
    assert train_all(tmp_path, names=["linear"], say=said.append) == first
    forced = train_all(tmp_path, names=["linear"], say=said.append, force=True)
    assert forced == {"linear": tmp_path / MODEL / "linear" / "2"}
    assert repository.versions(tmp_path, MODEL, "linear") == ["1", "2"]
    assert [line.partition(": ")[2].split(",")[0].split(" ")[0] for line in said] == ["training", "accuracy", "there", "training", "accuracy"]
    assert repository.resolve(tmp_path, MODEL, Variant("linear", 0.9)).version == "2"


def test_a_damaged_model_is_noticed(tmp_path):
    place = train_all(tmp_path, names=["linear"], say=lambda line: None)["linear"]
    (place / WEIGHTS).write_bytes(b"not what was stored")
    with pytest.raises(repository.RepositoryError, match="is not what was stored"):
        train_all(tmp_path, names=["linear"], say=lambda line: None)


def test_shifting_moves_whole_images_by_a_column_and_leaves_the_original():
    images = np.arange(64 * 200, dtype=np.uint8).reshape(200, 64) % 16 + 1
    before = images.copy()
    moved = shifted(images, np.random.default_rng(0)).reshape(-1, 8, 8)
    squares = images.reshape(-1, 8, 8)
    left = [np.array_equal(new[:, :7], old[:, 1:]) and not new[:, 7].any() for new, old in zip(moved, squares, strict=True)]
    right = [np.array_equal(new[:, 1:], old[:, :7]) and not new[:, 0].any() for new, old in zip(moved, squares, strict=True)]
    same = [np.array_equal(new, old) for new, old in zip(moved, squares, strict=True)]
    assert sum(left) + sum(right) + sum(same) == 200
    assert 0.25 * 200 < sum(left) + sum(right) < 0.45 * 200
    assert np.array_equal(images, before)


def test_the_command_keeps_what_is_there_and_says_so(digit_models):
    app = typer.Typer()
    app.command()(train)
    result = CliRunner().invoke(app, ["--models", str(digit_models)])
    assert result.exit_code == 0
    assert re.search(r"digits/cnn version \d+: there, accuracy 0.97", result.stdout)
    assert f"models in {digit_models}" in result.stdout
