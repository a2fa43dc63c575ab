"""Every part against a broker that asks for TLS and a password, given by file or environment; the password is nowhere to be read."""

import subprocess
import sys
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from autoscaler.graph.reader import read_pipeline
from jobs.broker import read_settings
from jobs.consumer import TopicReader
from jobs.embedded import broker, cluster
from jobs.embedded.ports import HOST, free_ports
from jobs.embedded.processes import Child, Supervisor
from jobs.embedded.rest import FlinkRest
from jobs.embedded.run import DECISIONS_TOPIC, TELEMETRY_TOPIC, is_ready, topics_of
from tests.e2e.commands import sluice
from tests.e2e.conftest import HERE
from tests.e2e.feed import wait_for

pytestmark = [pytest.mark.kafka, pytest.mark.flink, pytest.mark.slow]
PASSWORD = 'hush"hush;\\x=$1'
WRONG = "not-the-password"
CLIENT = """\
security.protocol=SASL_SSL
sasl.mechanism=PLAIN
sasl.username=sluice
sasl.password={password}
ssl.truststore.type=PEM
ssl.truststore.location={directory}/ca.pem
"""


def certificates(directory: Path) -> None:
    """A self-signed authority (ca.pem), and the broker's key with its certificate in one file (broker.pem)."""
    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=directory, check=True, capture_output=True)

    (directory / "names").write_text(f"subjectAltName=IP:{HOST},DNS:localhost\n")
    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=authority", "-days", "2")
    openssl("req", "-newkey", "rsa:2048", "-nodes", "-keyout", "broker.key", "-out", "broker.csr", "-subj", f"/CN={HOST}")
    openssl("x509", "-req", "-in", "broker.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-out", "broker.crt",
            "-days", "2", "-extfile", "names")
    (directory / "broker.pem").write_text((directory / "broker.key").read_text() + (directory / "broker.crt").read_text())


def listener(directory: Path, plain: int, controller: int, secure: int) -> dict[str, str]:
    """Broker settings for a further listener that wants TLS and a password."""
    login = PASSWORD.replace("\\", "\\\\").replace('"', '\\"')
    plugin = "org.apache.kafka.common.security.plain.PlainLoginModule"
    return {
        "listeners": f"PLAINTEXT://{HOST}:{plain},CONTROLLER://{HOST}:{controller},SECURE://{HOST}:{secure}",
        "advertised.listeners": f"PLAINTEXT://{HOST}:{plain},SECURE://{HOST}:{secure}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SECURE:SASL_SSL",
        "listener.name.secure.sasl.enabled.mechanisms": "PLAIN",
        "listener.name.secure.plain.sasl.jaas.config": f'{plugin} required user_sluice="{login}";',
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": f"{directory}/broker.pem",
    }


@dataclass
class Secured:
    """What runs, where, and what the commands said. env, file: client properties that take the password from there."""

    directory: Path
    supervisor: Supervisor
    bootstrap: str
    rest: FlinkRest
    http: str
    metrics: list[int]
    job_id: str
    said: list[str]

    def run(self, *arguments: str, config: str = "file", status: int = 0) -> str:
        said = sluice(*arguments, "--bootstrap-servers", self.bootstrap, "--kafka-config", str(self.directory / f"{config}.properties"),
                      status=status, BROKER_PASSWORD=PASSWORD)
        self.said.append(said)
        return said


@pytest.fixture(scope="module")
def secured(tmp_path_factory):
    """Broker, Flink, service and sidecar as if they were elsewhere, and the job started by its command."""
    directory = tmp_path_factory.mktemp("secured")
    plain, controller, secure, zookeeper, flink, flink_metrics, grpc, http, metrics, sidecar_metrics = free_ports(10)
    certificates(directory)
    (directory / "password").write_text(PASSWORD + "\n")
    for name, password in (("env", "${env:BROKER_PASSWORD}"), ("file", f"${{file:{directory}/password}}"), ("wrong", WRONG)):
        (directory / f"{name}.properties").write_text(CLIENT.format(password=password, directory=directory))
    settings = listener(directory, plain, controller, secure)
    kafka = broker.BrokerConfig(directory / "broker", plain, controller, settings=settings)
    flinks = cluster.ClusterConfig(directory / "flink", flink, zookeeper, flink_metrics)
    broker.prepare(kafka)
    cluster.prepare(flinks)
    file, bootstrap = HERE / "echo-once.yaml", f"{HOST}:{secure}"
    given = ("--bootstrap-servers", bootstrap, "--kafka-config", f"{directory}/env.properties")
    python = (sys.executable, "-m", "jobs.cli")
    service = (*python, "operator", "serve", str(file), "--grpc-port", str(grpc), "--http-port", str(http), "--metrics-port", str(metrics), *given)
    sidecar = (*python, "autoscaler", "run", str(file), "--service-http", f"http://{HOST}:{http}", "--metrics-port", str(sidecar_metrics), *given)
    env = {"BROKER_PASSWORD": PASSWORD}
    with Supervisor(directory / "logs") as supervisor:
        for child in (broker.child(kafka), *cluster.children(flinks),
                      Child("service", service, env, Path.cwd(), ready=lambda: is_ready(f"{HOST}:{http}")), Child("sidecar", sidecar, env, Path.cwd())):
            supervisor.start(child)
        supervisor.wait_ready(["broker"], 90)
        broker.create_topics(bootstrap, topics_of(read_pipeline(file)), read_settings(directory / "file.properties").kafka_python())
        supervisor.wait_ready(["zookeeper", "jobmanager", "taskmanager", "service"], 90)
        found = Secured(directory, supervisor, bootstrap, FlinkRest(flinks.rest_address), f"{HOST}:{http}",
                        [flink_metrics, metrics, sidecar_metrics], "", [])
        found.run("start", str(file), "--fresh", "--flink", flinks.rest_address, "--service", f"{HOST}:{grpc}", config="env")
        found.job_id = found.rest.jobs()[0].id
        found.rest.wait_running(found.job_id)
        yield found


def test_events_dead_letters_telemetry_and_decisions_pass_a_secured_broker(secured, tmp_path):
    (tmp_path / "lines").write_text("one\ntwo\nraise this\n")
    assert "30 events sent" in secured.run("produce", "once-in", "--inputs", str(tmp_path / "lines"), "--count", "30", "--rate", "100")
    with reader(secured, "once-out", "once-dead-letters") as both:
        ended = []
        wait_for(lambda: ended.extend(both.poll()) or len(ended) >= 30, "every event ended")
    assert len(ended) == 30
    assert secured.run("consume", "once-out", config="env").count("!") == 20
    assert len(secured.run("dead-letters", "list", "once-dead-letters").splitlines()) == 10
    replay = ("--to", "once-in", "--progress", str(tmp_path / "progress"))
    assert secured.run("dead-letters", "replay", "once-dead-letters", *replay).startswith("10 sent to once-in")
    with reader(secured, TELEMETRY_TOPIC, DECISIONS_TOPIC) as told:
        topics = set()
        wait_for(lambda: topics.update(record.topic for record in told.poll()) or topics == {TELEMETRY_TOPIC, DECISIONS_TOPIC},
                 "telemetry and decisions")


def reader(secured, *topics):
    return TopicReader(topics, {"bootstrap_servers": secured.bootstrap, **read_settings(secured.directory / "file.properties").kafka_python()})


@pytest.mark.parametrize("arguments", [("consume", "once-out"), ("dead-letters", "replay", "once-dead-letters", "--to", "once-in")], ids=" ".join)
def test_a_wrong_password_is_refused_and_not_repeated(secured, arguments):
    def is_refused():
        said = secured.run(*arguments, config="wrong", status=2)
        assert WRONG not in said
        return "uthentication" in said  # a stalled machine may not get that far in the seconds that a command waits

    wait_for(is_refused, "the password is refused")


def test_the_password_is_nowhere_to_be_read(secured):
    job = secured.rest.url + f"/jobs/{secured.job_id}"
    places = [f"{secured.rest.url}/jobmanager/config", f"{secured.rest.url}/jobs/overview", job]
    places += [f"{job}/{what}" for what in ("config", "plan", "exceptions", "checkpoints", "jobmanager/config", "accumulators")]
    places += [f"http://{secured.http}/sluice/v1/stages"] + [f"http://{HOST}:{port}/metrics" for port in secured.metrics]
    texts = {place: read(place) for place in places}
    texts |= {str(log): log.read_bytes() for log in (secured.directory / "logs").iterdir()}
    texts |= {str(log): log.read_bytes() for log in (secured.directory / "flink" / "conf").iterdir()}
    texts |= {f"command {number}": said.encode() for number, said in enumerate(secured.said)}
    own = psutil.Process()
    texts |= {f"arguments of {child.pid}": "\0".join(child.cmdline()).encode() for child in own.children(recursive=True)}
    with reader(secured, "once-out", "once-dead-letters", TELEMETRY_TOPIC, DECISIONS_TOPIC) as every:
        texts |= {f"{r.topic} {r.partition} {r.offset}": repr(r).encode() for r in every.to_end()}
    assert len(texts) > 30
    assert [place for place, text in texts.items() if b"hush" in text] == []


def read(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return answer.read()
