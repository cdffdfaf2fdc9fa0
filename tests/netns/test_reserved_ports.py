# SPDX-License-Identifier: Apache-2.0
"""A port that is chosen for a part is given to nobody else until the part listens: in a namespace that has few of them."""

from __future__ import annotations

import errno
import secrets
import socket
from collections.abc import Callable, Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from flowgauge.demo.scene import kernel
from flowgauge.run.part import LOOPBACK, free_port, reserved
from flowgauge.runtime.linux import create_netns, delete_netns, in_netns

pytestmark = [pytest.mark.root, pytest.mark.tool("ip")]

PORTS = range(40_000, 40_016)
PARTS = 6


@pytest.fixture
def few_ports() -> Iterator[None]:
    """This thread is in a namespace whose kernel has only ``PORTS`` to give to who asks for any."""
    name = f"fg-ports-{secrets.token_hex(3)}"
    create_netns(name)
    try:
        kernel.sysctl(name, {"ipv4/ip_local_port_range": f"{PORTS.start} {PORTS.stop - 1}"})
        kernel.ip_batch(name, ["link set lo up"])
        with in_netns(name):
            yield
    finally:
        delete_netns(name)


def any_port(*, reuse: bool) -> socket.socket:
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, reuse)
    sock.bind((LOOPBACK, 0))
    return sock


def until_none_is_left(more: Callable[[], socket.socket], why: int) -> list[socket.socket]:
    """What the kernel gives until it has no more, which it says by ``why``."""
    taken = list[socket.socket]()
    while len(taken) <= len(PORTS):
        try:
            taken.append(more())
        except OSError as error:
            if error.errno != why:
                raise
            break
    return taken


def taken_by_who_asks_for_any() -> list[socket.socket]:
    """Connections and listeners until the kernel has no port left for either."""
    server = socket.create_server((LOOPBACK, 30_000), backlog=len(PORTS))
    connections = until_none_is_left(lambda: socket.create_connection(server.getsockname()), errno.EADDRNOTAVAIL)
    for _ in range(2):
        connections.pop().close()
    listeners = [one for reuse in (True, False) for one in until_none_is_left(partial(any_port, reuse=reuse), errno.EADDRINUSE)]
    return [server, *connections, *listeners]


@pytest.mark.usefixtures("few_ports")
def test_nobody_who_asks_for_any_port_gets_a_part_s_and_the_part_listens_there() -> None:
    ports = [free_port(kind) for kind in [socket.SOCK_STREAM, socket.SOCK_DGRAM] * (PARTS // 2)]
    assert len(set(ports)) == PARTS
    assert set(ports) < set(PORTS)
    others = taken_by_who_asks_for_any()
    try:
        used = {sock.getsockname()[1] for sock in others}
        assert len(used) >= len(PORTS) - PARTS - 2, "the kernel gave what it had"
        assert used.isdisjoint(ports)
        for port in ports:
            for _ in "started", "started again":
                HTTPServer((LOOPBACK, port), BaseHTTPRequestHandler).server_close()
    finally:
        for sock in others:
            sock.close()


@pytest.mark.usefixtures("few_ports")
def test_a_port_for_datagrams_is_not_one_that_takes_them_already() -> None:
    busy = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in PORTS[:-1]]
    try:
        for port, sock in zip(PORTS, busy, strict=False):
            sock.bind((LOOPBACK, port))
        assert free_port(socket.SOCK_DGRAM) == PORTS[-1]
    finally:
        for sock in busy:
            sock.close()


@pytest.mark.usefixtures("few_ports")
def test_a_port_that_one_asked_for_is_kept_from_the_next_until_its_part_listens() -> None:
    assert reserved(8055) == 8055
    with pytest.raises(OSError, match="in use"):
        reserved(8055)
    with socket.create_server((LOOPBACK, 8055)), pytest.raises(OSError, match="in use"):
        reserved(8055)
