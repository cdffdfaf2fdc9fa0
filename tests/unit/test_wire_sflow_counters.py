# SPDX-License-Identifier: Apache-2.0
"""Counter records of switches, access points, hosts and virtual machines, after the structures that sflow.org gives."""

from __future__ import annotations

import struct
from collections.abc import Mapping

import pytest

from flowgauge.wire.datagrams import Datagrams
from flowgauge.wire.decoded import Decoded, Value
from flowgauge.wire.decoder import Decoder
from sflow_kit import counter_sample, datagram, part

SIZES = {
    1: 88, 2: 52, 5: 28, 6: 80, 7: 56, 1001: 28, 1002: 12, 1004: 12, 2003: 68, 2004: 72, 2005: 52, 2006: 40, 2007: 76,
    2008: 100, 2009: 60, 2010: 28, 2100: 28, 2101: 12, 2102: 16, 2103: 52, 2104: 40,
}  # fmt: skip
"""Format → bytes of its structure."""


def decoded(*records: bytes) -> Decoded:
    return Decoder().decode(Datagrams.from_payloads([datagram(counter_sample(*records))]))


def values(tag: int, content: bytes) -> Mapping[str, Value]:
    (counters,) = decoded(part(tag, content)).counters
    return counters.values


@pytest.mark.parametrize(("tag", "size"), SIZES.items())
def test_a_record_is_read_from_its_whole_length_on(tag: int, size: int) -> None:
    assert len(values(tag, bytes(range(size)))) > 1
    short = decoded(part(tag, bytes(size - 4)))
    assert [problem.cause for problem in short.problems] == ["counter_fields"]


def test_a_port_of_a_bundle() -> None:
    actor, partner = bytes((2, 0, 0, 0, 0, 1)), bytes((2, 0, 0, 0, 0, 2))
    seen = values(
        7,
        actor
        + bytes(2)
        + partner
        + bytes(2)
        + struct.pack("!I", 77)
        + bytes((61, 61, 61, 63))
        + struct.pack("!8I", *range(1, 9)),
    )
    assert (seen["dot3adAggPortActorSystemID"], seen["dot3adAggPortPartnerOperSystemID"]) == (
        "02:00:00:00:00:01",
        "02:00:00:00:00:02",
    )
    assert (seen["dot3adAggPortAttachedAggID"], seen["dot3adAggPortState"]) == (77, "3d:3d:3d:3f")
    assert [count for name, count in seen.items() if name.endswith(("Rx", "Tx"))] == list(range(1, 9))


def test_a_host_s_protocols_and_a_virtual_disk() -> None:
    assert values(2009, struct.pack("!15I", *range(15)))["tcpRetransSegs"] == 11
    assert values(2010, struct.pack("!7I", *range(7)))["udpRcvbufErrors"] == 4
    assert values(2007, struct.pack("!19I", *range(19)))["ipFragCreates"] == 18
    assert values(2008, struct.pack("!25I", *range(25)))["icmpOutAddrMaskReps"] == 24
    disk = values(2103, struct.pack("!QQQIQIQI", 100, 90, 10, 1, 512, 2, 1024, 3))
    assert (disk["available"], disk["rd_bytes"], disk["wr_req"], disk["wr_bytes"], disk["errs"]) == (10, 512, 2, 1024, 3)
