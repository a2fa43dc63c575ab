"""Prometheus metrics, read from the stages' telemetry when somebody asks; serving does no work for them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from importlib.metadata import PackageNotFoundError, version

import numpy as np
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric, SummaryMetricFamily
from prometheus_client.registry import Collector

from operators.actions import Cause
from operators.hosted import HostedStage
from operators.rollout import ENDS
from operators.serving import Serving
from operators.telemetry import LEAST_MS, RATIO, Histogram, Tally

BUCKETS_S = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 60.0)
LABELS = ["pipeline", "stage"]
VERSION = ["variant", "version"]


class StageMetrics(Collector):
    def __init__(self, serving: Serving) -> None:
        self._serving = serving

    def collect(self) -> Iterator[Metric]:
        build = GaugeMetricFamily("sluice_build_info", "1, with the version that runs", labels=["component", "version"])
        build.add_metric(["operator", _version()], 1)
        yield build
        slo = GaugeMetricFamily("sluice_pipeline_slo_ratio", "Share of the events that are to be in time; job_name: of the job, as Flink's metrics spell it",
                                labels=["pipeline", "job_name"])
        slo.add_metric([self._serving.pipeline.name, job_name(self._serving.pipeline.name)], self._serving.pipeline.slo_share)
        yield slo
        yield from self._counters()
        yield from self._versions()
        yield from self._gauges()
        for name, text in (
            ("queue", "Rows' wait for a replica"),
            ("compute", "Time of the row's batch in the operator"),
            ("total", "Rows' time in the service"),
        ):
            family = HistogramMetricFamily(f"sluice_stage_{name}_seconds", text, labels=LABELS)
            for hosted in self._stages():
                histogram: Histogram = getattr(hosted.telemetry, f"{name}_ms")
                family.add_metric(self._labels(hosted), buckets_of(histogram), histogram.sum_ms / 1e3)
            yield family

    def _counters(self) -> Iterator[Metric]:
        rows = CounterMetricFamily("sluice_stage_rows", "Rows by what became of them", labels=[*LABELS, "outcome"])
        arrivals = CounterMetricFamily("sluice_stage_arrivals", "Rows that arrived", labels=LABELS)
        batches = CounterMetricFamily("sluice_stage_batches", "Batches by why they were released", labels=[*LABELS, "released"])
        batch_rows = CounterMetricFamily("sluice_stage_batch_rows", "Rows in batches", labels=LABELS)
        restarts = CounterMetricFamily("sluice_stage_replica_restarts", "Replicas that died, by why", labels=[*LABELS, "cause"])
        for hosted in self._stages():
            labels, tally = self._labels(hosted), hosted.telemetry.tally
            for outcome, count in _outcomes(tally).items():
                rows.add_metric([*labels, outcome], count)
            for reason, count in tally.released.items():
                batches.add_metric([*labels, reason], count)
            arrivals.add_metric(labels, tally.arrivals)
            batch_rows.add_metric(labels, tally.batch_rows)
            for cause in Cause:
                restarts.add_metric([*labels, cause], hosted.replicas.deaths[cause])
        yield from (rows, arrivals, batches, batch_rows, restarts)

    def _versions(self) -> Iterator[Metric]:
        """Rows by version of the last ones that served (telemetry keeps some), and what became of updates."""
        rows = CounterMetricFamily("sluice_stage_version_rows", "Rows by version and what became of them", labels=[*LABELS, *VERSION, "outcome"])
        share = GaugeMetricFamily("sluice_stage_version_share", "Share of the rows that a version is to have", labels=[*LABELS, *VERSION])
        moved = CounterMetricFamily("sluice_stage_moved_rows", "Rows answered by a faster variant for their deadline's sake", labels=LABELS)
        below = CounterMetricFamily("sluice_stage_below_accuracy_rows", "Rows for which no variant was accurate enough", labels=LABELS)
        updates = CounterMetricFamily("sluice_stage_updates", "Updates by how they ended", labels=[*LABELS, "outcome"])
        copies = CounterMetricFamily("sluice_stage_shadow_rows", "Copies by what became of them", labels=[*LABELS, "outcome"])
        for hosted in self._stages():
            labels, lanes = self._labels(hosted), hosted.stage
            for served, ledger in list(hosted.telemetry.ledgers.items()):
                for outcome, count in _outcomes(ledger.tally).items():
                    rows.add_metric([*labels, *served, outcome], count)
            shares = [lane for lane in lanes.settings if not lane.shadow]
            for lane in shares:
                whole = sum(lane.share for lane in shares) or 1.0
                share.add_metric([*labels, lane.setting.variant.name, lane.setting.variant.version], lane.share / whole)
            moved.add_metric(labels, lanes.mix.diverted)
            below.add_metric(labels, lanes.mix.below)
            for outcome in ENDS:
                updates.add_metric([*labels, outcome.replace(" ", "_")], hosted.updates[outcome])
            for outcome in ("agreed", "differed"):
                copies.add_metric([*labels, outcome], hosted.copies[outcome])
            copies.add_metric([*labels, "dropped"], lanes.unshadowed)
        yield from (rows, share, moved, below, updates, copies)

    def _gauges(self) -> Iterator[Metric]:
        replicas = GaugeMetricFamily("sluice_stage_replicas", "Replicas by state", labels=[*LABELS, "state"])
        queued = GaugeMetricFamily("sluice_stage_queued_rows", "Rows waiting for a replica", labels=LABELS)
        in_flight = GaugeMetricFamily("sluice_stage_in_flight_rows", "Rows that replicas work on", labels=LABELS)
        cores = GaugeMetricFamily("sluice_stage_cores", "Cores of the replicas that load or serve, parts of one by quota or by slot", labels=[*LABELS, "parts"])
        spares = GaugeMetricFamily("sluice_stage_spare_bytes", "Resident memory of the spare replicas", labels=LABELS)
        for hosted in self._stages():
            labels, stage = self._labels(hosted), hosted.stage
            replicas.add_metric([*labels, "ready"], stage.ready)
            replicas.add_metric([*labels, "wanted"], stage.setting.replicas)
            processes = hosted.replicas.report()
            for state in ("loading", "spares", "spares_loading"):
                replicas.add_metric([*labels, state], processes[state])
            cores.add_metric([*labels, processes["parts"]], processes["cores"])
            spares.add_metric(labels, processes["spare_mb"] * 1e6)
            queued.add_metric(labels, stage.queued)
            in_flight.add_metric(labels, stage.in_flight)
        yield from (replicas, queued, in_flight, cores, spares, self._changes())

    def _changes(self) -> Metric:
        text = "Changes of replicas: seconds from the call to the end of the first batch after it"
        changes = SummaryMetricFamily("sluice_stage_replica_change_seconds", text, labels=[*LABELS, "kind"])
        for hosted in self._stages():
            replicas = hosted.replicas
            for kind, count in replicas.changed.items():
                changes.add_metric([*self._labels(hosted), kind], count, replicas.changed_s[kind])
        return changes

    def _stages(self) -> list[HostedStage]:
        return list(self._serving.stages.values())

    def _labels(self, hosted: HostedStage) -> list[str]:
        return [self._serving.pipeline.name, hosted.spec.name]


def job_name(pipeline: str) -> str:
    """Of the pipeline's job, with the characters that Flink leaves in a label."""
    return re.sub(r"[^a-zA-Z0-9:_]", "_", f"sluice-{pipeline}")


def _outcomes(tally: Tally) -> dict[str, int]:
    return {"ok": tally.answered - tally.late, "late": tally.late, "failed": tally.failed, "expired": tally.expired}


def buckets_of(histogram: Histogram) -> list[tuple[str, float]]:
    """Cumulative counts at BUCKETS_S; a bin belongs to the first bound that is above its own upper bound."""
    bounds = LEAST_MS * RATIO ** np.arange(1, len(histogram.counts) + 1) / 1e3
    cumulative = np.concatenate([[0], np.cumsum(histogram.counts)])
    at = np.searchsorted(bounds, BUCKETS_S, "right")
    return [(str(bound), float(cumulative[n])) for bound, n in zip(BUCKETS_S, at, strict=True)] + [("+Inf", float(cumulative[-1]))]


@cache
def _version() -> str:
    try:
        return version("sluice")
    except PackageNotFoundError:
        return "unknown"
