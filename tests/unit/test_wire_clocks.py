# SPDX-License-Identifier: Apache-2.0
"""Clocks that are wrong: uptimes in seconds (trap 23), exporters off by hours, whose flows stand where they came (trap 89)."""

from __future__ import annotations

import struct

import numpy as np
import pytest

from flowgauge.flow.batch import FlowBatch
from flowgauge.pipeline.exporters import ExporterDirectory
from flowgauge.pipeline.normalise import Normalise
from flowgauge.wire.datagrams import Datagrams
from flowgauge.wire.decoder import Decoder
from legacy_kit import EXPORT_S, datagram5, record5
from netflow9_kit import EXPORT_S as EXPORT9_S
from netflow9_kit import UPTIME_MS, flowset, packet
from netflow9_kit import template as template9
from sflow_kit import datagram, ethernet, flow_sample, ipv4, raw, tcp
from wire_kit import a_set, message, template

S = 1_000_000_000
TIMES9 = flowset(0, template9(256, [(8, 4), (22, 4), (21, 4), (2, 4)]))


def ages_s(flows: FlowBatch, at_ns: int) -> list[tuple[float, float]]:
    """How long before ``at_ns`` flows began and ended."""
    return [
        ((at_ns - start) / S, (at_ns - end) / S)
        for start, end in zip(flows.array("time_start_ns").tolist(), flows.array("time_end_ns").tolist(), strict=True)
    ]


def of_seconds(uptime: int, first: int, last: int) -> bytes:
    """A version 5 datagram of a device that has been up for so many seconds; flows by the same clock."""
    return datagram5(record5(first=first, last=last), uptime_ms=uptime, export_ns=(EXPORT_S + uptime) * S, sequence=uptime)


def test_trap_23_netflow5_uptimes_in_seconds_are_seen_by_how_slowly_they_rise() -> None:
    decoder = Decoder()
    for uptime in (1000, 1030, 1060):
        decoded = decoder.decode(Datagrams.from_payloads([of_seconds(uptime, uptime - 50, uptime - 20)]))
    assert ages_s(decoded.flows, (EXPORT_S + 1060) * S) == [(50, 20)]


def test_netflow5_uptimes_in_milliseconds_stay_so() -> None:
    decoder = Decoder()
    for at_s in (0, 30, 60):
        uptime = 1_000_000 + at_s * 1000
        payload = datagram5(record5(first=uptime - 5000, last=uptime - 200), uptime_ms=uptime, export_ns=(EXPORT_S + at_s) * S)
        decoded = decoder.decode(Datagrams.from_payloads([payload]))
    assert ages_s(decoded.flows, (EXPORT_S + 60) * S) == [(5, 0.2)]


@pytest.mark.parametrize("set_by_s", [0, 3 * 3600, 56 * 365 * 86_400])
def test_a_clock_that_is_set_forward_makes_no_seconds_of_uptimes_in_milliseconds(set_by_s: int) -> None:
    """As NTP does with a device that started in 1970: ten seconds of uptime are little beside 56 years."""
    decoder = Decoder()
    for at_s, off_s in ((0, set_by_s), (12, 0)):
        export_ns, uptime = (EXPORT_S + at_s - off_s) * S, 100_000 + at_s * 1000
        payload = datagram5(record5(first=uptime - 5000, last=uptime - 200), uptime_ms=uptime, export_ns=export_ns)
        decoded = decoder.decode(Datagrams.from_payloads([payload], received_ns=(EXPORT_S + at_s) * S))
    assert ages_s(decoded.flows, (EXPORT_S + 12) * S) == [(5, 0.2)]


PROTOCOLS = {
    "netflow5": (EXPORT_S, datagram5(record5())),
    "netflow9": (
        EXPORT9_S,
        packet(TIMES9, flowset(256, struct.pack("!IIII", 1, UPTIME_MS - 9000, UPTIME_MS - 2000, 1))),
    ),
    "ipfix": (
        EXPORT9_S,
        message(a_set(2, template(256, [(8, 4), (152, 8), (153, 8), (2, 4)])),
                a_set(256, struct.pack("!IQQI", 1, (EXPORT9_S - 9) * 1000, (EXPORT9_S - 2) * 1000, 1)), export_s=EXPORT9_S),
    ),
}  # fmt: skip


def kept(payload: bytes, received_ns: int, *, fresh: bool = True) -> FlowBatch:
    decoder = Decoder()
    decoder.fresh = fresh
    return Normalise(ExporterDirectory())(decoder.decode(Datagrams.from_payloads([payload], received_ns=received_ns)).flows)


def test_uptimes_without_a_start_keep_durations_and_distances_also_where_they_wrap() -> None:
    """IPFIX of SonicWall and MikroTik; the set before has another uptime, whose flow ends at its own export."""
    fields = template(256, [(8, 4), (22, 4), (21, 4)])

    def flows(*uptimes: tuple[int, int]) -> bytes:
        return a_set(256, *(bytes((10, 0, 0, 1)) + struct.pack("!II", *(each % 2**32 for each in pair)) for pair in uptimes))

    payloads = message(a_set(2, fields), flows((7000, 9000))), message(flows((-3000, 2000), (-9000, -5000)), sequence=1)
    decoded = Decoder().decode(Datagrams.from_payloads(payloads))
    assert sorted(ages_s(decoded.flows, EXPORT9_S * S)) == [(2, 0), (5, 0), (11, 7)]


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("off_s", [-7200, -600, -61, 61, 7200, 30 * 86_400])
def test_trap_89_flows_of_a_wrong_clock_are_as_old_when_they_came_as_when_they_were_sent(protocol: str, off_s: int) -> None:
    exported_s, payload = PROTOCOLS[protocol]
    right, received_ns = kept(payload, exported_s * S), (exported_s + off_s) * S
    wrong = kept(payload, received_ns)
    assert (wrong.array("time_end_ms") - right.array("time_end_ms") == off_s * 1000).all()
    assert np.array_equal(wrong.array("duration_ms"), right.array("duration_ms"))
    assert (right.array("time_source").tolist(), wrong.array("time_source").tolist()) == ([0], [1])
    assert "time_exported_ns" not in wrong


@pytest.mark.parametrize("off_s", [-59, 0, 59])
def test_what_a_network_may_delay_is_left_alone(off_s: int) -> None:
    exported_s, payload = PROTOCOLS["ipfix"]
    found = kept(payload, (exported_s + off_s) * S)
    assert found.array("time_end_ms").tolist() == [(exported_s - 2) * 1000]
    assert found.array("time_source").tolist() == [0]


def test_what_waited_in_a_file_or_a_stalled_connection_keeps_its_own_time() -> None:
    exported_s, payload = PROTOCOLS["ipfix"]
    found = kept(payload, (exported_s + 7200) * S, fresh=False)
    assert found.array("time_end_ms").tolist() == [(exported_s - 2) * 1000]


def test_exporters_without_a_clock_and_right_ones_stay_beside_a_wrong_one() -> None:
    exported_s, payload = PROTOCOLS["ipfix"]
    received_ns = (exported_s + 7200) * S
    decoder = Decoder()
    decoder.fresh = True
    sample = datagram(flow_sample(raw(ethernet(0x0800, ipv4(6, tcp())))))
    right = datagram5(record5(), export_ns=received_ns)
    decoded = decoder.decode(Datagrams.from_payloads([sample, payload, right], received_ns=received_ns))
    found = Normalise(ExporterDirectory())(decoded.flows)
    by_format = dict(zip(found.array("flow_format").tolist(), found.array("time_source").tolist(), strict=True))
    assert by_format == {6: 0, 5: 1, 2: 0}
