# SPDX-License-Identifier: Apache-2.0
"""Nodes' counters and packet heads are scored against the kernel's: what agrees is held, what is lost or too much is not."""

from __future__ import annotations

import struct
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from flowgauge.demo.report import packet_heads
from flowgauge.demo.report.link_level import DROPPED, OVERFLOWS, PASSED, TRACKED, NodeTold, scores
from flowgauge.demo.report.packet_heads import HEADS, PAYLOAD, heads
from flowgauge.demo.report.score import Score
from flowgauge.demo.scene.counters import Traffic
from flowgauge.demo.scene.node_counters import Counted
from flowgauge.wire.captures import pcapng_write

DEVICE = Traffic(100, 9_000, 50, 4_000, dropped=7, not_sent=3)


def _counted(device: Traffic = DEVICE, udp: int = 5, tracked: int = 20) -> Counted:
    return Counted({"eth0": device, "lo": Traffic()}, {"listen_overflows": 0, "udp_receive_overflows": udp}, tracked)


GOOD = NodeTold(
    before=_counted(), asked={"eth0": Traffic(100, 9_000, 50, 4_000)}, after=_counted(), ended=_counted(tracked=18),
    stored={"device_in_dropped_packets@eth0": 4, "device_out_dropped_packets@eth0": 3, "udp_receive_overflows": 5,
            "conntrack_entries": 19},
)  # fmt: skip


def _failed(*nodes: NodeTold) -> dict[str, float]:
    return {score.name: score.error for score in scores(nodes) if not score.held}


def test_what_agents_told_is_what_the_kernels_show() -> None:
    found = {score.name: (score.measured, score.truth, score.where) for score in scores([GOOD, GOOD])}
    assert found == {
        PASSED: (300, 300, "by agents"), DROPPED: (14, 14, "in the store"), OVERFLOWS: (10, 10, "in the store"),
        TRACKED: (38, 36, "in the store"),
    }  # fmt: skip
    assert _failed(GOOD, GOOD) == {}
    assert scores([]) == []


def test_what_moved_while_the_agent_was_asked_or_ended_may_be_told_or_not() -> None:
    more = replace(DEVICE, rx_packets=110, rx_bytes=9_900, dropped=9)
    told_early = replace(GOOD, after=_counted(more), ended=_counted(more, tracked=18))
    assert _failed(told_early) == {DROPPED: 2}
    assert _failed(replace(GOOD, ended=_counted(more, udp=6, tracked=18))) == {}


def test_a_lost_counter_of_a_device_is_not_held() -> None:
    lost = {name: value for name, value in GOOD.stored.items() if name != "device_out_dropped_packets@eth0"}
    assert _failed(GOOD, replace(GOOD, stored=lost)) == {DROPPED: 3}


def test_what_one_node_has_too_much_does_not_make_up_for_what_another_lacks() -> None:
    more, less = ({**GOOD.stored, "udp_receive_overflows": value} for value in (9, 1))
    assert _failed(replace(GOOD, stored=more), replace(GOOD, stored=less)) == {OVERFLOWS: 8}


@pytest.mark.parametrize(("asked", "off"), [({}, 13_150), ({"eth0": replace(DEVICE, tx_bytes=4_001)}, 1)])
def test_an_agent_that_does_not_answer_or_counts_wrong_is_not_held(asked: dict[str, Traffic], off: int) -> None:
    assert _failed(replace(GOOD, asked=asked)) == {PASSED: off}


def test_nothing_stored_of_a_node_is_not_held() -> None:
    assert _failed(replace(GOOD, stored={})) == {DROPPED: 7, OVERFLOWS: 5, TRACKED: 18}


ETHERNET_IPV4 = bytes(12) + b"\x08\x00"


def _packet(payload: int = 0, options: int = 12) -> bytes:
    ip = bytes([0x45, 0]) + struct.pack("!HHHBBH", 40 + options + payload, 1, 0, 64, 6, 0) + bytes([10, 0, 0, 1, 10, 0, 0, 2])
    tcp = struct.pack("!HHIIBBHHH", 40_000, 80, 1, 1, (20 + options) << 2, 0x10, 64, 0, 0) + bytes(options)
    return ETHERNET_IPV4 + ip + tcp + bytes(payload)


def _capture(*packets: tuple[int, bytes]) -> bytes:
    """``packets`` by number of the device: the client's link, or the other's; each was 300 bytes longer."""
    blocks = [pcapng_write.section("test")]
    blocks += [pcapng_write.interface(name, "node n1", pcapng_write.ETHERNET, 100) for name in ("veth-client", "veth-other")]
    blocks += [pcapng_write.packet(number, 1_000, data, len(data) + 300, comment="a → b") for number, data in packets]
    return b"".join([*blocks, pcapng_write.statistics(0, 2_000, 0)])


def _heads(capture: bytes, packets: int) -> dict[str, Score]:
    return {score.name: score for score in packet_heads.scores(capture, "veth-client", packets)}


CAPTURE = _capture((0, _packet()), (1, _packet()), (0, _packet(options=0)), (1, _packet()), (0, _packet()))


def test_heads_of_a_connection_are_counted_at_one_device() -> None:
    found = _heads(CAPTURE, 3)
    assert (found[HEADS].measured, found[HEADS].truth, found[HEADS].held) == (3, 3, True)
    assert (found[PAYLOAD].measured, found[PAYLOAD].held) == (0, True)


@pytest.mark.parametrize("capture", [CAPTURE, CAPTURE[:-100], b"", b"{}", b"\x00" * 40, CAPTURE[:30] + b"\xff" * 40])
def test_heads_that_are_missing_are_not_held(capture: bytes) -> None:
    assert not _heads(capture, 4)[HEADS].held


def test_payload_among_heads_is_not_held() -> None:
    found = _heads(_capture((0, _packet(payload=5)), (0, ETHERNET_IPV4 + b"secret")), 2)
    assert (found[PAYLOAD].measured, found[PAYLOAD].held) == (5 + 6, False)


@pytest.mark.tool("tshark")
def test_tshark_reads_the_same_packets(tmp_path: Path) -> None:
    path = tmp_path / "talk.pcapng"
    path.write_bytes(CAPTURE)
    fields = ["-T", "fields", "-e", "frame.interface_name", "-e", "frame.cap_len", "-e", "frame.len"]
    shown = subprocess.run(["tshark", "-r", str(path), *fields], capture_output=True, text=True, check=True).stdout
    ours = [f"{head.device}\t{len(head.data)}\t{head.length}" for head in heads(CAPTURE)]
    assert shown.splitlines() == ours
