# SPDX-License-Identifier: Apache-2.0
"""What an agent is told: the document's exporter and collector sections, and what only this one agent has."""

from __future__ import annotations

import socket
from dataclasses import dataclass, field, fields
from hashlib import blake2b
from pathlib import Path
from string import digits

from flowgauge.config.model import Collector, Exporter, Feature, seconds

DOCUMENTATION_PEN = 32473
"""Private enterprise number for examples (RFC 5612): set your own in production."""

FEATURES_SHOWN = [*Exporter().features, Feature.PROCESS]
"""Where people watch one machine: whose traffic it is, is what they ask first."""


@dataclass(frozen=True, slots=True)
class AgentSettings:
    """Settings of one agent.

    Attributes:
        exporter: section ``spec.exporter`` of the document.
        collector: section ``spec.collector``: where flows are sent.
        collector_name: what the document calls a collector that ``--collector`` places on this machine's loopback; its
            certificate is for that name. Empty: the address itself.
        node: name under which this node is known, as in ``kubectl get nodes``; default: the host name.
        netns: network namespace that is observed, a name below /run/netns or a path; empty: the agent's own. Exports always
            leave from where the agent was started.
        obs_domain_id: IPFIX observation domain; 0: derived from the node's name, so that it survives restarts.
        pen: private enterprise number of our own elements.
        objects: Kubernetes objects to choose namespaces and pods by, as ``kubectl get -o json`` prints them or a followed event
            log; None: none are known.
        mtu_bytes: longest IPFIX message; 1400 fits below tunnels on a 1500-byte network.
        template_refresh_s: templates are sent again this often, since over UDP they may get lost and a restarted collector
            needs them (RFC 7011 §8.4). Ten seconds cost 50 B/s.
        http_address, http_port: where metrics, health and the agent's API listen; port 0 takes a free one.
        token: what a client must show who asks for packet heads; empty: nobody gets any.
        log_level: how much is logged.
        report_path: a file that gets the last counters as JSON when the agent stops; None writes none.
    """

    exporter: Exporter = field(default_factory=Exporter)
    collector: Collector = field(default_factory=Collector)
    collector_name: str = ""
    node: str = field(default_factory=socket.gethostname)
    netns: str = ""
    obs_domain_id: int = 0
    pen: int = DOCUMENTATION_PEN
    objects: Path | None = None
    mtu_bytes: int = 1400
    template_refresh_s: float = 10.0
    http_address: str = "127.0.0.1"
    http_port: int = 9056
    token: str = field(default="", repr=False)
    log_level: str = "info"
    report_path: Path | None = None

    @property
    def domain(self) -> int:
        """The observation domain in use: the one set, else a stable 32-bit hash of the node's name, never 0."""
        return self.obs_domain_id or (_hash(self.node, 4) or 1)

    @property
    def salt(self) -> int:
        """Of this node's stamps on packets.

        Nodes that share a kernel (network namespaces) must differ, so that each counts a packet that passes several. A stamp
        has room for a thousand nodes, where chance would let 2 of 10 agree too often: those that are numbered never do.
        """
        stem = self.node.rstrip(digits)
        return _hash(f"stamp {stem}", 2) + int(self.node[len(stem) :] or 0)

    @property
    def export_interval_s(self) -> float:
        """Seconds between two exports."""
        return seconds(self.exporter.export_interval)

    def needs_restart(self, other: AgentSettings) -> list[str]:
        """Names of settings that differ in ``other`` and that a running agent cannot take over."""
        return [name for name in _FIXED if getattr(self, name) != getattr(other, name)]


_APPLIED = {"exporter", "collector", "collector_name", "log_level"}
_FIXED = tuple(entry.name for entry in fields(AgentSettings) if entry.name not in _APPLIED)


def _hash(text: str, size: int) -> int:
    return int.from_bytes(blake2b(text.encode(), digest_size=size).digest(), "big")
