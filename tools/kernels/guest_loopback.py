# SPDX-License-Identifier: Apache-2.0
"""Connections within pods, over the loopback that all have alike, where nodes share a kernel and some pods are left out."""

from __future__ import annotations

import socket
from collections.abc import Iterator

from guest_devices import Finding

from ebpf_kit import loaded
from flowgauge.ebpf import abi
from flowgauge.ebpf.abi_settings import CHOICE_EXCLUDE
from flowgauge.flow.addresses import packed
from flowgauge.runtime import linux
from flowgauge.schema.enums import SOCKET_EVENT
from node_kit import B, TwoPods, two_pods

CLIENT, SERVER = ("127.0.0.1", 40_000), ("127.0.0.1", 8001)


def findings() -> Iterator[Finding]:
    """One after the other."""
    with two_pods() as node:
        yield "loopback: of both pods", _told(node, 0) == {"a": 1, "b": 1}, "each with its own connection of equal ends"
        yield "loopback: but for a pod left out", _told(node, CHOICE_EXCLUDE) == {"a": 1, "b": 0}, "by its address"


def _told(node: TwoPods, choice: int) -> dict[str, int]:
    """How many connections were told of each pod, of one that each had."""
    netns = linux.netns_path(node.node)
    with loaded(max_flows=1024, sockets=True, netns=netns, shares_kernel=True, choice=choice) as program:
        program.choose({packed(B): CHOICE_EXCLUDE})
        program.attach_signals()
        for name in ("a", "b"):
            _talk(node, name)
        found = program.evict().events
        program.detach_signals()
    connected = found[found["kind"] == SOCKET_EVENT.index("connected")]
    return {name: _of(connected, node.netns[name]) for name in ("a", "b")}


def _talk(node: TwoPods, place: str) -> None:
    with (
        node.socket(place, socket.AF_INET, socket.SOCK_STREAM) as listener,
        node.socket(place, socket.AF_INET, socket.SOCK_STREAM) as client,
    ):
        for one, address in ((listener, SERVER), (client, CLIENT)):
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            one.bind(address)
        listener.listen()
        client.connect(SERVER)
        listener.accept()[0].close()
        client.recv(1)


def _of(events: abi.Structured, netns: str) -> int:
    return int((events["netns"] == linux.netns_path(netns).stat().st_ino).sum())
