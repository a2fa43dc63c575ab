"""Ports of a run: chosen when nobody named one, checked before anything starts."""

from __future__ import annotations

import errno
import socket
from collections.abc import Container, Iterable
from dataclasses import dataclass

HOST = "127.0.0.1"
LARGEST = 65535
PAIR_TRIES = 50


@dataclass(frozen=True, slots=True)
class Port:
    """A port that a part will listen on, and the flag that moves it."""

    number: int
    wanted_by: str
    flag: str


class PortTaken(Exception):
    """Something else listens where a part of the run wants to."""


def is_taken(number: int, host: str = HOST) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, number))
        except OSError as error:
            if error.errno in (errno.EADDRINUSE, errno.EACCES):
                return True
            raise
    return False


def check_free(ports: Iterable[Port]) -> None:
    """PortTaken naming every port that is taken or wanted twice, who wants it, and the flag that changes it."""
    wrong: list[str] = []
    wanted: dict[int, Port] = {}
    for port in ports:
        other = wanted.setdefault(port.number, port)
        if other is not port:
            wrong.append(f"port {port.number} is wanted by both {other.wanted_by} and {port.wanted_by}; change it with {port.flag} PORT")
        elif is_taken(port.number):
            wrong.append(f"port {port.number}, wanted by {port.wanted_by}, is already taken; choose another with {port.flag} PORT (0 = any)")
    if wrong:
        raise PortTaken("\n".join(wrong))


def free_ports(count: int) -> list[int]:
    """That many different ports that nobody listens on now."""
    sockets = [socket.socket(socket.AF_INET, socket.SOCK_STREAM) for _ in range(count)]
    try:
        for one in sockets:
            one.bind((HOST, 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


def free_pair(but: Container[int]) -> int:
    """The first of two ports in a row that nobody listens on, neither of them one of `but`."""
    for _ in range(PAIR_TRIES):
        (first,) = free_ports(1)
        if first not in but and first + 1 not in but and first < LARGEST and not is_taken(first + 1):
            return first
    raise PortTaken(f"no two free ports in a row after {PAIR_TRIES} tries")


def answers(number: int, host: str = HOST, timeout_s: float = 0.5) -> bool:
    """Whether something accepts connections there."""
    try:
        with socket.create_connection((host, number), timeout=timeout_s):
            return True
    except OSError:
        return False
