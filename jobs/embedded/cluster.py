"""A local Flink: ZooKeeper, JobManager and TaskManagers as supervised children, and submission to it.

ZooKeeper is in the Flink distribution itself; it is here because Flink keeps the ids of running jobs and of their
last checkpoints nowhere else. So a JobManager that is killed and started again takes up every job from its newest
completed checkpoint by itself, under the same job id.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

import yaml

from jobs.embedded import paths, plugins
from jobs.embedded.ports import HOST, answers
from jobs.embedded.processes import BESIDE_THE_PATH, Child, StartFailed
from jobs.embedded.rest import FlinkRest, RestError
from jobs.settings import FLINK_DEFAULTS

SESSION_TIMEOUT_MS = 10_000
"""A killed JobManager's leadership lasts this long in ZooKeeper before its successor may lead; one that the machine lets wait for longer loses
it, and its jobs start anew. The longest that ZooKeeper grants is 20 of its ticks."""
SUBMIT_TIMEOUT_S = 120.0
_CLIENT_JVM = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")


@dataclass(frozen=True, slots=True)
class ClusterConfig:
    """directory: everything it writes. metrics_port: the first of as many ports as there are processes, 0 = none."""

    directory: Path
    rest_port: int = 8081
    zookeeper_port: int = 2181
    metrics_port: int = 9249
    task_managers: int = 1
    slots: int = 8
    heap_mb: int = 640
    checkpoint_interval_ms: int = 1000
    checkpoint_timeout_ms: int = 60_000
    job_file: Path = paths.JOB_FILE
    settings: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """Further Flink settings; they win over ours."""

    @property
    def rest_address(self) -> str:
        return f"{HOST}:{self.rest_port}"

    @property
    def checkpoints(self) -> Path:
        return self.directory / "checkpoints"

    @property
    def savepoints(self) -> Path:
        return self.directory / "savepoints"

    @property
    def plugins(self) -> Path:
        return self.directory / "plugins" if self.metrics_port else paths.flink_home() / "plugins"


def prepare(config: ClusterConfig) -> None:
    """Writes the settings of the processes (`conf`) and of the client that submits (`client`), and ZooKeeper's."""
    for name in ("conf", "client", "tmp", "zookeeper"):
        (config.directory / name).mkdir(parents=True, exist_ok=True)
    if config.metrics_port:
        plugins.lay_out(config.plugins)
    shared = _client_settings(config)
    _write_settings(config.directory / "client", {**shared, **config.settings}, "log4j-cli.properties")
    _write_settings(config.directory / "conf", {**shared, **_process_settings(config), **config.settings}, "log4j-console.properties")
    (config.directory / "conf" / "zoo.cfg").write_text(
        f"tickTime=500\ndataDir={config.directory / 'zookeeper'}\nclientPort={config.zookeeper_port}\n"
        f"clientPortAddress={HOST}\nadmin.enableServer=false\nmaxClientCnxns=0\nforceSync=no\n"
        "4lw.commands.whitelist=ruok\n"
    )


def children(config: ClusterConfig, stop_rank: int = 50) -> list[Child]:
    """ZooKeeper, the JobManager and the TaskManagers; they may be started at once, each waits for what it needs."""
    zookeeper = Child(
        name="zookeeper",
        argv=(
            *_java(config, "zookeeper", 96, ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Dzookeeper.jmx.log4j.disable=true")),
            "org.apache.flink.shaded.zookeeper3.org.apache.zookeeper.server.ZooKeeperServerMain",
            str(config.directory / "conf" / "zoo.cfg"),
        ),
        env=_environment(config, "conf"),
        ready=lambda: answers(config.zookeeper_port),
        stop_rank=stop_rank + 2,
        stop_grace_s=2.0,
        niceness=BESIDE_THE_PATH,
    )
    job_manager = Child(
        name="jobmanager",
        argv=(
            *_java(config, "jobmanager", 512, ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-XX:MaxMetaspaceSize=256m")),
            "org.apache.flink.runtime.entrypoint.StandaloneSessionClusterEntrypoint",
            "--configDir",
            str(config.directory / "conf"),
        ),
        env=_environment(config, "conf"),
        ready=lambda: _overview(config) is not None,
        stop_rank=stop_rank + 1,
        stop_grace_s=4.0,
        niceness=BESIDE_THE_PATH,
    )
    return [zookeeper, job_manager, *(task_manager(config, i, stop_rank) for i in range(config.task_managers))]


def task_manager(config: ClusterConfig, index: int = 0, stop_rank: int = 50) -> Child:
    """One TaskManager; ready once at least index + 1 of them have registered."""
    name = f"taskmanager-{index}" if index else "taskmanager"
    return Child(
        name=name,
        argv=(
            *_java(config, name, config.heap_mb + 128, ("-XX:MaxMetaspaceSize=256m", "-XX:MaxDirectMemorySize=640m", "-XX:+UseParallelGC")),
            "org.apache.flink.runtime.taskexecutor.TaskManagerRunner",
            "--configDir",
            str(config.directory / "conf"),
            "-Dtaskmanager.resource-id=" + name,
        ),
        env=_environment(config, "conf"),
        ready=lambda: (seen := _overview(config)) is not None and seen["taskmanagers"] > index,
        stop_rank=stop_rank,
        stop_grace_s=4.0,
    )


def submission(
    config: ClusterConfig, arguments: Sequence[str], *, from_snapshot: str | None = None, settings: Mapping[str, str] | None = None
) -> tuple[list[str], dict[str, str]]:
    """The `flink run` command line and its environment, with the job's arguments after the file."""
    command = [str(paths.flink_home() / "bin" / "flink"), "run", "-d"]
    command += ["-m", config.rest_address]
    if from_snapshot is not None:
        command += ["-s", from_snapshot]
    command += [f"-D{key}={value}" for key, value in (settings or {}).items()]
    command += ["-pyclientexec", sys.executable, "-pyexec", sys.executable, "-py", str(config.job_file), *arguments]
    return command, _environment(config, "client")


def submit(
    config: ClusterConfig,
    arguments: Sequence[str],
    *,
    from_snapshot: str | None = None,
    settings: Mapping[str, str] | None = None,
    timeout_s: float = SUBMIT_TIMEOUT_S,
) -> str:
    """Submits jobs/pipeline.py and returns the job's id; StartFailed with the log when it is refused."""
    command, environment = submission(config, arguments, from_snapshot=from_snapshot, settings=settings)
    log = config.directory / "submit.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            env={**os.environ, **environment},
            cwd=paths.ROOT,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            status = process.wait(timeout=timeout_s)
        except BaseException as error:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            if isinstance(error, subprocess.TimeoutExpired):
                raise StartFailed("submit", f"flink run took longer than {timeout_s:.0f} s", log) from error
            raise
    return submitted_job_id(log, status)


def submitted_job_id(log: Path, status: int) -> str:
    """The id that `flink run` printed; StartFailed when it ended otherwise."""
    found = re.search(r"JobID ([0-9a-f]{32})", log.read_text(errors="replace"))
    if status != 0 or found is None:
        raise StartFailed("submit", f"flink run ended with status {status}", log)
    return found.group(1)


def _client_settings(config: ClusterConfig) -> dict[str, str]:
    """What a job brings along; the processes have it too, for jobs submitted in another way."""
    return {
        "env.java.opts.all": " ".join(_opens()),
        "rest.address": HOST,
        "rest.port": str(config.rest_port),
        "rest.retry.delay": "200 ms",
        "rest.retry.max-attempts": "150",
        **FLINK_DEFAULTS,
        "execution.checkpointing.interval": f"{config.checkpoint_interval_ms} ms",
        "execution.checkpointing.timeout": f"{config.checkpoint_timeout_ms} ms",
        "execution.checkpointing.dir": config.checkpoints.as_uri(),
        "execution.checkpointing.savepoint-dir": config.savepoints.as_uri(),
        "parallelism.default": "1",
    }


def _process_settings(config: ClusterConfig) -> dict[str, str]:
    return {
        "jobmanager.rpc.address": HOST,
        "jobmanager.rpc.port": "0",
        "jobmanager.bind-host": HOST,
        "rest.bind-address": HOST,
        "rest.bind-port": str(config.rest_port),
        "taskmanager.host": HOST,
        "taskmanager.bind-host": HOST,
        "io.tmp.dirs": str(config.directory / "tmp"),
        "high-availability.type": "zookeeper",
        "high-availability.storageDir": (config.directory / "ha").as_uri(),
        "high-availability.zookeeper.quorum": f"{HOST}:{config.zookeeper_port}",
        "high-availability.zookeeper.path.root": "/sluice",
        "high-availability.zookeeper.client.session-timeout": f"{SESSION_TIMEOUT_MS} ms",
        "high-availability.zookeeper.client.connection-timeout": "3 s",
        "high-availability.zookeeper.client.retry-wait": "200 ms",
        "high-availability.zookeeper.client.max-retry-attempts": "100",
        "high-availability.zookeeper.client.tolerate-suspended-connections": "true",
        "jobmanager.scheduler": "adaptive",
        "jobmanager.adaptive-scheduler.submission.resource-wait-timeout": "365 d",
        "jobmanager.adaptive-scheduler.submission.resource-stabilization-timeout": "300 ms",
        "jobmanager.adaptive-scheduler.executing.cooldown-after-rescaling": "1 s",
        "jobmanager.adaptive-scheduler.executing.resource-stabilization-timeout": "500 ms",
        "jobmanager.adaptive-scheduler.rescale-trigger.max-delay": "2 s",
        "heartbeat.interval": "500 ms",
        "heartbeat.timeout": "8 s",
        "heartbeat.rpc-failure-threshold": "2",
        "resourcemanager.standalone.start-up-time": "2 min",
        "cluster.registration.initial-timeout": "100 ms",
        "cluster.registration.max-timeout": "1 s",
        "cluster.registration.error-delay": "500 ms",
        "cluster.registration.refused-registration-delay": "500 ms",
        "taskmanager.registration.timeout": "5 min",
        "classloader.resolve-order": "parent-first",
        "taskmanager.numberOfTaskSlots": str(config.slots),
        "taskmanager.cpu.cores": "2",
        "taskmanager.memory.task.heap.size": f"{config.heap_mb}m",
        "taskmanager.memory.framework.heap.size": "128m",
        "taskmanager.memory.framework.off-heap.size": "128m",
        "taskmanager.memory.task.off-heap.size": "256m",
        "taskmanager.memory.network.min": "128m",
        "taskmanager.memory.network.max": "128m",
        "taskmanager.memory.managed.size": "32m",
        "taskmanager.memory.jvm-metaspace.size": "256m",
        "taskmanager.memory.jvm-overhead.min": "160m",
        "taskmanager.memory.jvm-overhead.max": "160m",
        "task.cancellation.interval": "5 s",
        "jobmanager.execution.failover-strategy": "region",
        "security.delegation.tokens.enabled": "false",
        "web.cancel.enable": "true",
        **(plugins.reporter(config.metrics_port, 1 + config.task_managers) if config.metrics_port else {}),
    }


def _write_settings(directory: Path, settings: Mapping[str, str], log4j: str) -> None:
    (directory / "config.yaml").write_text(yaml.safe_dump(dict(settings), width=10_000))
    level = "WARN" if log4j == "log4j-cli.properties" else "INFO"
    (directory / log4j).write_text(f"rootLogger.level = {level}\n{_LOG4J}")


def _environment(config: ClusterConfig, conf: str) -> dict[str, str]:
    home = paths.flink_home()
    return {
        "FLINK_CONF_DIR": str(config.directory / conf),
        "FLINK_PLUGINS_DIR": str(config.plugins),
        "FLINK_OPT_DIR": str(home / "opt"),
        "FLINK_LIB_DIR": str(home / "lib"),
        "FLINK_LOG_DIR": str(config.directory / "tmp"),
        "PYTHONPATH": os.pathsep.join(p for p in (str(paths.ROOT), os.environ.get("PYTHONPATH")) if p),
        "JVM_ARGS": " ".join(_CLIENT_JVM),
    }


def _java(config: ClusterConfig, name: str, heap_mb: int, options: Sequence[str]) -> list[str]:
    home = paths.flink_home()
    jars = sorted((home / "lib").glob("*.jar"), key=lambda jar: (jar.name.startswith("flink-dist"), jar.name))
    # The connector is the cluster's own, loaded once: a job's own class loader would have all of it compiled again for every job.
    jars.append(paths.CONNECTOR_JAR)
    return [
        paths.java(),
        f"-Xmx{heap_mb}m",
        *options,
        *_opens(),
        f"-Dlog4j.configurationFile=file:{config.directory / 'conf' / 'log4j-console.properties'}",
        "-classpath",
        os.pathsep.join(map(str, jars)),
    ]


def _opens() -> list[str]:
    """What Flink needs opened in Java 17, as its own distribution states it."""
    settings = yaml.safe_load((paths.flink_home() / "conf" / "config.yaml").read_text())
    return settings["env"]["java"]["opts"]["all"].split()


def _overview(config: ClusterConfig) -> dict[str, int] | None:
    try:
        return FlinkRest(config.rest_address, timeout_s=1.0).overview()
    except RestError:
        return None


_LOG4J = """\
# Standard output; the run sends it to a file.
rootLogger.appenderRef.console.ref = console
appender.console.name = console
appender.console.type = CONSOLE
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d{yyyy-MM-dd HH:mm:ss,SSS} %-5p %c{1} %x - %m%n
logger.zookeeper.name = org.apache.flink.shaded.zookeeper3
logger.zookeeper.level = WARN
logger.curator.name = org.apache.flink.shaded.curator5
logger.curator.level = WARN
logger.kafka.name = org.apache.kafka
logger.kafka.level = WARN
logger.types.name = org.apache.flink.api.java.typeutils.TypeExtractor
logger.types.level = WARN
logger.metrics.name = org.apache.flink.metrics.MetricGroup
logger.metrics.level = ERROR
logger.checkpoints.name = org.apache.flink.runtime.checkpoint.CheckpointCoordinator
logger.checkpoints.level = WARN
"""
