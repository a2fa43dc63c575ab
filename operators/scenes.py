"""Reads a number written on a scene: finds its digits, and puts together what they were classified as.

Locator   row: a scene, 24 x 96 greyscale pixels, 2304 bytes.
          answer: one row of 64 bytes per digit from left to right, as operators.digits takes it; none where the scene is empty.
Reader    row: the JSON array of the digits' answers, null for a missing one.
          answer: `{"number":"3071","digits":4,"confidence":0.87}`; "?" stands for a missing digit. The confidence is the
          product of the digits' confidences; it is 0 when one is missing and 1 for an empty scene.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence

import numpy as np

from operators.datasets import DIGIT_MOST, DIGIT_SIDE, INK, SCALE, SCENE_BYTES, SCENE_HEIGHT, SCENE_WIDTH
from operators.operator import Operator, RowError, Variant

BOX = DIGIT_SIDE * SCALE  # pixels: height of a digit in a scene, and its width at most
INK_LEVEL = 28  # grey levels above the paper: four times the noise
NARROWEST = 4  # pixels; less is a speck

Run = tuple[int, int]  # first column of some ink, and the one behind its last


def runs_of_ink(scene: np.ndarray) -> list[Run]:
    """Columns that touch, as one run. Digits that stand against each other come out as one."""
    return [run for run in _runs((scene > INK_LEVEL).any(axis=0)) if run[1] - run[0] >= NARROWEST]


def runs_of_digits(scene: np.ndarray) -> list[Run]:
    """Runs of ink, cut where two digits stand against each other: at different heights, or wider than a digit can be."""
    parts: list[Run] = []
    for run in runs_of_ink(scene):
        parts += _cut(scene, run)
    return parts


def crop_at_run(scene: np.ndarray, run: Run) -> np.ndarray:
    """The run's ink from its first row on, every second pixel."""
    first, behind = run
    top = _first((scene[:, first:behind] > INK_LEVEL).any(axis=1))
    return _centred(scene[top : top + BOX : SCALE, first:behind:SCALE])


def crop_at_grid(scene: np.ndarray, run: Run) -> np.ndarray:
    """The run on the grid that its digit was enlarged on: squares of SCALE x SCALE pixels, averaged, which halves the noise."""
    first, behind = run
    top = _top(scene[:, first:behind])
    first = _on_grid(scene[top : top + BOX], first)
    columns = -(-(behind - first) // SCALE)
    window = np.zeros((BOX, columns * SCALE), dtype=np.float32)
    part = scene[top : top + BOX, first : first + columns * SCALE]
    window[: part.shape[0], : part.shape[1]] = part
    return _centred(window.reshape(DIGIT_SIDE, SCALE, columns, SCALE).mean(axis=(1, 3)))


METHODS: dict[str, tuple[Callable[[np.ndarray], list[Run]], Callable[[np.ndarray, Run], np.ndarray]]] = {
    "columns": (runs_of_ink, crop_at_run),
    "grid": (runs_of_digits, crop_at_grid),
}


class Locator(Operator):
    """The variant's option `method` is `columns` or `grid` (default: the variant's name)."""

    fans_out = True
    row_bytes = SCENE_BYTES

    def __init__(self, variant: Variant, cores: int) -> None:
        super().__init__(variant, cores)
        method = str(variant.options.get("method", variant.name))
        if method not in METHODS:
            raise ValueError(f"variant {variant.name}: there is no method {method!r}; use one of {', '.join(METHODS)}")
        self._find, self._crop = METHODS[method]

    def infer(self, rows: Sequence[bytes]) -> Sequence[list[bytes] | RowError]:
        return [self._locate(row) for row in rows]

    def _locate(self, row: bytes) -> list[bytes] | RowError:
        if len(row) != SCENE_BYTES:
            return RowError("bad-input", f"the scene has {len(row)} bytes; use {SCENE_BYTES}")
        pixels = np.frombuffer(row, dtype=np.uint8).reshape(SCENE_HEIGHT, SCENE_WIDTH).astype(np.float32)
        scene = pixels - np.median(pixels)  # most of a scene is paper
        return [self._crop(scene, run).tobytes() for run in self._find(scene)]


class Reader(Operator):
    """Needs no model."""

    def infer(self, rows: Sequence[bytes]) -> Sequence[bytes | RowError]:
        return [_read(row) for row in rows]


def _read(row: bytes) -> bytes | RowError:
    try:
        digits = json.loads(row)
        labels = ["?" if digit is None else _label(digit["label"]) for digit in digits]
        sure = math.prod(0.0 if digit is None else _confidence(digit["confidence"]) for digit in digits)
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        detail = f"{type(error).__name__}: {error}"
        return RowError("bad-input", f"this is no array of labels and confidences ({detail[:200]})")
    return b'{"number":"%s","digits":%d,"confidence":%.4f}' % ("".join(labels).encode(), len(labels), sure)


def _label(label: object) -> str:
    if isinstance(label, bool) or not isinstance(label, int) or not 0 <= label <= 9:
        raise ValueError(f"a label is {label!r}")
    return str(label)


def _confidence(confidence: float) -> float:
    if not 0 <= confidence <= 1:  # neither infinite nor NaN
        raise ValueError(f"a confidence is {confidence!r}")
    return float(confidence)


def _runs(occupied: np.ndarray) -> list[Run]:
    edges = np.flatnonzero(np.diff(np.concatenate(([False], occupied, [False])).astype(np.int8)))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def _cut(scene: np.ndarray, run: Run) -> list[Run]:
    """The run as it is, or cut in two at the best place, each part again."""
    first, behind = run
    tall = _rows_of_ink(scene[:, first:behind])
    if behind - first <= BOX and tall <= BOX + 1:
        return [run]
    places = range(first + NARROWEST, behind - NARROWEST + 1)
    place = min(places, key=lambda place: _cost(scene, first, place, behind), default=None)
    if place is None:
        return [run]
    return [*_cut(scene, (first, place)), *_cut(scene, (place, behind))]


def _cost(scene: np.ndarray, first: int, place: int, behind: int) -> float:
    """How unlikely it is that two digits meet here: rows beyond a digit's height on either side, then ink at the seam."""
    left, right = scene[:, first:place], scene[:, place:behind]
    too_tall = max(_rows_of_ink(left) - BOX, 0) + max(_rows_of_ink(right) - BOX, 0)
    too_wide = max(place - first - BOX, 0) % BOX + max(behind - place - BOX, 0) % BOX
    seam = np.minimum(scene[:, place - 1], scene[:, place]).clip(0).sum() / (INK * DIGIT_MOST)
    return too_tall + too_wide + float(seam)


def _rows_of_ink(part: np.ndarray) -> int:
    rows = np.flatnonzero((part > INK_LEVEL).any(axis=1))
    return int(rows[-1] - rows[0] + 1) if len(rows) else 0


def _first(occupied: np.ndarray) -> int:
    return int(np.argmax(occupied))


def _top(part: np.ndarray) -> int:
    """Upper edge of the box that fits the grid: rows pair up best, with most of the ink inside."""
    ink = part.clip(0).sum(axis=1)
    inside = np.convolve(ink, np.ones(BOX), mode="valid")
    rough = np.abs(np.diff(part, axis=0)).sum(axis=1)  # rough[r]: between rows r and r + 1
    scores = [inside[top] - rough[top : top + BOX - 1 : SCALE].sum() for top in range(len(inside))]
    return int(np.argmax(scores))


def _on_grid(part: np.ndarray, first: int) -> int:
    """The run's first column, or the one before where columns pair up better from there."""
    rough = np.abs(np.diff(part, axis=1)).sum(axis=0)

    def unevenness(start: int) -> float:
        return float(rough[start : start + BOX - 1 : SCALE].sum()) if start >= 0 else math.inf

    return first if unevenness(first) <= unevenness(first - 1) else first - 1


def _centred(small: np.ndarray) -> np.ndarray:
    """The crop as the training digits stand: levels 0 to 16, in the middle of 8 columns or half a column left of it."""
    levels = np.where(small < 1.5 * INK, 0, small / INK)
    image = np.zeros((DIGIT_SIDE, DIGIT_SIDE), dtype=np.uint8)
    columns = min(levels.shape[1], DIGIT_SIDE)
    left = (DIGIT_SIDE - columns) // 2
    crop = np.rint(levels[:DIGIT_SIDE, :columns]).clip(0, DIGIT_MOST).astype(np.uint8)
    image[: crop.shape[0], left : left + columns] = crop
    return image
