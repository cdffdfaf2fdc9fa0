# SPDX-License-Identifier: Apache-2.0
"""For browser tests: a field of exporters before a real collector: two agents, a router (NetFlow v5), two switches (v9, sFlow).

Each sends from a loopback address of its own. The second agent's records are lost by half; the v9 switch names its
interfaces, and the clock of its second observation domain is an hour behind.
"""

from __future__ import annotations

import contextlib
import json
import socket
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import netflow9_kit as v9
import sflow_kit
from flowgauge.collector.main import CollectorProcess
from flowgauge.collector.settings import CollectorSettings
from flowgauge.config.model import Collector
from flowgauge.wire.sequence import SETTLE_MESSAGES
from ipfix_kit import Exporter, records
from legacy_kit import datagram5, record5
from store_kit import SECRET, StoreProcess

ROUTER, SWITCH, SFLOW = "127.0.0.3", "127.0.0.4", "10.9.8.7"
FLOWS = 20
"""Flows that arrive of each agent, of the router, and of the first domain of the v9 switch."""
LOST = 20
"""Records of the second agent that are lost on the way."""
STORED = 4 * FLOWS + 2

IF_INDEX, IF_NAME = 4, 16
SWITCHED: tuple[v9.Spec, ...] = (*v9.BASIC, (10, IF_INDEX), (14, IF_INDEX))


def agent(node: str, lost: int = 0) -> list[bytes]:
    """Pods that ask an HTTPS server; enough reports behind it that what is ``lost`` counts as such, not as late."""
    exporter = Exporter(1, node, time.time_ns() // 1_000_000)
    rows = records(FLOWS, dst_port=443, seed=lost)
    sent = [exporter.templates(), *exporter.data(rows[: FLOWS // 2])]
    exporter.sequence += lost
    sent += exporter.data(rows[FLOWS // 2 :])
    return sent + [exporter.options({"export_records_sent": FLOWS}) for _ in range(SETTLE_MESSAGES + 1)]


def router() -> list[bytes]:
    """One packet of a hundred."""
    now = time.time_ns()
    rows = [record5(sport=40_000 + number, dport=443, proto=6) for number in range(FLOWS)]
    return [datagram5(*rows, sampling=0x4064, export_ns=now)]


def switch() -> list[bytes]:
    """Interface names as options, then flows between them; a second domain, a line card, that tells nothing of itself."""
    export_s = int(time.time())
    template = v9.flowset(0, v9.template(256, SWITCHED))
    named = v9.options_template(257, [(v9.INTERFACE, IF_INDEX)], [(82, IF_NAME)])
    names = [
        number.to_bytes(IF_INDEX, "big") + text.ljust(IF_NAME, b"\0") for number, text in ((7, b"Ethernet7"), (8, b"Ethernet8"))
    ]
    told = v9.flowset(1, named) + v9.flowset(257, *names)
    ports = (7).to_bytes(IF_INDEX, "big") + (8).to_bytes(IF_INDEX, "big")
    flows = v9.flowset(
        256, *(v9.basic(900, 3, src_port=30_000 + number, dst_port=443, proto=6) + ports for number in range(FLOWS))
    )
    return [
        v9.packet(template, told, sequence=0, export_s=export_s),
        v9.packet(flows, sequence=1, export_s=export_s),
        v9.packet(v9.basic_template(), v9.flowset(256, v9.basic(100)), source_id=2, export_s=export_s - 3600),
    ]


def sflow() -> list[bytes]:
    """Samples, one of a thousand packets."""
    head = sflow_kit.ethernet(0x0800, sflow_kit.ipv4(6, sflow_kit.tcp()))
    return [sflow_kit.datagram(sflow_kit.flow_sample(sflow_kit.raw(head)), agent=SFLOW)]


def send(collector: CollectorProcess, source: str, datagrams: list[bytes]) -> None:
    """Sends them from ``source``."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.bind((source, 0))
        sender.connect(collector.address)
        for datagram in datagrams:
            sender.send(datagram)


def send_all(collector: CollectorProcess) -> None:
    """What everybody has to send."""
    for source, datagrams in (
        ("127.0.0.2", agent("node-a")),
        ("127.0.0.6", agent("node-b", LOST)),
        (ROUTER, router()),
        (SWITCH, switch()),
        ("127.0.0.5", sflow()),
    ):
        send(collector, source, datagrams)


@contextlib.contextmanager
def collecting(store: StoreProcess, data_dir: Path) -> Iterator[CollectorProcess]:
    """A collector on loopback that writes to ``store``."""
    settings = CollectorSettings(
        store_url=store.url,
        store_secret=SECRET,
        collector=Collector(port=0),
        listen_host="127.0.0.1",
        data_dir=data_dir,
        http_port=0,
    )
    collector = CollectorProcess(settings)
    collector.start()
    try:
        yield collector
    finally:
        collector.stop()


def told(collector: CollectorProcess) -> list[dict[str, Any]]:
    """The collector's exporters."""
    with urllib.request.urlopen(f"{collector.url}/api/v1/exporters", timeout=60) as answer:  # noqa: S310
        found: list[dict[str, Any]] = json.load(answer)
        return found


def until(condition: Callable[[], object], timeout_s: float = 90.0) -> None:
    """Waits until it is so."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.05)
