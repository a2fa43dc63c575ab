"""The connector's operators as Python calls: each takes and gives PyFlink `DataStream`s of events. Nothing here decides anything.

The classes behind are Java (`jobs/connector/`), reached through PyFlink's gateway; no Python worker runs in the job.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pyflink.common import Configuration
from pyflink.datastream import DataStream, StreamExecutionEnvironment
from pyflink.java_gateway import get_gateway

from autoscaler.graph.pipeline import Delivery, ForeignModel, Format, Incomplete, OnLate, Pipeline, Stage
from jobs.dataflow import LATEST, ORIGINAL, Step
from jobs.settings import FLINK_DEFAULTS, JobSettings


class ConditionError(Exception):
    """A branch condition that Flink's SQL does not take; names the stage and what Flink says."""


class Streams:
    """Lays out one pipeline. Every operator gets the uid that its stage's name gives it, so that state finds it again after a change."""

    def __init__(self, pipeline: Pipeline, settings: JobSettings) -> None:
        self.pipeline, self.settings = pipeline, settings
        self.environment = _environment()
        self.environment.add_jars(settings.connector_jar.as_uri())
        if settings.checkpoint_interval_ms is not None:
            self.environment.enable_checkpointing(settings.checkpoint_interval_ms)
        self._java = get_gateway().jvm.io.sluice.flink
        self._tables = None

    def source(self) -> DataStream:
        topic, settings = self.pipeline.source.name, self.settings
        events = self._java.Connector.source(
            self.environment._j_stream_execution_environment, f"source {topic}", "source", settings.source_parallelism,
            settings.bootstrap_servers, topic, settings.group, float(self.pipeline.slo_ms), settings.starting_offsets,
            _properties(settings.client.java()))
        return DataStream(events)

    def stamp(self, events: DataStream) -> DataStream:
        return DataStream(self._java.Connector.stamp(events._j_data_stream, "number", "stamp", self.settings.source_parallelism))

    def proxy(self, events: DataStream, step: Step) -> DataStream:
        stage, bounds = step.stage, self.settings.bounds
        proxy = self._java.ProxySettings(stage.name, stage.endpoint or self.settings.service)
        proxy.capacity(bounds.capacity_rows, bounds.capacity_bytes).window(bounds.window)
        foreign = stage.endpoint is not None
        proxy.batch(min(bounds.max_rows, stage.batch_max) if foreign else bounds.max_rows, bounds.max_bytes, float(bounds.linger_ms))
        if stage.fan_out:
            proxy.fansOut()
        if step.read_slot == ORIGINAL:
            proxy.inputSource()
        elif step.read_slot != LATEST:
            proxy.inputSlot(step.read_slot)
        if step.write_slot is not None:
            proxy.retain(step.write_slot)
        if stage.state is not None:
            proxy.state(stage.state.field or "", round(stage.state.ttl_ms), stage.state.max_bytes)
        if foreign:
            proxy.foreign(self._foreign(stage))
        for other in step.same_model:
            proxy.sameModelAs(other)
        return DataStream(self._java.Connector.proxy(
            events._j_data_stream, f"stage {stage.name}", f"stage-{stage.name}", stage.parallelism, proxy))

    def _foreign(self, stage: Stage):
        model = stage.model or ForeignModel()
        settings = self._java.ForeignSettings(model.input).model(model.name or stage.name).version(model.version)
        settings.tensor(model.datatype, ",".join(map(str, model.shape))).timeout(round(model.timeout_ms))
        return settings.expires(stage.on_late is OnLate.DEAD_LETTER)

    def join(self, events: DataStream, step: Step, between: Sequence[int], is_raw: bool) -> DataStream:
        """between: slots that stages from the fan-out to here have written; they were the children's."""
        stage, join = step.stage, self.pipeline.join
        settings = self._java.JoinSettings(stage.name, stage.join, round(join.horizon_ms))
        if join.incomplete is Incomplete.PARTIAL:
            settings.partial()
        if is_raw:
            settings.raw()
        for slot in between:
            settings.clear(slot)
        if stage.is_plain_join and step.write_slot is not None:
            settings.retain(step.write_slot)
        return DataStream(self._java.Connector.join(
            events._j_data_stream, f"join {stage.name}", f"join-{stage.name}", stage.parallelism, settings))

    def branch(self, events: DataStream, to: Stage, when: str, fields: Mapping[str, str]) -> tuple[DataStream, DataStream]:
        """(events that meet the condition, the others). fields: name to Flink SQL type."""
        uid = f"branch-{to.name}"
        rows = self._java.Connector.toRows(events._j_data_stream, f"fields for {to.name}", f"{uid}-fields", 1, list(fields), list(fields.values()))
        marked = self._java.Connector.fromRows(self._evaluate(rows, to, when), f"branch {to.name}", f"{uid}-mark", 1)
        met = self._java.Connector.side(marked, True, f"to {to.name}", f"{uid}-met", 1)
        past = self._java.Connector.side(marked, False, f"past {to.name}", f"{uid}-past", 1)
        return DataStream(met), DataStream(past)

    def resequence(self, events: DataStream, before: str | None = None) -> DataStream:
        """Back into the source's order: before a stage, or before the sink."""
        name, uid = ("order", "order") if before is None else (f"order for {before}", f"order-{before}")
        return DataStream(self._java.Connector.resequence(events._j_data_stream, name, uid, self.settings.source_parallelism))

    def union(self, streams: Sequence[DataStream]) -> DataStream:
        first, *others = streams
        return first.union(*others) if others else first

    def sink(self, events: DataStream, parallelism: int, chained: bool) -> None:
        pipeline, settings = self.pipeline, self.settings
        sink = self._java.EventSink(settings.bootstrap_servers, pipeline.sink.name, pipeline.dead_letters.name)
        sink.maxBytes(settings.output_max_bytes, settings.dead_letter_max_bytes)
        properties = dict(settings.client.java())
        if pipeline.delivery is Delivery.EXACTLY_ONCE:
            sink.exactlyOnce(f"sluice-{pipeline.name}")
            properties["transaction.timeout.ms"] = str(settings.transaction_timeout_ms)
        sink.producer(_properties(properties))
        self._java.Connector.sinkTo(events._j_data_stream, f"sink {pipeline.sink.name}", "sink", parallelism, chained, sink)

    def _evaluate(self, rows, to: Stage, when: str):
        """Java stream of (event, whether the condition is met). Flink parses and checks the condition here, before anything is submitted."""
        from py4j.protocol import Py4JJavaError
        from pyflink.table import StreamTableEnvironment
        from pyflink.table.expressions import call_sql, col
        from pyflink.util.exceptions import TableException

        if self._tables is None:
            self._tables = StreamTableEnvironment.create(self.environment)
        table = self._tables.from_data_stream(DataStream(rows))
        try:
            decided = table.select(col("event"), call_sql(f"({when}) IS TRUE"))
        except (Py4JJavaError, TableException) as error:
            raise ConditionError(f"stages.{to.name}.when is not a condition that Flink takes: {when!r}: {_first_line(error)}") from error
        return self._tables._j_tenv.toDataStream(decided._j_table)


def _environment() -> StreamExecutionEnvironment:
    """Flink keeps checkpointing and restarts off unless the client that submits says otherwise: what it does not say is said here."""
    environment = StreamExecutionEnvironment.get_execution_environment()
    given = environment._j_stream_execution_environment.getConfiguration().keySet()
    missing = Configuration()
    for key, value in FLINK_DEFAULTS.items():
        if not given.contains(key):
            missing.set_string(key, value)
    environment.configure(missing)
    return environment


def joined_raw(pipeline: Pipeline, stage: Stage) -> bool:
    """Whether the children that come together before this stage are raw bytes, not JSON."""
    return any(pipeline.stage(before).output.format is Format.RAW for before in stage.after)


def _properties(values: Mapping[str, str]):
    properties = get_gateway().jvm.java.util.Properties()
    for key, value in values.items():
        properties.setProperty(key, value)
    return properties


def _first_line(error: Exception) -> str:
    cause = getattr(error, "java_exception", None)
    while cause is not None and cause.getCause() is not None:
        cause = cause.getCause()
    return str(cause.getMessage() if cause is not None else error).strip().splitlines()[0]
