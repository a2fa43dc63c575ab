"""Clients of others against our service: perf_analyzer and KServe's Python client. tritonclient has tests/operators/test_tritonclient.py."""

import csv
import json
import os
import subprocess
from pathlib import Path

import pytest

from bench.peers.places import perf_analyzer, python
from tests.operators.service import Service

pytestmark = pytest.mark.peers
HERE = Path(__file__).parent
REQUESTS = 200


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    service = Service(tmp_path_factory.mktemp("peers"), "Faulty")
    yield service
    service.close()


def analysed(service, folder, scheme, *arguments):
    """The line of its CSV for one concurrency, and what it printed."""
    command, environment = perf_analyzer()
    port = {"grpc": service.grpc_port, "http": service.http_port}[scheme]
    report = folder / "report.csv"
    command = [*command, "-m", "work", "-u", f"127.0.0.1:{port}", "-i", scheme, "--request-count", str(REQUESTS), "-f", str(report), *arguments]
    done = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (line,) = csv.DictReader(report.read_text().splitlines())
    return line, done.stdout


def answered(service):
    return service.http("/v2/models/work/stats")[1]["model_stats"][0]["inference_count"]


@pytest.mark.parametrize("scheme", ["grpc", "http"])
@pytest.mark.parametrize("arguments", [(), ("--shared-memory", "system"), ("-b", "16")], ids=["sent", "shared memory", "16 rows"])
def test_perf_analyzer_measures_the_service(service, tmp_path, scheme, arguments):
    before = answered(service)
    line, said = analysed(service, tmp_path, scheme, "--concurrency-range", "4", *arguments)
    assert float(line["Inferences/Second"]) > 0
    assert float(line["p99 latency"]) > 0
    assert "Failed" not in said
    rows = int(arguments[1]) if "-b" in arguments else 1
    assert answered(service) - before >= rows * REQUESTS
    assert float(line["Server Queue"]) >= 0
    assert float(line["Server Compute Infer"]) > 0


def test_perf_analyzer_measures_the_stream(service, tmp_path):
    line, said = analysed(service, tmp_path, "grpc", "--concurrency-range", "4", "--streaming")
    assert float(line["Inferences/Second"]) > 0
    assert "Failed" not in said


def test_kserves_client_gets_answers(service):
    done = subprocess.run([str(python("kserve")), str(HERE / "kserve_calls.py"), str(service.grpc_port), str(service.http_port)],
                          capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    said = json.loads(done.stdout.splitlines()[-1])
    rows = ["first", "", "zwölf"]
    for client, error in (("grpc", "row 1: operator-error"), ("rest", "500 Internal Server Error")):  # its REST client leaves the body out
        assert error in said[client].pop("error")
        assert said[client] == {"live": True, "ready": True, "model": True, "id": "17", "rows": rows, **({"packed": rows} if client == "rest" else {})}
