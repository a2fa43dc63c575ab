import itertools
import json
from collections import Counter

import pytest

from operators.cards import Payment, Recent, Tries, Visit, payment_rows, payments, tried, visit
from operators.operator import RowError
from operators.state_trial import follow


def paid(at_ms, amount=10.0):
    return Payment("c", amount, at_ms)


def test_recent_counts_a_window_of_slices():
    rows = payment_rows([paid(0), paid(500), paid(2999), paid(3000), paid(9000)])
    _, answers = follow(Recent, rows, window_ms=3000, slices=3)
    assert [json.loads(row)["recent"] for row in answers] == [1, 2, 3, 2, 1]  # the slices of one second


def test_recent_passes_over_what_is_no_payment():
    rows = [b"nonsense", *payment_rows([paid(0)]), b"{}", *payment_rows([paid(1)])]
    state, answers = follow(Recent, rows)
    assert [isinstance(answer, RowError) for answer in answers] == [True, False, True, False]
    assert json.loads(answers[3])["recent"] == 2
    assert follow(Recent, [b"nonsense"])[0] == b""
    assert state


def test_a_visit_ends_with_a_gap():
    _, answers = follow(visit, [paid(0), paid(1000, 2.5), paid(3001), paid(2500), paid(4500)], gap_ms=2000)
    assert [(p.visit, p.visit_amount) for p in answers] == [(1, 10.0), (1, 12.5), (2, 10.0), (2, 20.0), (2, 30.0)]
    assert follow(visit, [paid(5)]) == (Visit(1, 5, 10.0), [Payment("c", 10.0, 5, visit=1, visit_amount=10.0)])


@pytest.mark.parametrize(("amounts", "alarms"), [
    ([1, 1, 1, 300], [False, False, False, True]),
    ([1, 1, 300], [False, False, False]),
    ([1, 50, 1, 50, 1, 300, 300], [False] * 5 + [True, False]),  # others may come between; one alarm each
])
def test_small_amounts_then_a_large_one(amounts, alarms):
    _, answers = follow(tried, [paid(1000 * at, float(amount)) for at, amount in enumerate(amounts)])
    assert [payment.alarm for payment in answers] == alarms


def test_what_is_long_ago_is_forgotten():
    state, answers = follow(tried, [paid(0, 1.0), paid(1, 1.0), paid(2, 1.0), paid(60_001, 300.0)], within_ms=60_000)
    assert [payment.alarm for payment in answers] == [False] * 4
    assert state == Tries([1, 2])
    assert follow(tried, [paid(0, 1.0), paid(60_001, 5.0)], within_ms=60_000)[0] is None


def test_the_payments_are_those_of_the_seed_in_order_and_hold_what_is_looked_for():
    made = payments(7, 5000)
    assert made == payments(7, 5000) != payments(8, 5000)
    assert len(made) == 5000
    assert all(before.at_ms <= after.at_ms for before, after in itertools.pairwise(made))
    paid_by = Counter(payment.card for payment in made)
    assert paid_by["card-000"] > 3 * paid_by["card-009"]  # 1 / rank
    seen, alarms = {}, 0
    for payment in made:
        seen[payment.card], passed_on = tried(seen.get(payment.card), payment)
        alarms += passed_on.alarm
    assert alarms >= 5
