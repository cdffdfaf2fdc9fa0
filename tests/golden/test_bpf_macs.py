# SPDX-License-Identifier: Apache-2.0
"""Ethernet addresses of flows by the real program in the real kernel (PROG_TEST_RUN): the witness is the frame itself."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator

import pytest

from ebpf_kit import flows, loaded, show, touched
from flowgauge.ebpf.flow_program import FlowProgram
from flowgauge.ebpf.tables import Evicted

pytestmark = pytest.mark.bpf

DST, SRC, OTHER = b"\x02\0\0\0\0\x01", b"\x02\0\0\0\0\x02", b"\x02\0\0\0\0\x03"
V4, V6 = b"\x08\0", b"\x86\xdd"
TAG = b"\x81\0\0\x07"
VXLAN = b"\x08\0\0\0\0\0\x2a\0"


def udp(port: int, body: bytes = b"") -> bytes:
    return struct.pack("!HHHH", 50_000, port, 8 + len(body), 0) + body


def ipv4(body: bytes) -> bytes:
    ends = socket.inet_aton("10.0.0.1") + socket.inet_aton("10.0.0.2")
    return struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(body), 7, 0, 64, 17, 0) + ends + body


def ipv6(body: bytes) -> bytes:
    ends = [socket.inet_pton(socket.AF_INET6, end) for end in ("fd00::1", "fd00::2")]
    return struct.pack("!IHBB", 6 << 28, len(body), 17, 64) + b"".join(ends) + body


def frame(port: int, src: bytes = SRC) -> bytes:
    return DST + src + V4 + ipv4(udp(port))


WITHIN = OTHER + OTHER + V4 + ipv4(udp(1))
SHAPES = {
    "IPv4": frame(1),
    "IPv6": DST + SRC + V6 + ipv6(udp(1)),
    "tagged": DST + SRC + TAG + V4 + ipv4(udp(1)),
    "in a tunnel": DST + SRC + V4 + ipv4(udp(4789, VXLAN + WITHIN)),
}


@pytest.fixture(scope="module")
def program() -> Iterator[FlowProgram]:
    with loaded(max_flows=1024, macs=True, tunnels=True) as one:
        yield one


def macs(evicted: Evicted) -> dict[bytes, tuple[bytes, bytes]]:
    """Source and destination by the bytes of the flow's key, each told once."""
    pairs = [(one["src"].tobytes(), one["dst"].tobytes()) for one in evicted.macs.values]
    found = dict(zip((key.tobytes() for key in evicted.macs.keys), pairs, strict=True))
    assert len(found) == len(pairs)
    return found


@pytest.mark.parametrize("egress", [False, True], ids=["in", "out"])
@pytest.mark.parametrize("shape", SHAPES)
def test_a_flow_has_the_addresses_of_its_frame(program: FlowProgram, shape: str, egress: bool) -> None:  # noqa: FBT001
    show(program, SHAPES[shape], egress=egress)
    evicted = program.evict()
    assert macs(evicted) == {evicted.keys[0].tobytes(): (SRC, DST)}


def test_the_first_packet_of_an_interval_tells_and_the_next_interval_tells_anew(program: FlowProgram) -> None:
    for first, later in ((SRC, OTHER), (OTHER, SRC)):
        show(program, frame(1, first))
        for _ in range(20):
            show(program, frame(1, later))
        evicted = program.evict()
        assert [row["packets"] for row in flows(evicted)] == [21]
        assert list(macs(evicted).values()) == [(first, DST)]


def test_unless_asked_there_are_none() -> None:
    with loaded(max_flows=1024) as plain:
        show(plain, frame(1))
        evicted = plain.evict()
    assert len(evicted) == 1
    assert not len(evicted.macs)


def test_every_flow_of_which_chance_took_a_packet_has_them() -> None:
    with loaded(max_flows=1024, macs=True, sampling=4) as program:
        for port in range(1, 401):
            show(program, frame(port))
        counters, evicted = touched(program.counters()), program.evict()
    assert 0 < counters["in_flows"] < 400
    assert macs(evicted) == {key.tobytes(): (SRC, DST) for key in evicted.keys}


@pytest.mark.parametrize("cache_sets", [0, None], ids=["in the table", "in the cache"])
def test_what_finds_no_room_is_counted_and_its_packet_all_the_same(cache_sets: int | None) -> None:
    with loaded(max_flows=256, macs=True, cache_sets=cache_sets) as program:
        for port in range(1, 601):
            show(program, frame(port))
        counters, evicted = touched(program.counters()), program.evict()
    assert counters["in_flows"] + counters.get("table_full", 0) == 600
    assert macs(evicted).keys() <= {key.tobytes() for key in evicted.keys}
    assert len(evicted.macs) + counters.get("kernel_macs_full", 0) == len(evicted)
