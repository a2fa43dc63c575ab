"""The papers' network: one LSTM layer of 25 units and a dense output, on bucket maxima. Run here in numpy; trained elsewhere (`training`).

    x[t]   maximum of a bucket / the greatest of them, t < steps, oldest first                       scale-equivariant
    i, f, o = sigmoid(W x[t] + U h + c)      gates; W (4u, 1), U (4u, u), c (4u,), rows in the order i, f, g, o
    g       = phi(W x[t] + U h + c)
    C       = f C + i g,  h = o phi(C)       both 0 before the first step
    y       = V h + d, times the greatest: a point, the highest rate within the horizon

    IPA         12 maxima of 10 s -> most of the next 20 s; phi = tanh
    InfAdapter  10 maxima of 60 s -> most of the next 60 s; phi = relu, weights W penalised by 1e-5 |W|
    Themis      6 maxima of 10 s and a rate -> will the next 10 s exceed it?                          (`surge`)

Fewer buckets than steps: the most there is (IPA's backup). The papers train on raw rates of one trace; dividing by the greatest is ours, so
that one network serves any rate. Sources: IPA (JSys 2024), section on the predictor; InfAdapter (EuroMLSys 2023); their released code.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from autoscaler.forecast.buckets import maxima
from autoscaler.forecast.forecaster import Series, certain
from autoscaler.policies.policy import Forecast

UNITS = 25


def relu(values: Series) -> Series:
    return np.maximum(values, 0.0)


ACTIVATIONS: Mapping[str, Callable[[Series], Series]] = {"tanh": np.tanh, "relu": relu}


@dataclass(frozen=True, slots=True)
class Shape:
    """What goes in and what comes out. activation: phi, one of ACTIVATIONS."""

    steps: int = 12
    bucket_s: int = 10
    horizon_s: float = 20.0
    activation: str = "tanh"

    def seen(self, rates: Sequence[float]) -> Series | None:
        """Of the buckets that the network reads, shape (steps,); None while there are too few, or no event in them."""
        seen = maxima(rates, self.bucket_s, self.steps)
        return seen if len(seen) == self.steps and seen.max() else None

    def backup(self, rates: Sequence[float]) -> Forecast:
        """Without the network: the highest rate there is in so many buckets, nothing where there is none."""
        return certain(self.horizon_s, max(rates[-self.bucket_s * self.steps :])) if len(rates) else Forecast(self.horizon_s, {})


IPA = Shape()
INFADAPTER = Shape(10, 60, 60.0, "relu")
THEMIS = Shape(6, 10, 10.0, "relu")


@dataclass(frozen=True, slots=True, eq=False)
class Weights:
    """W (4u, 1), U (4u, u), c (4u,), V (outputs of h and what is beside it, that many), d (1,)."""

    input: Series
    hidden: Series
    bias: Series
    dense: Series
    offset: Series


def last_hidden(weights: Weights, x: Series, activation: str) -> Series:
    """h after the last step of each sequence. Shape (n, steps) to (n, u)."""
    phi = ACTIVATIONS[activation]
    units = weights.hidden.shape[1]
    h = cell = np.zeros((len(x), units))
    inputs = x[:, :, None] * weights.input[:, 0] + weights.bias  # (n, steps, 4u)
    back = weights.hidden.T
    for step in range(x.shape[1]):
        gates = inputs[:, step] + h @ back
        shares = sigmoid(gates)  # g's too: one call is faster than three
        i, f, o = (shares[:, at * units : (at + 1) * units] for at in (0, 1, 3))
        cell = f * cell + i * phi(gates[:, 2 * units : 3 * units])
        h = o * phi(cell)
    return h


def sigmoid(values: Series) -> Series:
    return 0.5 + 0.5 * np.tanh(0.5 * values)  # does not overflow


@dataclass(frozen=True, slots=True, eq=False)
class Lstm:
    weights: Weights
    shape: Shape = IPA

    @property
    def horizon_s(self) -> float:
        return self.shape.horizon_s

    def forecast(self, now_s: float, rates: Sequence[float]) -> Forecast:
        seen = self.shape.seen(rates)
        if seen is None:
            return self.shape.backup(rates)
        scale = float(seen.max())
        h = last_hidden(self.weights, seen[None, :] / scale, self.shape.activation)[0]
        return certain(self.horizon_s, max(0.0, scale * float((h @ self.weights.dense.T + self.weights.offset)[0])))
