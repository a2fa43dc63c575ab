"""Everything listens on the loopback address: no process of a run can be reached from another machine."""

import ipaddress

import psutil
import pytest

from jobs.embedded.ports import answers
from tests.e2e.conftest import ONE_MODE
from tests.e2e.feed import wait_for

pytestmark = [pytest.mark.kafka, pytest.mark.flink, ONE_MODE]


def listening(pid):
    """Address and port of each socket that a process or one of its children listens on."""
    process = psutil.Process(pid)
    family = [process, *process.children(recursive=True)]
    found = [connection for one in family for connection in one.net_connections("tcp") if connection.status == psutil.CONN_LISTEN]
    return {(ipaddress.ip_address(connection.laddr.ip), connection.laddr.port) for connection in found}


def is_loopback(address):
    """Java's sockets are IPv6 ones, to which 127.0.0.1 is ::ffff:127.0.0.1."""
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback


def test_every_process_listens_on_the_loopback_address_alone(stream):
    wait_for(lambda: answers(stream.ports.sidecar_metrics), "the sidecar, which starts last, is up")
    sockets = {state.name: listening(state.pid) for state in stream.supervisor.states() if state.pid is not None}
    elsewhere = {name: [f"{address}:{port}" for address, port in of if not is_loopback(address)] for name, of in sockets.items()}
    assert {name: of for name, of in elsewhere.items() if of} == {}

    ports, seen = stream.ports, {name: {port for _, port in of} for name, of in sockets.items()}
    assert {ports.kafka, ports.controller} <= seen["broker"]
    assert {ports.zookeeper} <= seen["zookeeper"]
    assert {ports.flink} <= seen["jobmanager"]
    assert {ports.flink_metrics, ports.flink_metrics + 1} <= seen["jobmanager"] | seen["taskmanager"]
    assert len(seen["jobmanager"]) >= 4  # REST, RPC, blobs, metrics
    assert len(seen["taskmanager"]) >= 3  # RPC, exchanged rows, metrics
    assert {ports.grpc, ports.http, ports.metrics} <= seen["service"]
    assert {ports.sidecar_metrics} <= seen["sidecar"]
