"""`sluice run`: everything on this machine, from the broker to the summary.

Ports are looked at, the children started side by side, the job submitted, real inputs replayed, and after the duration
or Ctrl-C what came out is counted. Whatever ends it, every child ends with it, and the reason is said with its log.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import shutil
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path

from autoscaler.graph.pipeline import Pipeline
from autoscaler.graph.reader import read_pipeline
from jobs.consumer import Record, TopicReader
from jobs.embedded import archives, broker, cluster, paths, ports, summary, view
from jobs.embedded.processes import BESIDE_THE_PATH, Child, StartFailed, Supervisor
from jobs.embedded.rest import FlinkRest, RestError
from jobs.producer import Load, samples_named

TELEMETRY_TOPIC = "sluice-telemetry"
DECISIONS_TOPIC = "sluice-decisions"
REFRESH_S = 0.5
START_TIMEOUT_S = 90.0
RUNS_KEPT = 5


@dataclass(frozen=True, slots=True)
class Ports:
    """One field per listening part; 0 = any free one."""

    kafka: int = 9092
    controller: int = 9093
    zookeeper: int = 2181
    flink: int = 8081
    flink_metrics: int = 9249
    grpc: int = 8001
    http: int = 8000
    metrics: int = 8002
    sidecar_metrics: int = 8003

    def wanted(self) -> list[ports.Port]:
        return [
            ports.Port(self.kafka, "the Kafka broker", "--kafka-port"),
            ports.Port(self.controller, "the Kafka controller", "--controller-port"),
            ports.Port(self.zookeeper, "ZooKeeper", "--zookeeper-port"),
            ports.Port(self.flink, "Flink's REST interface", "--flink-port"),
            ports.Port(self.flink_metrics, "the JobManager's metrics", "--flink-metrics-port"),
            ports.Port(self.flink_metrics + 1, "the TaskManager's metrics", "--flink-metrics-port"),
            ports.Port(self.grpc, "the operator service's gRPC", "--grpc-port"),
            ports.Port(self.http, "the operator service's HTTP", "--http-port"),
            ports.Port(self.metrics, "the operator service's metrics", "--metrics-port"),
            ports.Port(self.sidecar_metrics, "the sidecar's metrics", "--sidecar-metrics-port"),
        ]

    def chosen(self) -> Ports:
        """With a free port for each 0; Flink's metrics take two in a row."""
        names = [name for name in self.__dataclass_fields__ if getattr(self, name) == 0]
        free = dict(zip(names, ports.free_ports(len(names)), strict=True))
        if "flink_metrics" in free:
            free["flink_metrics"] = ports.free_pair(set(free.values()))
        return replace(self, **free)


@dataclass(frozen=True, slots=True)
class RunConfig:
    """inputs: digits, scenes, cards, a file of lines or a directory; None = by the pipeline's name. wait_s: for the last answers.

    keep: the run's directory stays although all went well.
    """

    pipeline: Path
    load: Load = Load()
    inputs: str | None = None
    ports: Ports = Ports()
    wait_s: float = 60.0
    keep: bool = False
    directory: Path | None = None
    settings: dict[str, str] = field(default_factory=dict)
    job_arguments: tuple[str, ...] = ()


class Interrupted(BaseException):
    """A signal asked for an end before the run was under way, or a second time. Not an Exception: a library that
    catches those while it retries would swallow it."""


class Running:
    """A started machine: broker, Flink, service, sidecar and the submitted job. `machine()` makes one."""

    def __init__(self, config: RunConfig, pipeline: Pipeline, directory: Path, say: Callable[[str], None]) -> None:
        chosen = config.ports.chosen()
        ports.check_free(chosen.wanted())
        self.config, self.pipeline, self.directory, self.ports = config, pipeline, directory, chosen
        self.say = say
        self.events: deque[str] = deque(maxlen=50)
        self.began = time.monotonic()
        self.broker = broker.BrokerConfig(directory / "broker", chosen.kafka, chosen.controller)
        slots = max(8, 2 * sum(stage.parallelism for stage in pipeline.stages))
        self.cluster = cluster.ClusterConfig(
            directory / "flink", chosen.flink, chosen.zookeeper, chosen.flink_metrics, slots=slots, settings=config.settings
        )
        self.rest = FlinkRest(self.cluster.rest_address)
        self.supervisor = Supervisor(directory / "logs", self._event)
        self.job_id = ""
        self._go = directory / "go"

    @property
    def bootstrap_servers(self) -> str:
        return self.broker.bootstrap_servers

    @property
    def http_address(self) -> str:
        return f"{ports.HOST}:{self.ports.http}"

    @property
    def client(self) -> dict[str, object]:
        return {"bootstrap_servers": self.bootstrap_servers}

    def start(self, prefix: str | None = None) -> None:
        """Returns when the job runs and the service is ready; with a prefix the producer waits for `produce`."""
        broker.prepare(self.broker)
        cluster.prepare(self.cluster)
        flink = [archives.used(child) for child in cluster.children(self.cluster)]
        self.supervisor.start(archives.used(broker.child(self.broker)))
        for child in flink:
            self.supervisor.start(child)
        serves = any(stage.is_ours for stage in self.pipeline.stages)
        if serves:
            self.supervisor.start(self.service())
        self._ready("broker")
        broker.create_topics(self.bootstrap_servers, topics_of(self.pipeline))
        self._submit()
        if prefix is not None:
            self.load_up(prefix)
        for child in flink:
            self._ready(child.name)
        if serves:
            self._ready("service")
        self.job_id = self._submitted()
        try:
            self.rest.wait_running(self.job_id, START_TIMEOUT_S)
        except RestError as error:
            raise StartFailed("job", str(error), self.supervisor.log("jobmanager")) from error
        self._said(f"job {self.job_id} runs")
        if serves and find_spec("autoscaler.cli") is not None:
            self.supervisor.start(self._sidecar())

    def load_up(self, prefix: str) -> None:
        """Starts the producer; it reads its inputs, connects and waits for `produce`."""
        load = self.config.load
        command = [*_sluice("produce"), self.pipeline.source.name, "--inputs", inputs_of(self.config, self.pipeline)]
        command += ["--bootstrap-servers", self.bootstrap_servers, "--prefix", prefix, "--rate", str(load.rate)]
        command += ["--shape", load.shape.value, "--seed", str(load.seed), "--start-when", str(self._go)]
        if load.duration_s is not None:
            command += ["--duration", str(load.duration_s)]
        if load.count is not None:
            command += ["--count", str(load.count)]
        self.supervisor.start(Child("producer", tuple(command), cwd=paths.ROOT, restart=False, stop_rank=0, stop_grace_s=5.0))

    def produce(self) -> None:
        """Lets the producer begin."""
        self._go.touch()

    def producer_is_done(self) -> bool:
        return self.supervisor.pid("producer") is None

    def stop(self) -> None:
        self.supervisor.stop()

    def service(self) -> Child:
        """The operator service's process; to start it again after it was stopped for good."""
        p = self.ports
        command = [*_sluice("operator", "serve"), str(self.config.pipeline)]
        command += ["--grpc-port", str(p.grpc), "--http-port", str(p.http), "--metrics-port", str(p.metrics)]
        command += ["--bootstrap-servers", self.bootstrap_servers]
        return Child("service", tuple(command), cwd=Path.cwd(), ready=lambda: is_ready(self.http_address), stop_rank=50)

    def _sidecar(self) -> Child:
        command = [*_sluice("autoscaler", "run"), str(self.config.pipeline), "--bootstrap-servers", self.bootstrap_servers]
        command += ["--service-http", self.http_address, "--metrics-port", str(self.ports.sidecar_metrics), "--flink", self.cluster.rest_address]
        return Child("sidecar", tuple(command), cwd=Path.cwd(), stop_rank=10, stop_grace_s=4.0, niceness=BESIDE_THE_PATH)

    def _submit(self) -> None:
        arguments = ["--pipeline", str(self.config.pipeline.resolve()), "--bootstrap-servers", self.bootstrap_servers]
        arguments += ["--service", f"{ports.HOST}:{self.ports.grpc}", *self.config.job_arguments]
        command, environment = cluster.submission(self.cluster, arguments)
        submit = Child("submit", tuple(command), environment, paths.ROOT, restart=False, stop_grace_s=1.0)
        self.supervisor.start(archives.used(submit))

    def _submitted(self) -> str:
        status = self.supervisor.wait_exit("submit", cluster.SUBMIT_TIMEOUT_S)
        log = self.supervisor.log("submit")
        if status is None:
            raise StartFailed("submit", f"flink run took longer than {cluster.SUBMIT_TIMEOUT_S:.0f} s", log)
        return cluster.submitted_job_id(log, status)

    def _ready(self, name: str) -> None:
        self.supervisor.wait_ready([name], START_TIMEOUT_S)
        self._said(f"{name} is up")

    def _said(self, text: str) -> None:
        self.say(f"{time.monotonic() - self.began:5.1f} s  {text}")

    def _event(self, text: str) -> None:
        self.events.append(f"{time.monotonic() - self.began:5.1f} s  {text}")


@contextlib.contextmanager
def machine(config: RunConfig, say: Callable[[str], None] = print, prefix: str | None = None) -> Iterator[Running]:
    """A started machine for the block; everything is gone after it. Its directory stays if the block or the start failed.

    With a prefix a producer is up too, and sends events with such ids once `produce` is called.
    """
    pipeline = read_pipeline(config.pipeline)
    directory = config.directory or _new_directory(pipeline.name)
    running = Running(config, pipeline, directory, say)
    try:
        running.start(prefix)
        yield running
    finally:
        with _signals_held():
            running.stop()
    if not config.keep and config.directory is None:
        shutil.rmtree(directory, ignore_errors=True)


def _new_directory(name: str) -> Path:
    """A directory for this run; of those that failed runs have left, only the newest stay."""
    for old in sorted(paths.RUNS.glob("*"))[:-RUNS_KEPT]:
        shutil.rmtree(old, ignore_errors=True)
    return paths.RUNS / f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{os.getpid()}-{name}"


class Watcher(threading.Thread):
    """Reads output, dead letters and decisions as they are committed."""

    def __init__(self, running: Running) -> None:
        super().__init__(name="watcher", daemon=True)
        self.running = running
        self.seen = view.EndToEnd()
        self.answered: list[summary.Answered] = []
        self.dead: list[tuple[str, str]] = []
        self.decision = ""
        self.first_answer_at: float | None = None
        self._end = threading.Event()

    def run(self) -> None:
        from kafka.errors import KafkaError

        pipeline = self.running.pipeline
        names = [pipeline.sink.name, pipeline.dead_letters.name, DECISIONS_TOPIC]
        with TopicReader(names, self.running.client) as reader:
            while not self._end.is_set():
                try:
                    records = reader.poll()
                except KafkaError:
                    time.sleep(0.2)
                    continue
                for record in records:
                    self._take(record)

    def end(self) -> None:
        self._end.set()
        self.join(timeout=10)

    def ids(self) -> set[str]:
        return {a.parent_id or a.event_id for a in list(self.answered)} | {event_id for event_id, _ in list(self.dead)}

    def _take(self, record: Record) -> None:
        pipeline = self.running.pipeline
        if record.topic == DECISIONS_TOPIC:
            self.decision = decision_text(record.value)
        elif record.topic == pipeline.dead_letters.name:
            self.seen.dead += 1
            self.dead.append((record.header("parent-id") or record.event_id, record.header("dead-letter-reason") or "?"))
        else:
            if self.first_answer_at is None:
                self.first_answer_at = time.monotonic()
            self.answered.append(summary.answered_from(record))
            source_ms = record.header("source-timestamp")
            self.seen.add(record.timestamp_ms - int(source_ms) if source_ms else None, time.monotonic())


def run(config: RunConfig, say: Callable[[str], None] = print) -> int:
    """The whole run; the exit status: 0 all well, 1 something lost or failed, 2 it could not be started as asked."""
    stop = _StopFlag()
    try:
        prefix = f"{int(time.time() * 1000):x}"
        with stop.on_signals(), machine(config, say, prefix) as running:
            if stop.asked:
                raise Interrupted("a signal")
            told = _attended(config, running, prefix, stop, say)
            say("")
            for line in summary.lines(told, running.pipeline.slo_ms):
                say(line)
            failed = _what_failed(told, running)
            say("stopping")
            if failed:
                raise RunFailed(failed, running.directory)
    except ports.PortTaken as error:
        say(f"not started: {error}")
        return 2
    except paths.SetupMissing as error:
        say(f"not started: {error}")
        return 2
    except StartFailed as error:
        say(f"failed: {error}")
        return 1
    except RunFailed as error:
        say(str(error))
        return 1
    except Interrupted as error:
        say(f"stopped by {error}")
        return 130
    return 0


class RunFailed(Exception):
    """The run went to its end, and its result is not good."""

    def __init__(self, reason: str, directory: Path) -> None:
        super().__init__(f"failed: {reason}; logs: {directory / 'logs'}")


def _attended(
    config: RunConfig, running: Running, prefix: str, stop: _StopFlag, say: Callable[[str], None]
) -> summary.Summary:
    """Load, view and the wait for the rest; what came of it."""
    watcher = Watcher(running)
    watcher.start()
    running.produce()
    stop.under_way = True
    stages = view.Stages()
    terminal = sys.stdout.isatty()
    with view.view(terminal, say) as screen:
        began, first_said = time.monotonic(), False
        while not (running.producer_is_done() or stop.asked):
            screen.show(_picture(running, watcher, stages, f"{running.pipeline.name}, {time.monotonic() - began:.0f} s"))
            if watcher.first_answer_at is not None and not first_said:
                first_said = True
                running.events.append(f"first answer {watcher.first_answer_at - running.began:.1f} s after the start")
            time.sleep(REFRESH_S)
        if stop.asked:
            running.supervisor.stop_child("producer")
        expected = expected_events(running, prefix)
        until = time.monotonic() + config.wait_s
        while (missing := len(expected.keys() - watcher.ids())) and time.monotonic() < until and not stop.asked_twice:
            screen.show(_picture(running, watcher, stages, f"{running.pipeline.name}, waiting for {missing} of {len(expected)}"))
            time.sleep(REFRESH_S)
        screen.show(_picture(running, watcher, stages, f"{running.pipeline.name}, done"))
    watcher.end()
    return summary.summarise(expected, watcher.answered, watcher.dead, running.pipeline.slo_ms)


def _what_failed(told: summary.Summary, running: Running) -> str:
    log = running.supervisor.log("producer")
    producer = next(c for c in running.supervisor.states() if c.name == "producer")
    if not told.is_complete:
        return f"{told.lost} events were lost"
    if producer.last_exit not in ("status 0", None):
        return f"the producer ended with {producer.last_exit}, see {log}"
    return "" if told.events_in else "no event was sent"


def _picture(running: Running, watcher: Watcher, stages: view.Stages, title: str) -> view.Picture:
    return view.Picture(
        title,
        stages.lines(view.stages_of(running.http_address)),
        view.end_to_end_line(watcher.seen, time.monotonic(), running.pipeline.slo_ms),
        watcher.decision,
        running.supervisor.states(),
        list(running.events),
    )


def expected_events(running: Running, prefix: str) -> dict[str, summary.Expected]:
    """What the producer has put into the source topic, with the truth that its seed tells."""
    from jobs.producer import order_of

    found: dict[int, int] = {}
    with TopicReader([running.pipeline.source.name], running.client) as reader:
        for record in reader.to_end():
            before, _, number = record.event_id.rpartition("-")
            if before == prefix:
                found[int(number)] = record.timestamp_ms
    samples = samples_named(inputs_of(running.config, running.pipeline), running.config.load.seed)
    order = order_of(samples, running.config.load.seed)
    truths = [samples[next(order)].truth for _ in range(max(found, default=-1) + 1)]
    return {f"{prefix}-{n}": summary.Expected(ms, truths[n]) for n, ms in found.items()}


def inputs_of(config: RunConfig, pipeline: Pipeline) -> str:
    named = next((name for name in ("scenes", "cards") if pipeline.name.startswith(name)), "digits")
    return config.inputs or named


def topics_of(pipeline: Pipeline) -> list[broker.NewTopic]:
    """Those of the pipeline, of telemetry and of decisions."""
    return [
        broker.NewTopic(pipeline.source.name, pipeline.source.partitions),
        broker.NewTopic(pipeline.sink.name, pipeline.sink.partitions, broker.APPEND_TIME),
        broker.NewTopic(pipeline.dead_letters.name, pipeline.dead_letters.partitions, broker.APPEND_TIME),
        broker.NewTopic(TELEMETRY_TOPIC, 1),
        broker.NewTopic(DECISIONS_TOPIC, 1),
    ]


def is_ready(http_address: str) -> bool:
    """Whether the service says so itself."""
    import urllib.request

    try:
        with urllib.request.urlopen(f"http://{http_address}/v2/health/ready", timeout=1.0) as response:
            return response.status == 200
    except OSError:
        return False


def decision_text(value: bytes | None) -> str:
    """A decision record on one line: what it changed at which stage, and why."""
    try:
        found = json.loads(value or b"")
    except ValueError:
        return ""
    if not isinstance(found, dict):
        return ""
    changes = [
        f"{name} {', '.join(f'{k} {v}' for k, v in stage['actions'].items())} ({stage.get('outcome', '')})"
        for name, stage in found.get("stages", {}).items()
        if stage.get("actions")
    ]
    return f"{'; '.join(changes) or 'hold'}: {found.get('reason', '')}"


def _end_with_parent() -> None:
    """Asks for SIGTERM when the parent ends, where it wants that (`make run` does: killing make must end the run)."""
    if os.environ.pop("SLUICE_END_WITH_PARENT", "") != "1":
        return
    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGTERM)


def _sluice(*verbs: str) -> list[str]:
    return [sys.executable, "-m", "jobs.cli", *verbs]


class _StopFlag:
    """Counts requests to end. Until the run is under way, and from the second one on, a request raises Interrupted."""

    def __init__(self) -> None:
        self.under_way = False
        self.asked = False
        self.asked_twice = False

    @contextlib.contextmanager
    def on_signals(self) -> Iterator[None]:
        numbers = [n for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP) if signal.getsignal(n) is not signal.SIG_IGN]
        before = {number: signal.signal(number, self._ask) for number in numbers}
        _end_with_parent()
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _ask(self, number: int, _: object) -> None:
        self.asked_twice = self.asked
        self.asked = True
        if self.asked_twice or not self.under_way:
            raise Interrupted(signal.Signals(number).name)


@contextlib.contextmanager
def _signals_held() -> Iterator[None]:
    """No signal interrupts the block: the children are being stopped already."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, signal.SIG_IGN) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
