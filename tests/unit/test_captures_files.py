# SPDX-License-Identifier: Apache-2.0
"""Kinds of files, byte orders, clocks and link layers of captures; and what is left of files that break off."""

from __future__ import annotations

import struct

import pytest

from capture_kit import (
    AT_S,
    EXPORTER,
    EXPORTER_V6,
    block,
    ether_type,
    ethernet,
    interface,
    ip,
    option,
    packet_block,
    payloads,
    pcap,
    reading,
    section,
    udp,
)
from flowgauge.flow.addresses import to_text
from wire_kit import a_set, basic, basic_template, message

EXPORT = message(basic_template(), a_set(256, basic(1)))
PACKET = ip(udp(EXPORT))
NANOSECONDS = 0xA1B23C4D


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(("magic", "unit_ns"), [(0xA1B2C3D4, 1_000), (NANOSECONDS, 1)])
def test_classic_captures_of_either_byte_order_and_clock(order: str, magic: int, unit_ns: int) -> None:
    found, counts, damage = reading(pcap([ethernet(PACKET)] * 3, order=order, magic=magic))
    assert [export.payload for export in found] == [EXPORT] * 3
    assert [export.time_ns for export in found] == [AT_S * 10**9 + number * unit_ns for number in range(3)]
    assert [export.frame for export in found] == [1, 2, 3]
    assert (to_text(found[0].sender), found[0].port) == (EXPORTER, 40000)
    assert (counts["packets"], damage) == (3, "")


def test_captures_of_a_patched_libpcap_have_longer_record_headers() -> None:
    frame = ethernet(PACKET)
    content = struct.pack("<IHHiIII", 0xA1B2CD34, 2, 4, 0, 0, 65535, 1)
    content += (struct.pack("<IIII", AT_S, 0, len(frame), len(frame)) + bytes(8) + frame) * 2
    assert payloads(content) == [EXPORT] * 2


LINKS = [
    (1, ethernet(PACKET)),
    (1, ethernet(PACKET, [0x8100])),
    (1, ethernet(PACKET, [0x88A8, 0x8100])),
    (0, struct.pack("<I", 2) + PACKET),
    (0, struct.pack(">I", 2) + PACKET),
    (108, struct.pack(">I", 2) + PACKET),
    (9, b"\xff\x03\x00\x21" + PACKET),
    (12, PACKET),
    (101, PACKET),
    (104, b"\x0f\x00\x08\x00" + PACKET),
    (113, bytes(14) + b"\x08\x00" + PACKET),
    (113, bytes(14) + b"\x81\x00\x00\x07\x08\x00" + PACKET),
    (228, PACKET),
    (276, b"\x08\x00" + bytes(18) + PACKET),
    (276, b"\x81\x00" + bytes(18) + b"\x00\x07\x08\x00" + PACKET),
    (1, bytes(12) + b"\x88\x47\x00\x06\x40\x40\x00\x06\x41\x40" + PACKET),
    (1, bytes(12) + b"\x88\x64\x11\x00\x00\x01" + struct.pack(">H", len(PACKET) + 2) + b"\x00\x21" + PACKET),
    (1, bytes(12) + struct.pack(">H", len(PACKET) + 8) + b"\xaa\xaa\x03\x00\x00\x00\x08\x00" + PACKET),
    (9, b"\x21" + PACKET),
    (51, b"\x11\x00\x00\x01" + struct.pack(">H", len(PACKET) + 1) + b"\x21" + PACKET),
    (166, b"\x01\x03\x00\x21" + PACKET),
]
NO_IP_FRAMES = [
    (1, bytes(12) + b"\x88\x47" + b"\x00\x06\x40\x40" * 20),
    (1, bytes(12) + b"\x88\x47\x00\x06"),
    (1, bytes(12) + b"\x88\x64\x11\x00\x00\x01\x00\x08\xc0\x21\x09\x01"),
    (1, bytes(12) + b"\x00\x26\x42\x42\x03\x00\x00\x00\x00\x00"),
    (1, bytes(12) + b"\x81\x00"),
    (9, b""),
    (51, b"\x11\x00"),
    (166, b"\x01"),
    (276, b"\x81\x00" + bytes(18)),
]
"""Labels without an end, parts of headers, LCP, spanning trees."""


@pytest.mark.parametrize(("link", "frame"), LINKS)
def test_link_layers(link: int, frame: bytes) -> None:
    assert payloads(pcap([frame], link)) == [EXPORT]


@pytest.mark.parametrize(("link", "frame"), NO_IP_FRAMES)
def test_frames_without_ip_are_passed_over(link: int, frame: bytes) -> None:
    found, counts, damage = reading(pcap([frame], link))
    assert (found, counts["packets"], damage) == ([], 1, "")


@pytest.mark.parametrize(("link", "header"), [(1, bytes(12)), (0, b"\x1e\0\0\0"), (101, b""), (113, bytes(14)), (276, b"")])
def test_link_layers_of_ipv6(link: int, header: bytes) -> None:
    packet = ip(udp(EXPORT), v6=True)
    kind = ether_type(packet) if link in (1, 113, 276) else b""
    found, _, _ = reading(pcap([header + kind + (bytes(18) if link == 276 else b"") + packet], link))
    assert [(export.payload, to_text(export.sender)) for export in found] == [(EXPORT, EXPORTER_V6)]


def test_packets_of_other_link_types_are_counted() -> None:
    assert reading(pcap([bytes(100)] * 2, link=147))[1]["unknown_link_147"] == 2


def test_padding_of_short_frames_is_no_part_of_the_payload() -> None:
    short = ip(udp(EXPORT[:40], port=2055))
    assert payloads(pcap([ethernet(short) + bytes(30)])) == [EXPORT[:40]]


@pytest.mark.parametrize("order", ["<", ">"])
def test_pcapng_with_all_kinds_of_packets_and_blocks_to_pass_over(order: str) -> None:
    frame = ethernet(PACKET)
    old = struct.pack(f"{order}HHIIII", 0, 0, 0, 5_000_000, len(frame), len(frame)) + frame
    content = section(order) + interface(order) + block(order, 4, bytes(40)) + packet_block(order, frame, 3_000_000)
    content += block(order, 3, struct.pack(f"{order}I", len(frame)) + frame) + block(order, 2, old) + block(order, 99, bytes(8))
    found, counts, damage = reading(content)
    assert [export.payload for export in found] == [EXPORT] * 3
    assert [export.time_ns for export in found] == [3 * 10**9, 0, 5 * 10**9]
    assert (counts["packets"], damage) == (3, "")


def test_sections_and_interfaces_have_their_own_byte_order_link_and_clock() -> None:
    nano, binary = option("<", 9, b"\x09"), option("<", 9, bytes((0x80 | 10,))) + option("<", 14, struct.pack("<q", 100))
    content = section("<") + interface("<", 1, nano) + interface("<", 101, binary)
    content += packet_block("<", ethernet(PACKET), 7, 0) + packet_block("<", PACKET, 512, 1)
    content += section(">") + interface(">", 113) + packet_block(">", bytes(14) + b"\x08\0" + PACKET, 1)
    found, _, damage = reading(content)
    assert [export.time_ns for export in found] == [7, 100 * 10**9 + 500_000_000, 1_000]
    assert [export.payload for export in found] == [EXPORT] * 3
    assert not damage


def test_a_snapshot_length_applies_to_simple_packets() -> None:
    frame = ethernet(PACKET)
    content = section("<") + interface("<", snap=60) + block("<", 3, struct.pack("<I", len(frame)) + frame[:60])
    found, counts, _ = reading(content)
    assert [len(export.payload) for export in found] == [60 - 42]
    assert counts["cut_datagrams"] == 1


WHOLE_PCAP = pcap([ethernet(PACKET)] * 2)
WHOLE_PCAPNG = section("<") + interface("<") + packet_block("<", ethernet(PACKET)) * 2


@pytest.mark.parametrize("content", [WHOLE_PCAP, WHOLE_PCAPNG])
def test_a_file_cut_off_anywhere_gives_what_is_whole(content: bytes) -> None:
    for length in range(8, len(content)):
        found, _, damage = reading(content[:length])
        assert [export.payload for export in found] in ([], [EXPORT])
        ends_between = length in (24, 24 + (len(content) - 24) // 2) if content is WHOLE_PCAP else length in _ends(content)
        assert bool(damage) != ends_between, length


def _ends(content: bytes) -> list[int]:
    at, ends = 0, []
    while at < len(content):
        at += struct.unpack_from("<I", content, at + 4)[0]
        ends.append(at)
    return ends


@pytest.mark.parametrize(
    ("content", "cause"),
    [
        (pcap([])[:20], "capture_header"),
        (pcap([]) + struct.pack("<IIII", 0, 0, 1 << 30, 1 << 30), "capture_packet"),
        (section("<")[:8] + b"abcd" + section("<")[12:], "capture_section"),
        (section("<") + struct.pack("<II", 6, 13), "capture_block"),
        (section("<") + struct.pack("<II", 6, 1 << 30), "capture_block"),
        (section("<") + packet_block("<", b""), "capture_interface"),
        (section("<") + interface("<") + block("<", 6, struct.pack("<IIIII", 0, 0, 0, 50, 50)), "capture_packet"),
        (section("<") + interface("<") + block("<", 6, b"1234"), "capture_block"),
        (section("<") + block("<", 1, b""), "capture_interface"),
    ],
)
def test_damage_is_named(content: bytes, cause: str) -> None:
    assert reading(content)[2] == cause


def test_an_ipfix_file_is_messages_one_after_the_other() -> None:
    messages = [message(basic_template()), message(a_set(256, basic(1))), message(a_set(256, basic(2)), sequence=1)]
    found, _, damage = reading(b"".join(messages))
    assert [export.payload for export in found] == messages
    assert {(export.sender, export.time_ns, export.frame) for export in found} == {(bytes(16), 0, 0)}
    assert not damage


def test_what_follows_a_wrong_message_in_a_file_is_one_piece() -> None:
    assert payloads(EXPORT + b"\0\x0a\0\x03rest") == [EXPORT, b"\0\x0a\0\x03rest"]
    found, _, damage = reading(EXPORT + b"\0" * 70_000)
    assert [len(export.payload) for export in found] == [len(EXPORT), 65_535]
    assert damage == "file_message"


@pytest.mark.parametrize("start", [b"\0\1", b"\0\5", b"\0\7", b"\0\x09", b"\0\0\0\5\0\0\0\1"])
def test_a_single_payload_is_known_by_its_version(start: bytes) -> None:
    assert payloads(start + bytes(100)) == [start + bytes(100)]


def test_a_payload_has_the_length_of_a_datagram() -> None:
    found, _, damage = reading(b"\0\x09" + bytes(70_000))
    assert ([len(export.payload) for export in found], damage) == ([65_535], "payload_length")
