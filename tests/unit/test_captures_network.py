# SPDX-License-Identifier: Apache-2.0
"""Export datagrams in fragments, and which datagrams are exports at all."""

from __future__ import annotations

import struct

import pytest

from capture_kit import AT_S, EXPORTER, ethernet, fragments, ip, pcap, reading, udp
from flowgauge.flow.addresses import to_text
from flowgauge.wire.captures.network import MAX_DATAGRAMS
from wire_kit import a_set, basic, basic_template, message

LONG = message(basic_template(), *[a_set(256, *[basic(number)] * 10) for number in range(20)])
SHORT = message(basic_template(), a_set(256, basic(1)), export_s=AT_S)


@pytest.mark.parametrize("v6", [False, True])
@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 0, 2), (0, 0, 1, 2, 2)])
def test_fragments_come_together_in_any_order_and_twice(*, v6: bool, order: tuple[int, ...]) -> None:
    pieces = fragments(udp(LONG), 17, [1480, 1480, 9000], v6=v6)
    found, counts, _ = reading(pcap([ethernet(pieces[number]) for number in order]))
    assert [export.payload for export in found] == [LONG]
    assert counts["fragments_given_up"] == 0


def test_fragments_of_different_datagrams_are_kept_apart() -> None:
    first, second = (
        fragments(udp(payload), 17, [800, 9000], identity=number) for number, payload in enumerate((LONG, LONG[:1600]))
    )
    frames = [first[0], second[0], second[1], first[1]]
    found, _, _ = reading(pcap(map(ethernet, frames)))
    assert [export.payload for export in found] == [LONG[:1600], LONG]


def test_a_datagram_that_never_is_whole_is_counted() -> None:
    pieces = fragments(udp(LONG), 17, [1480, 1480, 9000])
    found, counts, _ = reading(pcap([ethernet(pieces[0]), ethernet(pieces[2])]))
    assert not found
    assert counts["fragments_given_up"] == 1


def test_waiting_fragments_are_bounded() -> None:
    frames = [ethernet(fragments(udp(LONG), 17, [1480, 9000], identity=number)[0]) for number in range(MAX_DATAGRAMS + 10)]
    last = ethernet(fragments(udp(LONG), 17, [1480, 9000], identity=0)[1])
    found, counts, _ = reading(pcap([*frames, last]))
    assert not found
    assert counts["fragments_given_up"] == MAX_DATAGRAMS + 10 + 1


def test_a_fragment_beyond_the_longest_datagram_is_left_out() -> None:
    packet = bytearray(fragments(bytes(64), 17, [32, 32])[1])
    struct.pack_into("!H", packet, 6, 0x1FFF)
    assert reading(pcap([ethernet(bytes(packet))]))[0] == []


@pytest.mark.parametrize("v6", [False, True])
def test_options_and_extension_headers_are_passed_over(*, v6: bool) -> None:
    plain = ip(udp(SHORT), v6=v6)
    if v6:
        packet = plain[:4] + struct.pack("!HB", len(plain) - 40 + 8, 0) + plain[7:40] + bytes((17, 0)) + bytes(6) + plain[40:]
    else:
        packet = bytes((0x46,)) + plain[1:2] + struct.pack("!H", len(plain) + 4) + plain[4:20] + bytes(4) + plain[20:]
    assert [export.payload for export in reading(pcap([ethernet(packet)]))[0]] == [SHORT]


def test_a_capture_with_a_short_snapshot_gives_the_beginning_and_counts() -> None:
    found, counts, _ = reading(pcap([ethernet(ip(udp(LONG)))], cut=200))
    assert [(export.payload, export.missing) for export in found] == [(LONG[: 200 - 42], len(LONG) - (200 - 42))]
    assert counts["cut_datagrams"] == 1


@pytest.mark.parametrize("v6", [False, True])
@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 0, 0, 2, 2)])
def test_fragments_cut_by_a_short_snapshot_give_the_beginning_of_the_first(*, v6: bool, order: tuple[int, ...]) -> None:
    pieces = fragments(udp(LONG), 17, [1480, 1480, 9000], v6=v6)
    found, counts, _ = reading(pcap([ethernet(pieces[number]) for number in order], cut=400))
    (export,) = found
    assert export.payload == LONG[: len(export.payload)]
    assert len(export.payload) + export.missing == len(LONG)
    assert 300 < len(export.payload) < 400
    assert (counts["cut_datagrams"], counts["fragments_given_up"]) == (1, 0)


def test_a_datagram_whose_last_fragment_was_cut_is_whole_up_to_there() -> None:
    pieces = fragments(udp(LONG), 17, [800, 9000])
    found, counts, _ = reading(pcap(map(ethernet, pieces), cut=900))
    (export,) = found
    assert export.payload == LONG[: len(export.payload)]
    assert len(export.payload) == 800 - 8 + 900 - 34
    assert len(export.payload) + export.missing == len(LONG)
    assert (counts["cut_datagrams"], counts["fragments_given_up"]) == (1, 0)


@pytest.mark.parametrize(
    "payload",
    [
        LONG,
        struct.pack("!HHIIII", 9, 1, 0, 0, 0, 0) + a_set(0, bytes(8)) + a_set(300, bytes(400)),
        struct.pack("!IIIIIIIII", 5, 1, 1, 0, 1, 1, 1, 1, 400) + bytes(400),
        struct.pack("!HHIIIIBBH", 5, 20, 1000, 0, 0, 0, 0, 0, 0) + bytes(960),
    ],
)
def test_exports_that_were_cut_are_known_on_any_port(payload: bytes) -> None:
    found, _, _ = reading(pcap([ethernet(ip(udp(payload, port=12345)))], cut=200))
    assert [(export.payload, export.missing) for export in found] == [(payload[:158], len(payload) - 158)]


def dns(identity: int) -> bytes:
    return struct.pack("!HHHHHH", identity, 0x0100, 1, 0, 0, 0) + b"\x07example\x03com\0\0\x01\0\x01"


@pytest.mark.parametrize("identity", [1, 5, 7, 9, 10])
def test_other_protocols_are_no_exports_though_they_begin_like_one(identity: int) -> None:
    found, counts, _ = reading(pcap([ethernet(ip(udp(dns(identity), port=53)))]))
    assert not found
    assert counts["other_datagrams"] == 1


def v5(count: int, export_s: int) -> bytes:
    return struct.pack("!HHIIIIBBH", 5, count, 1000, export_s, 0, 0, 0, 0, 0)


@pytest.mark.parametrize(
    "payload",
    [
        SHORT,
        message(basic_template(), a_set(256, basic(1)), export_s=5),
        v5(1, 0) + bytes(48),
        v5(30, AT_S) + bytes(48),
        struct.pack("!HHIIII", 1, 2, 0, 0, 0, 0)[:16] + bytes(104),
        struct.pack("!HHIIII", 9, 1, 0, 0, 0, 0) + a_set(0, bytes(8)),
        struct.pack("!HHIIII", 9, 1, 0, AT_S, 0, 0) + b"\0\0\0\0",
        struct.pack("!HHIIII", 9, 1, 0, 0, 0, 0) + a_set(0, bytes(8)) + b"\1\0\0\1",
        message(a_set(2, bytes(8)), b"\1\0\0\1", export_s=0),
        v5(20, 0) + bytes(60),
        struct.pack("!IIIIIII", 5, 1, 1, 0, 1, 1, 0),
    ],
)
def test_exports_are_known_on_any_port(payload: bytes) -> None:
    assert [export.payload for export in reading(pcap([ethernet(ip(udp(payload, port=12345)))]))[0]] == [payload]


def test_what_goes_to_a_collector_is_taken_though_it_is_broken() -> None:
    broken = b"\0\x09\xff"
    frames = [
        ethernet(ip(udp(payload, port=port)))
        for payload, port in ((broken, 7777), (SHORT, 7777), (broken, 7777), (broken, 2055))
    ]
    found, _, _ = reading(pcap(frames))
    assert [export.frame for export in found] == [2, 3, 4]
    assert to_text(found[1].sender) == EXPORTER
