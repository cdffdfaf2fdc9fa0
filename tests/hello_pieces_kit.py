# SPDX-License-Identifier: Apache-2.0
"""For tests: pieces of hellos as the kernel copies them, and what is then known of the flows."""

from __future__ import annotations

import socket
from typing import Any

import numpy as np

from flowgauge.agent.hellos import Hellos
from flowgauge.ebpf import abi
from flowgauge.ebpf.tables import empty

UNTRANSLATED = empty(abi.FLOW_KEY, abi.TRANSLATION)
SERVER_PORT = 443


def keys(*ports: int, back: bool = False) -> Any:
    """Flows from these ports to the server, or back."""
    found = np.zeros(len(ports), abi.FLOW_KEY)
    found["src_port"], found["dst_port"], found["proto"] = ports, SERVER_PORT, socket.IPPROTO_TCP
    if back:
        found["src_port"], found["dst_port"] = SERVER_PORT, ports
    return found


def pieces(port: int, raw: bytes, size: int = 512, first: int = 0xFFFF_FF00, *, quic: bool = False, back: bool = False) -> Any:
    """A hello, or a datagram; the sequence numbers of TCP wrap around in the middle."""
    found = np.zeros(-(-len(raw) // size), abi.HELLO_CHUNK)
    found["flow"], found["datagram"], found["kind"] = keys(port, back=back), quic, abi.HELLO_GOES_ON
    found["kind"][0] = abi.HELLO_QUIC if quic else abi.HELLO_BEGINS
    for number, piece in enumerate(found):
        part = raw[number * size : (number + 1) * size]
        piece["seq"] = number * size + (0 if quic else first) & 0xFFFF_FFFF
        piece["length"], piece["data"][: len(part)] = len(part), np.frombuffer(part, np.uint8)
    return found


def words(known: Hellos, port: int, *, back: bool = False) -> dict[str, str]:
    """What is known of one flow, without what is not."""
    columns: dict[str, Any] = known.columns(keys(port, back=back))
    return {name: word for name, column in columns.items() if (word := column.to_list()[0])}
