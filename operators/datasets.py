"""The examples' inputs: real handwritten digits, and scenes made of them.

The digits are scikit-learn's copy of the UCI optical recognition set: 1797 images of 8 x 8 pixels, values 0 to 16. A row
of the digits pipeline is one image, 64 bytes. A scene is a greyscale image of 24 x 96 pixels, 2304 bytes, on which up to
five digits stand side by side; its truth is the number they spell.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

DIGIT_SIDE = 8  # pixels
DIGIT_BYTES = DIGIT_SIDE * DIGIT_SIDE
DIGIT_MOST = 16  # largest pixel value of a digit

SCENE_HEIGHT, SCENE_WIDTH = 24, 96  # pixels
SCENE_BYTES = SCENE_HEIGHT * SCENE_WIDTH
SCENE_MOST_DIGITS = 5
INK = 14  # grey levels of a scene for one level of a digit, so that 16 becomes 224
SCALE = 2  # pixels of a scene for one pixel of a digit
FAINT = 1  # levels of a digit that count as no ink at its sides

SPLIT_SEED = 20


@dataclass(frozen=True, slots=True)
class Digits:
    """images: uint8 (n, 64), values 0..16. labels: uint8 (n,)."""

    images: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    def row(self, index: int) -> bytes:
        """The image as the value of an event."""
        return self.images[index].tobytes()


@dataclass(frozen=True, slots=True)
class Scene:
    """image: uint8 (24, 96). number: its digits from left to right, "" when there are none."""

    image: np.ndarray
    number: str

    def row(self) -> bytes:
        return self.image.tobytes()


def digits(seed: int = SPLIT_SEED) -> tuple[Digits, Digits]:
    """Two halves with all ten digits alike: one to train on, one held out."""
    images, labels = load_digits(return_X_y=True)
    halves = train_test_split(
        images.astype(np.uint8), labels.astype(np.uint8), test_size=0.5, random_state=seed, stratify=labels
    )
    train_images, held_images, train_labels, held_labels = halves
    return Digits(train_images, train_labels), Digits(held_images, held_labels)


def compose_scene(rng: np.random.Generator, source: Digits, count: int | None = None) -> Scene:
    """A scene of `count` digits, by default 0 to 5, at places where they do not overlap, under light noise."""
    if count is None:
        count = int(rng.integers(0, SCENE_MOST_DIGITS + 1))
    canvas = np.zeros((SCENE_HEIGHT, SCENE_WIDTH), dtype=np.float32)
    picked = rng.integers(0, len(source), size=count)
    drawings = [enlarge(trimmed(source.images[index])) for index in picked]
    for drawn, left in zip(drawings, _lefts(rng, drawings), strict=True):
        top = int(rng.integers(0, SCENE_HEIGHT - drawn.shape[0] + 1))
        canvas[top : top + drawn.shape[0], left : left + drawn.shape[1]] = drawn * INK
    noise = rng.normal(0.0, 6.0, canvas.shape) + 10.0
    image = np.clip(np.rint(canvas + noise), 0, 255).astype(np.uint8)
    return Scene(image, "".join(str(source.labels[index]) for index in picked))


def compose_scenes(seed: int, source: Digits, count: int) -> list[Scene]:
    """The same scenes for the same seed."""
    rng = np.random.default_rng(seed)
    return [compose_scene(rng, source) for _ in range(count)]


def trimmed(image: np.ndarray) -> np.ndarray:
    """A digit, 8 rows, without the empty columns beside it."""
    square = image.reshape(DIGIT_SIDE, DIGIT_SIDE)
    inked = np.flatnonzero((square > FAINT).any(axis=0))
    return square[:, inked[0] : inked[-1] + 1]


def enlarge(image: np.ndarray) -> np.ndarray:
    """Each pixel as a square of SCALE x SCALE pixels."""
    return image.repeat(SCALE, axis=0).repeat(SCALE, axis=1).astype(np.float32)


def _lefts(rng: np.random.Generator, drawings: list[np.ndarray]) -> list[int]:
    """Left edges, ascending: the free columns are dealt out at random before, between and behind the digits, so some touch."""
    widths = [drawn.shape[1] for drawn in drawings]
    cuts = np.sort(rng.integers(0, SCENE_WIDTH - sum(widths) + 1, size=len(widths)))
    return [int(cut) + sum(widths[:index]) for index, cut in enumerate(cuts)]
