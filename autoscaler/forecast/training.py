"""Trains the forecasters of one horizon and says how it goes. The only module here that imports torch: run it in a process of its own.

    training   what parameters are fitted to
    choosing   what decides between grids, clocks and epochs, and what the first scores of `conformal` come from
    network    Adam, one-cycle rate, batches of BATCH examples, the epoch with the least loss on the choosing slice; one thread, seeded, so the
               same loads and seed give the same weights on the same machine
    loss       LSTM: mean squared error of highest / greatest of the inputs; surge: cross-entropy; + 1e-5 |W| where phi = relu, as the papers
               do (on the input weights; of which weights is not said)

Weights start as in torch, the forget gate's bias at 1 as in Keras, which the papers use, and that of a rate beside at -1: more is exceeded less.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from autoscaler.forecast import holt_winters, quantile_regression
from autoscaler.forecast.buckets import maxima_of
from autoscaler.forecast.examples import Examples, Load, examples
from autoscaler.forecast.forecaster import Series
from autoscaler.forecast.lstm import IPA, THEMIS, UNITS, Lstm, Shape, Weights
from autoscaler.forecast.quantile_regression import Clock, QuantileRegression
from autoscaler.forecast.surge import Surge
from autoscaler.forecast.trained import Trained, scored

HISTORY_S = holt_winters.BUCKET_S * holt_winters.HISTORY
BATCH = 512
RATE = 0.01
L1 = 1e-5
LARGEST_GRADIENT = 1.0
CLOCKS = (Clock(), Clock(1800, 60), Clock(3600, 60), Clock(86400, 96))
"""No period; half an hour and an hour, as scheduled jobs make; a day by quarters of an hour."""
TIMES_LONGER = 4
"""A period must fit into the training load so many times to be tried."""

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is spent: examples for each kind of forecaster, epochs of the networks."""

    smoothing: int = 2000
    regression: int = 20_000
    network: int = 20_000
    epochs: int = 8
    scores: int = 1200


@dataclass(frozen=True, slots=True, eq=False)
class Slices:
    training: Sequence[Load]
    choosing: Sequence[Load]


def train(slices: Slices, horizon_s: float = 10.0, seed: int = 1, effort: Effort = Effort(), shape: Shape = IPA, say: Say = lambda _: None) -> Trained:
    """All forecasters of that horizon. shape: the LSTM's inputs. ValueError when the loads are too short."""
    smoothing = holt_winters.fit(_examples(slices.training, HISTORY_S, horizon_s, effort.smoothing), horizon_s)
    say(f"Holt-Winters: {smoothing.smoothing}")
    regression = _regression(slices, horizon_s, effort, say)
    shape, surge_shape = replace(shape, horizon_s=horizon_s), replace(THEMIS, horizon_s=horizon_s)
    lstm = train_lstm(slices, shape, seed, effort, say)
    surge = Surge(_network(slices, surge_shape, _exceeded, seed, effort, say), surge_shape)
    trained = scored(Trained(smoothing, regression, lstm, surge, {}), _examples(slices.choosing, HISTORY_S, horizon_s, effort.scores))
    say("scores of the choosing slice: done")
    return trained


def train_lstm(slices: Slices, shape: Shape = IPA, seed: int = 1, effort: Effort = Effort(), say: Say = lambda _: None) -> Lstm:
    """The papers' network alone. ValueError when the loads are too short."""
    return Lstm(_network(slices, shape, _highest, seed, effort, say), shape)


def split(load: Load, share: float = 12 / 14) -> Slices:
    """The first part trains, the rest chooses."""
    at = int(share * len(load.counts))
    return Slices([Load(load.counts[:at], load.start_s)], [Load(load.counts[at:], load.start_s + at)])


def _examples(loads: Sequence[Load], history_s: int, horizon_s: float, wanted: int) -> Examples:
    seconds = sum(len(load.counts) for load in loads)
    return examples(loads, history_s, horizon_s, max(1, seconds // wanted))


def _regression(slices: Slices, horizon_s: float, effort: Effort, say: Say) -> QuantileRegression:
    longest_s = max(len(load.counts) for load in slices.training)
    fitting, judging = (_examples(loads, quantile_regression.WINDOW_S, horizon_s, effort.regression) for loads in (slices.training, slices.choosing))
    found = [quantile_regression.fit(fitting, horizon_s, clock) for clock in CLOCKS if clock.period_s * TIMES_LONGER <= longest_s]
    losses = [model.loss(judging) for model in found]
    best = int(np.argmin(losses))
    said = ", ".join(f"{loss:.5f} with {f'a period of {model.clock.period_s} s' if model.clock.bins else 'no clock'}"
                     for model, loss in zip(found, losses, strict=True))
    say(f"quantile regression: loss {said}")
    return found[best]


class Network(nn.Module):
    """`lstm.last_hidden` and the dense output, for gradients. Names and shapes are those of lstm.Weights."""

    def __init__(self, shape: Shape, beside: int) -> None:
        super().__init__()
        self._phi, self._l1 = {"tanh": (torch.tanh, 0.0), "relu": (torch.relu, L1)}[shape.activation]
        bound = UNITS**-0.5
        for name, size in (("input", (4 * UNITS, 1)), ("hidden", (4 * UNITS, UNITS)), ("bias", (4 * UNITS,)), ("dense", (1, UNITS + beside)), ("offset", (1,))):
            self.register_parameter(name, nn.Parameter(torch.empty(size).uniform_(-bound, bound)))
        with torch.no_grad():
            self.bias[UNITS : 2 * UNITS] = 1.0
            self.dense[:, UNITS:] = -1.0

    def forward(self, x: Tensor, beside: Tensor) -> Tensor:
        """x (n, steps), beside (n, k) to (n, k or 1): the output for each value beside, or the one without."""
        h = cell = x.new_zeros(len(x), UNITS)
        for step in range(x.shape[1]):
            i, f, g, o = (x[:, step : step + 1] @ self.input.T + self.bias + h @ self.hidden.T).split(UNITS, dim=1)
            cell = f.sigmoid() * cell + i.sigmoid() * self._phi(g)
            h = o.sigmoid() * self._phi(cell)
        from_past = h @ self.dense[:, :UNITS].T + self.offset
        return from_past + self.dense[0, UNITS] * beside if beside.shape[1] else from_past

    def penalty(self) -> Tensor:
        return self._l1 * self.input.abs().sum()

    def weights(self) -> Weights:
        return Weights(*(getattr(self, name).detach().numpy().astype(float) for name in Weights.__slots__))


@dataclass(frozen=True, slots=True, eq=False)
class _Task:
    """x (n, steps), beside (n, k), target (n, k or 1)."""

    x: Tensor
    beside: Tensor
    target: Tensor
    error: Callable[[Tensor, Tensor], Tensor]


def _inputs(found: Examples, shape: Shape) -> tuple[Series, Series, Series]:
    """Bucket maxima as shares of their greatest, the greatest, and what came as a share of it; loads without events are left out."""
    x = maxima_of(found.windows, shape.bucket_s)
    scale = x.max(axis=1)
    kept = scale > 0
    return x[kept] / scale[kept, None], scale[kept], found.highest[kept] / scale[kept]


def _highest(found: Examples, shape: Shape) -> _Task:
    x, _, came = _inputs(found, shape)
    return _Task(_tensor(x), torch.empty(len(x), 0), _tensor(came[:, None]), nn.functional.mse_loss)


def _exceeded(found: Examples, shape: Shape) -> _Task:
    """Themis' four rates of each window."""
    x, _, came = _inputs(found, shape)
    least, most = x.min(axis=1), x.max(axis=1)
    rates = np.stack((least, (least + most) / 2, most, 2 * most - least), axis=1)
    return _Task(_tensor(x), _tensor(rates), _tensor(came[:, None] > rates), nn.functional.binary_cross_entropy_with_logits)


def _tensor(values: Series) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values, np.float32))


def _network(slices: Slices, shape: Shape, make: Callable[[Examples, Shape], _Task], seed: int, effort: Effort, say: Say) -> Weights:
    history_s = shape.steps * shape.bucket_s
    fitting, judging = (make(_examples(loads, history_s, shape.horizon_s, effort.network), shape) for loads in (slices.training, slices.choosing))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return _fitted(Network(shape, fitting.beside.shape[1] and 1), fitting, judging, np.random.default_rng(seed), effort.epochs,
                           lambda text: say(f"{make.__name__.removeprefix('_')}, {text}"))
    finally:
        torch.set_num_threads(threads)


def _fitted(network: Network, fitting: _Task, judging: _Task, random: np.random.Generator, epochs: int, say: Say) -> Weights:
    """The epoch with the least loss on the judging slice."""
    optimiser = torch.optim.Adam(network.parameters(), RATE)
    steps = -(-len(fitting.x) // BATCH)
    cycle = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, total_steps=epochs * steps)
    least, best = float("inf"), network.weights()
    for epoch in range(epochs):
        for chosen in torch.from_numpy(random.permutation(len(fitting.x))).split(BATCH):
            optimiser.zero_grad()
            loss = fitting.error(network(fitting.x[chosen], fitting.beside[chosen]), fitting.target[chosen])
            (loss + network.penalty()).backward()
            nn.utils.clip_grad_norm_(network.parameters(), LARGEST_GRADIENT)
            optimiser.step()
            cycle.step()
        with torch.no_grad():
            judged = float(judging.error(network(judging.x, judging.beside), judging.target))
        say(f"epoch {epoch + 1} of {epochs}: loss {judged:.5f}")
        if judged < least:
            least, best = judged, network.weights()
    return best


if __name__ == "__main__":
    import typer

    from autoscaler.forecast.cli import train as command

    typer.run(command)
