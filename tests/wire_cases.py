# SPDX-License-Identifier: Apache-2.0
"""The golden cases of NetFlow 1, 5, 7 and sFlow: each names a trap met in real networks, and builds the datagrams that show it.

Written by ``golden_cases``.
"""

from __future__ import annotations

import socket
import struct
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from legacy_kit import EXPORT_S, UPTIME_MS, datagram1, datagram5, datagram7, record1, record5, record7
from sflow_kit import (
    DISCARDED,
    LOCAL,
    SEVERAL,
    address,
    counter_sample,
    datagram,
    discarded,
    ethernet,
    expanded_sample,
    flow_sample,
    gateway,
    interface_counters,
    ipv4,
    ipv6,
    label,
    opaque,
    part,
    raw,
    tcp,
    udp,
    words,
)

NETFLOW_PORT, SFLOW_PORT = 2055, 6343


@dataclass(frozen=True)
class Case:
    """One case: its README, the port that dissectors know the protocol by, and its datagrams."""

    readme: str
    port: int
    payloads: Sequence[bytes]


def netflow(readme: str, *payloads: bytes) -> Case:
    return Case(readme, NETFLOW_PORT, payloads)


def sflow(readme: str, *samples: bytes) -> Case:
    """Of samples in one datagram."""
    return Case(readme, SFLOW_PORT, [datagram(*samples)])


def sflows(readme: str, *payloads: bytes) -> Case:
    return Case(readme, SFLOW_PORT, payloads)


TCP4 = ipv4(6, tcp())
HTTPS = raw(ethernet(0x0800, TCP4))


def numbered(*packets: bytes, protocol: int = 1) -> list[bytes]:
    """A flow sample for each packet."""
    return [
        flow_sample(raw(packet, protocol=protocol, stripped=0, frame=len(packet)), sequence=number)
        for number, packet in enumerate(packets, start=1)
    ]


def _netflow() -> dict[str, Case]:
    two, start = (record5(bytes=1), record5(bytes=2)), EXPORT_S * 10**9
    return {
        "netflow5-count-too-large": netflow(
            "Trap 1. The header says 30 records, two follow: two are read, and the count is named.", datagram5(*two, count=30)
        ),
        "netflow5-count-too-small": netflow(
            "Trap 1. The header says 2 records and 34 more follow, left over in the exporter's buffer: two are read.",
            datagram5(*[record5(bytes=number) for number in range(1, 37)], count=2),
        ),
        "netflow5-sampling": netflow(
            "Traps 2, 67. The top two bits of the field are the mode: 0x4064 is 1 of 100, not 1 of 16,484. 0 says nothing: the"
            " rate is unknown, not 1.",
            *[datagram5(record5(), sampling=field, sequence=n) for n, field in enumerate((0x4064, 0x8064, 0, 1, 0xFFFF))],
        ),
        "netflow1-both-lengths": netflow(
            "Trap 3. Records of 52 bytes as Cisco sends them, and of 48 as softflowd does.",
            datagram1(*[record1(bytes=number, flags=2, proto=6) for number in range(1, 5)]),
            datagram1(*[record1(size=48, bytes=number, flags=2, proto=6) for number in range(5, 9)]),
        ),
        "netflow5-interface-0": netflow(
            "Trap 4. Interface 0 is unknown or the device itself; 65535 is the highest that the field holds.",
            datagram5(record5(in_if=0, out_if=65535), record5(in_if=1, out_if=0)),
        ),
        "netflow5-engines": netflow(
            "Trap 5. Engine type and number are the domain; each engine counts its flows. Engine 1 loses two, engine 2 none.",
            datagram5(*two, sequence=10, engine=(0, 1)),
            datagram5(*two, sequence=500, engine=(1, 2)),
            datagram5(*two, sequence=14, engine=(0, 1)),
            datagram5(*two, sequence=502, engine=(1, 2)),
        ),
        "netflow5-autonomous-systems": netflow(
            "Trap 6. AS 0 is unknown. 23456 (AS_TRANS) stands for a number of more than 16 bits; it is kept as it was said.",
            datagram5(record5(src_as=0, dst_as=23456), record5(src_as=64512, dst_as=65535)),
        ),
        "netflow5-nanoseconds": netflow(
            "Trap 7. Times come from the export time with its nanoseconds; without them they would jump by up to a second.",
            datagram5(record5(first=UPTIME_MS - 2, last=UPTIME_MS), export_ns=start + 999_999_999),
        ),
        "netflow7": netflow(
            "Trap 8. Flags that mark invalid fields: zero addresses are absent. No sampling is claimed. Records of 52 bytes.",
            datagram7(record7(bytes=1, src_as=5), record7(invalid=0x10, src="0.0.0.0", bytes=2, proto=0, sport=0, dport=0)),
        ),
        "netflow5-uptime-wraps": netflow(
            "Trap 22. A flow that began before the uptime wrapped (49.7 days), one that ends after its export stamp.",
            datagram5(record5(first=2**32 - 4000, last=500), uptime_ms=1000),
            datagram5(record5(first=UPTIME_MS - 10, last=UPTIME_MS + 25), sequence=1),
        ),
        "netflow5-uptime-in-seconds": netflow(
            "Trap 23. An uptime in seconds, recognised by its pace against the export time: times of flows count seconds too.",
            datagram5(uptime_ms=5000),
            *[
                datagram5(
                    record5(first=5000 + 60 * n - 30, last=5000 + 60 * n - 10),
                    uptime_ms=5000 + 60 * n,
                    sequence=n - 1,
                    export_ns=(EXPORT_S + 60 * n) * 10**9,
                )
                for n in range(1, 5)
            ],
        ),
        "netflow5-icmp": netflow(
            "Trap 25. ICMP type and code travel as the destination port, which is absent then.",
            datagram5(record5(proto=1, sport=0, dport=0x0301), record5(proto=1, sport=0, dport=0x0800)),
        ),
        "netflow5-restart-late-twice": netflow(
            "Trap 87. One datagram is overtaken, one comes twice, then the exporter restarts: nothing of this is a loss.",
            *[datagram5(record5(bytes=n), sequence=n) for n in (1000, 1002, 1001, 1003, 1003, 1004)],
            *[datagram5(record5(bytes=n), sequence=n, export_ns=start + 10**11) for n in (0, 1, 2)],
        ),
    }


def _sflow_meta() -> dict[str, Case]:
    return {
        "sflow-agents": sflows(
            "Trap 74. The agent is not the sender; sub-agents count on their own, and so does an agent without an address.",
            datagram(flow_sample(HTTPS), sequence=1),
            datagram(flow_sample(HTTPS), sequence=70, sub_agent=5),
            datagram(flow_sample(HTTPS, sequence=2), sequence=2),
            datagram(flow_sample(HTTPS), sequence=9, agent=""),
            datagram(flow_sample(HTTPS), sequence=3, agent="2001:db8::7"),
        ),
        "sflow-interface-formats": sflow(
            "Trap 75. The top two bits are a format: an index, why it was discarded, or how many interfaces; 0x3fffffff is the"
            " device itself. Expanded samples have a word for the format.",
            *[flow_sample(HTTPS, ports=(3, out)) for out in (4, LOCAL, 0, SEVERAL | 5, DISCARDED | 258, DISCARDED | 256)],
            expanded_sample(HTTPS, source=(0, 1 << 30), came=(0, 1 << 30), went=(0, 0xFFFFFFFF)),
            expanded_sample(HTTPS, went=(1, 257)),
            expanded_sample(HTTPS, went=(2, 3)),
        ),
        "sflow-unknown-records": sflow(
            "Trap 76. Records that nobody knows are passed over by their length, padded to four bytes; heads are padded too.",
            flow_sample(
                part(9 << 12 | 1, b"xyz"),
                part(1004, words(106) + opaque(b"alice") + words(106) + opaque(b"bob")),
                raw(ethernet(0x0800, ipv4(17, udp(content=b"abc")))[:53]),
                part(1021, bytes(41)),
                part(1002, address("192.0.2.7") + words(24, 16)),
            ),
            part(4413 << 12 | 1, bytes(8)),
            flow_sample(HTTPS, sequence=2),
        ),
        "sflow-agent-drops": sflows(
            "Trap 72. The pool grows by 2,000 for each sample though 1 of 1,000 is configured, and the drops grow: the agent is"
            " overloaded.",
            *[
                datagram(flow_sample(HTTPS, sequence=n, pool=2**32 - 3000 + 2000 * n & 0xFFFFFFFF, drops=n), sequence=n)
                for n in range(1, 6)
            ],
        ),
        "sflow-rates-by-interface": sflow(
            "Trap 70. Each sample says its own rate; that of one interface says nothing of another's.",
            flow_sample(HTTPS, source=3, rate=100, ports=(3, 4)),
            flow_sample(HTTPS, source=4, rate=4096, ports=(4, 3)),
            flow_sample(HTTPS, source=5, rate=0, ports=(5, 3)),
        ),
        "sflow-counters": sflow(
            "Traps 82, 84. Counter samples between flow samples, with their own numbers; a port's name and a host's.",
            counter_sample(interface_counters(7), part(1005, opaque(b"swp7")), source=7),
            flow_sample(HTTPS),
            counter_sample(
                part(2000, opaque(b"spine-1") + bytes(40)), part(1001, struct.pack("!3I2Q", 1, 2, 3, 4, 5)), source=1
            ),
        ),
        "sflow-discarded-packets": sflow(
            "Traps 73, 83. Discarded packets are no traffic: events with a cause, to which no sampling rate applies.",
            discarded(HTTPS, reason=258),
            discarded(HTTPS, sequence=2, reason=999),
            flow_sample(HTTPS),
        ),
        "sflow-loss-late-twice-restart": sflows(
            "Trap 87. Of the datagrams 1 to 9 the 4th is lost with its sample, 6 comes late, 8 twice; then the agent restarts.",
            *[datagram(flow_sample(HTTPS, sequence=n), sequence=n, uptime_ms=10**8 + n) for n in (1, 2, 3, 5, 7, 6, 8, 8, 9)],
            *[datagram(flow_sample(HTTPS, sequence=n), sequence=n, uptime_ms=n) for n in (1, 2, 3)],
        ),
        "sflow-many-agents": sflows(
            "Trap 84. 25 datagrams of flows and counters mixed, of agents with IPv4 and IPv6 addresses; nothing is missing.",
            *_many_agents(),
        ),
    }


def _many_agents() -> Iterator[bytes]:
    """Each agent's sources count their samples from 1."""
    taken = Counter[tuple[int, str, int]]()

    def number(agent: int, kind: str, source: int) -> int:
        taken[agent, kind, source] += 1
        return taken[agent, kind, source]

    for n in range(25):
        agent = n % 2
        flows = [flow_sample(HTTPS, sequence=number(agent, "flow", k), source=k, ports=(k, 0)) for k in range(1, 1 + n % 5)]
        counts = [
            counter_sample(interface_counters(k), sequence=number(agent, "counter", k), source=k) for k in range(1, 1 + n % 4)
        ]
        yield datagram(*flows, *counts, sequence=n // 2, agent="198.51.100.7" if agent else "2001:db8::1")


def _sflow_packets() -> dict[str, Case]:
    cut = ethernet(0x0800, ipv4(6, tcp()))
    vxlan = ipv4(17, udp(50000, 4789, b"\x08" + bytes(7) + ethernet(0x0800, TCP4)), src="192.0.2.1", dst="192.0.2.2")
    record = part(3, words(1480, 6) + bytes((10, 1, 1, 1, 10, 1, 1, 2)) + words(1234, 80, 0x12, 0xB8))
    return {
        "sflow-frame-lengths": sflow(
            "Trap 77. Whether or not the frame length includes the check sequence, whatever was stripped, padded or cut by the"
            " card: the bytes are the IP packet's.",
            *[
                flow_sample(raw(packet, frame=frame, stripped=stripped))
                for packet, frame, stripped in (
                    (cut, 58, 4),
                    (cut, 54, 0),
                    (cut, 54, 4),
                    (cut, 64, 4),
                    (cut, 60, 0),
                    (ethernet(0x0800, ipv4(6, tcp(), total=1500)), 1518, 4),
                    (ethernet(0x0800, ipv4(6, tcp(), total=0)), 14 + 60_000, 0),
                    (ethernet(0x0800, ipv4(6, tcp(), total=65535)), 58, 4),
                    (ethernet(0x0806, bytes(46)), 64, 4),
                )
            ],
        ),
        "sflow-without-ports": sflow(
            "Trap 78. Heads cut before the ports, and later fragments, have none; a first fragment has.",
            *numbered(
                cut[:34],
                cut[:36],
                ethernet(0x0800, ipv4(17, udp(), fragment=5)),
                ethernet(0x0800, ipv4(17, udp(), fragment=0x2000)),
                ethernet(0x86DD, ipv6(44, bytes((6, 0, 1, 1)) + bytes(4) + tcp())),
                ethernet(0x0800, ipv4(17, b"\x12\x34") + bytes(24)),
            ),
        ),
        "sflow-encapsulations": sflow(
            "Trap 79. Tags, double tags, MPLS, PPPoE, SNAP, IPv4 options, IPv6 extension headers.",
            *numbered(
                ethernet(0x0800, TCP4),
                ethernet(0x0800, TCP4, tags=[(0x8100, 0x6064)]),
                ethernet(0x0800, TCP4, tags=[(0x88A8, 100), (0x8100, 200)]),
                ethernet(0x8847, label(16) + label(17, bottom=True) + TCP4),
                ethernet(0x8864, bytes.fromhex("1100000100300021") + TCP4, tags=[(0x8100, 5)]),
                ethernet(8 + len(TCP4), bytes.fromhex("aaaa030000000800") + TCP4),
                ethernet(0x0800, ipv4(6, tcp(), options=b"\x01" * 8)),
                ethernet(0x86DD, ipv6(0, bytes((60, 0)) + bytes(6) + bytes((6, 0)) + bytes(6) + tcp(flags=0x112), hops=9)),
                ethernet(0x0800, ipv4(1, b"\x08\x00" + bytes(6))),
                ethernet(0x86DD, ipv6(58, b"\x87\x00" + bytes(22))),
                ethernet(0x0800, ipv4(132, udp()[:4] + bytes(8))),
            ),
        ),
        "sflow-header-protocols": sflow(
            "Trap 79. Heads that begin with IPv4, IPv6 or MPLS instead of Ethernet, and one of a protocol that we do not read.",
            *numbered(TCP4, protocol=11),
            *numbered(ipv6(17, udp()), protocol=12),
            *numbered(label(9, bottom=True) + TCP4, protocol=13),
            *numbered(bytes(40), protocol=5),
        ),
        "sflow-tunnels": sflow(
            "Trap 79. VXLAN, GRE and IP in IP: the flow is the outer packet unless the inner one is asked for.",
            *numbered(
                ethernet(0x0800, vxlan),
                ethernet(0x0800, ipv4(47, b"\0\0\x08\0" + TCP4, src="192.0.2.1")),
                ethernet(0x0800, ipv4(4, TCP4, src="192.0.2.1")),
            ),
        ),
        "sflow-tunnel-records": sflow(
            "Open vSwitch: the packet within a tunnel is sampled, and records tell the outer header and the network's number.",
            flow_sample(
                HTTPS,
                part(1024, words(1450, 17) + address("192.0.2.1")[4:] + address("192.0.2.2")[4:] + words(40000, 6081, 0, 0)),
                part(1030, words(5001)),
            ),
            flow_sample(
                HTTPS,
                part(1023, words(1450, 47) + address("192.0.2.2")[4:] + address("192.0.2.1")[4:] + words(0, 0, 0, 0)),
                part(1029, words(77)),
                sequence=2,
            ),
        ),
        "sflow-gateway": sflow(
            "Trap 80. AS paths of several segments and sets, of none, of 32-bit numbers; next hops of both families or none.",
            *[
                flow_sample(HTTPS, record, sequence=number)
                for number, record in enumerate(
                    [
                        gateway((2, [1, 2, 3])),
                        gateway((2, [1, 2]), (1, [400_000, 500_000]), hop="2001:db8::8"),
                        gateway((2, list(range(1, 256)))),
                        gateway(hop=""),
                        gateway((2, [])),
                    ]
                )
            ],
        ),
        "sflow-router-switch-nat-labels": sflow(
            "Records of the device: next hop and masks, VLANs, tags taken off, labels, translation.",
            flow_sample(
                HTTPS,
                part(1001, words(7, 0, 8, 0)),
                part(1002, address("192.0.2.7") + words(24, 16)),
                part(1006, address("192.0.2.9") + words(2, 30 << 12, 31 << 12 | 0x100) + words(0)),
                part(1007, address("203.0.113.9") + address("10.0.0.2")),
                part(1020, words(61000, 443)),
            ),
            flow_sample(HTTPS, part(1012, words(2, 0x88A8 << 16 | 0x2064, 0x8100 << 16 | 200)), sequence=2),
        ),
        "sflow-parsed-by-the-agent": sflow(
            "Agents that cannot give the packet's head send what they parsed: Ethernet, IPv4 and IPv6 records.",
            flow_sample(part(2, words(1518) + bytes(range(8)) + bytes(range(8, 16)) + words(0x0800)), record),
            flow_sample(part(4, words(1460, 17) + ipv6(0, b"")[8:40] + words(1234, 53, 0, 4)), sequence=2),
        ),
    }


def _sflow_broken() -> dict[str, Case]:
    good = flow_sample(HTTPS)
    return {
        "sflow-counts-too-large": sflows(
            "Trap 81. Counts of samples, records, segments and labels that nothing follows: what is there is read.",
            datagram(good, count=0xFFFFFFFF, sequence=1),
            datagram(flow_sample(HTTPS, count=0xFFFFFFFF, sequence=2), sequence=2),
            datagram(flow_sample(HTTPS, gateway((2, [1, 2]), claimed=3_000_000_000), sequence=3), sequence=3),
            datagram(flow_sample(HTTPS, part(1012, words(0xFFFFFFFF, 0x81000064)), sequence=4), sequence=4),
        ),
        "sflow-lengths-too-large": sflows(
            "Traps 81, 95. A sample, a record and a head longer than what holds them end there; their neighbours stay.",
            datagram(good, words(1, 0xFFFFFFF0) + bytes(40), sequence=1),
            datagram(flow_sample(HTTPS, words(1002, 500) + bytes(8), sequence=2), flow_sample(HTTPS, sequence=3), sequence=2),
            datagram(flow_sample(raw(ethernet(0x0800, TCP4), length=2000, frame=2000), sequence=4), sequence=3),
            datagram(part(1, bytes(28)), flow_sample(HTTPS, sequence=5), sequence=4),
            datagram(flow_sample(HTTPS, sequence=6), sequence=5)[:60],
        ),
        "sflow-cut-headers": sflows(
            "Trap 95. Datagrams cut in the header, and one with an address of no kind: named, and the next one is read.",
            datagram()[:12], datagram(agent="2001:db8::1")[:30], words(5, 3) + bytes(40), datagram(good),
        ),
    }  # fmt: skip


CASES: dict[str, Case] = _netflow() | _sflow_meta() | _sflow_packets() | _sflow_broken()


def capture(case: Case) -> bytes:
    """The datagrams in Ethernet, IPv4 and UDP, as a pcap file."""
    content = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1)
    for number, payload in enumerate(case.payloads):
        segment = struct.pack("!HHHH", 40000, case.port, 8 + len(payload), 0)
        ends = socket.inet_aton("192.0.2.1") + socket.inet_aton("192.0.2.100")
        head = struct.pack("!BBHHHBBH", 0x45, 0, 28 + len(payload), number, 0, 64, 17, 0)
        frame = bytes(12) + b"\x08\0" + head + ends + segment + payload
        content += struct.pack("<IIII", EXPORT_S, number, len(frame), len(frame)) + frame
    return content
