"""The autoscaler as a process: a Faust app on the telemetry topic, a timer that decides and acts, a topic of decision records.

Faust lives in sessions. A session ends when Faust crashes, when a record cannot be published, or when telemetry that came has stopped
coming: after a broker was away a Faust consumer is silent for up to half a minute, a new one reads within seconds. Between
sessions the broker is asked until it answers. What was learned (windows, running settings, history) outlives a session; while there is
none nothing is decided, which is the same as hold.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import signal
import ssl
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import faust
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError
from faust.types.auth import CredentialsT

from autoscaler.commands import COMMANDS_TOPIC, mode_of
from autoscaler.control.restraint import Mode
from autoscaler.graph.pipeline import Pipeline
from autoscaler.metrics import SidecarMetrics

TELEMETRY_TOPIC = "sluice-telemetry"
DECISIONS_TOPIC = "sluice-decisions"
OFFSETS_S = 0.5
URGENT_S = 0.3
PARTITIONS_S = 30.0
TAIL = 600
"""Records of the decisions topic that a sidecar looks back at; other pipelines' are among them."""
TAIL_TIMEOUT_S = 5.0
SILENCE_S = 10.0
PUBLISH_TIMEOUT_S = 3.0
START_TIMEOUT_S = 40.0
STOP_TIMEOUT_S = 2.2
CANCELLATIONS = 3
CANCELLATION_S = 0.2
BACK_OFF_S = (0.5, 1.0, 2.0, 4.0)
TOPIC_EXISTS = 36
TOPIC_REFUSED = 29  # no right to create: then somebody else did, or reading says so

log = logging.getLogger("sluice.autoscaler")


@dataclass(frozen=True, slots=True)
class KafkaAccess:
    """client: security keyword arguments as aiokafka takes them (security_protocol, sasl_*, ssl_context)."""

    bootstrap_servers: str
    client: Mapping[str, Any] = field(default_factory=dict)
    telemetry_topic: str = TELEMETRY_TOPIC
    decisions_topic: str = DECISIONS_TOPIC
    commands_topic: str = COMMANDS_TOPIC
    state_dir: Path | None = None

    def credentials(self) -> CredentialsT | None:
        """The same as Faust wants it; ValueError for a mechanism it cannot speak."""
        protocol = str(self.client.get("security_protocol", "PLAINTEXT")).upper()
        context: ssl.SSLContext | None = self.client.get("ssl_context")
        if protocol == "PLAINTEXT":
            return None
        if protocol == "SSL":
            return faust.SSLCredentials(context=context or ssl.create_default_context())
        mechanism = str(self.client.get("sasl_mechanism", "PLAIN")).upper()
        if mechanism not in ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"):
            raise ValueError(f"sasl.mechanism is {mechanism}; the autoscaler speaks PLAIN, SCRAM-SHA-256 and SCRAM-SHA-512")
        if protocol == "SASL_SSL":
            context = context or ssl.create_default_context()
        credentials = faust.SASLCredentials(
            username=self.client.get("sasl_plain_username"), password=self.client.get("sasl_plain_password"), ssl_context=context,
            mechanism=mechanism)
        credentials.protocol = faust.types.auth.AuthProtocol(protocol)
        return credentials


class Loop(Protocol):
    """What a sidecar runs: the reactive rule's `ControlLoop`, or a policy's `PolicyLoop`. source: topic whose offsets it wants; tick_s: between
    steps; urgent: a step is due now."""

    mode: Mode

    @property
    def pipeline(self) -> Pipeline: ...

    @property
    def metrics(self) -> SidecarMetrics: ...

    @property
    def source(self) -> str | None: ...

    @property
    def tick_s(self) -> float: ...

    @property
    def urgent(self) -> bool: ...

    def take(self, value: bytes | None, now_s: float) -> None: ...

    def offsets(self, at_s: float, ends: Mapping[int, int]) -> None: ...

    def restore(self, values: Iterable[bytes | None]) -> None: ...

    async def step(self, now_s: float) -> dict[str, Any] | None: ...

    async def close(self) -> None: ...


class Sidecar:
    """Runs the loop until `stop`. Survives broker and service being away, for however long."""

    def __init__(self, loop: Loop, kafka: KafkaAccess) -> None:
        self._loop, self._kafka = loop, kafka
        self._stop = asyncio.Event()
        self._said = ""
        self._restored = False

    def stop(self) -> None:
        self._stop.set()

    async def run(self) -> None:
        stopped = asyncio.create_task(self._stop.wait())
        failures = 0
        while not stopped.done():
            session = asyncio.create_task(self._session())
            await asyncio.wait({session, stopped}, return_when=asyncio.FIRST_COMPLETED)
            if stopped.done():
                session.cancel()
                await asyncio.wait({session}, timeout=STOP_TIMEOUT_S + CANCELLATIONS * CANCELLATION_S)
                await self._loop.close()
                break
            failures = self._ended(session, failures)
            await asyncio.wait({stopped}, timeout=BACK_OFF_S[min(failures, len(BACK_OFF_S) - 1)])

    def _ended(self, session: asyncio.Task[str], failures: int) -> int:
        """Says why; the number of sessions in a row that did not come up."""
        error = session.exception()
        if error is None:
            log.warning("Kafka session ended: %s; building it up again", session.result())
            self._said = ""
            return 0
        if _words(error) != self._said or failures % 100 == 0:
            self._said = _words(error)
            log.warning("Kafka at %s cannot be used: %s; trying on", self._kafka.bootstrap_servers, self._said, exc_info=_unforeseen(error))
        return failures + 1

    async def _session(self) -> str:
        """One life of the Faust app; why it ended."""
        await declare_topics(self._kafka)
        before = asyncio.all_tasks()
        if not self._restored:
            await self._restore()
            self._restored = True
        app = Session(self._loop, self._kafka)
        try:
            await asyncio.wait_for(app.start(), START_TIMEOUT_S)
            self._loop.metrics.kafka_session()
            log.info("reading %s for pipeline %s", self._kafka.telemetry_topic, self._loop.pipeline.name)
            return await app.ended()
        finally:
            await app.close()
            await cancel_tasks(asyncio.all_tasks() - before)


    async def _restore(self) -> None:
        """Before the first decision: what it did, and whether it was told to do nothing."""
        self._loop.restore(await tail(self._kafka, self._kafka.decisions_topic))
        before: Mode | None = None
        for value in await tail(self._kafka, self._kafka.commands_topic):
            before = mode_of(value, self._loop.pipeline.name) or before
        if before is not None and before is not Mode.ACT:
            log.warning("told to %s before this start", before.value)
            self._loop.mode = before


class Session:
    """One Faust app: an agent that takes telemetry in and a timer that steps the loop and publishes its records."""

    def __init__(self, loop: Loop, kafka: KafkaAccess) -> None:
        self._loop, self._kafka = loop, kafka
        self._deciding = False
        self._offsets_of: AIOKafkaConsumer | None = None
        self._source: set[TopicPartition] = set()
        self._asking = asyncio.Lock()
        self._beside: list[asyncio.Task[None]] = []
        self._heard_s: float | None = None
        self._broken: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._state = tempfile.TemporaryDirectory(prefix="sluice-autoscaler-") if kafka.state_dir is None else None
        self._app = faust_app(loop.pipeline.name, kafka, str(kafka.state_dir or self._state.name))
        telemetry = self._app.topic(kafka.telemetry_topic, key_serializer="raw", value_serializer="raw", allow_empty=True)
        self._decisions = self._app.topic(kafka.decisions_topic, key_serializer="raw", value_serializer="raw")
        self._app.agent(telemetry, name="telemetry")(self._listen)
        self._app.timer(loop.tick_s)(self._step)

    async def start(self) -> None:
        self._app.finalize()
        await self._app.start()
        self._beside.append(asyncio.create_task(self._follow(self._commands), name="commands"))
        if self._loop.source is not None:
            self._beside.append(asyncio.create_task(self._follow(self._offsets), name="offsets"))

    async def ended(self) -> str:
        """Waits for the end of what `start` began."""
        crash = asyncio.create_task(self._app.wait_until_stopped())
        try:
            await asyncio.wait({crash, self._broken}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            crash.cancel()
        return self._broken.result() if self._broken.done() else f"Faust stopped: {_words(self._app.crash_reason)}"

    async def close(self) -> None:
        """Stops Faust, or leaves it behind: it may swallow a cancellation and wait for a broker that is gone."""
        for task in self._beside:
            task.cancel()
        if self._state is not None:
            self._state.cleanup()  # Faust keeps nothing there with tables in memory, of which there are none
        stopping = asyncio.create_task(self._app.stop())
        done, _ = await asyncio.wait({stopping}, timeout=STOP_TIMEOUT_S)
        if not done:
            log.debug("Faust did not stop in time")
            stopping.cancel()
        elif stopping.exception() is not None:
            log.debug("Faust stopped with %s", _words(stopping.exception()))

    async def _listen(self, stream: faust.StreamT[bytes]) -> None:
        async for value in stream:
            self._heard_s = time.time()
            self._loop.take(value, self._heard_s)
            if self._loop.urgent:
                with contextlib.suppress(KafkaError, TimeoutError):
                    async with asyncio.timeout(URGENT_S):
                        await self._ask_offsets()
                await self._step()

    async def _follow(self, read: Callable[[AIOKafkaConsumer], Awaitable[None]]) -> None:
        """Reads with a consumer of its own, and anew when that fails: what then is stale, the loop sees by itself."""
        while True:
            consumer = AIOKafkaConsumer(bootstrap_servers=self._kafka.bootstrap_servers, group_id=None, enable_auto_commit=False,
                                        auto_offset_reset="earliest", **self._kafka.client)
            try:
                await consumer.start()
                await read(consumer)
            except (KafkaError, OSError, TimeoutError) as error:
                log.debug("reading beside telemetry: %s", _words(error))
            finally:
                self._offsets_of = None if self._offsets_of is consumer else self._offsets_of
                await consumer.stop()
            await asyncio.sleep(BACK_OFF_S[-1])

    async def _offsets(self, consumer: AIOKafkaConsumer) -> None:
        """The source's end offsets, now and again."""
        source = self._loop.source
        assert source is not None
        asked_s = 0.0
        self._source = set()
        while True:
            if not self._source or time.monotonic() - asked_s > PARTITIONS_S:
                known, asked_s = await partitions_of(self._kafka, source), time.monotonic()
                self._source = {TopicPartition(source, number) for number in known}
            self._offsets_of = consumer
            await self._ask_offsets()
            await asyncio.sleep(OFFSETS_S)

    async def _ask_offsets(self) -> None:
        """Tells the loop as far as they can be had; one question after the other, so that answers come in order."""
        if self._offsets_of is None or not self._source:
            return
        async with self._asking:
            ends = await self._offsets_of.end_offsets(list(self._source))
            self._loop.offsets(time.time(), {partition.partition: end for partition, end in ends.items()})

    async def _commands(self, consumer: AIOKafkaConsumer) -> None:
        """Pause, resume and advise, as people said them. The last word from before this start holds too, but for `resume`: how it was started is
        newer."""
        partition = TopicPartition(self._kafka.commands_topic, 0)
        consumer.assign([partition])
        end = (await consumer.end_offsets([partition]))[partition]
        before: Mode | None = None
        async for message in consumer:
            mode = mode_of(message.value, self._loop.pipeline.name)
            if message.offset >= end:
                self._told(mode)
                continue
            before = mode or before
            if message.offset == end - 1 and before is not Mode.ACT:
                self._told(before)

    def _told(self, mode: Mode | None) -> None:
        if mode is not None and mode is not self._loop.mode:
            log.warning("told to %s", mode.value)
            self._loop.mode = mode

    async def _step(self) -> None:
        if self._deciding:
            return
        self._deciding = True
        try:
            await self._decide()
        finally:
            self._deciding = False

    async def _decide(self) -> None:
        now_s = time.time()
        record = await self._loop.step(now_s)
        if record is not None and not await self._publish(record):
            self._end("a decision record could not be published")
        elif self._heard_s is not None and now_s - self._heard_s > SILENCE_S:
            self._end(f"no telemetry for {SILENCE_S:.0f} s")

    async def _publish(self, record: dict[str, Any]) -> bool:
        key, value = record["pipeline"].encode(), json.dumps(record, separators=(",", ":")).encode()
        try:
            async with asyncio.timeout(PUBLISH_TIMEOUT_S):
                await asyncio.shield(await self._decisions.send(key=key, value=value))
        except (TimeoutError, KafkaError, faust.exceptions.FaustError) as error:
            log.debug("decision record not published: %s", _words(error))
            return False
        return True

    def _end(self, reason: str) -> None:
        if not self._broken.done():
            self._broken.set_result(reason)


def faust_app(pipeline: str, kafka: KafkaAccess, state_dir: str) -> faust.App:
    """Without web server, leader topic and tables. The session is short, so that a sidecar killed is soon replaced."""
    servers = kafka.bootstrap_servers.replace(" ", "").split(",")
    return faust.App(
        f"sluice-autoscaler-{pipeline}", broker=[f"kafka://{server}" for server in servers], broker_credentials=kafka.credentials(),
        store="memory://", datadir=state_dir, web_enabled=False, topic_disable_leader=True, topic_allow_declare=False,
        consumer_auto_offset_reset="latest", broker_session_timeout=6.0, broker_heartbeat_interval=2.0, broker_rebalance_timeout=6.0,
        broker_request_timeout=10.0, producer_request_timeout=10.0, stream_wait_empty=False)


async def declare_topics(kafka: KafkaAccess) -> None:
    """Creates its three topics where they are missing, each with one copy: on a cluster that wants more, create them beforehand.

    KafkaError while no broker answers."""
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap_servers, request_timeout_ms=5000, **kafka.client)
    try:
        await admin.start()
        response = await admin.create_topics([
            NewTopic(kafka.telemetry_topic, num_partitions=1, replication_factor=1),
            NewTopic(kafka.decisions_topic, num_partitions=1, replication_factor=1),
            NewTopic(kafka.commands_topic, num_partitions=1, replication_factor=1, topic_configs={"cleanup.policy": "compact"})])
        for topic, code, *message in response.topic_errors:
            if code not in (0, TOPIC_EXISTS):
                log.log(logging.WARNING if code == TOPIC_REFUSED else logging.ERROR, "topic %s not created: %s", topic, message)
    finally:
        await admin.close()


async def partitions_of(kafka: KafkaAccess, topic: str) -> set[int]:
    """Their numbers; none while the topic is not there. A consumer that subscribed to it would know them too, but fetch every record."""
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap_servers, request_timeout_ms=5000, **kafka.client)
    try:
        await admin.start()
        described = await admin.describe_topics([topic])
        return {partition["partition"] for one in described if one["error_code"] == 0 for partition in one["partitions"]}
    finally:
        await admin.close()


async def tail(kafka: KafkaAccess, topic: str) -> list[bytes | None]:
    """The last records of a topic, oldest first; as many as came in time."""
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka.bootstrap_servers, group_id=None, enable_auto_commit=False, **kafka.client)
    found: list[bytes | None] = []
    try:
        await consumer.start()
        partition = TopicPartition(topic, 0)
        consumer.assign([partition])
        end = (await consumer.end_offsets([partition]))[partition]
        begin = max((await consumer.beginning_offsets([partition]))[partition], end - TAIL)
        consumer.seek(partition, begin)
        async with asyncio.timeout(TAIL_TIMEOUT_S):
            while begin < end and await consumer.position(partition) < end:
                for records in (await consumer.getmany(timeout_ms=500)).values():
                    found += [record.value for record in records]
    except TimeoutError:
        log.info("only %d of the last decision records came in time", len(found))
    finally:
        await consumer.stop()
    return found


async def cancel_tasks(tasks: set[asyncio.Task[Any]]) -> None:
    """Ends what a stopped Faust app left running, in bounded time: some of its tasks swallow the first cancellation."""
    for _ in range(CANCELLATIONS):
        if not tasks:
            return
        for task in tasks:
            task.cancel()
        _, tasks = await asyncio.wait(tasks, timeout=CANCELLATION_S)
    if tasks:
        log.warning("%d tasks of the ended Kafka session do not end: %s", len(tasks), ", ".join(sorted(task.get_name() for task in tasks)))


def install_signals(sidecar: Sidecar) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, sidecar.stop)


def _words(error: BaseException | None) -> str:
    return "no reason given" if error is None else str(error) or type(error).__name__


def _unforeseen(error: BaseException) -> BaseException | None:
    return None if isinstance(error, KafkaError | OSError | TimeoutError) else error
