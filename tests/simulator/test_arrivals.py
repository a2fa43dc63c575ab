"""Traces as arrivals, and what the network leaves of the deadline."""

import numpy as np
import pytest

from simulator.arrivals import Arrivals, Delays, Even, Network, Poisson, Stamps

RANDOM = np.random.default_rng(0)


def test_even_counts_keep_the_total():
    trace = Even([2.5, 2.5, 0.0, 1.0])
    assert [trace.sent(second, RANDOM).tolist() for second in range(4)] == [[0.25, 0.75], [1 + 1 / 6, 1.5, 1 + 5 / 6], [], [3.5]]


def test_poisson_counts_have_mean_and_variance_of_their_rate():
    trace = Poisson([50.0] * 4000)
    random = np.random.default_rng(1)
    counts = np.array([len(trace.sent(second, random)) for second in range(4000)])
    assert counts.mean() == pytest.approx(50, abs=3.3 * np.sqrt(50 / 4000))
    assert counts.var() == pytest.approx(50, rel=3.3 * np.sqrt(2 / 4000))


def test_stamps_come_as_they_were_logged():
    trace = Stamps(np.array([0.1, 0.1, 1.0, 2.9]))
    assert trace.seconds == 3
    assert [trace.sent(second, RANDOM).tolist() for second in range(3)] == [[0.1, 0.1], [1.0], [2.9]]
    with pytest.raises(ValueError, match="ascend"):
        Stamps(np.array([1.0, 0.5]))


def test_the_network_takes_size_over_bandwidth():
    network = Network([1e6, 2e6], 500_000)
    assert network.delay_s(np.array([0.0, 0.5, 1.5, 7.0])).tolist() == [0.5, 0.5, 0.25, 0.25]


def test_a_second_without_bandwidth_delivers_in_the_next():
    assert Network([0.0, 0.0, 1e6], 500_000).delay_s(np.array([0.25, 1.5])).tolist() == [1.75 + 0.5, 0.5 + 0.5]
    with pytest.raises(ValueError, match="bandwidth above 0"):
        Network([1e6, 0.0], 1.0)


def test_deadlines_count_from_sending_and_order_from_arrival():
    arrivals = Arrivals(Stamps(np.array([0.1, 0.5, 1.2])), 1.0, Delays([1.5, 0.1]))
    sent, arrived, deadline = arrivals.second(0, RANDOM)
    assert (sent.tolist(), arrived.tolist(), deadline.tolist()) == ([0.1, 0.5], [1.6, 2.0], [1.1, 1.5])
    late = Arrivals(Stamps(np.array([0.9, 0.95])), 1.0, Network([1e5], 1e4))
    assert late.second(0, RANDOM)[1].tolist() == pytest.approx([1.0, 1.05])
