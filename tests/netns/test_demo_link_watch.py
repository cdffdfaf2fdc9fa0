# SPDX-License-Identifier: Apache-2.0
"""The demo's look at what agents told of their nodes: a collector that writes it late has not lost it."""

from __future__ import annotations

import json
import secrets
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import cast

import pytest

from flowgauge.demo.link_watch import LinkWatch
from flowgauge.demo.report.link_level import CHECKED, OVERFLOWS
from flowgauge.demo.scene import kernel
from flowgauge.demo.scene.node_counters import counted
from flowgauge.demo.scene.nodes import Node
from flowgauge.run.part import LOOPBACK
from flowgauge.runtime.clock import now_ns
from flowgauge.runtime.linux import create_netns, delete_netns, in_netns
from flowgauge.schema.flow_query import Window
from flowgauge.store.store import KERNEL, FlowStore, LedgerChange

pytestmark = [pytest.mark.root, pytest.mark.tool("ip", "nstat")]

LATE_MS = 2_500
"""After the question that comes first; the collector writes every two seconds."""


@pytest.fixture
def node() -> Iterator[Node]:
    """A node whose kernel found a socket's queue full."""
    name = f"fg-late-{secrets.token_hex(3)}"
    create_netns(name)
    try:
        kernel.ip_batch(name, ["link set lo up"])
        with in_netns(name), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as slow:
            slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
            slow.bind((LOOPBACK, 0))
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as fast:
                for _ in range(40):
                    fast.sendto(bytes(1000), slow.getsockname())
        yield Node("node-x", "zone-x", name, LOOPBACK, "10.9.0.0/24")
    finally:
        delete_netns(name)


class LateStore:
    """Gets what the node told only after a while, stamped with the time at which it got it, as every store does."""

    def __init__(self, node: Node) -> None:
        self._written_ms = now_ns() // 1_000_000 + LATE_MS
        values = {**counted(node).overflows, "conntrack_entries": 0}
        self._rows = [LedgerChange(KERNEL, node.name, name, value, value, latest=value) for name, value in values.items()]

    def ledger(self, window: Window) -> list[LedgerChange]:
        """Those that were written by now, when the window holds them."""
        written = self._written_ms <= now_ns() // 1_000_000 and window.start_ms <= self._written_ms <= window.end_ms
        return self._rows if written else []


class _Agent(BaseHTTPRequestHandler):
    """An agent that tells what its node's loopback passed."""

    node: Node

    def do_GET(self) -> None:
        passed = counted(self.node).devices["lo"]
        received = {"packets": passed.rx_packets, "bytes": passed.rx_bytes}
        sent = {"packets": passed.tx_packets, "bytes": passed.tx_bytes}
        told = {"interfaces": [{"name": "lo", "counted": {"received": received, "sent": sent}}]}
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(told).encode())

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def agent_url(node: Node) -> Iterator[str]:
    with HTTPServer((LOOPBACK, 0), type("Agent", (_Agent,), {"node": node})) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield f"http://{LOOPBACK}:{server.server_port}"
        server.shutdown()
        thread.join()


def test_counters_that_the_collector_writes_late_are_found(node: Node, agent_url: str) -> None:
    since_ms = now_ns() // 1_000_000 - 1000
    watch = LinkWatch([node], {node.name: agent_url})
    watch.ask()
    scores = {score.name: score for score in watch.scores(cast("FlowStore", LateStore(node)), since_ms)}
    assert scores[OVERFLOWS].truth > 0
    assert scores[OVERFLOWS].measured == scores[OVERFLOWS].truth
    assert [score for score in scores.values() if score.name in CHECKED and not score.held] == []
