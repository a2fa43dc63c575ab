"""What the operator itself answers to each row, run here in this process: the truth that outputs are checked against."""

from __future__ import annotations

import json

from operators.operator import Variant
from operators.repository import default_root, resolve

LAST_DIGIT = 1.5e-4


def digit_answers(rows: list[bytes], network: str) -> list[bytes]:
    """The classifier's answers, row by row: batches of another size must not change them beyond the printed digits."""
    from operators.digits import Classifier

    variant = resolve(default_root(), "digits", Variant(network, 1.0, {"network": network}))
    return list(Classifier(variant, 1).infer(rows))


def is_alike(found: bytes, wanted: bytes) -> bool:
    """The same label, and a confidence that differs by one in the fourth digit at most: a batch of another size adds up in another order, which
    may turn the last printed digit of one that lies between two."""
    one, other = json.loads(found), json.loads(wanted)
    return one["label"] == other["label"] and abs(one["confidence"] - other["confidence"]) < LAST_DIGIT
