# SPDX-License-Identifier: Apache-2.0
"""Which of several sockets of one port gets a datagram: the real kernel with our program, against the same function here."""

from __future__ import annotations

import os
import socket

import numpy as np
import pytest

from flowgauge.collector.steering import place
from flowgauge.collector.udp_socket import UdpSocket, open_group
from flowgauge.errors import EnvironmentProblem
from flowgauge.flow.addresses import packed

BUFFER = 1 << 20


def send(source: str, port: int, times: int) -> None:
    """From that address, each time from another port; the datagram holds the address."""
    six = ":" in source
    for _ in range(times):
        with socket.socket(socket.AF_INET6 if six else socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.bind((source, 0))
            sock.sendto(source.encode(), ("::1" if six else "127.0.0.1", port))


def received(sock: UdpSocket) -> list[str]:
    """The addresses whose datagrams a socket has."""
    found: list[str] = []
    with socket.socket(fileno=os.dup(sock.descriptor())) as copy:
        copy.setblocking(False)
        while True:
            try:
                found.append(copy.recv(100).decode())
            except BlockingIOError:
                return found


@pytest.mark.parametrize("host", ["::", "127.0.0.1"])
@pytest.mark.parametrize("count", [2, 3, 7])
def test_an_address_has_one_socket_whatever_its_port_and_it_is_the_one_that_we_compute(host: str, count: int) -> None:
    sources = [f"127.0.{number % 3}.{number + 1}" for number in range(60)] + (["::1"] if host == "::" else [])
    sockets = open_group(host, 0, BUFFER, count)
    try:
        for source in sources:
            send(source, sockets[0].address[1], times=3)
        by_socket = [received(sock) for sock in sockets]
    finally:
        for sock in sockets:
            sock.close()
    assert sum(map(len, by_socket)) == 3 * len(sources)
    for number, found in enumerate(by_socket):
        assert {place(packed(source), count) for source in found} == {number}
        assert len(found) > 3 * len(sources) / count / 3  # dealt out, not all to one


def test_all_64_bits_of_a_network_and_of_a_host_count_in_ipv6() -> None:
    """The kernel computes as ``place`` does (above, for ::1); this is of what it must depend on."""
    addresses = np.zeros((4 * 256, 16), np.uint8)
    addresses[:, 0] = 0x20
    for position, at in enumerate((3, 7, 11, 15)):
        addresses[position * 256 : (position + 1) * 256, at] = np.arange(256)
    for part in np.split(addresses, 4):
        shares = np.bincount([place(bytes(one), 4) for one in part], minlength=4)
        assert shares.min() > 256 / 4 / 2


def test_a_group_does_not_move_in_with_somebody_else() -> None:
    first = open_group("127.0.0.1", 0, BUFFER, 2)
    try:
        with pytest.raises(EnvironmentProblem, match="Address already in use"):
            open_group("127.0.0.1", first[0].address[1], BUFFER, 2)
    finally:
        for sock in first:
            sock.close()
