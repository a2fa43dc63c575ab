"""What the conformance suite says of an operator in Go, and of servers that thousands use."""

import subprocess

import pytest

from bench.peers import servers
from bench.peers.places import GO_OPERATOR, there
from jobs.embedded.ports import HOST, free_ports
from jobs.embedded.processes import Supervisor
from operators.conformance import MODEL, SERVER, Verdict, run
from operators.endpoints import endpoint

pytestmark = pytest.mark.peers
ROWS = (b"row 1 of 7", b"", "zwölf".encode())


def verdicts(address, model):
    asked = endpoint(address)
    try:
        return {result.check: result for result in run(asked, model, ROWS)}
    finally:
        asked.close()


def wrong(results):
    return {check for check, result in results.items() if result.verdict is Verdict.WRONG}


def test_the_operator_in_go_conforms():
    (port,) = free_ports(1)
    process = subprocess.Popen([str(there(GO_OPERATOR)), str(port)], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline().startswith("listens on")
        results = verdicts(f"{HOST}:{port}", "mask")
    finally:
        process.terminate()
        process.wait(10)
        process.stdout.close()
    assert {check: result.detail for check, result in results.items() if result.verdict is not Verdict.OK} == {}
    assert len(results) == len(SERVER) + 1 + len(MODEL)


@pytest.fixture(params=["triton", "mlserver"])
def server(request, tmp_path):
    """(name, gRPC address, HTTP address) of one that serves `upper`."""
    grpc, http, metrics = free_ports(3)
    if request.param == "triton":
        child = servers.triton(tmp_path / "models", servers.UPPER, servers.TritonSetting(), grpc, http)
    else:
        child = servers.mlserver(tmp_path / "models", servers.UPPER, servers.MlserverSetting(), grpc, http, metrics)
    with Supervisor(tmp_path / "logs") as supervisor:
        supervisor.start(child)
        supervisor.wait_ready([child.name], servers.START_S)
        yield request.param, f"{HOST}:{grpc}", f"http://{HOST}:{http}"


def test_servers_of_others_serve_a_stage_and_the_suite_names_what_they_do_differently(server):
    name, grpc, http = server
    found = {"grpc": wrong(verdicts(grpc, "upper")), "http": wrong(verdicts(http, "upper"))}
    assert found == KNOWN[name], found


KNOWN = {
    "triton": {"grpc": set(), "http": set()},
    "mlserver": {
        "grpc": {"wrong datatype", "wrong shape", "fewer values than the shape says", "large request"},
        "http": {"wrong datatype", "wrong shape", "fewer values than the shape says"},
    },
}
"""MLServer leaves types and shapes to the model, and takes gRPC's default of 4 MB unless its settings say more."""
