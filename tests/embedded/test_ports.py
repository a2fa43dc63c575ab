import socket

import pytest

from jobs.embedded.ports import Port, PortTaken, check_free, free_pair, free_ports, is_taken
from jobs.embedded.run import Ports


def test_a_taken_port_is_said_with_who_wants_it_and_the_flag():
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        number = other.getsockname()[1]
        with pytest.raises(PortTaken) as error:
            check_free([Port(number, "the Kafka broker", "--kafka-port")])
    assert str(error.value) == f"port {number}, wanted by the Kafka broker, is already taken; choose another with --kafka-port PORT (0 = any)"


def test_two_parts_cannot_want_the_same_port():
    number = free_ports(1)[0]
    with pytest.raises(PortTaken, match="wanted by both a and b; change it with --b-port"):
        check_free([Port(number, "a", "--a-port"), Port(number, "b", "--b-port")])


def test_free_ports_differ_and_are_free():
    found = free_ports(20)
    assert len(set(found)) == 20
    assert not any(is_taken(number) for number in found)


def test_a_pair_is_two_free_ports_in_a_row_that_nobody_else_has_chosen():
    others = set(free_ports(50))
    first = free_pair(others)
    assert not others & {first, first + 1}
    assert not is_taken(first)
    assert not is_taken(first + 1)


def test_a_run_on_any_ports_wants_each_once():
    wanted = [port.number for port in Ports(*[0] * len(Ports.__dataclass_fields__)).chosen().wanted()]
    assert len(set(wanted)) == len(wanted)
    assert 0 not in wanted
