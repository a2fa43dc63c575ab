"""The network in numpy is the one that torch trains."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from autoscaler.forecast.lstm import IPA, UNITS, Lstm, Shape, last_hidden
from autoscaler.forecast.training import Network
from tests.forecast.builders import poisson, weights


@pytest.mark.parametrize("seed", range(5))
def test_numpy_equals_torchs_lstm(seed):
    made, x = weights(seed), np.random.default_rng(seed).uniform(0, 1, (7, 12))
    layer = torch.nn.LSTM(1, UNITS, batch_first=True)
    with torch.no_grad():
        for parameter, values in ((layer.weight_ih_l0, made.input), (layer.weight_hh_l0, made.hidden), (layer.bias_ih_l0, made.bias),
                                  (layer.bias_hh_l0, np.zeros(4 * UNITS))):
            parameter.copy_(torch.from_numpy(values))
        expected = layer(torch.from_numpy(x[:, :, None]).float())[1][0][0].numpy()
    assert last_hidden(made, x, "tanh") == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("activation", ["tanh", "relu"])
@pytest.mark.parametrize("beside", [0, 1])
def test_numpy_equals_the_network_that_is_trained(activation, beside):
    torch.manual_seed(1)
    network, random = Network(Shape(activation=activation), beside), np.random.default_rng(1)
    x, values = random.uniform(0, 1, (7, 12)), random.uniform(0, 2, (7, 4 * beside))
    made = network.weights()
    h = last_hidden(made, x, activation)
    own = h @ made.dense[:, :UNITS].T + made.offset + (made.dense[0, UNITS] * values if beside else 0.0)
    with torch.no_grad():
        assert own == pytest.approx(network(torch.from_numpy(x).float(), torch.from_numpy(values).float()).numpy(), abs=1e-5)


def test_its_point_is_the_output_times_the_greatest():
    load, made = poisson(50, 120), weights(4)
    seen = load.reshape(12, 10).max(axis=1)
    out = last_hidden(made, seen[None, :] / seen.max(), "tanh") @ made.dense[0] + made.offset
    assert Lstm(made).forecast(120.0, load).at(0.5) == pytest.approx(max(0.0, seen.max() * out[0]))


def test_too_short_a_past_gives_its_maximum():
    assert Lstm(weights()).forecast(110.0, [4.0] * 100 + [7.0] * 10).at(0.5) == 7.0
    assert Lstm(weights(), replace(IPA, bucket_s=60, steps=10)).forecast(500.0, [9.0] + [4.0] * 499).at(0.5) == 9.0
