# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: E501 - fields of a template read as one line
"""Golden cases of further devices' templates, after their makers' descriptions and what they were seen to send; values are ours.

Written by ``golden_cases``.
"""

from __future__ import annotations

import struct

from device_cases import KEY, REVERSE, ipfix, key, short, v9
from flowgauge.flow.addresses import packed
from netflow9_kit import EXPORT_S, SYSTEM, UPTIME_MS, Spec, flowset, options_template, packet
from netflow9_kit import template as template9
from wire_cases import Case
from wire_kit import VARIABLE, a_set, message, template

NOKIA, VMWARE, IXIA, CITRIX, CISCO, VIPTELA, ANTREA = 637, 6876, 3054, 5951, 9, 41916, 56506
ENDS: tuple[Spec, ...] = ((8, 4), (12, 4))
AT_MS = EXPORT_S * 1000
MACS = bytes((2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2))


def one(readme: str, fields: list[tuple[int, ...]], *records: bytes) -> Case:
    """Of one template and its records in a message of IPFIX."""
    return ipfix(readme, message(a_set(2, template(256, fields)), a_set(256, *records)))


def _sonicwall() -> Case:
    fields = [(1, 4), (2, 4), (4, 1), (8, 4), (7, 2), (10, 4), (11, 2), (12, 4), (14, 4), (15, 4), (21, 4), (22, 4), (225, 4), (226, 4), (227, 2), (228, 2)]  # fmt: skip

    def record(count: int, first_ms: int, last_ms: int) -> bytes:
        seen = struct.pack("!IIB4sHIH4sI4s", 1000 * count, count, 6, bytes((203, 0, 113, 9)), 443, 2, 41000, bytes((192, 0, 2, 237)), 1, bytes(4))  # fmt: skip
        return seen + struct.pack("!II4s4sHH", last_ms, first_ms, bytes((203, 0, 113, 9)), bytes((10, 0, 0, 65)), 443, 56000)

    return one(
        "SonicWall, IPFIX with uptimes and without the start of the clock: the flow that ends last ends at the export, others as "
        "long before as their uptimes say (trap 55).",
        fields,
        record(7, 14_597_000, 14_605_000),
        record(1, 14_578_000, 14_578_000),
        record(4, 146_000, 14_579_000),
    )


def _vyos() -> Case:
    common = ((21, 4), (22, 4), (1, 4), (2, 4), (60, 1), (10, 2), (14, 2), (61, 1), (3, 4))
    came = (*common, *KEY[:4], (5, 1), (6, 1), (4, 1), (56, 6), (80, 6), (58, 2), (201, 4), (48, 1))
    went = (*common, *KEY[:4], (5, 1), (6, 1), (4, 1), (81, 6), (57, 6), (59, 2), (201, 4), (48, 1))
    sampler = options_template(4096, [(SYSTEM, 0)], [(48, 1), (49, 1), (50, 4)])

    def record(direction: int, octets: int, vlan: int) -> bytes:
        head = struct.pack("!IIIIBHHBI", UPTIME_MS - 100, UPTIME_MS - 900, octets, 2, 4, 3, 4, direction, 0)
        return head + key()[:12] + struct.pack("!BBB", 0, 0x10, 6) + MACS + struct.pack("!HIB", vlan, 0, 1)

    return v9(
        "VyOS (pmacct): templates by direction, of which one has the addresses and the VLAN before the router and one those behind it; "
        "a table of samplers whose scope has no bytes (traps 16, 28, 67).",
        packet(
            flowset(0, template9(1024, came), template9(1025, went)),
            flowset(1, sampler),
            flowset(4096, struct.pack("!BBI", 1, 2, 500), pad=2),
        ),
        packet(flowset(1024, record(0, 80, 7)), flowset(1025, record(1, 90, 8)), sequence=1),
    )


def _nokia() -> Case:
    sampler = template(512, [(144, 4), (305, 4), (306, 4)], scope=1)
    fields = [*ENDS, (15, 4), (18, 4), (10, 4), (14, 4), (2, 8), (1, 8), (152, 8), (153, 8), (7, 2), (11, 2), (89, 1), (6, 1), (4, 1), (5, 1), (60, 1),
              (32, 2), (61, 1), (16, 4), (17, 4), (9, 1), (13, 1), (25, 2), (26, 2), (52, 1), (53, 1), (234, 4), (235, 4)]  # fmt: skip
    flow = (
        key()[:8]
        + bytes((10, 9, 9, 9, 10, 9, 9, 8))
        + struct.pack("!IIQQQQHH", 5, 6, 11, 9000, AT_MS - 9000, AT_MS - 500, 40000, 443)
    )
    flow += struct.pack("!BBBBBHBIIBBHHBBII", 0x40, 0x1B, 6, 8, 4, 0, 0, 65001, 65002, 24, 22, 40, 1500, 60, 61, 1, 2)
    log = [(148, 8), *ENDS, (7, 2), (11, 2), (4, 1), (210, 1), (152, 8), (91, 2, NOKIA), (92, 2, NOKIA), (93, VARIABLE, NOKIA)]
    logged = (
        struct.pack("!Q", 3_389_049_088)
        + key()
        + b"\0"
        + struct.pack("!QHH", AT_MS - 100, 100, 0)
        + short(b"user1@10.10.0.123")
    )
    return ipfix(
        "Nokia SR OS: one packet taken and 999 left out; cflowd's router fields; the log of a broadband gateway's translations, which "
        "counts nothing and names the subscriber (traps 62, 67, 68).",
        message(a_set(3, sampler), a_set(512, struct.pack("!III", 1, 1, 999))),
        message(a_set(2, template(256, fields), template(257, log)), a_set(256, flow), a_set(257, logged), sequence=1),
    )


def _sdwan() -> Case:
    fields = [*ENDS, (10, 4), (195, 1), (4, 1), (7, 2), (11, 2), (6, 2), (136, 1), (12432, 4, CISCO), (12434, 4, CISCO), (12441, 8, CISCO), (95, 4), (14, 4), (48, 1),
              (12433, 4, CISCO), (1, 8), (2, 8), (152, 8), (153, 8)]  # fmt: skip
    record = (
        key()[:8]
        + struct.pack("!IBBHHHB", 11, 32, 6, 443, 54327, 0x5018, 1)
        + struct.pack("!IIQIIB", 0, 10, 1 << 63, 0x0D000208, 10, 0)
    )
    return one(
        "Cisco Catalyst SD-WAN: overlay sessions, the service VPN and connection ids of 64 bits under Cisco's number; TCP flags of two bytes "
        "with the header's length in their upper four bits (trap 19).",
        fields,
        record + struct.pack("!IQQQQ", 6403, 53, 1, AT_MS - 700, AT_MS - 200),
    )


def _viptela() -> Case:
    fields = [
        (4321, 4, VIPTELA),
        *KEY,
        (210, 6),
        (136, 1),
        (5, 1),
        (195, 1),
        (10, 4),
        (14, 4),
        (15, 4),
        (1, 8),
        (85, 8),
        (2, 8),
        (86, 8),
        (150, 4),
        (151, 4),
        (6, 2),
        (32, 2),
    ]
    record = struct.pack("!I", 100) + key() + bytes(6) + struct.pack("!BBBII4s", 3, 48, 12, 11, 3, bytes((10, 0, 0, 254)))
    return one(
        "Viptela vEdge: delta and total counters side by side, of which the delta counts; padding between the fields (traps 13, 54).",
        fields,
        record + struct.pack("!QQQQIIHH", 775, 1775, 8, 18, EXPORT_S - 9, EXPORT_S - 1, 0x10, 0),
    )


def _vmware() -> Case:
    fields = [*KEY, (1, 8), (2, 8), (152, 8), (153, 8), (10, 4), (14, 4), (880, 1, VMWARE), (881, 4, VMWARE), (882, 4, VMWARE), (886, 2, VMWARE), (887, 2, VMWARE),
              (888, 2, VMWARE), (889, 1, VMWARE), (890, 2, VMWARE), (53, 1), (61, 1), (136, 1), (351, 8)]  # fmt: skip
    record = (
        key() + struct.pack("!QQQQII", 9000, 12, AT_MS - 60_000, AT_MS, 2, 3) + b"\x06" + bytes((172, 16, 0, 1, 172, 16, 0, 2))
    )
    return one(
        "VMware's distributed switch: the tenant's packet inside a VXLAN tunnel, under VMware's number.",
        fields,
        record + struct.pack("!HHHBHBBBQ", 51000, 8080, 1, 1, 2, 64, 1, 1, 5000),
    )


def _ixia() -> Case:
    fields = [
        (1, 8),
        (2, 8),
        (4, 1),
        (6, 1),
        *ENDS,
        (7, 2),
        (11, 2),
        (136, 1),
        (32, 2),
        (32, 2, REVERSE),
        (152, 8),
        (153, 8),
        (111, VARIABLE, IXIA),
        (176, 8, IXIA),
        (177, 8, IXIA),
    ]

    def record(proto: int, ports: tuple[int, int], kinds: tuple[int, int], name: bytes) -> bytes:
        head = struct.pack("!QQBB", 154, 2, proto, 0) + key()[:8] + struct.pack("!HHBHH", *ports, 1, *kinds)
        return head + struct.pack("!QQ", AT_MS - 300, AT_MS - 100) + short(name) + struct.pack("!QQ", 246, 3)

    return one(
        "Ixia's flows of both directions: type and code of each direction's ICMP messages, which flows of other protocols do not have though "
        "the fields are there (traps 25, 52).",
        fields,
        record(17, (51187, 53), (0, 0), b"domain"),
        record(1, (0, 0), (0x0800, 0), b"icmp"),
    )


def _netscaler() -> Case:
    fields = [(138, 8), (144, 4), (148, 8), (128, 4, CITRIX), (129, 4, CITRIX), (60, 1), (4, 1), (10, 4), (14, 4), *ENDS, (7, 2), (11, 2), (2, 8), (1, 8), (6, 1), (154, 8), (155, 8),
              (130, 4), (140, VARIABLE, CITRIX), (141, VARIABLE, CITRIX)]  # fmt: skip
    ntp = (EXPORT_S + 2_208_988_800 - 2) << 32
    record = (
        struct.pack("!QIQIIBBII", 1, 3, 9, 1234, 77, 4, 6, 1, 2)
        + key()[:12]
        + struct.pack("!QQBQQ", 11, 5000, 0x1B, ntp, ntp + (1 << 31))
    )
    return one(
        "Citrix NetScaler's AppFlow: times in NTP's format, the appliance's own address, what was asked for by HTTP (traps 55, 65).",
        fields,
        record + bytes((10, 255, 0, 9)) + short(b"http://shop.example/cart") + short(b""),
    )


def _wlc() -> Case:
    fields = ((365, 6), (366, 4), (147, 33), (367, 6), (95, 4), (61, 1), (195, 1), (98, 1), (1, 8), (2, 8), (22, 4), (21, 4))
    record = MACS[:6] + bytes((10, 0, 0, 1)) + b"corp".ljust(33, b"\0") + MACS[6:] + struct.pack("!IBBB", 0x0D000031, 1, 10, 3)
    return v9(
        "Cisco's wireless controllers: clients by MAC address and station's address, of which there is no second end and no interface (trap 15).",
        packet(
            flowset(0, template9(261, fields)),
            flowset(261, record + struct.pack("!QQII", 1000, 4, UPTIME_MS - 900, UPTIME_MS - 100), pad=1),
        ),
    )


def _antrea() -> Case:
    texts = (
        (101, b"web-1"),
        (100, b"shop"),
        (104, b"node-a"),
        (103, b"db-0"),
        (102, b"data"),
        (105, b"node-b"),
        (136, b"ESTABLISHED"),
    )
    fields = [(27, 16), (28, 16), *KEY[2:], (150, 4), (151, 4), (1, 8), (2, 8), (85, 8), (86, 8), (1, 8, REVERSE), (2, 8, REVERSE), (107, 16, ANTREA), (108, 2, ANTREA),
              (137, 1, ANTREA), (136, 1)] + [(number, VARIABLE, ANTREA) for number, _ in texts]  # fmt: skip
    record = packed("fd00::1") + packed("fd00::2") + key()[8:] + struct.pack("!II", EXPORT_S - 9, EXPORT_S - 1)
    record += struct.pack("!QQQQQQ", 1111, 11, 5000, 50, 3000, 30) + packed("fd00:10:96::1") + struct.pack("!HBB", 5432, 2, 2)
    return one(
        "Antrea's flow exporter: both directions, names of pods and nodes, a service's address of the other family's elements (trap 52).",
        fields,
        record + b"".join(short(text) for _, text in texts),
    )


def _port_blocks() -> Case:
    fields = [(323, 8), (230, 1), (8, 4), (225, 4), (361, 2), (362, 2), (363, 2), (364, 2), (234, 4), (371, VARIABLE)]
    record = (
        struct.pack("!QB", AT_MS - 40, 16)
        + bytes((100, 64, 0, 5, 198, 51, 100, 1))
        + struct.pack("!HHHHI", 1024, 2047, 1, 1024, 4)
    )
    return one(
        "Carrier-grade NAT that gives out blocks of ports: events of one end (trap 62).", fields, record + short(b"line-7")
    )


CASES: dict[str, Case] = {
    "device-sonicwall": _sonicwall(),
    "device-vyos": _vyos(),
    "device-nokia": _nokia(),
    "device-cisco-sd-wan": _sdwan(),
    "device-viptela": _viptela(),
    "device-vmware": _vmware(),
    "device-ixia": _ixia(),
    "device-netscaler": _netscaler(),
    "device-cisco-wireless": _wlc(),
    "device-antrea": _antrea(),
    "nat-port-blocks": _port_blocks(),
}
