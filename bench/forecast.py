"""What each forecaster would have had us provide, against what came: too little, too much, and by how much, beside one that knows the future.

Trained on days 1-12 of the Twitter trace, chosen and first calibrated on days 13-14; everything reported lies behind them or elsewhere: all the
days that are left, five random windows of them that no paper used (each from a cold start), NASA's two months (a minute in a second) and
Azure's hour. `generated` is the chooser of the forecasters that set-up makes, which have never seen any of these traces.

At every origin, one in 10 s, each forecaster provides its quantile w / (w + 1), w = 19 (Sluice's price of shortage), for its horizon:

    under     max(0, highest rate of the horizon - provided), summed / sum of the highest rates, %
    over      max(0, provided - highest rate of the horizon), likewise
    cost      w under + over, %: what the chooser compares
    seconds   share of the horizons' seconds in which less was provided than came, %;  depth: how much less, % of what came in these
    idle      provided above what came, second by second / all that came, %: what holds for a horizon is idle in it, the oracle's too
    error     mean pinball loss over the quantiles / mean of the highest rates, %;  smape: of the median, %
    covered   share of the origins whose highest rate was at most each quantile

`as_points` provides what the forecasters of points say as they say it, without quantiles from what they missed: the papers' way. `fig16`: IPA's LSTM
(12 maxima of 10 s, 20 s ahead), reactive and oracle on the bursty window, as points, beside IPA's published violations, which are those of a whole
pipeline: only their order can be compared. Plots go to `.sluice/bench/forecast.png`.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from math import ceil

import numpy as np

from autoscaler.forecast.chooser import SHORTAGE, Chooser
from autoscaler.forecast.conformal import Conformal
from autoscaler.forecast.examples import Load
from autoscaler.forecast.forecaster import QUANTILES, Forecaster, Series
from autoscaler.forecast.generated import generated
from autoscaler.forecast.lstm import INFADAPTER, IPA, Shape
from autoscaler.forecast.plain import Oracle, Persistence
from autoscaler.forecast.quantile_regression import pinball
from autoscaler.forecast.rolling_origin import STEP_S
from autoscaler.forecast.trained import Trained
from autoscaler.forecast.training import Effort, Slices, train
from autoscaler.policies.need import newsvendor
from autoscaler.policies.policy import Forecast
from bench.published import traces
from bench.published.traces import CHOOSING, DAY_S, REPORT_S, TRAINING
from bench.report import progress, table
from jobs.embedded.paths import SLUICE_DIR

KEEP_S = 600
"""Of past rates, as the control loop keeps them."""
PLOT = SLUICE_DIR / "bench" / "forecast.png"
FULL, QUICK = Effort(4000, 60_000, 60_000, 8, 3000), Effort(500, 4000, 4000, 3, 300)
PUBLISHED_FIG16 = {"lstm": 0.48, "reactive": 2.55, "oracle": 0.30}
"""SLO violations of IPA's video pipeline, %, with each predictor (figure 16)."""
BURSTY = slice(1301160, 1302360)


@dataclass(frozen=True, slots=True)
class Stretch:
    """Of a trace. first: second, from a midnight. Forecasters see what came before only within it."""

    name: str
    counts: Series
    first: int = 0

    def origins(self, horizon_s: float) -> range:
        """Seconds of it, those of the rolling back-test."""
        return range(STEP_S - self.first % STEP_S, len(self.counts) - ceil(horizon_s), STEP_S)


class Noted:
    """A forecaster, and all it said, by origin."""

    def __init__(self, base: Forecaster) -> None:
        self.base, self.said = base, {}

    @property
    def horizon_s(self) -> float:
        return self.base.horizon_s

    def forecast(self, now_s: float, rates: Sequence[float]) -> Forecast:
        found = self.said[now_s] = self.base.forecast(now_s, rates)
        return found


@dataclass(frozen=True, slots=True)
class Figures:
    """The letters of the module's table; covered by quantile."""

    under: float
    over: float
    cost: float
    seconds: float
    depth: float
    idle: float
    error: float
    smape: float
    covered: Mapping[str, float]


def run(quick: bool, seed: int) -> dict:
    slices = _slices(1 if quick else 12)
    effort = QUICK if quick else FULL
    trained = _trained("Twitter", slices, 10.0, seed, effort, IPA)
    random = np.random.default_rng(seed)
    shipped = _trained("generated", Slices(generated(10 if quick else 60, random), generated(3 if quick else 10, random)), 10.0, seed,
                       effort if quick else Effort(), IPA)
    stretches = _stretches(quick, seed)
    found = {stretch.name: _told(stretch, trained, shipped) for stretch in stretches}
    windows = [name for name in found if name.startswith("window")]
    figures: dict = {**found.pop("twitter"), "traces": {**{name: each for name, each in found.items() if name not in windows},
                                                        "five random windows": _mean([found[name] for name in windows])}}
    figures["horizons"] = {"60": _told(_days("60 s ahead", 1 / 24 if quick else 1), _trained("Twitter", slices, 60.0, seed, effort, INFADAPTER))}
    figures["fig16"] = _fig16(_trained("Twitter", slices, 20.0, seed, effort, IPA))
    _print(figures)
    _draw(figures, trained)
    print(f"plot: {PLOT.relative_to(SLUICE_DIR.parent)}")
    return figures


def _slices(days: int) -> Slices:
    counts = traces.twitter()
    training = Load(counts[TRAINING][-days * DAY_S :], float(12 - days) * DAY_S)
    return Slices([training], [Load(counts[CHOOSING], 12.0 * DAY_S)])


def _trained(on: str, slices: Slices, horizon_s: float, seed: int, effort: Effort, shape: Shape) -> Trained:
    progress(f"training on {on}, {horizon_s:g} s ahead")
    return train(slices, horizon_s, seed, effort, shape, say=progress)


def _days(name: str, days: float) -> Stretch:
    """The first of the days that report."""
    return Stretch(name, traces.twitter()[REPORT_S : REPORT_S + int(days * DAY_S)], REPORT_S)


def _stretches(quick: bool, seed: int) -> list[Stretch]:
    counts = traces.twitter()
    reported = len(counts) - REPORT_S
    windows = [Stretch(f"window {begins}", counts[begins : begins + 1200], begins) for begins in traces.random_windows(seed)]
    part = 1 / 40 if quick else 1
    nasa = traces.nasa()
    return [_days("twitter", part * reported / DAY_S), *windows, Stretch("nasa", nasa[: int(part * len(nasa))]), Stretch("azure", traces.azure())]


def _told(stretch: Stretch, trained: Trained, shipped: Trained | None = None) -> dict:
    """Figures by forecaster."""
    began = time.perf_counter()
    points = {name: Noted(base) for name, base in trained.bases().items()}
    quantiles = {name: Noted(Conformal(base, trained.scores[name])) for name, base in points.items()}
    chooser = Noted(Chooser(quantiles))
    asked = {"chooser": chooser} | ({"generated": Noted(shipped.chooser())} if shipped else {})
    chosen: dict[str, int] = {}
    for now, rates in _past(stretch, trained.horizon_s):
        for each in asked.values():
            each.forecast(float(now), rates)
        chosen[str(chooser.base.chosen)] = chosen.get(str(chooser.base.chosen), 0) + 1
    said = {**quantiles, **asked, "oracle": _oracle(stretch, trained.horizon_s)}
    told: dict = {name: asdict(_figures(stretch, noted)) for name, noted in said.items()}
    told["as_points"] = {name: asdict(_figures(stretch, noted)) for name, noted in points.items() if name not in ("quantile_regression", "surge")}
    told["chosen"] = {name: round(times / sum(chosen.values()), 3) for name, times in chosen.items()}
    progress(f"{stretch.name}: {len(stretch.counts)} s in {time.perf_counter() - began:.0f} s")
    return told


def _past(stretch: Stretch, horizon_s: float) -> Iterator[tuple[int, Series]]:
    """Each origin in seconds from a midnight, and what is known there."""
    for origin in stretch.origins(horizon_s):
        yield stretch.first + origin, stretch.counts[max(0, origin - KEEP_S) : origin]


def _oracle(stretch: Stretch, horizon_s: float) -> Noted:
    noted = Noted(Oracle(stretch.counts, horizon_s))
    for origin in stretch.origins(horizon_s):
        noted.said[float(stretch.first + origin)] = noted.base.forecast(float(origin), ())
    return noted


def _figures(stretch: Stretch, noted: Noted) -> Figures:
    origins = np.array(stretch.origins(noted.horizon_s))
    ahead = ceil(noted.horizon_s)
    said = [noted.said[float(stretch.first + origin)] for origin in origins.tolist()]
    came = np.lib.stride_tricks.sliding_window_view(stretch.counts, ahead)[origins]  # (n, ahead)
    highest, total = came.max(axis=1), came.sum()
    provided = np.array([forecast.at(newsvendor(SHORTAGE, 1.0)) for forecast in said])
    under, over = (np.maximum(gap, 0.0).sum() / highest.sum() for gap in (highest - provided, provided - highest))
    gaps = came - provided[:, None]
    short = gaps > 0
    quantiles = np.array([[forecast.at(quantile) for quantile in QUANTILES] for forecast in said])  # (n, quantiles)
    losses = [pinball(highest - column, quantile).mean() for column, quantile in zip(quantiles.T, QUANTILES, strict=True)]
    middle = quantiles[:, QUANTILES.index(0.5)]
    both = middle + highest
    smape = np.divide(2 * np.abs(highest - middle), both, out=np.zeros_like(both), where=both > 0).mean()
    depth = gaps[short].sum() / came[short].sum() if short.any() else 0.0
    return Figures(_percent(under), _percent(over), _percent(SHORTAGE * under + over), _percent(short.mean()), _percent(depth),
                   _percent(-gaps[~short].sum() / total), _percent(np.mean(losses) / highest.mean()), _percent(smape),
                   {f"{quantile:g}": round(float((highest <= column).mean()), 4) for column, quantile in zip(quantiles.T, QUANTILES, strict=True)})


def _percent(share: float) -> float:
    return round(100 * float(share), 3)


def _mean(all_told: Sequence[Mapping]) -> dict:
    """Of windows of the same length: the mean of each figure."""
    names = [name for name in all_told[0] if name not in ("as_points", "chosen")]
    means = {name: {figure: round(float(np.mean([told[name][figure] for told in all_told])), 4) for figure in Figures.__slots__ if figure != "covered"}
             for name in names}
    return {**means, "worst_cost": {name: max(told[name]["cost"] for told in all_told) for name in names}}


def _fig16(trained: Trained) -> dict:
    """Share of seconds with too little, as points, 20 s ahead at each decision of 10 s; the published violations beside them."""
    begins = BURSTY.start - KEEP_S
    stretch = Stretch("ipa_bursty", traces.twitter()[begins : BURSTY.stop], begins)
    predictors: dict[str, Forecaster] = {"lstm": trained.lstm, "reactive": Persistence(trained.horizon_s)}
    found = {}
    for name, predictor in predictors.items():
        noted = Noted(predictor)
        for now, rates in _past(stretch, trained.horizon_s):
            noted.forecast(float(now), rates)
        found[name] = _figures(stretch, noted)
    found["oracle"] = _figures(stretch, _oracle(stretch, trained.horizon_s))
    return {name: {"published_violations": PUBLISHED_FIG16[name], "seconds": each.seconds, "under": each.under, "idle": each.idle}
            for name, each in found.items()}


def _print(figures: dict) -> None:
    shown = ("under", "over", "cost", "seconds", "depth", "idle", "error", "smape")
    every = {"Twitter, days that report": figures, **figures["traces"], "Twitter, 60 s ahead": figures["horizons"]["60"]}
    for name, told in every.items():
        rows = [[forecaster, *(float(each[figure]) for figure in shown)] for forecaster, each in told.items() if isinstance(each, dict) and "cost" in each]
        rows += [[f"{forecaster}, a point", *(float(each[figure]) for figure in shown)] for forecaster, each in told.get("as_points", {}).items()]
        print(f"\n{name}")
        print(table(["%", *shown], rows))
    print("\nfigure 16 of IPA, bursty window")
    print(table(["%", "violations published", "seconds", "under", "idle"], [[name, *each.values()] for name, each in figures["fig16"].items()]))


def _draw(figures: dict, trained: Trained) -> None:
    """Above: what is provided over the bursty window. Below: cost on each trace; the oracle's is 0."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    begins = BURSTY.start - KEEP_S
    stretch = Stretch("ipa_bursty", traces.twitter()[begins : BURSTY.stop], begins)
    noted = {name: Noted(base) for name, base in trained.forecasters().items() if name in ("window_max", "lstm", "quantile_regression")}
    for now, rates in _past(stretch, trained.horizon_s):
        for each in noted.values():
            each.forecast(float(now), rates)
    figure = Figure((11.0, 7.5), 120, layout="constrained")
    FigureCanvasAgg(figure)
    top, bottom = figure.subplots(2, 1)
    top.plot(stretch.counts, color="grey", lw=0.6, label="load")
    origins = list(stretch.origins(trained.horizon_s))
    for name, each in noted.items():
        top.step(origins, [forecast.at(newsvendor(SHORTAGE, 1.0)) for forecast in each.said.values()], where="post", lw=1.0, label=f"{name}, 95 %")
    top.set(xlabel="s", ylabel="events/s", title="IPA's bursty window and what would be provided for 10 s")
    top.legend(fontsize="small")
    sets = {"Twitter": figures, **figures["traces"]}
    names = [name for name in figures if isinstance(figures[name], dict) and "cost" in figures[name] and name != "oracle"]
    for at, name in enumerate(names):
        bottom.bar([place + 0.09 * at for place in range(len(sets))], [told[name]["cost"] for told in sets.values()], 0.08, label=name)
    bottom.set_xticks([place + 0.09 * (len(names) - 1) / 2 for place in range(len(sets))], list(sets))
    bottom.set(ylabel="19 under + over, %", title="cost of what was provided")
    bottom.legend(fontsize="small", ncols=3)
    PLOT.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(PLOT, format="png")
