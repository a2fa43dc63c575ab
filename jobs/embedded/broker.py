"""A single-node Kafka broker as a supervised child, and the topics a pipeline needs."""

from __future__ import annotations

import base64
import contextlib
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from string import Template

from jobs.embedded import paths
from jobs.embedded.ports import HOST, answers
from jobs.embedded.processes import Child, StartFailed

KAFKA_VERSION = "4.1.0"
HEAP_MB = 384
FORMAT_TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class BrokerConfig:
    """directory: settings, log segments. message_max_bytes: largest record the broker takes. settings: further ones; they win over ours."""

    directory: Path
    port: int = 9092
    controller_port: int = 9093
    message_max_bytes: int = 1_048_588
    heap_mb: int = HEAP_MB
    settings: Mapping[str, str] = field(default_factory=dict)

    @property
    def bootstrap_servers(self) -> str:
        return f"{HOST}:{self.port}"


@dataclass(frozen=True, slots=True)
class NewTopic:
    name: str
    partitions: int = 2
    config: Mapping[str, str] = field(default_factory=dict)


APPEND_TIME = {"message.timestamp.type": "LogAppendTime"}
"""For topics that the job writes: a record's timestamp is then the moment it was appended, which latency is measured against."""


def prepare(config: BrokerConfig) -> None:
    """Writes the settings and formats the storage; a directory formatted before is left as it is."""
    config.directory.mkdir(parents=True, exist_ok=True)
    template = Template((paths.KAFKA_SETTINGS / "server.properties").read_text())
    text = template.substitute(
        port=config.port, controller_port=config.controller_port, log_dir=config.directory / "log"
    )
    text += f"\nmessage.max.bytes={config.message_max_bytes}\n"
    text += "".join(f"{key}={escaped(value)}\n" for key, value in config.settings.items())
    file = _settings(config)
    file.touch(mode=0o600)  # settings may hold secrets
    file.write_text(text)
    storage = config.directory / "log"
    if not (storage / "meta.properties").exists():
        storage.mkdir(exist_ok=True)
        for file in _formatted().iterdir():
            shutil.copy2(file, storage / file.name)


def escaped(value: str) -> str:
    """As the value of a Java property."""
    return value.replace("\\", "\\\\")


def _formatted() -> Path:
    """A freshly formatted storage directory, made once: its two small files are the same for every single-node run."""
    cache = paths.SLUICE_DIR / "cache" / f"broker-storage-{KAFKA_VERSION}"
    if (cache / "meta.properties").exists():
        return cache
    cache.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache.parent) as made:
        config = BrokerConfig(Path(made))
        template = Template((paths.KAFKA_SETTINGS / "server.properties").read_text())
        _settings(config).write_text(template.substitute(port=9092, controller_port=9093, log_dir=f"{made}/log"))
        cluster_id = base64.urlsafe_b64encode(uuid.uuid4().bytes).rstrip(b"=").decode()
        command = [*_java(config, 128), "kafka.tools.StorageTool", "format", "-t", cluster_id, "-c", str(_settings(config))]
        done = subprocess.run(command, capture_output=True, text=True, timeout=FORMAT_TIMEOUT_S, check=False)
        if done.returncode:
            log = cache.parent / "broker-format.log"
            log.write_text(done.stdout + done.stderr)
            raise StartFailed("broker", "its storage could not be formatted", log)
        with contextlib.suppress(OSError):  # another run was first
            (Path(made) / "log").rename(cache)
    return cache


def child(config: BrokerConfig, stop_rank: int = 90) -> Child:
    """The broker's process; call `prepare` first."""
    return Child(
        name="broker",
        argv=(*_java(config, config.heap_mb), "kafka.Kafka", str(_settings(config))),
        ready=lambda: answers(config.port) and is_serving(config.bootstrap_servers),
        stop_rank=stop_rank,
    )


def is_serving(bootstrap_servers: str, client: Mapping[str, object] | None = None) -> bool:
    """Whether it answers a client's first questions."""
    from kafka import KafkaAdminClient
    from kafka.errors import KafkaError

    try:
        admin = KafkaAdminClient(
            bootstrap_servers=bootstrap_servers, request_timeout_ms=3000, bootstrap_timeout_ms=2000, **(client or {})
        )
    except (KafkaError, OSError):
        return False
    admin.close()
    return True


def create_topics(bootstrap_servers: str, topics: Iterable[NewTopic], client: Mapping[str, object] | None = None) -> list[str]:
    """Creates those that are not there, whoever else may be doing so; the names of the ones that were missing."""
    from kafka import KafkaAdminClient
    from kafka.errors import TopicAlreadyExistsError

    wanted = {t.name: {"num_partitions": t.partitions, "replication_factor": 1, "configs": dict(t.config)} for t in topics}
    admin = KafkaAdminClient(bootstrap_servers=bootstrap_servers, **(client or {}))
    try:
        missing = absent = wanted.keys() - set(admin.list_topics())
        while absent:
            with contextlib.suppress(TopicAlreadyExistsError):  # the others of the request are made all the same
                admin.create_topics({name: wanted[name] for name in wanted if name in absent})
            absent = wanted.keys() - set(admin.list_topics())
        return [name for name in wanted if name in missing]
    finally:
        admin.close()


def _settings(config: BrokerConfig) -> Path:
    return config.directory / "server.properties"


def _java(config: BrokerConfig, heap_mb: int) -> list[str]:
    jars = paths.broker_jars()
    return [
        paths.java(),
        f"-Xmx{heap_mb}m",
        "-XX:+UseG1GC",
        "-XX:MaxGCPauseMillis=20",
        "-XX:TieredStopAtLevel=1" if heap_mb < HEAP_MB else "-XX:+TieredCompilation",
        "-Djava.awt.headless=true",
        f"-Dlog4j2.configurationFile={paths.KAFKA_SETTINGS / 'log4j2.properties'}",
        f"-Dkafka.logs.dir={config.directory}",
        "-cp",
        f"{jars}/*",
    ]
