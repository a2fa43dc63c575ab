import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from autoscaler.cli import app
from autoscaler.sidecar import KafkaAccess, faust_app

PIPELINE = """
pipeline: digits
slo: 100 ms
source: {topic: digits-in, format: raw, partitions: 2}
sink: {topic: digits-out, format: raw, partitions: 2}
dead_letters: {topic: digits-dead-letters}
stages:
  classify:
    operator: operators.digits:Classifier
    variants: {cnn: {accuracy: 0.985}}
"""


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def test_the_faust_app_reads_only_its_own_group_and_serves_no_web():
    built = faust_app("digits", KafkaAccess("a:1, b:2"), "/tmp/unused")
    assert (built.conf.id, built.conf.web_enabled, str(built.conf.store)) == ("sluice-autoscaler-digits", False, "memory:")
    assert [str(url) for url in built.conf.broker] == ["kafka://a:1", "kafka://b:2"]


def test_kafka_security_reaches_faust():
    assert KafkaAccess("a:1").credentials() is None
    login = {"security_protocol": "SASL_PLAINTEXT", "sasl_mechanism": "SCRAM-SHA-512", "sasl_plain_username": "u", "sasl_plain_password": "p"}
    credentials = KafkaAccess("a:1", login).credentials()
    assert (credentials.protocol.value, credentials.mechanism.value, credentials.username) == ("SASL_PLAINTEXT", "SCRAM-SHA-512", "u")
    assert KafkaAccess("a:1", {"security_protocol": "SSL"}).credentials().protocol.value == "SSL"
    with pytest.raises(ValueError, match="GSSAPI"):
        KafkaAccess("a:1", {"security_protocol": "SASL_SSL", "sasl_mechanism": "GSSAPI"}).credentials()


def test_neither_torch_nor_flink_is_imported():
    program = "import sys, autoscaler.cli, autoscaler.sidecar; sys.exit(any(n in sys.modules for n in ('torch', 'pyflink', 'grpc')))"
    subprocess.run([sys.executable, "-c", program], check=True)


def test_a_wrong_file_or_a_taken_port_is_said(tmp_path: Path):
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text("pipeline: [")
    result = CliRunner().invoke(app, ["run", str(wrong)])
    assert (result.exit_code, "wrong.yaml" in result.output) == (2, True)
    file = tmp_path / "digits.yaml"
    file.write_text(PIPELINE)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        result = CliRunner().invoke(app, ["run", str(file), "--metrics-port", str(taken.getsockname()[1])])
    assert (result.exit_code, "choose another with --metrics-port" in result.output) == (1, True)


def test_without_a_broker_it_says_so_once_waits_and_ends_promptly(tmp_path: Path):
    file = tmp_path / "digits.yaml"
    file.write_text(PIPELINE)
    log = tmp_path / "log"
    command = [sys.executable, "-m", "autoscaler.cli", "run", str(file), "--bootstrap-servers", f"127.0.0.1:{free_port()}",
               "--metrics-port", str(free_port())]
    with log.open("w") as out, subprocess.Popen(command, stderr=out, env={**os.environ, "PYTHONUNBUFFERED": "1"}) as process:
        patience_s = time.monotonic() + 60
        while "trying on" not in log.read_text() and time.monotonic() < patience_s:
            assert process.poll() is None, log.read_text()
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=10) == 0
    assert log.read_text().count("cannot be used") == 1
