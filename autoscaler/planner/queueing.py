"""How long rows wait at a stage, and how much to size for: the sizings a problem may carry (`model.Sizing`).

    lam  rows/s that arrive        b  rows per batch        l  ms of a batch         h  rows/s of one replica
    n    replicas                  q  share of rows, 0..1   k  standard deviations   H  headroom

NoWait       demand lam                                    wait 0
FillWait     demand lam + k sqrt(lam)                      wait for the batch to fill, by one of `batch_fill`'s forms; replicas never matter
             k sqrt(lam) is k standard deviations of a second's Poisson arrivals. As published in FA2, Themis (`whole`: demand to the
             nearest row/s, waits up to the next ms; floor(1000 b/l) belongs into the options) and IPA (mean).
ServiceWait  demand H lam                                  the operator service's own, with its adaptive batches:
             S  = 1000 b / h                               mean ms of a batch
             b* = ceil(H lam S / (1000 n)), 1..b           rows the batch rule waits for (operators/batching.py), from above: S(b*) <= S
             F  = 1000 (b*-1) / lam                        mean fill to b*; nobody waits longer than the deadline affords, so no quantile of it
             p  = Erlang C(n, min(lam S / 1000, n / H))    share of rows that find every replica busy: batches of b*, before it is rounded
             R  = S (1 - ((1-q)/p)^(1/n)), 0 for p <= 1-q  q-quantile of the time to the next free replica, n of them at independent places
             V  = q-quantile of the wait of full batches   G/G/n, batches at lam/b of Erlang-b gaps: rows that the next batch has no room for;
                                                           their squared coefficient of variation is D/b, D = 1 for Poisson arrivals
             wait = sqrt(max(F, R)^2 + V^2)                inf from utilisation lam / (n h) = 1 on

ServiceWait's figure is an approximation of a quantile, from above where l(b) much exceeds l(b*). A row that finds the queue full is not
also the one whose replica has just begun: the quantiles of the two waits add up like those of independent parts, by squares; their sum
promised three to ten times what was kept. tests/planner/test_queueing.py replays the batch rule with the deadline that wait + l gives; no
more than 1 - q of the rows are late (up to a third more for the draws).

Meeting an SLO is a share of events end to end. Over S stages each at the quantile 1 - (1-q)/S, at least q of the events keep to all of
them (union bound, whatever the dependence). A join waits for the slowest of k children: if they are independent, the time that all of
them keep to with share q is each one's quantile q^(1/k) (exact); else 1 - (1-q)/k bounds it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from math import ceil, hypot, inf, sqrt

from autoscaler.planner import batch_fill
from autoscaler.planner.free_replica import erlang_c, tail_quantile_ms
from autoscaler.planner.model import Kind, Option

HEADROOM = 1.1
"""Of the operator service's batch rule (operators/batching.py)."""


class Fill(StrEnum):
    """Forms of the wait for a batch to fill, as `batch_fill` explains them."""

    MEAN = "mean"
    AVERAGE = "average"
    GAMMA = "gamma"
    EXPONENTIAL = "exponential"


KINDS = {Fill.MEAN: Kind.MEAN, Fill.AVERAGE: Kind.MEAN, Fill.GAMMA: Kind.QUANTILE, Fill.EXPONENTIAL: Kind.BOUND}


@dataclass(frozen=True, slots=True)
class NoWait:
    """As many replicas as carry the rate, and no wait at all."""

    @property
    def kind(self) -> Kind:
        return Kind.BOUND  # from below

    def demand(self, rate: float) -> float:
        return rate

    def wait_ms(self, option: Option, rate: float, replicas: int) -> float:
        return 0.0

    def falls_with_replicas(self) -> bool:
        return False


@dataclass(frozen=True, slots=True)
class FillWait:
    """The papers': the batch must fill, replicas are free. share: of GAMMA and EXPONENTIAL."""

    fill: Fill = Fill.GAMMA
    headroom_sigmas: float = 0.0
    share: float = 0.99
    whole: bool = False

    @property
    def kind(self) -> Kind:
        return KINDS[self.fill]

    def demand(self, rate: float) -> float:
        sized = rate + self.headroom_sigmas * sqrt(rate)
        return float(round(sized)) if self.whole else sized

    def wait_ms(self, option: Option, rate: float, replicas: int) -> float:
        wait_ms = self._fill_ms(option.batch, rate)
        return float(ceil(wait_ms)) if self.whole else wait_ms

    def falls_with_replicas(self) -> bool:
        return False

    def _fill_ms(self, batch: int, rate: float) -> float:
        match self.fill:
            case Fill.MEAN:
                return batch_fill.fill_mean_ms(batch, rate)
            case Fill.AVERAGE:
                return batch_fill.fill_average_ms(batch, rate)
            case Fill.GAMMA:
                return batch_fill.fill_quantile_ms(batch, rate, self.share)
            case Fill.EXPONENTIAL:
                return batch_fill.fill_bound_ms(batch, rate, self.share)


@dataclass(frozen=True, slots=True)
class ServiceWait:
    """The operator service's. share: q, of the rows that wait no longer. service_scv: squared coefficient of variation of l. dispersion: D."""

    share: float = 0.99
    headroom: float = HEADROOM
    service_scv: float = 0.05
    dispersion: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.share < 1 or self.headroom < 1 or self.service_scv < 0 or self.dispersion < 0:
            raise ValueError(f"no sizing: {self}")

    @property
    def kind(self) -> Kind:
        return Kind.QUANTILE

    def demand(self, rate: float) -> float:
        return self.headroom * rate

    def wait_ms(self, option: Option, rate: float, replicas: int) -> float:
        if rate <= 0:
            return 0.0
        if rate >= replicas * option.throughput:
            return inf
        service_ms = 1000 * option.batch / option.throughput
        load = rate * service_ms / 1000  # of one-row batches
        gathered = min(option.batch, max(1, ceil(self.headroom * load / replicas - 1e-9)))
        fill_ms = batch_fill.fill_mean_ms(gathered, rate)
        residual_ms = self._residual_ms(service_ms, erlang_c(replicas, min(load, replicas / self.headroom)), replicas)
        return hypot(max(fill_ms, residual_ms), self._overflow_ms(option.batch, rate / option.batch * service_ms / 1000, service_ms, replicas))

    def falls_with_replicas(self) -> bool:
        return True

    def _overflow_ms(self, batch: int, load: float, service_ms: float, replicas: int) -> float:
        """Tail of `free_replica.ggc_mean_ms`, without a station made for each: a plan asks for hundreds."""
        if load >= replicas:
            return inf
        waiting = erlang_c(replicas, load)
        mean_ms = waiting * service_ms / (replicas - load) * (self.dispersion / batch + self.service_scv) / 2
        return tail_quantile_ms(mean_ms, waiting, self.share)

    def _residual_ms(self, service_ms: float, busy: float, replicas: int) -> float:
        late = 1 - self.share
        return service_ms * (1 - (late / busy) ** (1 / replicas)) if busy > late else 0.0


def stage_share(share: float, stages: int) -> float:
    """Each stage's quantile so that at least `share` of the events keep to all of them; a bound (union)."""
    return 1 - (1 - share) / stages


def join_share(share: float, children: float) -> float:
    """Each child's quantile so that the slowest of them keeps to it with `share`; exact for independent children."""
    return share ** (1 / children)
