# SPDX-License-Identifier: Apache-2.0
"""What the kernel counted: the independent witness against which flows are compared."""

from __future__ import annotations

from dataclasses import astuple, dataclass
from pathlib import Path

from flowgauge.demo.scene import kernel
from flowgauge.runtime import linux

ETHERNET_HEADER_BYTES = 14
"""What a layer 2 count has more than a layer 3 count, for each frame."""

_NOT_IP = """
table netdev not_ip {{
  {chains}
}}
"""
_CHAIN = """chain {name} {{
    type filter hook {hook} device "{device}" priority 0;
    ether type != {{ ip, ip6 }} counter
  }}"""


@dataclass(frozen=True, slots=True)
class Traffic:
    """Frames and their layer 2 bytes at one device, both directions, and those the device dropped, and did not send."""

    rx_packets: int = 0
    rx_bytes: int = 0
    tx_packets: int = 0
    tx_bytes: int = 0
    dropped: int = 0
    not_sent: int = 0

    @property
    def packets(self) -> int:
        """Frames in both directions."""
        return self.rx_packets + self.tx_packets

    @property
    def layer2_bytes(self) -> int:
        """Bytes in both directions, with Ethernet headers."""
        return self.rx_bytes + self.tx_bytes

    @property
    def layer3_bytes(self) -> int:
        """Bytes in both directions, without Ethernet headers."""
        return self.layer2_bytes - ETHERNET_HEADER_BYTES * self.packets

    @property
    def met(self) -> int:
        """Frames that a hook on the device met: it sees those to be sent before the device drops them."""
        return self.packets + self.not_sent

    def since(self, start: Traffic) -> Traffic:
        """What was counted after ``start``."""
        return Traffic(*(now - then for now, then in zip(astuple(self), astuple(start), strict=True)))

    def plus(self, other: Traffic) -> Traffic:
        """Both together."""
        return Traffic(*(one + more for one, more in zip(astuple(self), astuple(other), strict=True)))


def devices(netns: str) -> dict[str, Traffic]:
    """Counters of every device of a namespace (proc_net_dev: eight receive columns, eight transmit columns)."""
    with linux.in_netns(netns):
        text = Path("/proc/thread-self/net/dev").read_text(encoding="ascii")
    found: dict[str, Traffic] = {}
    for line in text.splitlines()[2:]:
        name, _, values = line.partition(":")
        column = [int(value) for value in values.split()]
        found[name.strip()] = Traffic(column[1], column[0], column[9], column[8], column[3] + column[11], column[11])
    return found


@dataclass(frozen=True, slots=True)
class Segments:
    """TCP segments that a namespace sent, each of a super-packet counted: new and repeated ones.

    RFC 4022, tcpOutSegs and tcpRetransSegs; Linux counts a segment that only repeats data in the second alone.
    """

    new: int
    repeated: int

    def since(self, start: Segments) -> Segments:
        """What was sent after ``start``."""
        return Segments(self.new - start.new, self.repeated - start.repeated)


@dataclass(frozen=True, slots=True)
class Connections:
    """TCP connections of a namespace, those over its loopback too: opened, accepted, and those of them that never came about.

    RFC 4022, tcpActiveOpens, tcpPassiveOpens and tcpAttemptFails. The last has those that the other side refused, or that
    were given up after the last SYN; not those whose program closed them before an answer came.
    """

    opened: int = 0
    accepted: int = 0
    failed: int = 0

    def plus(self, other: Connections) -> Connections:
        """Both together."""
        return Connections(self.opened + other.opened, self.accepted + other.accepted, self.failed + other.failed)


def tcp_segments_sent(netns: str) -> Segments:
    """What the kernel counted in a namespace until now."""
    counted = _snmp(netns, "Tcp")
    return Segments(counted["OutSegs"], counted["RetransSegs"])


@dataclass(frozen=True, slots=True)
class IcmpErrors:
    """Errors of ICMP that a namespace received, by type: RFC 792, 3 (unreachable) and 11 (time exceeded)."""

    unreachable: int = 0
    exceeded: int = 0

    def plus(self, other: IcmpErrors) -> IcmpErrors:
        """Both together."""
        return IcmpErrors(self.unreachable + other.unreachable, self.exceeded + other.exceeded)


@dataclass(frozen=True, slots=True)
class Counted:
    """What the network stack of a namespace, or of several, counted: TCP segments sent again, connections, errors of ICMP."""

    repeated: int = 0
    connections: Connections = Connections()
    icmp: IcmpErrors = IcmpErrors()

    def plus(self, other: Counted) -> Counted:
        """Both together."""
        return Counted(self.repeated + other.repeated, self.connections.plus(other.connections), self.icmp.plus(other.icmp))


def counted(netns: str) -> Counted:
    """What the kernel counted in a namespace until now."""
    tcp, icmp = _snmp(netns, "Tcp"), _snmp(netns, "IcmpMsg")
    connections = Connections(tcp["ActiveOpens"], tcp["PassiveOpens"], tcp["AttemptFails"])
    return Counted(tcp["RetransSegs"], connections, IcmpErrors(icmp.get("InType3", 0), icmp.get("InType11", 0)))


def _snmp(netns: str, protocol: str) -> dict[str, int]:
    """Counters of a protocol in proc_net_snmp; empty where it has no line, as IcmpMsg before the first message."""
    with linux.in_netns(netns):
        lines = Path("/proc/thread-self/net/snmp").read_text(encoding="ascii").splitlines()
    told = [line.split()[1:] for line in lines if line.startswith(f"{protocol}:")]
    return dict(zip(told[0], map(int, told[1]), strict=True)) if told else {}


def count_not_ip(netns: str, device: str) -> None:
    """Has nftables count the frames of a device that are not IP; read by ``not_ip``."""
    chains = [_CHAIN.format(name=f"{device}-{hook}", hook=hook, device=device) for hook in ("ingress", "egress")]
    kernel.nft(netns, _NOT_IP.format(chains="\n  ".join(chains)))


def not_ip(netns: str) -> dict[str, Traffic]:
    """Frames that are not IP, by device, since ``count_not_ip``; what nftables counts at egress is what the device sends."""
    rows: dict[str, dict[str, tuple[int, int]]] = {}
    for entry in kernel.nft_json(netns, "list", "table", "netdev", "not_ip"):
        if rule := entry.get("rule"):
            device, _, hook = rule["chain"].rpartition("-")
            counter = next(part["counter"] for part in rule["expr"] if "counter" in part)
            rows.setdefault(device, {})[hook] = (counter["packets"], counter["bytes"])
    nothing = (0, 0)
    return {device: Traffic(*hooks.get("ingress", nothing), *hooks.get("egress", nothing)) for device, hooks in rows.items()}


def listens(netns: str, port: int) -> bool:
    """Whether a TCP socket of a namespace listens on ``port`` over IPv4 (proc_net_tcp: state 0A); sends nothing."""
    with linux.in_netns(netns):
        lines = Path("/proc/thread-self/net/tcp").read_text(encoding="ascii").splitlines()[1:]
    return any(fields[3] == "0A" and int(fields[1].rpartition(":")[2], 16) == port for fields in map(str.split, lines))
