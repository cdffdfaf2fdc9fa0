# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: E501 - fields of a template read as one line
"""Golden cases of NetFlow v9 and IPFIX after what devices are known to send, quirks included, by encoders of the tests.

Written by ``golden_cases``.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

from flowgauge.flow.addresses import packed
from netflow9_kit import EXPORT_S, INTERFACE, SYSTEM, UPTIME_MS, Spec, flowset, options_template, packet
from netflow9_kit import template as template9
from wire_cases import Case
from wire_kit import VARIABLE, a_set, message, template

NETFLOW_PORT, IPFIX_PORT = 2055, 4739
REVERSE, CERT, JUNIPER, NTOP = 29305, 6871, 2636, 35632
KEY: tuple[Spec, ...] = ((8, 4), (12, 4), (7, 2), (11, 2), (4, 1))


def key(source: int = 1, destination: int = 2, src_port: int = 40000, dst_port: int = 443, proto: int = 6) -> bytes:
    return bytes((10, 0, 0, source, 10, 0, 0, destination)) + struct.pack("!HHB", src_port, dst_port, proto)


def v9(readme: str, *payloads: bytes) -> Case:
    return Case(readme, NETFLOW_PORT, payloads)


def ipfix(readme: str, *payloads: bytes) -> Case:
    return Case(readme, IPFIX_PORT, payloads)


def short(content: bytes) -> bytes:
    return bytes((len(content),)) + content


def _asa() -> Case:
    """NSEL: created without counters, an update, the teardown with totals, a denied one; access lists, user, translation."""
    common: Sequence[Spec] = (
        (148, 4), (8, 4), (7, 2), (10, 2), (12, 4), (11, 2), (14, 2), (4, 1), (176, 1), (177, 1), (225, 4), (226, 4), (227, 2),
        (228, 2), (233, 1), (33002, 2), (323, 8), (33000, 12), (33001, 12), (40000, 20),
    )  # fmt: skip
    counted = (*common, (231, 4), (232, 4))
    closed = (*common, (231, 4), (232, 4), (152, 8))

    def record(event: int, connection: int, extended: int = 0) -> bytes:
        ends = (
            bytes((10, 0, 0, 1))
            + struct.pack("!HH", 40000, 3)
            + bytes((203, 0, 113, 9))
            + struct.pack("!HHBBB", 443, 4, 6, 0, 0)
        )
        other = bytes((198, 51, 100, 7, 203, 0, 113, 9)) + struct.pack("!HHBHQ", 51000, 443, event, extended, EXPORT_S * 1000)
        return struct.pack("!I", connection) + ends + other + bytes(24) + b"alice".ljust(20, b"\0")

    templates = flowset(0, template9(263, common), template9(264, counted), template9(265, closed))
    update = flowset(264, record(5, 77) + struct.pack("!II", 1000, 20000))
    teardown = flowset(265, record(2, 77, 2030) + struct.pack("!IIQ", 1500, 30000, EXPORT_S * 1000 - 90_000))
    return v9(
        "Cisco ASA NSEL: events without counters, an update that counts an increment and a teardown that counts the whole "
        "connection, initiator and responder apart, private ids above 32767 (traps 13, 19, 53, 56, 62).",
        packet(templates, flowset(263, record(1, 77), record(3, 78, 1001)), update, teardown, count=7),
    )


def _ios_xr() -> Case:
    sampler = options_template(256, [(SYSTEM, 4)], [(48, 2), (84, 8), (49, 1), (50, 4)])
    names = options_template(257, [(SYSTEM, 4)], [(10, 4), (82, 16)])
    fields = (*KEY, (10, 4), (14, 4), (48, 2), (61, 1), (89, 1), (234, 4), (2, 4), (1, 4), (22, 4), (21, 4))
    flows = [
        key() + struct.pack("!IIHBBIIIII", 7, 8, 1, 0, 64, 5, 3, 1500, UPTIME_MS - 9000, UPTIME_MS - 500),
        key(3) + struct.pack("!IIHBBIIIII", 7, 0, 2, 0, 0x82, 5, 1, 60, UPTIME_MS - 900, UPTIME_MS - 900),
    ]
    return v9(
        "Cisco IOS-XR, NetFlow v9: a table of samplers, records that name theirs, interface names, a dropped packet "
        "(traps 15, 17, 63, 67, 69).",
        packet(
            flowset(1, sampler),
            flowset(256, struct.pack("!IH8sBI", 0, 1, b"TEN", 2, 10), struct.pack("!IH8sBI", 0, 2, b"HUND", 2, 100)),
        ),
        packet(flowset(1, names, pad=2), flowset(257, struct.pack("!II16s", 0, 7, b"TenGigE0/0/0/7")), sequence=1),
        packet(flowset(0, template9(260, fields)), flowset(260, *flows, pad=2), sequence=2),
    )


def _nx_os() -> Case:
    fields: Sequence[Spec] = (
        (56, 6),
        (57, 6),
        (58, 2),
        (8, 4),
        (12, 4),
        (4, 1),
        (7, 2),
        (11, 2),
        (61, 1),
        (1, 8),
        (2, 8),
        (22, 4),
        (21, 4),
    )
    macs = bytes((2, 0, 0, 0, 0, 1)), bytes((2, 0, 0, 0, 0, 2))
    record = macs[0] + macs[1] + struct.pack("!H", 42) + bytes((10, 0, 0, 1, 10, 0, 0, 2)) + struct.pack("!BHHBQQII", 1, 0, 0x0301, 0, 84, 1,
                                                                                                         UPTIME_MS, UPTIME_MS)  # fmt: skip
    return v9(
        "Cisco NX-OS: MAC addresses of which the destination's is the one behind the switch, a VLAN, ICMP in the destination port "
        "(traps 25, 28).",
        packet(flowset(0, template9(260, fields)), flowset(260, record, pad=1)),
    )


def _srx() -> Case:
    return v9(
        "Juniper SRX: an options template whose scope has length 0 (trap 16).",
        packet(
            flowset(1, options_template(256, [], [(36, 2), (37, 2), (34, 4)])), flowset(256, struct.pack("!HHI", 60, 15, 1000))
        ),
        packet(flowset(0, template9(257, (*KEY, (1, 4)))), flowset(257, key() + struct.pack("!I", 90)), sequence=1),
    )


def _juniper_mx() -> Case:
    options = template(512, [(144, 4), (130, 4), (131, 16), (34, 4), (36, 2), (37, 2), (160, 8)], scope=1)
    told = (
        struct.pack("!I", 2) + bytes((10, 255, 0, 1)) + bytes(16) + struct.pack("!IHHQ", 1000, 60, 60, (EXPORT_S - 100) * 1000)
    )
    fields = (*KEY, (5, 1), (10, 4), (14, 4), (16, 4), (17, 4), (9, 1), (13, 1), (15, 4), (6, 1), (1, 8), (2, 8), (52, 1), (53, 1),
              (136, 1), (243, 2), (152, 8), (153, 8))  # fmt: skip
    at = EXPORT_S * 1000
    record = key() + struct.pack("!BIIIIBB4sBQQBBBHQQ", 0x28, 520, 521, 64500, 64501, 24, 16, bytes((10, 0, 9, 1)), 0x1B, 15000, 10,
                                 58, 60, 2, 0, at - 60_000, at - 1000)  # fmt: skip
    frame = (
        bytes((2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1)) + b"\x08\0" + bytes((0x45, 0, 5, 0xDC)) + bytes(4) + bytes((64, 17, 0, 0))
    )
    frame += bytes((10, 0, 0, 5, 10, 0, 0, 6)) + struct.pack("!HHHH", 5000, 53, 1480, 0)
    monitoring = template(600, [(315, VARIABLE), (312, 2), (10, 4), (61, 1), (137, 2, JUNIPER)])
    seen = short(frame) + struct.pack("!HIBH", 1514, 520, 0, 0x0800)
    return ipfix(
        "Juniper MX inline IPFIX: one rate for the exporting process, routing data; inline monitoring: a piece of the frame "
        "with its size (traps 60, 67).",
        message(a_set(3, options), a_set(512, told), domain=1),
        message(a_set(2, template(256, fields), monitoring), a_set(256, record), a_set(600, seen), domain=1, sequence=1),
    )


def _fortigate() -> Case:
    fields = (*KEY, (1, 8), (2, 4), (21, 4), (22, 4), (95, 9), (65, 2), (136, 1))
    record = (
        key()
        + struct.pack("!QIII", 5000, 9, UPTIME_MS - 10, UPTIME_MS - 5000)
        + bytes((20, 0, 0, 0x30, 0x44, 0, 0, 0x3F, 0x11))
    )
    data = flowset(258, record + struct.pack("!HB", 1, 3))
    applications = options_template(256, [(SYSTEM, 2)], [(95, 9), (96, 32)])
    named = struct.pack("!H", 0) + bytes((20, 0, 0, 0x30, 0x44, 0, 0, 0x3F, 0x11)) + b"HTTPS.BROWSER".ljust(32, b"\0")
    return v9(
        "FortiGate: most records precede their template; application ids of nine bytes with a table of names (traps 18, 30, 31).",
        packet(data),
        packet(data, sequence=1),
        packet(flowset(1, applications), flowset(256, named), sequence=2),
        packet(flowset(0, template9(258, fields)), data, sequence=3),
    )


def _palo_alto() -> Case:
    fields = (*KEY, (1, 8), (2, 8), (22, 4), (21, 4), (233, 1), (61, 1), (148, 4), (56701, 32), (56702, 64))
    record = (
        key()
        + struct.pack("!QQIIBBI", 4000, 8, UPTIME_MS - 3000, UPTIME_MS, 2, 0, 99)
        + b"web-browsing".ljust(32, b"\0")
        + b"corp\\bob".ljust(64, b"\0")
    )
    return v9(
        "Palo Alto: private ids for application and user, packets filled up with zeros (traps 12, 19).",
        packet(flowset(0, template9(258, fields)), flowset(258, record, pad=1), bytes(600)),
        packet(bytes(1380), sequence=1),
    )


def _mikrotik() -> Case:
    v4: Sequence[Spec] = ((22, 4), (21, 4), (2, 4), (1, 4), (10, 4), (14, 4), (8, 4), (12, 4), (4, 1), (5, 1), (7, 2), (11, 2), (15, 4),
                          (13, 1), (9, 1), (6, 1), (225, 4), (226, 4), (227, 2), (228, 2))  # fmt: skip
    v6: Sequence[Spec] = (
        (22, 4),
        (21, 4),
        (2, 4),
        (1, 4),
        (10, 4),
        (14, 4),
        (27, 16),
        (28, 16),
        (31, 4),
        (4, 1),
        (7, 2),
        (11, 2),
        (62, 16),
    )
    head = struct.pack("!IIIIII", UPTIME_MS - 7000, UPTIME_MS - 10, 4, 400, 2, 3)
    four = (
        head
        + bytes((10, 0, 0, 1, 203, 0, 113, 9, 6, 0))
        + struct.pack("!HH", 40000, 443)
        + bytes((203, 0, 113, 1, 0, 24, 0x1B))
    )
    four += bytes((198, 51, 100, 7, 203, 0, 113, 9)) + struct.pack("!HH", 40000, 443)
    six = head + packed("2001:db8::1") + packed("2001:db8::2") + struct.pack("!IBHH", 0, 58, 0, 0x8000) + packed("fe80::1")
    return v9(
        "MikroTik: two families in one packet, translations within flow records, ICMPv6 in the port (traps 18, 25).",
        packet(flowset(0, template9(256, v4), template9(257, v6)), flowset(256, four), flowset(257, six), count=4),
    )


def _nprobe() -> Case:
    fields = (*KEY, (1, 4), (2, 4), (22, 4), (21, 4), (57590, 2), (57591, 16), (57581, 4), (57652, 32))
    record = (
        key()
        + struct.pack("!IIIIH", 700, 5, UPTIME_MS - 100, UPTIME_MS - 50, 91)
        + b"TLS".ljust(16, b"\0")
        + struct.pack("!I", 2)
    )
    return v9(
        "nProbe, NetFlow v9: the header counts flowsets, ntop's elements under 57472 and up (traps 9, 19).",
        packet(flowset(0, template9(257, fields)), flowset(257, record + b"/index.html".ljust(32, b"\0"), pad=3), count=2),
    )


def _yaf() -> Case:
    fields = [(152, 8), (153, 8), (8, 4), (12, 4), (7, 2), (11, 2), (4, 1), (136, 1), (85, 8), (86, 8), (85, 8, REVERSE), (86, 8, REVERSE),
              (21, 4, CERT), (58, 2), (33, 2, CERT), (293, VARIABLE)]  # fmt: skip
    at = EXPORT_S * 1000
    head = struct.pack("!QQ", at - 5000, at - 100) + key() + struct.pack("!BQQ", 3, 700, 6)
    tcp = struct.pack("!I", 12345) + bytes((2, 0x1B)) + struct.pack("!I", 54321) + bytes((0x12, 0x1B))
    nested = b"\x03" + struct.pack("!HH", 0xC003, 4 + len(tcp)) + tcp
    records = [head + struct.pack("!QQIHH", back, packets, 80, 0, 443) + short(nested) for back, packets in ((9000, 7), (0, 0))]
    flags = template(0xC003, [(184, 4), (14, 1, CERT), (15, 1, CERT), (184, 4, REVERSE), (16398, 1, CERT), (16399, 1, CERT)])
    return ipfix(
        "YAF: both directions in one record, one of them empty; a list of records with the TCP flags (traps 52, 54, 59).",
        message(a_set(2, flags, template(0xB800, fields)), a_set(0xB800, *records), domain=0),
    )


def _vpp() -> Case:
    fields = [(10, 4), (14, 4), (61, 1), (8, 4), (12, 4), (4, 1), (156, 8), (157, 8), (7, 2), (11, 2), (6, 2), (1, 8), (2, 8)]
    at = EXPORT_S * 10**9
    record = (
        struct.pack("!IIB", 1, 2, 0)
        + bytes((10, 0, 0, 1, 10, 0, 0, 2, 6))
        + struct.pack("!QQHHHQQ", at - 2 * 10**9, at - 5, 40000, 443, 0x1B, 900, 3)
    )
    return ipfix(
        "VPP: Unix nanoseconds where NTP's format belongs (traps 55, 56).",
        message(a_set(2, template(256, fields)), a_set(256, record)),
    )


def _sophos() -> Case:
    record = key() + struct.pack("!IIII", EXPORT_S - 60, EXPORT_S - 1, 800, 4)
    fields = [*KEY, (152, 4), (153, 4), (1, 4), (2, 4)]
    return ipfix(
        "Sophos: 32 bits of seconds in fields of milliseconds (trap 56).",
        message(a_set(2, template(256, fields)), a_set(256, record)),
    )


def _huawei() -> Case:
    per_interface = options_template(300, [(INTERFACE, 4)], [(34, 4), (35, 1)])
    told = struct.pack("!IIB", 7, 512, 2), struct.pack("!IIB", 8, 4096, 2)
    fields = (*KEY, (10, 4), (14, 4), (61, 1), (70, 3), (71, 3), (1, 4), (2, 4), (22, 4), (21, 4))
    labels = (16001 << 4).to_bytes(3, "big") + (24005 << 4 | 1).to_bytes(3, "big")
    flows = [
        key(number) + struct.pack("!IIB", in_if, 9, 0) + labels + struct.pack("!IIII", 1000, 2, UPTIME_MS - 40, UPTIME_MS - 1)
        for number, in_if in ((1, 7), (2, 8), (3, 9))
    ]
    return v9(
        "Huawei: another sampling rate at each interface, and at one none is told; label stacks (traps 27, 67, 70).",
        packet(flowset(1, per_interface), flowset(300, *told)),
        packet(flowset(0, template9(301, fields)), flowset(301, *flows), sequence=1),
    )


def _open_vswitch() -> Case:
    fields = [(138, 8), (61, 1), (56, 6), (80, 6), (256, 2), (240, 1), (60, 1), (192, 1), (4, 1), (195, 1), (5, 1), (8, 4), (12, 4), (7, 2), (11, 2),
              (891, 1, 6876), (892, VARIABLE, 6876), (893, 4, 6876), (894, 4, 6876), (158, 4), (159, 4), (2, 8), (1, 8), (25, 8), (26, 8), (136, 1)]  # fmt: skip
    macs = bytes((2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2))
    record = (
        struct.pack("!QB", 3, 1)
        + macs
        + struct.pack("!HBBBBBB", 0x0800, 14, 4, 64, 6, 0, 0)
        + bytes((10, 128, 0, 5, 10, 129, 0, 6))
    )
    record += struct.pack("!HHB", 40000, 5432, 1) + short(b"\0\0\x2a") + bytes((172, 18, 0, 2, 172, 18, 0, 3))
    record += struct.pack("!IIQQQQB", 3_000_000, 500_000, 12, 9000, 52, 1500, 1)
    return ipfix(
        "Open vSwitch: start and end in microseconds before the export, tunnel keys as VMware's elements (traps 50, 55).",
        message(a_set(2, template(256, fields)), a_set(256, record)),
    )


def _ipt_netflow() -> Case:
    fields: Sequence[Spec] = (
        (8, 4),
        (12, 4),
        (27, 16),
        (28, 16),
        (10, 2),
        (14, 2),
        (2, 3),
        (1, 5),
        (22, 4),
        (21, 4),
        (7, 2),
        (11, 2),
        (6, 1),
        (4, 1),
    )
    tail = (
        struct.pack("!HH", 1, 2)
        + (7).to_bytes(3, "big")
        + (70_000).to_bytes(5, "big")
        + struct.pack("!IIHHBB", UPTIME_MS - 90, UPTIME_MS, 40000, 443, 16, 6)
    )
    four = bytes((10, 0, 0, 1, 10, 0, 0, 2)) + bytes(32) + tail
    six = bytes(8) + packed("2001:db8::1") + packed("2001:db8::2") + tail
    return v9(
        "ipt_NETFLOW: counters of three and five bytes, and of two families one is zero (traps 24, 26).",
        packet(flowset(0, template9(256, fields)), flowset(256, four, six, pad=2)),
    )


def _h3c() -> Case:
    fields = (*KEY, (1, 4), (82, VARIABLE), (22, 4), (21, 4))
    record = key() + struct.pack("!I", 640) + short(b"GigabitEthernet1/0/1") + struct.pack("!II", UPTIME_MS - 30, UPTIME_MS - 3)
    return v9(
        "H3C: a field of variable length in NetFlow v9 (trap 20).",
        packet(flowset(0, template9(256, fields)), flowset(256, record)),
    )


def _relay() -> Case:
    names = template(300, [(10, 4), (82, 8)], scope=1)
    fields = (*KEY, (10, 4), (61, 1), (130, 4), (2, 4), (1, 4))
    flows = [
        key(number) + struct.pack("!IB", 7, number & 1) + bytes((10, 255, 0, number)) + struct.pack("!II", 2, 200)
        for number in (1, 2, 0)
    ]
    flows[2] = flows[2][:-12] + bytes(4) + flows[2][-8:]
    return ipfix(
        "A relay that sends for two devices: records give their exporter (130), whose address the socket's is not; one record "
        "gives none and is the relay's own. Interfaces that the relay names are the devices' (traps 61, 65, 88).",
        message(a_set(3, names), a_set(300, struct.pack("!I8s", 7, b"uplink")), a_set(2, template(301, fields))),
        message(a_set(301, *flows), sequence=1),
    )


CASES: dict[str, Case] = {
    "device-cisco-asa": _asa(),
    "device-cisco-ios-xr": _ios_xr(),
    "device-cisco-nx-os": _nx_os(),
    "device-juniper-srx": _srx(),
    "device-juniper-mx": _juniper_mx(),
    "device-fortigate": _fortigate(),
    "device-palo-alto": _palo_alto(),
    "device-mikrotik": _mikrotik(),
    "device-nprobe": _nprobe(),
    "device-yaf": _yaf(),
    "device-vpp": _vpp(),
    "device-sophos": _sophos(),
    "device-huawei": _huawei(),
    "device-open-vswitch": _open_vswitch(),
    "device-ipt-netflow": _ipt_netflow(),
    "device-h3c": _h3c(),
    "device-behind-relay": _relay(),
}
