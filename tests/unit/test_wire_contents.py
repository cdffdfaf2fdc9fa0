# SPDX-License-Identifier: Apache-2.0
"""Records that hold lists (RFC 6313, trap 59) or pieces of packets (trap 60)."""

from __future__ import annotations

import socket
import struct
from typing import Any

import pytest

from flowgauge.flow.addresses import packed
from flowgauge.schema.enums import RECORD_KIND
from ipfix_records_kit import (
    ENDS,
    JUNIPER,
    KEY,
    S,
    details,
    one_set,
    rows,
    short,
)
from wire_kit import EXPORT_S, VARIABLE, Spec, a_set, column, decode, message, template

# --- lists --------------------------------------------------------------------------------------------------------------------


def basic_list(number: int, length: int, content: bytes) -> bytes:
    return struct.pack("!BHH", 3, number, length) + content


def listed(field: int, content: bytes, *templates: bytes) -> Any:
    """What a list becomes under ``extra``."""
    fields = [*KEY, (field, VARIABLE), (1, 4)]
    payload = message(a_set(2, *templates, template(256, fields)), a_set(256, ENDS + short(content) + struct.pack("!I", 5)))
    decoded, (detail,) = details(payload)
    assert column(decoded, "bytes") == [5]
    assert not decoded.problems
    return detail.extra[{291: "basicList", 292: "subTemplateList", 293: "subTemplateMultiList"}[field]][0]


def test_trap_59_a_basic_list_of_numbers_and_of_strings() -> None:
    assert listed(291, basic_list(10, 4, struct.pack("!III", 1, 2, 3))) == [1, 2, 3]
    assert listed(291, basic_list(82, VARIABLE, short(b"eth0") + short(b"lo"))) == ["eth0", "lo"]
    assert listed(291, basic_list(483, 4, bytes((0, 1, 0, 2)))) == [0x00010002]


def test_trap_59_a_basic_list_of_enterprise_elements() -> None:
    content = struct.pack("!BHHI", 3, 110 | 0x8000, VARIABLE, 6871) + short(b"nginx")
    assert listed(291, content) == [b"nginx".decode()]


def test_what_has_no_column_is_told_beside_them() -> None:
    """Line cards and processes by number, and Juniper's common properties (CPID), whose bits are Juniper's business."""
    fields = [*KEY, (141, 4), (143, 4), (137, 2, 2636), (1, 4)]
    record = ENDS + struct.pack("!IIHI", 7, 8, 0x0800, 5)
    _, (detail,) = details(message(a_set(2, template(256, fields)), a_set(256, record)))
    assert dict(detail.extra) == {"lineCardId": [7], "meteringProcessId": [8], "pen2636_137": [b"\x08\x00"]}


def test_trap_59_a_list_of_records() -> None:
    nested = template(300, [(8, 4), (96, VARIABLE)])
    content = struct.pack("!BH", 3, 300) + bytes((192, 0, 2, 1)) + short(b"dns") + bytes((192, 0, 2, 2)) + short(b"")
    assert listed(292, content, nested) == [
        {"sourceIPv4Address": "192.0.2.1", "applicationName": "dns"},
        {"sourceIPv4Address": "192.0.2.2", "applicationName": ""},
    ]


def test_trap_59_a_list_of_records_of_several_templates() -> None:
    parts = struct.pack("!HH", 300, 4 + 6) + bytes((1, 2, 3, 4, 5, 6)) + struct.pack("!HH", 301, 4 + 2) + b"\0\x50"
    found = listed(293, b"\x03" + parts, template(300, [(56, 6)]), template(301, [(11, 2)]))
    assert found == [{"sourceMacAddress": "01:02:03:04:05:06"}, {"destinationTransportPort": 80}]


def test_trap_59_lists_within_lists() -> None:
    inner = basic_list(7, 2, b"\0\x01\0\x02")
    content = struct.pack("!BH", 3, 300) + b"\x05" + short(inner)
    assert listed(292, content, template(300, [(4, 1), (291, VARIABLE)])) == [{"protocolIdentifier": 5, "basicList": [1, 2]}]


@pytest.mark.parametrize(
    ("field", "content", "expected"),
    [
        (291, b"", []),
        (291, b"\x03", []),
        (291, basic_list(10, 0, b"abc"), []),
        (291, basic_list(10, 4, b"\0\0\0\x01\0"), [1]),
        (291, basic_list(82, VARIABLE, b"\x01a\xffzz"), ["a"]),
        (292, struct.pack("!BH", 3, 999) + b"abc", []),
        (293, b"\x03" + struct.pack("!HH", 300, 3), []),
        (293, b"\x03" + struct.pack("!HH", 300, 60000), []),
    ],
)
def test_trap_59_a_malformed_list_ends_there(field: int, content: bytes, expected: list[Any]) -> None:
    assert listed(field, content, template(300, [(4, 1)])) == expected


def test_trap_59_lists_are_not_opened_for_ever() -> None:
    """A list that contains a list of its own kind, as deep as it can lie in a record."""
    content = basic_list(4, 1, b"\x07")
    for _ in range(40):
        content = basic_list(291, VARIABLE, short(content))
    found = listed(291, content)
    for _ in range(7):
        (found,) = found
    assert found == [[]]


def test_trap_59_records_with_lists_keep_their_place() -> None:
    fields = [*KEY, (291, VARIABLE), (1, 4)]
    records = [ENDS + short(basic_list(10, 4, bytes(4 * n))) + struct.pack("!I", n) for n in range(5)]
    assert column(one_set(fields, *records), "bytes") == [0, 1, 2, 3, 4]


# --- packets in records -------------------------------------------------------------------------------------------------------


def ip_packet(length: int = 1400, proto: int = 6) -> bytes:
    ends = socket.inet_aton("10.0.0.1") + socket.inet_aton("10.0.0.2")
    head = struct.pack("!BBHHHBBH", 0x45, 0xB8, length, 1, 0, 63, proto, 0) + ends
    return head + struct.pack("!HHIIBBHHH", 1000, 443, 1, 1, 0x50, 0x18, 100, 0, 0) + b"payload"


FRAME = bytes((2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1)) + struct.pack("!HHH", 0x8100, 42, 0x0800) + ip_packet()
SEEN = ("src_addr", "dst_addr", "src_port", "dst_port", "proto", "tcp_flags", "ip_tos", "ip_ttl_min", "bytes", "packets")
EXPECTED = ("10.0.0.1", "10.0.0.2", 1000, 443, 6, 0x18, 0xB8, 63, 1400, 1)


@pytest.mark.parametrize("length", [VARIABLE, len(FRAME)])
def test_trap_60_a_piece_of_a_frame_is_a_packet(length: int) -> None:
    """Juniper inline monitoring: 315 with the frame's size in 312; the piece is shorter than the packet."""
    piece = short(FRAME) if length == VARIABLE else FRAME
    fields: list[Spec] = [(10, 4), (14, 4), (61, 1), (312, 2), (137, 2, JUNIPER), (315, length)]
    decoded = one_set(fields, struct.pack("!IIBH", 3, 4, 0, 1418) + b"\x08\0" + piece)
    assert rows(decoded, *SEEN) == [EXPECTED]
    assert rows(decoded, "in_if", "vlan_id", "src_mac", "record_kind", "time_end_ns") == [
        (3, 42, [2, 0, 0, 0, 0, 1], RECORD_KIND.index("flow"), EXPORT_S * S),
    ]


def test_trap_60_a_piece_of_an_ip_packet() -> None:
    v6 = struct.pack("!IHBB", 0x6B800000, 1000, 17, 62) + packed("2001:db8::1") + packed("2001:db8::2")
    v6 += struct.pack("!HHHH", 5353, 53, 1000, 0)
    decoded = one_set(
        [(224, 8), (313, VARIABLE)], struct.pack("!Q", 1400) + short(ip_packet()), struct.pack("!Q", 1040) + short(v6)
    )
    assert rows(decoded, *SEEN)[0] == EXPECTED
    assert rows(decoded, "src_addr", "src_port", "proto", "bytes")[1] == ("2001:db8::1", 5353, 17, 1040)


def test_trap_60_without_a_length_the_packets_own_counts() -> None:
    assert rows(one_set([(315, VARIABLE)], short(FRAME)), "src_port", "bytes")[0][0] == 1000
    assert rows(one_set([(313, VARIABLE)], short(ip_packet(len(ip_packet())))), "bytes") == [(len(ip_packet()),)]


def test_trap_60_the_rate_holds_for_sampled_packets() -> None:
    options = a_set(3, template(300, [(149, 4), (34, 4)], scope=1)), a_set(300, struct.pack("!II", 1, 1000))
    decoded = decode(message(*options, a_set(2, template(256, [(315, VARIABLE)])), a_set(256, short(FRAME))))
    assert rows(decoded, "packets", "sampling_rate") == [(1, 1000)]


@pytest.mark.parametrize("size", [0, 1, 13, 14, 17, 18, 20, 37, 38, 45, 60])
def test_trap_60_pieces_cut_anywhere(size: int) -> None:
    decoded = one_set([(315, VARIABLE), (312, 2)], short(FRAME[:size]) + b"\x05\x8a")
    assert column(decoded, "packets") == [1]
