# SPDX-License-Identifier: Apache-2.0
"""Signals against their truth: what flows say of each of them, and what logs and kernels say.

All are scored. Those in ``CHECKED`` must hold where agents see every packet and its socket; the others depend on what was asked
of the demo while it ran.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np

from flowgauge.config.model import Feature
from flowgauge.demo.acts.payments import Handshakes
from flowgauge.demo.acts.tunnels import Tunnelled
from flowgauge.demo.containers import DNS_PORT
from flowgauge.demo.database import PORT as DATABASE_PORT
from flowgauge.demo.report import (
    connections,
    handshakes,
    icmp_errors,
    link_level,
    macs,
    one_port,
    owners,
    packet_heads,
    round_trips,
    translations,
    tunnels,
)
from flowgauge.demo.report.connections import SocketEvents
from flowgauge.demo.report.handshakes import HandshakeJudge
from flowgauge.demo.report.icmp_errors import IcmpErrorsTold, IcmpTruth
from flowgauge.demo.report.macs import MacsOfPods
from flowgauge.demo.report.one_port import OnePort
from flowgauge.demo.report.owners import Owners
from flowgauge.demo.report.round_trips import RoundTrips
from flowgauge.demo.report.score import Score, judged, scored
from flowgauge.demo.report.tenants import has_text, is_address
from flowgauge.demo.report.translations import Translations
from flowgauge.demo.report.tunnels import InTunnels
from flowgauge.demo.scene.counters import Connections
from flowgauge.demo.scene.faults import Dropped
from flowgauge.demo.scene.sockets import RoundTrip
from flowgauge.demo.scene.translations import Translated
from flowgauge.demo.truth import Tenure
from flowgauge.flow.batch import FlowBatch

_SLOWEST_OFF_MS = 100.0
_RETRANSMITS_OFF = 2.0
_DROPS_OFF = 5.0
"""A row has the sum over all reasons, and the commonest of them: what came twice may be counted with those of a rule."""
REPEATED = "segments sent again by pods"
CHECKED = (
    round_trips.MEAN, round_trips.SMALLEST, REPEATED, owners.PROCESSES, connections.OPENED, connections.ACCEPTED,
    connections.WITHIN, translations.TRANSLATED, one_port.ONE_PORT, handshakes.OVER_TLS, handshakes.OVER_QUIC,
    icmp_errors.UNREACHABLE, icmp_errors.EXCEEDED, icmp_errors.PROBED, tunnels.INSIDE, tunnels.LINKS, tunnels.TWICE,
    macs.SENT_BY, *link_level.CHECKED, *packet_heads.CHECKED,
)  # fmt: skip
_DURATION = re.compile(r"duration: ([0-9.]+) ms")
_QUESTION = re.compile(r"query\[[A-Z]+\] (\S+) from")


class _Judge(Protocol):
    """One signal, or several of one kind; ``scores`` are known when every batch was added."""

    def add(self, batch: FlowBatch) -> None: ...

    def scores(self) -> list[Score]: ...


@dataclass(frozen=True, slots=True)
class Truth:
    """What is known without flows.

    Attributes:
        features: what agents are asked for; a feature that is off has no score.
        database: the pod's address; ``database_log`` what PostgreSQL logged, ``repeated`` the segments its kernel sent again.
        tenures: of all pods that there were.
        pods_repeated: segments that all of their kernels sent again.
        connections: of all pods, as their kernels counted; ``within`` how many sidecars opened over their pods' loopback.
        handshakes: what both ends of connections over TLS and QUIC agreed on.
        translated: connections to Services, as the nodes' kernels knew them at the end.
        readings: round trips from web pods to PostgreSQL, as the kernel had them, in the order of time.
        dns_logs: what the DNS servers logged.
        dropped: address → what faults dropped on the way to it.
        icmp: errors of ICMP.
        tunnelled: what went through tunnels; None when agents do not look into them.
    """

    features: Collection[Feature]
    database: str
    database_log: Path
    repeated: int
    tenures: Sequence[Tenure]
    pods_repeated: int
    connections: Connections
    within: int
    handshakes: Handshakes
    translated: Sequence[Translated]
    readings: Sequence[RoundTrip]
    dns_logs: Sequence[Path]
    dropped: Mapping[str, Dropped]
    icmp: IcmpTruth
    tunnelled: Tunnelled | None

    @property
    def pods(self) -> Sequence[str]:
        """Addresses of all pods that there were, each once."""
        return sorted({tenure.address for tenure in self.tenures})


@dataclass(slots=True)
class Signals:
    """Reads batches; ``scores`` afterwards."""

    truth: Truth
    _judges: list[_Judge] = field(init=False)
    _slowest_ms: float = 0.0
    _repeated: int = 0
    _pods_repeated: int = 0
    _names: set[str] = field(default_factory=set)
    _drops: int = 0

    def __post_init__(self) -> None:
        truth = self.truth
        judges: dict[Feature, _Judge] = {
            Feature.RTT: RoundTrips(truth.readings),
            Feature.PROCESS: Owners(truth.readings),
            Feature.SOCKETS: SocketEvents(truth.pods, truth.connections, truth.within),
            Feature.TLS: HandshakeJudge(truth.handshakes),
            Feature.NAT: Translations(truth.translated),
            Feature.ICMP_ERRORS: IcmpErrorsTold(truth.icmp),
            Feature.MACS: MacsOfPods(truth.tenures),
        }
        self._judges = [judge for feature, judge in judges.items() if feature in truth.features]
        if Feature.NAT in truth.features:
            self._judges.append(OnePort(truth.translated))
        if truth.tunnelled:
            self._judges.append(InTunnels(truth.tunnelled))

    def add(self, batch: FlowBatch) -> None:
        """Takes what a batch says."""
        for judge in self._judges:
            judge.add(batch)
        of_database = is_address(batch.array("dst_addr"), self.truth.database) & (batch.array("dst_port") == DATABASE_PORT)
        if of_database.any():
            slowest_us = int(batch.array("server_time_max_us")[of_database].max())
            self._slowest_ms = max(self._slowest_ms, slowest_us / 1000)
        # A row without packets is of a socket behind no link of ours: another demo on this machine has the same addresses.
        again = batch.take((batch.array("duplicate_of") == 0) & (batch.array("retransmits") > 0) & (batch.array("packets") > 0))
        self._repeated += _sent_again(again, self.truth.database)
        self._pods_repeated += sum(_sent_again(again, address) for address in self.truth.pods)
        asked = batch.names("dns_name")
        codes = np.unique(asked.codes[batch.array("dst_port") == DNS_PORT]).tolist()
        self._names |= {asked.values[code] for code in codes} - {""}
        forbidden = has_text(batch, "drop_cause", "NETFILTER_DROP") & (batch.array("dst_port") == DATABASE_PORT)
        self._drops += int(batch.array("drop_packets")[forbidden].sum())

    def scores(self) -> list[Score]:
        """Each signal for which there is a truth."""
        truth = self.truth
        found = [
            *(score for judge in self._judges for score in judge.scores()),
            scored(
                REPEATED,
                self._pods_repeated,
                truth.pods_repeated,
                _RETRANSMITS_OFF,
                source="TcpRetransSegs of their namespaces",
            ),
            scored(
                "segments sent again by PostgreSQL", self._repeated, truth.repeated, _RETRANSMITS_OFF, source="TcpRetransSegs"
            ),
        ]
        durations = [float(text) for text in _DURATION.findall(_text(truth.database_log))]
        if durations:
            found.append(
                scored("slowest query of PostgreSQL, ms", self._slowest_ms, max(durations), _SLOWEST_OFF_MS, source="its log")
            )
        names = {name.lower() for log in truth.dns_logs for name in _QUESTION.findall(_text(log))}
        wrong = len(names ^ self._names)
        found.append(judged("names asked of DNS", len(self._names), len(names), wrong, 0, source="the log of dnsmasq"))
        if truth.dropped:
            dropped = sum(one.packets for one in truth.dropped.values())
            found.append(scored("packets dropped by rules", self._drops, dropped, _DROPS_OFF, source="nftables"))
        return found


def _sent_again(batch: FlowBatch, address: str) -> int:
    """Segments that ``address`` sent again."""
    return int(batch.array("retransmits")[is_address(batch.array("src_addr"), address)].sum())


def _text(log: Path) -> str:
    return log.read_text("utf-8", "replace") if log.exists() else ""
