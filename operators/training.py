"""Trains the digit classifiers of the examples, the same for the same seed, and stores them in the model repository."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save
from torch import Tensor, nn

from operators import repository
from operators.datasets import DIGIT_SIDE, Digits, digits
from operators.networks import NETWORKS, Ensemble
from operators.operator import Variant

MODEL = "digits"
WEIGHTS = "weights.safetensors"
SEED = 7
BATCH = 64  # images of a training step
SHIFTED = 0.35  # share of training images moved by a column, as the crops of a scene may be


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a network is trained: passes over the images, the highest learning rate, weight decay."""

    network: str
    epochs: int
    rate: float
    decay: float = 1e-4


RECIPES = {
    "linear": Recipe("linear", 30, 0.01),
    "mlp": Recipe("mlp", 60, 0.01),
    "cnn": Recipe("cnn", 24, 0.005, 0.01),
    "ensemble": Recipe("ensemble", 24, 0.005, 0.01),
}


@dataclass(frozen=True, slots=True)
class Trained:
    """weights: a safetensors file. accuracy: share of right answers on the held-out half."""

    weights: bytes
    accuracy: float
    parameters: int
    training_s: float
    seed: int

    def facts(self) -> dict[str, object]:
        return {
            "accuracy": round(self.accuracy, 4),
            "seed": self.seed,
            "parameters": self.parameters,
            "training_s": round(self.training_s, 2),
        }


def train_variant(recipe: Recipe, seed: int = SEED, now: Callable[[], float] = time.perf_counter) -> Trained:
    """Trains on one half of the digits and measures on the other. One thread, so that sums keep their order."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    started_s = now()
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            train, held_out = digits()
            network = NETWORKS[recipe.network]()
            members = network.members if isinstance(network, Ensemble) else [network]
            for index, member in enumerate(members):
                _fit(member, recipe, train, np.random.default_rng([seed, index]))
            accuracy = measure(network, held_out)
    finally:
        torch.set_num_threads(threads)
    parameters = sum(tensor.numel() for tensor in network.parameters())
    return Trained(save(network.state_dict()), accuracy, parameters, now() - started_s, seed)


def measure(network: nn.Module, held_out: Digits) -> float:
    """Share of right answers."""
    network.eval()
    with torch.inference_mode():
        answers = network(_tensor(held_out.images)).argmax(dim=1).numpy()
    return float((answers == held_out.labels).mean())


def _fit(network: nn.Module, recipe: Recipe, train: Digits, rng: np.random.Generator) -> None:
    """Adam with a one-cycle rate over shuffled batches."""
    network.train()
    optimiser = torch.optim.AdamW(network.parameters(), lr=recipe.rate, weight_decay=recipe.decay)
    steps = recipe.epochs * math.ceil(len(train) / BATCH)
    cycle = torch.optim.lr_scheduler.OneCycleLR(optimiser, recipe.rate, total_steps=steps)
    labels = torch.from_numpy(train.labels.astype(np.int64))
    for _ in range(recipe.epochs):
        images = _tensor(shifted(train.images, rng))
        for chosen in torch.from_numpy(rng.permutation(len(train))).split(BATCH):
            optimiser.zero_grad()
            nn.functional.nll_loss(network(images[chosen]), labels[chosen]).backward()
            optimiser.step()
            cycle.step()


def shifted(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The images, some of them moved a column to the left or right."""
    squares = images.reshape(-1, DIGIT_SIDE, DIGIT_SIDE).copy()
    drawn = rng.random(len(squares))
    for step, moved in ((-1, drawn < SHIFTED / 2), (1, (drawn >= SHIFTED / 2) & (drawn < SHIFTED))):
        rolled = np.roll(squares[moved], step, axis=2)
        rolled[:, :, -1 if step < 0 else 0] = 0
        squares[moved] = rolled
    return squares.reshape(len(images), -1)


def _tensor(images: np.ndarray) -> Tensor:
    return torch.from_numpy(images.astype(np.float32))


def train_all(
    root: Path, *, force: bool = False, say: Callable[[str], None] = print, names: Iterable[str] = tuple(RECIPES)
) -> dict[str, Path]:
    """Stores the newest version of every variant and returns their directories.

    What is stored already is verified against its digests and kept; `force` trains it again as the next version.
    """
    return {name: _ensure(root, name, force, say) for name in names}


def _ensure(root: Path, name: str, force: bool, say: Callable[[str], None]) -> Path:
    stored = repository.versions(root, MODEL, name)
    if stored and not force:
        kept = repository.resolve(root, MODEL, Variant(name, 0.0)).model_dir
        assert kept is not None  # resolve names the directory or raises
        say(f"{MODEL}/{name} version {stored[-1]}: there, accuracy {repository.facts(kept)['accuracy']:.4f}")
        return kept
    version = str(max((int(known) for known in stored if known.isdecimal()), default=0) + 1)
    say(f"{MODEL}/{name} version {version}: training")
    trained = train_variant(RECIPES[name])
    place = repository.store(root, MODEL, name, version, {WEIGHTS: trained.weights}, trained.facts())
    say(f"{MODEL}/{name} version {version}: accuracy {trained.accuracy:.4f} after {trained.training_s:.1f} s")
    return place
