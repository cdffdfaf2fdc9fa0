# SPDX-License-Identifier: Apache-2.0
"""The two parsers of the flow program agree on every packet, good or bad.

A VLAN tag of VLAN 0 in the frame sends a packet through the parser for any packet and changes nothing about its flow.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ebpf_kit import context, flows, loaded, show, touched
from flowgauge.ebpf.flow_program import FlowProgram

pytestmark = pytest.mark.bpf

MACS = bytes(12)
PRIORITY_TAG = struct.pack("!HH", 0x8100, 0)


@pytest.fixture(scope="module")
def program() -> Iterator[FlowProgram]:
    with loaded(max_flows=1024) as one:
        yield one


@st.composite
def layer4(draw: st.DrawFn, proto: int) -> bytes:
    payload = draw(st.integers(0, 60))
    if proto == 6:
        ports, doff_flags = draw(st.tuples(st.integers(0, 65535), st.integers(0, 65535))), draw(st.integers(0, 65535))
        return struct.pack("!HHIIHHHH", *ports, 1, 2, doff_flags, 100, 0, 0) + bytes(payload)
    if proto == 17:
        return struct.pack("!HHHH", draw(st.integers(0, 65535)), draw(st.integers(0, 65535)), 8 + payload, 0) + bytes(payload)
    return draw(st.binary(min_size=0, max_size=40))


@st.composite
def packets(draw: st.DrawFn) -> tuple[int, bytes]:
    """(EtherType, IP packet): mostly sound, each field that decides something wrong now and then."""
    proto = draw(st.sampled_from([6, 6, 17, 17, 1, 58, 132, 0, 43, 44, 60, 51, 99]))
    body = draw(layer4(proto))
    cut, trailer = draw(st.integers(0, len(body))) if draw(st.booleans()) else 0, draw(st.integers(0, 12))
    wire = body[: len(body) - cut] + bytes(trailer)
    if draw(st.booleans()):
        words = draw(st.sampled_from([5, 5, 5, 5, 6, 8, 4, 15]))
        options = bytes(max(0, words - 5) * 4)
        length = (
            draw(st.sampled_from([0, 0, 0, 0, 1, -1, 9])) + words * 4 + len(body) if draw(st.booleans()) else 20 + len(body)
        )
        fragment = draw(st.sampled_from([0, 0x4000, 0, 0, 0x2000, 0x0007, 0x8000]))
        first = draw(st.sampled_from([4, 4, 4, 4, 4, 6])) << 4 | words
        header = struct.pack(
            "!BBHHHBBHII", first, draw(st.integers(0, 255)), length, 7, fragment, 64, proto, 0, 0x0A000001, 0x0A000002
        )
        return 0x0800, header + options + wire
    length = draw(st.integers(0, len(body) + 4)) if draw(st.booleans()) else len(body)
    version = draw(st.sampled_from([6, 6, 6, 6, 4])) << 28 | draw(st.integers(0, (1 << 28) - 1))
    return 0x86DD, struct.pack("!IHBB", version, length, proto, 64) + bytes(15) + b"\1" + bytes(15) + b"\2" + wire


def counted(program: FlowProgram, frame: bytes, ctx: bytes) -> tuple[list[dict[str, Any]], dict[str, int]]:
    before = program.counters()
    show(program, frame, ctx=ctx)
    after = program.counters()
    return flows(program.evict()), touched({name: after[name] - before[name] for name in after})


@settings(max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(packet=packets(), gso=st.sampled_from([(0, 0), (0, 0), (0, 0), (10, 0), (10, 4), (1000, 1)]))
def test_both_parsers_see_the_same_flow(program: FlowProgram, packet: tuple[int, bytes], gso: tuple[int, int]) -> None:
    ether_type, content = packet
    ctx = context(gso_size=gso[0], gso_segments=gso[1])
    plain = counted(program, MACS + struct.pack("!H", ether_type) + content, ctx)
    tagged = counted(program, MACS + PRIORITY_TAG + struct.pack("!H", ether_type) + content, ctx)
    assert plain == tagged
    assert sum(plain[1].values()) == 2 * plain[1]["seen"]
    assert plain[1].get("in_flows", 0) == sum(row["packets"] for row in plain[0])
