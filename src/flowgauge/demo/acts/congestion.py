# SPDX-License-Identifier: Apache-2.0
"""A node that has no room: frames too large for a link, datagrams that nobody reads, connections that nobody accepts.

None of it passes a pod's link or is IP at an observed device, so that it makes no packets in flows. What comes of it is counted
by the node's kernel only, which is the truth (``scene.node_counters``).
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from contextlib import suppress

from flowgauge.demo.cluster import Cluster, Pod
from flowgauge.demo.scene import kernel
from flowgauge.runtime import linux

NODE = "node-b"
LINK = "short-frames"
"""A link of the node whose other end, in the node as well, takes smaller frames."""
_PEER, _PEER_MTU = "short-end", 576
FRAMES, DATAGRAMS, CONNECTIONS = 25, 60, 6
PORT = 4009
"""Below those of clients, so that whoever looks on sees one server that has no room."""

_FRAME = b"\xff" * 6 + bytes.fromhex("020000000001") + b"\x88\xb5" + bytes(1000)
"""Of a protocol for local experiments (IEEE 802), longer than the other end takes."""


class Congestion:
    """The act; its link is there from the beginning and idle until it plays."""

    def __init__(self, cluster: Cluster) -> None:
        self._node = cluster.network.nodes[NODE]
        kernel.ip_batch(
            self._node.netns,
            [
                f"link add {LINK} type veth peer name {_PEER} mtu {_PEER_MTU}",
                f"link set {_PEER} up",
                f"link set {LINK} up",
            ],
        )

    @property
    def pods(self) -> Sequence[Pod]:
        """It needs none."""
        return ()

    def play(self) -> None:
        """Makes the node's kernel drop frames at ``LINK``, datagrams and connections; some of them find room."""
        with linux.in_netns(self._node.netns):
            _drop_frames()
            _fill_receive_buffer(self._node.address)
            _fill_listener(self._node.address)


def _drop_frames() -> None:
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as raw:
        raw.bind((LINK, 0))
        for _ in range(FRAMES):
            with suppress(OSError):  # the device says so when it drops
                raw.send(_FRAME)


def _fill_receive_buffer(address: str) -> None:
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as slow,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as fast,
    ):
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        slow.bind((address, PORT))
        for _ in range(DATAGRAMS):
            fast.sendto(bytes(1000), slow.getsockname())


def _fill_listener(address: str) -> None:
    clients = [socket.socket(socket.AF_INET, socket.SOCK_STREAM) for _ in range(CONNECTIONS)]
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((address, PORT))
        listener.listen(0)
        for client in clients:
            client.setblocking(False)
            client.connect_ex(listener.getsockname())
        for client in clients:
            client.close()
