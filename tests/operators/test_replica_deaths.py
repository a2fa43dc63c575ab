"""Replicas of a running service are killed, stopped and resized while rows flow: every row is answered, none is condemned."""

import os
import signal

import pytest

from tests.operators.service import Service, Stream, alive, eventually, request
from tests.operators.test_life_cycle import Load

KILLS = 30


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    service = Service(tmp_path_factory.mktemp("deaths"), "Sleeper", batch=1, replicas=3, sleep_ms=1)
    yield service
    service.close()


def kill_one(pids, killed):
    left = [pid for pid in pids() if pid not in killed and alive(pid)]
    if left:
        os.kill(left[0], signal.SIGKILL)
        killed.append(left[0])
    return left


def test_thirty_kills_on_a_stream_of_single_rows_condemn_none(service):
    load, killed = Load(service), []
    while len(killed) < KILLS:
        load.flowing()
        eventually(lambda: kill_one(service.pids, killed), "a replica to kill")
    service.wait_for_replicas(3)
    load.finish()
    assert service.stage()["processes"]["deaths"]["killed"] == KILLS


def test_a_stopped_replica_is_replaced_and_its_rows_are_answered(service):
    load = Load(service)
    load.flowing()
    stopped = service.pids()[0]
    os.kill(stopped, signal.SIGSTOP)
    eventually(lambda: not alive(stopped), "the stopped replica to be killed")
    service.wait_for_replicas(3)
    load.finish()
    assert service.stage()["processes"]["deaths"]["stopped"] == 1


def test_all_replicas_stopped_at_once_are_replaced(service):
    stopped = service.pids()
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    stream = Stream(service.stub)
    stream.send(request("a", [b"%d" % at for at in range(20)]))
    assert stream.finish()["a"] == {at: (0, b"%d" % at) for at in range(20)}
    assert not set(stopped) & set(service.pids())


def test_cores_change_by_eighths_under_load(service):
    load = Load(service)
    for cores in (0.5, 1.125, 0.125, 1):
        load.flowing()
        assert service.change(cores=cores)["cores"] == cores
        eventually(lambda cores=cores: service.stage()["processes"]["cores"] == 3 * cores, f"{cores} cores each")
    load.finish()


@pytest.mark.parametrize("cores", [0, 0.1, -1, "1", True, 2000])
def test_cores_that_are_no_eighths_are_refused(service, cores):
    status, answer = service.http("/sluice/v1/stages/work", {"cores": cores})
    assert status == 422
    assert "use a multiple of 0.125 up to 1024" in answer["error"]


def test_spares_are_kept_beside_the_replicas(service):
    service.change(replicas=1)
    service.wait_for_replicas(1)
    eventually(lambda: service.stage()["processes"]["spares"] == 1, "a spare")
    assert service.change(replicas=3)["spares"] == 1
    service.wait_for_replicas(3)
    service.change(spares=0)
    eventually(lambda: service.stage()["processes"]["spares_loading"] + service.stage()["processes"]["spares"] == 0, "no spare")
