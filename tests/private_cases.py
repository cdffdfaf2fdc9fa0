# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: E501 - fields of a template read as one line
"""Golden cases of exports that count, time or name things elsewhere than the standard elements, after what devices send.

Written by ``golden_cases``.
"""

from __future__ import annotations

import struct

from device_cases import JUNIPER, KEY, REVERSE, ipfix, key, short, v9
from flowgauge.flow.addresses import packed
from netflow9_kit import EXPORT_S, UPTIME_MS, flowset, packet
from netflow9_kit import template as template9
from sflow_kit import ethernet, flow_sample, ipv4, raw, tcp
from wire_cases import Case, sflow
from wire_kit import VARIABLE, a_set, message, template

CISCO, PROCERA, CESNET, FLOWMON = 9, 15397, 8057, 39499
ENDS = bytes((10, 0, 0, 1, 10, 0, 0, 2))
LAST_MS = struct.pack("!II", UPTIME_MS - 5000, UPTIME_MS - 1000)


def _behind() -> Case:
    fields = (*KEY, (1, 4), (2, 4), (23, 4), (24, 4), (61, 1), (22, 4), (21, 4))
    flows = [
        key(number) + struct.pack("!IIIIB", *counters) + LAST_MS
        for number, counters in enumerate(((1500, 3, 0, 0, 0), (0, 0, 3200, 8, 1), (900, 2, 880, 2, 0)), 1)
    ]
    return v9(
        "Counters before and behind the observation point in one template: FreeBSD's ng_netflow leaves those behind at zero, an "
        "exporter of what goes out leaves the others; where both count, those before it do (trap 54).",
        packet(flowset(0, template9(256, fields)), flowset(256, *flows, pad=2)),
    )


def _barracuda() -> Case:
    fields = [*KEY, (10, 4), (14, 4), (85, 8), (86, 8), (1, 8), (2, 8), (22, 4), (21, 4), (161, 4), (233, 1)]
    flows = [
        key(source) + struct.pack("!IIQQQQIIIB", 48660, 26092, *counters, 2395375053, 2395395322, 20269, 2)
        for source, counters in ((1, (65, 1, 0, 0)), (2, (81, 1, 81, 1)))
    ]
    return ipfix(
        "Barracuda: uptimes in IPFIX without the start that they count from: the flow ends at the export and lasted as long as they "
        "say; a total beside a delta of zero was told before (traps 54, 55).",
        message(a_set(2, template(256, fields)), a_set(256, *flows)),
    )


def _junos_evolved() -> Case:
    head = ethernet(0x0800, ipv4(6, tcp(content=bytes(80)), total=1500))[:64]
    fields = [(315, VARIABLE), (137, 2, JUNIPER), (137, 2, JUNIPER), (61, 1)]
    records = [short(head) + struct.pack("!HHB", 1 << 10 | 3, 2 << 10 | reason, 0) for reason in (0, 57)]
    return ipfix(
        "Junos Evolved inline monitoring: pieces of frames without the frame's size: the IP header knows it; of two common "
        "properties one is a forwarding exception, which drops the packet (traps 29, 60, 63).",
        message(a_set(2, template(600, fields)), a_set(600, *records)),
    )


def _flexible() -> Case:
    fields = ((8, 4), (12, 4), (4, 1), (180, 2), (181, 2), (182, 2), (183, 2), (1, 4), (2, 4), (152, 8), (153, 8))
    times = struct.pack("!QQ", EXPORT_S * 1000 - 900, EXPORT_S * 1000 - 100)
    flows = [
        ENDS + bytes((proto,)) + struct.pack("!HHHHII", *ports, 76, 1) + times
        for proto, ports in ((17, (5000, 53, 0, 0)), (6, (0, 0, 40000, 443)))
    ]
    return v9(
        "Cisco Flexible NetFlow, keyed by ports of UDP and of TCP instead of ports.",
        packet(flowset(0, template9(256, fields)), flowset(256, *flows, pad=2)),
    )


def _aggregated() -> Case:
    fields = ((44, 4), (45, 4), (9, 1), (13, 1), (16, 2), (17, 2), (3, 4), (1, 4), (2, 4), (22, 4), (21, 4))
    record = bytes((10, 1, 0, 0, 10, 2, 3, 0, 16, 24)) + struct.pack("!HHIII", 64500, 64501, 12, 90_000, 80) + LAST_MS
    return v9(
        "Records of an aggregation by prefix: networks where addresses would be.",
        packet(flowset(0, template9(256, fields)), flowset(256, record)),
    )


def _streamcore() -> Case:
    fields = (*KEY, (1, 4), (2, 4), (22, 4), (21, 4), (8192, 4), (8196, 1), (8256, 24), (8384, 4))
    record = key() + struct.pack("!II", 3943, 10) + LAST_MS + struct.pack("!IB24sI", 17, 1, b"live.example.org", 1171)
    return v9(
        "Streamcore: private ids below 32768, among them texts that are filled up with zeros (traps 19, 31).",
        packet(flowset(0, template9(256, fields)), flowset(256, record, pad=3)),
    )


def _procera() -> Case:
    fields = [(8, 4), (12, 4), (27, 16), (28, 16), (4, 1), (7, 2), (11, 2), (150, 4), (151, 4), (1, VARIABLE, PROCERA),
              (3, 8, PROCERA), (4, 8, PROCERA), (15, VARIABLE, PROCERA)]  # fmt: skip
    times = struct.pack("!II", EXPORT_S - 60, EXPORT_S - 30)
    four = (
        ENDS
        + bytes(32)
        + struct.pack("!BHH", 6, 53787, 443)
        + times
        + short(b"HTTPS")
        + struct.pack("!QQ", 60, 0)
        + short(b"INITIAL")
    )
    six = bytes(8) + packed("2001:db8::1") + packed("2001:db8::2") + struct.pack("!BHH", 17, 5000, 53) + times + short(b"DNS")
    six += struct.pack("!QQ", 86, 78) + short(b"")
    return ipfix(
        "Procera: bytes of both directions under its own number only, seen from the network and not from the flow: an event, "
        "which has them as they are; the service is the application (traps 26, 62).",
        message(a_set(2, template(256, fields)), a_set(256, four, six)),
    )


def _anyconnect() -> Case:
    fields = [(4, 1), (8, 4), (7, 2), (12, 4), (11, 2), (150, 4), (151, 4), *((number, length, CISCO) for number, length in (
        (12332, 20), (12333, VARIABLE), (12361, 2), (12340, VARIABLE), (12341, 32), (12346, 8), (12347, 8), (12352, VARIABLE)))]  # fmt: skip
    modules = struct.pack("!BHHI", 3, 12348 | 0x8000, VARIABLE, CISCO) + short(b"dnsapi.dll") + short(b"wininet.dll")
    flows = [
        struct.pack("!B4sH4sHII", 17, ENDS[:4], port, ENDS[4:], 53, EXPORT_S - 3, EXPORT_S - 1)
        + bytes(range(20)) + short(b"EXAMPLE\\alice") + struct.pack("!H", 2) + short(b"browser.exe") + bytes(range(32))
        + struct.pack("!QQBH", *counters, 255, len(modules)) + modules
        for port, counters in ((40001, (100, 41)), (40002, (0, 29)), (40003, (0, 0)))
    ]  # fmt: skip
    return ipfix(
        "Cisco AnyConnect's Network Visibility Module: bytes received and sent under its own numbers only, seen from the endpoint, "
        "which is the source; its process is the process of that end, on the way back, too (trap 53).",
        message(a_set(2, template(267, fields)), a_set(267, *flows)),
    )


def _physical() -> Case:
    fields = [*KEY, (10, 4), (252, 4), (14, 4), (253, 4), (1, 4), (2, 4), (1, 4, REVERSE), (2, 4, REVERSE)]
    flows = [
        key(number) + struct.pack("!IIIIIIII", *interfaces, 650, 5, 1300, 4)
        for number, interfaces in enumerate(((0, 77, 0, 88), (7, 77, 8, 88)), 1)
    ]
    return ipfix(
        "Cisco: physical interfaces beside interfaces of zero, in both directions of a record; where there are others, these are "
        "the ones (trap 61).",
        message(a_set(2, template(256, fields)), a_set(256, *flows)),
    )


def _juniper_qfx() -> Case:
    head = ethernet(0x0800, ipv4(6, tcp(content=bytes(200)), total=1500))[:128]
    small = ethernet(0x0800, ipv4(6, tcp()))
    return sflow(
        "Juniper QFX and EX, sFlow: some releases give the length of the captured piece as the frame's; the IP header knows "
        "better. A small frame captured whole is as long as it is (trap 77).",
        flow_sample(raw(head, frame=132), sequence=1),
        flow_sample(raw(head, frame=1518), sequence=2),
        flow_sample(raw(small), sequence=3),
    )


def _conversation(client: int, direction: int, interfaces: tuple[int, int], counters: tuple[int, int, int, int]) -> bytes:
    """A connection as Cisco's AVC tells of it; ``counters``: octets and packets of the responder, then those of the initiator."""
    ends = bytes((10, 0, 0, client, 10, 0, 0, client + 1))
    told = struct.pack(
        "!BBBHI4sHIBBIB", 6, 0, 63, 443, 7, bytes((13, 0, 1, 0xC5)), 290, interfaces[0], direction, 16, interfaces[1], 0
    )
    return ends + told + LAST_MS + struct.pack("!IQQQQQ", 1, 3, *counters)


def _avc() -> Case:
    fields = [(12236, 4, CISCO), (12237, 4, CISCO), (4, 1), (195, 1), (192, 1), (12241, 2, CISCO), (234, 4), (95, 4), (58, 2), (10, 4), (239, 1),
              (9252, 1, CISCO), (14, 4), (9253, 1, CISCO), (22, 4), (21, 4), (278, 4), (279, 8), (232, 8), (299, 8), (231, 8), (298, 8)]  # fmt: skip
    flows = [
        _conversation(1, 1, (13, 10), (9437, 18, 1851, 17)),
        _conversation(3, 2, (20, 17), (225, 8, 96, 8)),
        _conversation(5, 1, (10, 13), (0, 0, 719, 5)),
    ]
    return ipfix(
        "Cisco Application Visibility and Control: client and server under Cisco's own numbers instead of source and destination, "
        "octets of initiator and responder; where the responder's packet was seen first (biflowDirection 2), interfaces are those "
        "of its packets (trap 53).",
        message(a_set(2, template(264, fields)), a_set(264, *flows)),
    )


def _avc_counters() -> Case:
    counters = [(8338, 8, CISCO), (9265, 8, CISCO), (8337, 8, CISCO), (9266, 8, CISCO)]
    of_client = [(12238, 16, CISCO), (12239, 16, CISCO), (12240, 2, CISCO), (12241, 2, CISCO), (4, 1), *counters]
    of_source = [*KEY, *counters]
    told = struct.pack("!QQQQ", 900, 5, 7000, 8)
    ends = packed("2001:db8::1") + packed("2001:db8::2") + struct.pack("!HHB", 40000, 443, 6)
    return ipfix(
        "Cisco Application Visibility and Control, octets and packets of client and server under Cisco's numbers, too; beside source and "
        "destination they are nobody's: the source may be either (trap 53).",
        message(
            a_set(2, template(256, of_client), template(257, of_source)), a_set(256, ends + told), a_set(257, key() + told)
        ),
    )


def _avc9() -> Case:
    fields = ((45004, 4), (45005, 4), (45008, 2), (45009, 2), (4, 1), (231, 4), (298, 4), (232, 4), (299, 4), (42036, 4))
    record = ENDS + struct.pack("!HHBIIIII", 40000, 443, 6, 1200, 9, 8000, 11, 5)
    return v9(
        "Cisco Application Visibility and Control in NetFlow v9, which has no enterprises: Cisco's numbers plus 32,768 (traps 19, 53).",
        packet(flowset(0, template9(256, fields)), flowset(256, record, pad=1)),
    )


def _labels_with_ttl() -> Case:
    fields = (*KEY, (1, 4), (2, 4), (22, 4), (21, 4), (70, 4), (71, 4))
    flows = [
        key(number) + struct.pack("!II", 3668, 21) + LAST_MS + struct.pack("!II", *entries)
        for number, entries in ((1, (2 << 9 | 63, 0)), (2, (16001 << 12 | 63, 24005 << 12 | 1 << 8 | 63)))
    ]
    return v9(
        "Label stack entries of four bytes, as they are in packets, TTL and all; one without a label that is not the bottom is none "
        "(trap 27).",
        packet(flowset(0, template9(256, fields)), flowset(256, *flows, pad=2)),
    )


def _edgerouter() -> Case:
    fields = (*KEY, (1, 4), (2, 4), (22, 4), (21, 4), (56, 6), (57, 6), (81, 6), (59, 2), (60, 1), (61, 1), (3, 4), (201, 4))
    macs = bytes((2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 3))
    record = key() + struct.pack("!II", 3668, 21) + LAST_MS + macs + struct.pack("!HBBII", 0, 4, 1, 0, 4)
    return v9(
        "Ubiquiti EdgeRouter: addresses of the frame that came in and of the one that went out; what it sends as the length of a label "
        "stack (201) is no label (traps 27, 28).",
        packet(flowset(0, template9(1025, fields)), flowset(1025, record, pad=1)),
    )


def _flowmon() -> Case:
    fields = [*KEY, (1, 8), (2, 8), (152, 8), (153, 8), (1, VARIABLE, FLOWMON), (12, 4, FLOWMON), (338, VARIABLE, FLOWMON), (254, 1, FLOWMON),
              (207, 4, FLOWMON), (201, 6, FLOWMON), (357, 16, FLOWMON), (2, VARIABLE, CESNET), (1014, 8, CESNET)]  # fmt: skip
    at = EXPORT_S * 1000
    record = key() + struct.pack("!QQQQ", 700, 6, at - 900, at - 100) + short(b"shop.example") + struct.pack("!I", 200)
    record += (
        short(b"shop.example") + b"\xff" + bytes((10, 0, 0, 9, 2, 0, 0, 0, 0, 1)) + bytes(range(16)) + short(b"shop.example")
    )
    return ipfix(
        "Flowmon and CESNET's ipfixprobe: what they tell of applications has the types that they send, a TLS server's name its column.",
        message(a_set(2, template(256, fields)), a_set(256, record + struct.pack("!Q", at - 500))),
    )


def _vlans() -> Case:
    fields = (*KEY, (58, 2), (243, 2), (59, 2), (171, 8), (172, 8), (22, 4), (21, 4))
    flows = [
        key(number) + struct.pack("!HHHQQ", *vlans, 0, 4506, 3) + LAST_MS
        for number, vlans in ((1, (0, 701)), (2, (4, 4)), (3, (5, 0)))
    ]
    return v9(
        "VLANs by the tag (243) beside those of the interface (58), of which one is zero, and totals behind the observation point as the "
        "only counters (traps 28, 54).",
        packet(flowset(0, template9(256, fields)), flowset(256, *flows)),
    )


CASES: dict[str, Case] = {
    "vlans-of-tags": _vlans(),
    "labels-with-ttl": _labels_with_ttl(),
    "device-flowmon": _flowmon(),
    "device-cisco-avc": _avc(),
    "device-cisco-avc-netflow9": _avc9(),
    "device-cisco-avc-counters": _avc_counters(),
    "device-ubiquiti-edgerouter": _edgerouter(),
    "counters-behind": _behind(),
    "device-barracuda": _barracuda(),
    "device-junos-evolved": _junos_evolved(),
    "device-cisco-flexible": _flexible(),
    "device-cisco-aggregation": _aggregated(),
    "device-cisco-anyconnect": _anyconnect(),
    "interfaces-physical": _physical(),
    "device-streamcore": _streamcore(),
    "device-procera": _procera(),
    "device-juniper-qfx": _juniper_qfx(),
}
