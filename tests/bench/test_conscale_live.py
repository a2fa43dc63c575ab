"""What a round of the window bench says of its events."""

import math

import pytest

from bench.conscale_live import Round


def test_a_round_s_figures():
    found = Round((10.0,) * 98 + (400.0, 2000.0), (10.0, 20.0, 30.0), (64, 128), 0.0)
    assert found.p99_ms == 400.0
    assert found.variation == pytest.approx((200 / 3) ** 0.5 / 20)
    assert found.violation_share(1000.0) == 0.01


def test_an_event_without_an_answer_is_infinitely_late():
    found = Round((10.0,) * 50 + (math.inf,), (10.0, math.inf), (64,), 0.0)
    assert found.p99_ms == found.variation == math.inf
    assert found.violation_share(1000.0) == pytest.approx(1 / 51)
