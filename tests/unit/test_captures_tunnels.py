# SPDX-License-Identifier: Apache-2.0
"""Exports in captures that a tunnel carried, or a mirror to where they were captured; tshark finds the same ones."""

from __future__ import annotations

import struct
import subprocess
from pathlib import Path

import pytest

from capture_kit import EXPORTER, EXPORTER_V6, ethernet, fragments, ip, pcap, reading, udp
from flowgauge.flow.addresses import to_text
from flowgauge.wire.captures.tunnels import MAX_TUNNELS
from wire_kit import a_set, basic, basic_template, message

EXPORT = message(basic_template(), a_set(256, basic(1), basic(2)))
V4, V6 = ip(udp(EXPORT)), ip(udp(EXPORT), v6=True)
FRAME = ethernet(V4)
LABEL, TEB = struct.pack("!I", 100 << 12 | 1 << 8 | 64), b"\x65\x58"
SLL2 = struct.pack("!HIHBB8s", 0, 2, 1, 0, 6, bytes(8))


def outer(proto: int, content: bytes) -> tuple[int, bytes]:
    """An IPv4 packet of a tunnel, on Ethernet."""
    return 1, ethernet(ip(content, proto, source="198.51.100.1"))


def outer_udp(port: int, content: bytes) -> tuple[int, bytes]:
    return outer(17, udp(content, port=port))


def typed(kind: bytes, content: bytes) -> tuple[int, bytes]:
    """An Ethernet frame of this type."""
    return 1, bytes(12) + kind + content


CASES = {
    "IPv4 in IPv4": outer(4, V4),
    "IPv6 in IPv4": outer(41, V6),
    "IPv4 in IPv6": (1, ethernet(ip(V4, 4, v6=True))),
    "GRE": outer(47, b"\0\0\x08\0" + V4),
    "GRE of IPv6, with checksum, key and number": outer(47, b"\xb0\0\x86\xdd" + bytes(12) + V6),
    "GRE of frames": outer(47, b"\0\0" + TEB + FRAME),
    "GRE of labels": outer(47, b"\0\0\x88\x47" + LABEL + V4),
    "ERSPAN I": outer(47, b"\0\0\x88\xbe" + FRAME),
    "ERSPAN II": outer(47, b"\x10\0\x88\xbe\0\0\0\1" + b"\x10\1\0\0\0\0\0\0" + FRAME),
    "ERSPAN III": outer(47, b"\x10\0\x22\xeb\0\0\0\1" + b"\x20\1" + bytes(10) + FRAME),
    "ERSPAN III of a platform": outer(47, b"\x10\0\x22\xeb\0\0\0\1" + b"\x20\1" + bytes(9) + b"\1" + bytes(8) + FRAME),
    "VXLAN": outer_udp(4789, b"\x08\0\0\0\0\0\1\0" + FRAME),
    "Geneve": outer_udp(6081, b"\0\0" + TEB + b"\0\0\1\0" + FRAME),
    "Geneve with an option": outer_udp(6081, b"\2\0" + TEB + b"\0\0\1\0" + b"\1\2\3\1" + bytes(4) + FRAME),
    "TZSP": outer_udp(37008, b"\1\0\0\1\1" + FRAME),
    "TZSP with fields": outer_udp(37008, b"\1\0\0\1" + b"\0" + b"\x0a\1\7" + b"\x29\2\0\x40" + b"\1" + FRAME),
    "tunnels within tunnels": outer(4, ip(b"\0\0" + TEB + ethernet(ip(udp(b"\x08\0\0\0\0\0\1\0" + FRAME, port=4789))), 47)),
    "authentication header": (1, ethernet(ip(b"\x11\x04" + bytes(22) + udp(EXPORT), 51))),
    "VN-Tag": typed(b"\x89\x26", bytes(4) + b"\x08\0" + V4),
    "security group": typed(b"\x89\x09", b"\1\1\0\1\0\5" + b"\x08\0" + V4),
    "backbone": typed(b"\x88\xe7", bytes(4) + FRAME),
    "frames behind labels": typed(b"\x88\x47", LABEL + FRAME),
    "SLL2 with labels": (276, b"\x88\x47" + SLL2 + LABEL + V4),
    "SLL2 with PPPoE": (276, b"\x88\x64" + SLL2 + b"\x11\0\0\1" + struct.pack("!H", len(V4) + 2) + b"\0\x21" + V4),
    "HDLC where PPP may be": (50, b"\x0f\0\x08\0" + V4),
    "IPsec of the BSDs": (109, struct.pack("<III", 2, 0, 0) + V4),
    "log of pf": (117, bytes((61, 2, 0, 0)) + b"em0".ljust(16, b"\0") + bytes(44) + V4),
    "log of nftables": (239, b"\2\0\0\0" + struct.pack("<HHI", 8, 10, 0) + struct.pack("<HH", 4 + len(V4), 9) + V4),
    "Junos": (178, b"MGC\1" + FRAME),
    "Junos with extensions": (178, b"MGC\x81" + b"\0\6" + b"\1\1\2\2\1\3" + FRAME),
}  # fmt: skip
ONLY_OURS = {
    "frames behind labels and a control word": typed(b"\x88\x47", LABEL + bytes(4) + FRAME),
    "log of nftables of a big-endian machine": (239, b"\2\0\0\0" + struct.pack(">HH", 4 + len(V4), 9) + V4),
}
"""Tshark reads these with settings of its own, or where it runs on such a machine."""


@pytest.mark.parametrize("name", [*CASES, *ONLY_OURS])
def test_the_export_within(name: str) -> None:
    link, frame = (CASES | ONLY_OURS)[name]
    (export,) = reading(pcap([frame], link))[0]
    assert (export.payload, export.missing) == (EXPORT, 0)
    assert to_text(export.sender) in (EXPORTER, EXPORTER_V6), "the exporter, not the tunnel's end"


@pytest.mark.tool("tshark")
@pytest.mark.parametrize("name", CASES)
def test_tshark_finds_it_too(name: str, tmp_path: Path) -> None:
    link, frame = CASES[name]
    (tmp_path / "a.pcap").write_bytes(pcap([frame], link))
    command = ["tshark", "-n", "-r", str(tmp_path / "a.pcap"), "-d", "udp.port==2055,cflow", "-T", "fields"]
    command += ["-e", "cflow.octets"]
    seen = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    assert seen.strip() == "1,2"


@pytest.mark.parametrize("name", [*CASES, *ONLY_OURS])
def test_cut_anywhere_it_is_the_beginning_or_nothing(name: str) -> None:
    link, frame = (CASES | ONLY_OURS)[name]
    begun = 0
    for cut in range(len(frame)):
        found, _, damage = reading(pcap([frame], link, cut=cut))
        assert not damage
        begun += len(found)
        for export in found:
            assert EXPORT.startswith(export.payload)
            assert len(export.payload) + export.missing == len(EXPORT)
    assert begun > len(EXPORT) // 2, "most beginnings are found"


@pytest.mark.parametrize("order", "<>")
def test_of_a_log_of_nftables_that_was_cut_there_is_the_beginning(order: str) -> None:
    frame = b"\2\0\0\0" + struct.pack(f"{order}HH", 4 + len(V4), 9) + V4
    (export,) = reading(pcap([frame], 239, cut=len(frame) - 1))[0]
    assert (export.payload, export.missing) == (EXPORT[:-1], 1)


def test_a_tunnels_packet_may_come_in_fragments() -> None:
    pieces = fragments(V4, 4, [80, 1000], source="198.51.100.1")
    assert [export.payload for export in reading(pcap(map(ethernet, pieces)))[0]] == [EXPORT]


def test_a_bounded_number_of_tunnels_is_opened() -> None:
    packet = V4
    for _ in range(MAX_TUNNELS):
        packet = ip(packet, 4)
    assert len(reading(pcap([ethernet(packet)]))[0]) == 1
    assert not reading(pcap([ethernet(ip(packet, 4))]))[0]


def test_labels_within_labels_cost_no_time() -> None:
    assert not reading(pcap([bytes(12) + (b"\x88\x47" + LABEL + bytes(12)) * 3000]))[0]


@pytest.mark.parametrize("port", [4789, 8472, 6081, 37008])
def test_exports_to_a_port_that_tunnels_have_are_exports(port: int) -> None:
    assert [export.payload for export in reading(pcap([ethernet(ip(udp(EXPORT, port=port)))]))[0]] == [EXPORT]


@pytest.mark.parametrize(
    ("proto", "content"),
    [(47, b""), (47, b"\x40\0\x08\0" + V4), (47, b"\x30\1\x88\x0b" + V4), (47, b"\0\0\x88\xcc" + V4), (50, V4), (4, b"\x60")],
)
def test_what_is_no_tunnel_or_cannot_be_read_holds_nothing(proto: int, content: bytes) -> None:
    assert not reading(pcap([ethernet(ip(content, proto))]))[0]
