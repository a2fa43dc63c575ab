"""Payments by card, and three operators with state on them: how many lately, which belong together, which look like fraud.

Each passes the payment on with what it found, so that the three follow one another in pipelines/cards.yaml. The payments are made by a formula, so
that nothing need be downloaded.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace

import numpy as np

from operators.codec import BadInput, reader
from operators.operator import RowError, Variant
from operators.sliding import slide, state_type
from operators.stateful import StatefulOperator
from operators.turns import Answer, Applied, Turns

CARDS = 500
RATE_PER_S = 100.0
MEDIAN = 25.0
SPREAD = 1.0
TESTED_SHARE = 0.002
TESTS = 4
TEST_GAP_MS = 2000
BEGINS_MS = 1_700_000_000_000


@dataclass(frozen=True, slots=True)
class Payment:
    """at_ms: Unix time. The rest is what operators found: payments of the card lately, number and amount of the visit, whether it looks like fraud."""

    card: str
    amount: float
    at_ms: int
    recent: int = 0
    visit: int = 0
    visit_amount: float = 0.0
    alarm: bool = False


read_payment = reader(Payment)


class Recent(StatefulOperator):
    """A sliding count: payments of the card in the last `window_ms`, to one of `slices` parts of it; this one counts too."""

    def __init__(self, variant: Variant, cores: int) -> None:
        super().__init__(variant, cores)
        window_ms, slices = (int(str(variant.options.get(name, default))) for name, default in (("window_ms", 60_000), ("slices", 60)))
        self._width_ms = max(1, window_ms // slices)
        self._type = state_type(slices)

    def apply(self, turns: Turns) -> Applied:
        found = [_payment(row) for row in turns.events()]
        good = np.array([isinstance(payment, Payment) for payment in found])
        at = np.array([payment.at_ms // self._width_ms for payment in found if isinstance(payment, Payment)], np.int64)
        counts = np.add.reduceat(good.astype(np.int64), turns.first)
        states, kept = turns.state_table(self._type)
        counted = counts > 0
        part = states[counted]
        recent = iter(slide(part, kept[counted], counts[counted], at)[0].tolist())
        states[counted] = part
        answers: list[Answer] = [_row(replace(p, recent=next(recent))) if isinstance(p, Payment) else p for p in found]
        return Applied([state.tobytes() if there else b"" for state, there in zip(states, kept | counted, strict=True)], answers)


@dataclass(frozen=True, slots=True)
class Visit:
    """Payments of a card near one another. number: of the card's visits so far."""

    number: int = 0
    last_ms: int = 0
    amount: float = 0.0


def visit(seen: Visit, payment: Payment, *, gap_ms: int = 30_000) -> tuple[Visit, Payment]:
    """A session: a payment more than `gap_ms` after the last one of its card begins a new visit; one that comes late belongs to the running one."""
    begins = seen.number == 0 or payment.at_ms - seen.last_ms > gap_ms
    amount = round(payment.amount + (0.0 if begins else seen.amount), 2)
    after = Visit(seen.number + begins, max(seen.last_ms, payment.at_ms), amount)
    return after, replace(payment, visit=after.number, visit_amount=amount)


@dataclass(frozen=True, slots=True)
class Tries:
    """When the card last paid small amounts, oldest first."""

    at_ms: list[int] = field(default_factory=list)


def tried(
    seen: Tries | None, payment: Payment, *, small: float = 2.0, large: float = 200.0, tests: int = 3, within_ms: int = 60_000
) -> tuple[Tries | None, Payment]:
    """A sequence: `tests` payments of at most `small`, then one of at least `large`, all within `within_ms`, as by one who tries a stolen card."""
    recent = [at_ms for at_ms in (seen.at_ms if seen is not None else []) if payment.at_ms - at_ms <= within_ms]
    if payment.amount <= small:
        recent = [*recent, payment.at_ms][-tests:]
    alarm = payment.amount >= large and len(recent) >= tests
    if alarm:
        recent = []
    return Tries(recent) if recent else None, replace(payment, alarm=alarm)


def payments(seed: int, count: int) -> list[Payment]:
    """`count` payments in the order of their times.

    Gaps are exponential with RATE_PER_S; the card of rank r out of CARDS is drawn in proportion to 1 / r; amounts are MEDIAN * exp(SPREAD * N(0, 1)).
    After a share TESTED_SHARE of the payments the card is tried: TESTS payments of 1.00, TEST_GAP_MS apart, then one of 250.00.
    """
    random = np.random.default_rng(seed)
    at = BEGINS_MS + np.cumsum(random.exponential(1000 / RATE_PER_S, count)).astype(np.int64)
    weights = 1 / np.arange(1, CARDS + 1)
    cards = random.choice(CARDS, count, p=weights / weights.sum())
    amounts = np.round(MEDIAN * np.exp(SPREAD * random.standard_normal(count)), 2)
    tested = np.flatnonzero(random.random(count) < TESTED_SHARE)
    steps = np.arange(1, TESTS + 2)
    at = np.r_[at, (at[tested][:, None] + TEST_GAP_MS * steps).ravel()]
    cards = np.r_[cards, np.repeat(cards[tested], TESTS + 1)]
    amounts = np.r_[amounts, np.tile(np.where(steps <= TESTS, 1.0, 250.0), len(tested))]
    order = np.argsort(at, kind="stable")[:count]
    return [Payment(f"card-{card:03}", amount, when) for card, amount, when in zip(*(x[order].tolist() for x in (cards, amounts, at)), strict=True)]


def payment_rows(made: Sequence[Payment]) -> list[bytes]:
    """As a producer sends them: what operators find is left away."""
    return [json.dumps({"card": p.card, "amount": p.amount, "at_ms": p.at_ms}, separators=(",", ":")).encode() for p in made]


def _payment(row: bytes) -> Payment | RowError:
    try:
        found: Payment = read_payment(row)
    except BadInput as error:
        return RowError("bad-input", str(error))
    return found


def _row(payment: Payment) -> bytes:
    return json.dumps(asdict(payment), separators=(",", ":")).encode()
