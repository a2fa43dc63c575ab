import pytest

from operators.service_time import ServiceTime


def learned(*observations):
    service_time = ServiceTime()
    for rows, seconds in observations:
        service_time.observe(rows, seconds)
    return service_time


def test_unknown_until_measured():
    assert ServiceTime().of(10) is None


def test_a_line_is_found():
    service_time = learned(*[(rows, 0.002 + 0.0001 * rows) for rows in (1, 64, 8, 32) * 20])
    assert service_time.of(64) == pytest.approx(0.0084, rel=0.02)  # 2 ms + 64 * 0.1 ms
    assert service_time.of(1) == pytest.approx(0.0021, rel=0.15)


def test_batches_of_one_size_give_a_proportional_guess():
    assert learned((10, 0.01), (10, 0.01)).of(20) == pytest.approx(0.02)


def test_one_pause_of_the_machine_teaches_little():
    observations = [(rows, 0.001 * rows) for rows in (1, 2, 4, 8) * 20]
    assert learned(*observations, (4, 5.0)).of(4) < 0.006


def test_a_slower_operator_is_noticed():
    before = [(rows, 0.001 * rows) for rows in (1, 2, 4, 8) * 20]
    after = [(rows, 0.010 * rows) for rows in (1, 2, 4, 8) * 40]
    assert learned(*before, *after).of(4) == pytest.approx(0.04, rel=0.1)


def test_what_large_batches_took_outlives_a_spell_of_single_rows():
    large = [(rows, 0.002 + 0.0001 * rows) for rows in (64, 32) * 20]
    single = [(1, 0.0021)] * 2000
    assert learned(*large, *single).of(64) == pytest.approx(0.0084, rel=0.1)
