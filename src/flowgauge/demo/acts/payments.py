# SPDX-License-Identifier: Apache-2.0
"""Payments: a checkout that asks a gateway over HTTPS (TLS 1.3 and 1.2) and HTTP/3 (QUIC v1 and v2) while people watch.

Both ends say what they agreed on with whom, each by its own library's word: a line of JSON for each connection in their logs.
Nothing of it is waited for. Where aioquic is missing there is no HTTP/3.
"""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from flowgauge.demo import containers, requirements
from flowgauge.demo.certificates import Certificate
from flowgauge.demo.cluster import Cluster, Pod
from flowgauge.demo.scene import counters
from flowgauge.demo.scene.processes import Process

SPACE, GATEWAY, CHECKOUT = "payments", "payment-gateway", "checkout"
HOST = f"{GATEWAY}.{SPACE}.svc"
_ADDRESS = "10.96.44.43"
PORT = 443
_ANSWERED_WITHIN_S = 20.0
"""Of the gateway's start: both programs start within a few, and the third payment, the first over QUIC, begins 4 s later."""
_ASKS = "asks "
"""In the checkout's log, before a payment; the protocol follows."""


@dataclass(frozen=True, slots=True)
class Handshake:
    """One connection as one end has it.

    Attributes:
        proto: ``tcp`` or ``udp``.
        client: address and port that opened it; they come back after hours.
        version, cipher: as the library calls them.
        quic: number of QUIC's version; 0 of TCP.
    """

    proto: str
    client: tuple[str, int]
    version: str
    cipher: str
    sni: str
    alpn: str
    quic: int = 0


@dataclass(frozen=True, slots=True)
class Handshakes:
    """What the checkout and the gateway say they agreed on.

    Attributes:
        due: protocols over which at least one payment must have been answered.
    """

    client: Sequence[Handshake]
    server: Sequence[Handshake]
    due: Collection[str] = ()


class Payments:
    """The act; its pods are idle until it begins."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        cluster.namespace(SPACE)
        gateway = cluster.deployment(
            SPACE, GATEWAY, [("https", containers.GATEWAY_PORT, "TCP"), ("h3", containers.GATEWAY_PORT, "UDP")]
        )
        self._gateway = cluster.pod(gateway, "node-c")
        self._checkout = cluster.pod(cluster.deployment(SPACE, CHECKOUT, []), "node-a")
        ports = [(name, PORT, containers.GATEWAY_PORT, protocol) for name, protocol in (("https", "TCP"), ("h3", "UDP"))]
        cluster.service(gateway, [self._gateway], address=_ADDRESS, ports=ports)
        self._certificate = Certificate.made(cluster.network.folder, HOST, containers.reader())
        self._over_quic = not requirements.without_quic()
        self._serving: Process | None = None
        self._paying: Process | None = None
        self._began_s = self._ended_s = 0.0

    @property
    def pods(self) -> Sequence[Pod]:
        """Gateway and checkout."""
        return self._gateway, self._checkout

    @property
    def names(self) -> Mapping[str, str]:
        """Of the gateway's Service."""
        return {f"{GATEWAY}.{SPACE}": _ADDRESS}

    def go_on(self) -> None:
        """Starts what is due: the gateway, and, once that listens, the checkout. Never waits."""
        if self._serving is None:
            program = containers.payment_gateway(self._gateway.address, self._certificate, quic=self._over_quic)
            self._serving, self._began_s = self._cluster.run(self._gateway, program), time.monotonic()
        elif self._paying is None and counters.listens(self._gateway.place.netns, containers.GATEWAY_PORT):
            program = containers.checkout(HOST, self._certificate, quic=self._over_quic)
            self._paying = self._cluster.run(self._checkout, program)

    def end(self) -> None:
        """No payment begins after this; the gateway still runs. Safe to call twice, and without a beginning."""
        self._ended_s = self._ended_s or time.monotonic()
        if self._paying is not None:
            self._paying.stop()

    def said(self) -> Handshakes:
        """What both ends said until now."""
        client, server = (list(_handshakes(process)) for process in (self._paying, self._serving))
        return Handshakes(client, server, self._due())

    def _due(self) -> set[str]:
        """What was asked for, and, where there was time for it, what should have been."""
        due = asked(self._paying.log_path) if self._paying is not None else set()
        if self._serving is not None and (self._ended_s or time.monotonic()) - self._began_s >= _ANSWERED_WITHIN_S:
            due |= {"tcp", "udp"} if self._over_quic else {"tcp"}
        return due


def _handshakes(process: Process | None) -> Iterator[Handshake]:
    yield from parsed(process.log_path) if process is not None else ()


def asked(log: Path) -> set[str]:
    """The protocols over which a checkout with this log asked for payments."""
    lines = log.read_text("utf-8", "replace").split("\n")[:-1]
    return {line.removeprefix(_ASKS) for line in lines if line.startswith(_ASKS)}


def parsed(log: Path) -> Iterator[Handshake]:
    """The connections in a log; other lines are words of the program, and one that has no end yet is none."""
    for line in log.read_text("utf-8", "replace").split("\n")[:-1]:
        if line.startswith("{"):
            said = json.loads(line)
            yield Handshake(**{**said, "client": tuple(said["client"])})
