# SPDX-License-Identifier: Apache-2.0
"""Devices without an Ethernet header (tun), and tap beside them: real connections, against device counters and tcpdump.

PPP is not in every kernel: ``make test-kernels`` has it, with a real pppd over a serial line and over Ethernet.
"""

from __future__ import annotations

import socket
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from agent_kit import agent, collector, until
from dump_kit import tcpdump
from ebpf_kit import loaded, touched
from flowgauge.demo.scene import counters
from flowgauge.demo.scene.counters import Segments
from flowgauge.ebpf import parts
from flowgauge.runtime import linux, logs
from layer3_kit import BEYOND, BEYOND6, LINK, PORT, Seen, behind, seen_at, talk, tun
from node_kit import A6, A, TwoPods, is_what_tcp_sent, observed, settled, transfer, two_pods

pytestmark = [
    pytest.mark.root,
    pytest.mark.bpf,
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/dev/net/tun").exists(), reason="no /dev/net/tun"),
]

ETHERNET_HEADER = 14
HEADERS = {"tun": 0, "tap": ETHERNET_HEADER}


@pytest.fixture(scope="module")
def node() -> Iterator[TwoPods]:
    with two_pods() as built:
        yield built


def by_tshark(file: Path) -> dict[tuple[str, str], tuple[int, int]]:
    """Packets and layer 3 bytes by source and destination, in a capture."""
    fields = ["ip.src", "ip.dst", "ip.len", "ipv6.src", "ipv6.dst", "ipv6.plen"]
    command = ["tshark", "-r", str(file), "-o", "ip.defragment:FALSE", "-o", "ipv6.defragment:FALSE", "-Y", "ip or ipv6",
               "-T", "fields", "-E", "occurrence=f", *(word for name in fields for word in ("-e", name))]  # fmt: skip
    packets, length = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
    for line in subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines():
        src, dst, total, src6, dst6, payload = line.split("\t")
        ends = (src, dst) if total else (src6, dst6)
        packets[ends] += 1
        length[ends] += int(total) if total else int(payload) + 40
    return {ends: (packets[ends], length[ends]) for ends in packets}


@pytest.mark.tool("tcpdump", "tshark")
@pytest.mark.parametrize("kind", HEADERS)
def test_counts_are_those_of_the_device_and_of_tshark(node: TwoPods, kind: str, tmp_path: Path) -> None:
    with behind(node, tun(ethernet=kind == "tap")), tcpdump(node.node, LINK, tmp_path / "link.pcap", "-s", "128"):
        seen = seen_at(node, lambda: talk(node))
    assert seen.counted() == seen.by_device(HEADERS[kind])
    assert seen.counted()[1] > 1_200_000
    assert (LINK in seen.not_ip) is (kind == "tap"), "neighbours are looked for on a link with addresses only"
    assert {row["proto"] for row in seen.rows} >= {1, 6, 17, 58}
    shown = by_tshark(tmp_path / "link.pcap")
    for ends in ((A, BEYOND), (BEYOND, A), (A6, BEYOND6), (BEYOND6, A6)):
        assert seen.by_ends()[ends] == shown[ends], ends


@pytest.mark.parametrize("kind", HEADERS)
def test_each_packet_counts_once_on_its_way_from_a_pod(node: TwoPods, kind: str) -> None:
    with behind(node, tun(ethernet=kind == "tap")):
        seen = seen_at(node, lambda: transfer(node, ("a", "beyond"), (BEYOND, PORT), 300_000))
    there, back = one_way(seen, A, BEYOND), one_way(seen, BEYOND, A)
    assert seen.counters["seen_before"] == there["packets"] + back["packets"]
    assert seen.counters["seen"] == seen.counters["seen_before"] + seen.counters["in_flows"] + seen.counters.get("not_ip", 0)
    assert [point.split()[1] for point in (*there["observed"], *back["observed"])] == ["in", "out", "in", "out"]


def one_way(seen: Seen, src: str, dst: str) -> dict[str, object]:
    """The one TCP flow from ``src`` to ``dst``."""
    (found,) = [row for row in seen.rows if (row["src_addr"], row["dst_addr"], row["proto"]) == (src, dst, 6)]
    return found


@pytest.mark.parametrize("address", [BEYOND, BEYOND6])
@pytest.mark.parametrize("kind", HEADERS)
def test_super_packets_of_a_virtual_machine_count_as_those_of_the_wire(kind: str, address: str) -> None:
    """With offloads the program moves super-packets; both pods' segments are what their kernel counts as sent."""
    size = 20_000_000
    with two_pods(offloads=True) as node, behind(node, tun(ethernet=kind == "tap", offloads=True)):
        before = [counters.tcp_segments_sent(node.netns[place]) for place in ("a", "beyond")]
        seen = seen_at(node, lambda: (transfer(node, ("a", "beyond"), (address, PORT), size),
                                      transfer(node, ("beyond", "a"), (A6 if ":" in address else A, PORT), size)))  # fmt: skip
        sent = [counters.tcp_segments_sent(node.netns[place]).since(then)
                for place, then in zip(("a", "beyond"), before, strict=True)]  # fmt: skip
    assert seen.devices[LINK].packets < seen.counted()[0] / 2, "no super-packet came through: this proves nothing"
    both = Segments(sum(one.new for one in sent), sum(one.repeated for one in sent))
    assert is_what_tcp_sent(seen.counted(), both, 2 * size, v6=":" in address)


def test_loopback_is_observed_by_choice_and_each_packet_counts_once(node: TwoPods) -> None:
    """On loopback every packet passes twice: as it is sent, and as it is received."""
    before = counters.devices(node.node)["lo"]
    with observed(node, ("lo",)) as watch:
        for address in ("127.0.0.1", "::1"):
            transfer(node, ("node", "node"), (address, PORT), 100_000)
        settled(node)
        device = counters.devices(node.node)["lo"].since(before)
        seen, rows = touched(watch.program.counters()), watch.flows()
    assert device.packets == seen["seen"] == 2 * seen["in_flows"]
    assert seen["in_flows"] == sum(row["packets"] for row in rows) == device.rx_packets
    assert sum(row["bytes"] for row in rows) == device.rx_bytes, "which this device counts without the Ethernet header"
    assert {row["src_addr"] for row in rows} == {"127.0.0.1", "::1"}


def test_an_agent_observes_a_tunnel_of_user_space_from_its_beginning_to_its_end(node: TwoPods, tmp_path: Path) -> None:
    """As a VPN's that is started later; what the agent sends is what the device counted."""
    with collector() as to:
        options = [
            "--netns",
            node.node,
            "--collector",
            f"127.0.0.1:{to.port}",
            "--http-port",
            "0",
            "--export-interval",
            "200ms",
        ]
        with agent(options, tmp_path) as running:
            with behind(node, tun()):
                until(lambda: LINK in {event["interface"] for event in running.events("interface_attached")}, "attached")
                settled(node, 1.2)
                before, ifindex = counters.devices(node.node)[LINK], node.ifindex(LINK)
                transfer(node, ("a", "beyond"), (BEYOND, PORT), 300_000)
                device = settled(node)[LINK].since(before)
                until(lambda: total(to.rows(), "packets") >= device.packets, "all packets sent")
            until(lambda: LINK in {event["interface"] for event in running.events("interface_detached")}, "detached")
            assert running.stop() == 0
        rows = [row for row in to.rows() if row["proto"] == socket.IPPROTO_TCP]
    assert (total(rows, "packets"), total(rows, "bytes")) == (device.packets, device.layer2_bytes)
    assert {(row["in_if"], row["out_if"]) for row in rows if row["src_addr"] == A and row["packets"]} == {
        (node.ifindex("va"), ifindex)
    }, "of what sockets tell once all packets are told, no device is known"


def total(rows: list[dict[str, Any]], name: str) -> int:
    """A column's sum."""
    return sum(row[name] for row in rows)


def test_programs_for_devices_without_ethernet_are_loaded_with_the_first_of_them(node: TwoPods) -> None:
    """They take as long to load as all that most nodes need."""
    ethernet, bare = {"flow_ingress", "flow_egress"}, {"flow_ingress_l3", "flow_egress_l3"}
    with behind(node, tun(ethernet=False)), loaded(max_flows=1024) as program, linux.in_netns(node.node), ExitStack() as hooks:
        hooks.callback(program.attach(socket.if_nametoindex("va")).detach)
        assert program.run_times().keys() == ethernet
        hooks.callback(program.attach(socket.if_nametoindex(LINK)).detach)
        assert program.run_times().keys() == ethernet | bare


def test_why_programs_that_a_later_device_needs_are_refused_is_logged(node: TwoPods, monkeypatch: pytest.MonkeyPatch) -> None:
    with behind(node, tun(ethernet=False)), loaded(max_flows=1024) as program, linux.in_netns(node.node):
        monkeypatch.setattr(parts, "_image", lambda: b"no object")
        with logs.captured() as told, pytest.raises(OSError, match="read the eBPF object"):
            program.attach(socket.if_nametoindex(LINK))
        program.attach(socket.if_nametoindex("va")).detach()
    (refused,) = [one for one in told if one["event"] == "ebpf_load_failed"]
    assert "ELF" in refused["log"]
