# SPDX-License-Identifier: Apache-2.0
"""What the flow program counts on real devices, against the kernel's own counters.

The witnesses: device counters, nft counters, TcpOutSegs, and what the applications sent.
"""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from ebpf_kit import flows, touched
from flowgauge.demo.scene import counters
from flowgauge.runtime import linux
from flowgauge.runtime.clock import now_ns
from node_kit import A6, B6, FAR, FAR6, A, B, Observed, TwoPods, is_what_tcp_sent, observed, settled, transfer, two_pods

pytestmark = [pytest.mark.root, pytest.mark.bpf]

SYN, ACK, FIN, PSH = 2, 16, 1, 8


@pytest.fixture(scope="module")
def node() -> Iterator[TwoPods]:
    with two_pods() as built:
        yield built


def between(rows: list[dict[str, Any]], src: str, dst: str, **wanted: int) -> dict[str, Any]:
    """The one flow from ``src`` to ``dst`` with these values."""
    found = [row for row in rows if (row["src_addr"], row["dst_addr"]) == (src, dst) and wanted.items() <= row.items()]
    assert len(found) == 1, rows
    return found[0]


def of_everything(node: TwoPods) -> None:
    """TCP, UDP, SCTP, ICMP, fragments, over IPv4 and IPv6, pod a being one end."""
    transfer(node, ("a", "b"), (B, 9000), 300_000)
    transfer(node, ("far", "a"), (A6, 9000), 300_000)
    for family, address in ((socket.AF_INET, FAR), (socket.AF_INET6, FAR6)):
        with node.socket("a", family, socket.SOCK_DGRAM) as udp:
            for size in (0, 1, 700, 1400, 5000, 20_000):  # the last two in fragments
                udp.sendto(bytes(size), (address, 5353))
    with node.socket("a", socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_SCTP) as sctp:
        sctp.sendto(struct.pack("!HHII", 36412, 36422, 1, 0) + bytes(40), (FAR, 0))
    node.run("a", "ping", "-q", "-c", "3", "-i", "0.05", "-s", "3000", B)
    node.run("far", "ping", "-q", "-c", "3", "-i", "0.05", "-s", "3000", A6)
    with node.socket("a", socket.AF_PACKET, socket.SOCK_RAW) as raw:
        raw.bind(("eth0", 0))
        raw.send(frame(b"\x88\xcc" + bytes(46)))


def frame(after_addresses: bytes) -> bytes:
    """A frame to everybody: EtherType and what follows it."""
    return b"\xff" * 6 + bytes.fromhex("020000000001") + after_addresses


def test_one_device_counts_what_its_counters_count(node: TwoPods) -> None:
    with linux.in_netns(node.node):
        counters.count_not_ip(node.node, "va")
    before = settled(node)["va"]
    with observed(node, ["va"]) as watch:
        assert counters.devices(node.node)["va"] == before
        of_everything(node)
        device = settled(node)["va"].since(before)
        nft = counters.not_ip(node.node)["va"]
        seen, not_ip = touched(watch.program.counters()), watch.program.not_ip()[node.ifindex("va")]
        rows = watch.flows()
    assert seen["seen"] == device.met
    assert seen["seen"] == seen["in_flows"] + seen["not_ip"]
    assert sum(row["packets"] for row in rows) == device.packets - not_ip.packets
    assert sum(row["bytes"] for row in rows) == device.layer3_bytes - (not_ip.bytes - 14 * not_ip.packets)
    # nftables takes layer 3 lengths at ingress, where the Ethernet header is gone already, and frames at egress.
    assert (not_ip.packets, not_ip.bytes) == (nft.packets, nft.layer2_bytes + 14 * nft.rx_packets)
    assert {row["proto"] for row in rows} == {1, 6, 17, 58, 132}


def test_a_packet_is_counted_once_and_every_hook_that_saw_it_is_told(node: TwoPods) -> None:
    before = settled(node)
    with observed(node) as watch:
        transfer(node, ("a", "b"), (B, 9000), 1_000_000)
        after = settled(node)
        rows = watch.flows()
        seen, not_ip = touched(watch.program.counters()), watch.program.not_ip()
    there, back = between(rows, A, B, proto=6), between(rows, B, A, proto=6)
    in_a, in_b = node.ifindex("va"), node.ifindex("vb")
    assert there["observed"] == [f"{in_a} in", f"{in_b} out"]
    assert back["observed"] == [f"{in_b} in", f"{in_a} out"]
    total = {name: after[name].since(before[name]) for name in ("va", "vb", "eth0")}
    for name, ifindex in (("va", in_a), ("vb", in_b)):
        crossed = sum(row["packets"] for row in rows if any(point.split()[0] == str(ifindex) for point in row["observed"]))
        assert crossed == total[name].packets - (not_ip[ifindex].packets if ifindex in not_ip else 0)
    assert seen["seen"] == sum(device.met for device in total.values())
    assert seen["seen_before"] == there["packets"] + back["packets"] == seen["in_flows"]
    assert there["tcp_flags"] == SYN | ACK | FIN | PSH


@pytest.mark.parametrize("way", [("a", "b", B), ("a", "far", FAR), ("far", "b", B6)], ids=["same node", "uplink", "IPv6"])
def test_super_packets_are_counted_as_the_packets_of_the_wire(way: tuple[str, str, str]) -> None:
    """100 MB with all offloads on: one super-packet is up to 45 packets, each with its own headers."""
    size, (sender, receiver, address) = 100_000_000, way
    with two_pods(offloads=True) as built, observed(built) as watch:
        before, frames = counters.tcp_segments_sent(built.netns[sender]), counters.devices(built.node)
        transfer(built, (sender, receiver), (address, 9000), size)
        sent = counters.tcp_segments_sent(built.netns[sender]).since(before)
        device = counters.devices(built.node)[built.device(sender)].since(frames[built.device(sender)])
        row = next(row for row in watch.flows() if row["dst_addr"] == address and row["dst_port"] == 9000)
    assert device.rx_packets < sent.new / 2, "the offloads are not on: this proves nothing"
    assert is_what_tcp_sent((row["packets"], row["bytes"]), sent, size, v6=":" in address)


def test_a_tag_that_the_kernel_took_out_of_the_frame_is_the_flows_vlan(node: TwoPods) -> None:
    ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0xB8, 28, 1, 0, 64, 17, 0, socket.inet_aton(A), socket.inet_aton("10.9.77.1"))
    with observed(node, ["va"]) as watch, node.socket("a", socket.AF_PACKET, socket.SOCK_RAW) as raw:
        raw.bind(("eth0", 0))
        raw.send(frame(struct.pack("!HHH", 0x8100, 0xA000 | 42, 0x0800) + ip + struct.pack("!HHHH", 1000, 2000, 8, 0)))
        settled(node)
        row = between(watch.flows(), A, "10.9.77.1")
    assert (row["vlan_id"], row["ip_tos"], row["bytes"], row["dst_port"]) == (42, 0xB8, 28, 2000)


def test_headers_that_are_cut_off_are_counted_as_parse_errors(node: TwoPods) -> None:
    with observed(node, ["va"]) as watch, node.socket("a", socket.AF_PACKET, socket.SOCK_RAW) as raw:
        raw.bind(("eth0", 0))
        raw.send(frame(b"\x08\x00" + b"\x45" + bytes(9)))
        raw.send(frame(b"\x86\xdd" + b"\x60" + bytes(20)))
        settled(node)
        watch.detach()
        assert touched(watch.program.counters()) == {"seen": 2, "parse_error": 2}


def test_what_the_node_sends_to_a_group_is_counted_once_though_it_hears_itself(node: TwoPods) -> None:
    group = "239.1.2.3"
    member = socket.inet_aton(group) + socket.inet_aton("10.9.1.1")
    with (
        node.socket("node", socket.AF_INET, socket.SOCK_DGRAM) as listener,
        node.socket("node", socket.AF_INET, socket.SOCK_DGRAM) as sender,
    ):
        listener.bind((group, 7000))
        listener.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, member)
        sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("10.9.1.1"))
        with observed(node, ["va"]) as watch:
            sender.sendto(b"hello", (group, 7000))
            assert listener.recv(10) == b"hello"
            row = between(watch.flows(), "10.9.1.1", group, dst_port=7000)
    assert row["packets"] == 1
    assert row["observed"] == [f"{node.ifindex('va')} out"]


def test_one_of_n_packets_is_taken_and_the_rest_is_counted(node: TwoPods) -> None:
    with observed(node, ["va"], sampling=10) as watch:
        transfer(node, ("a", "b"), (B, 9000), 20_000_000)
        rows = watch.flows()
        seen = touched(watch.program.counters())
    assert seen["seen"] == seen["in_flows"] + seen["sampled_out"] + seen.get("not_ip", 0)
    total = seen["in_flows"] + seen["sampled_out"]
    sigma = (total * 0.1 * 0.9) ** 0.5
    assert abs(seen["in_flows"] - total / 10) < 6 * sigma
    assert sum(row["packets"] for row in rows) == seen["in_flows"]


def test_flow_sampling_takes_whole_connections_of_both_directions(node: TwoPods) -> None:
    with observed(node, ["va"], sampling=4, sampling_mode="flow") as watch:
        for _ in range(60):
            transfer(node, ("a", "b"), (B, 9000), 1000)
        rows = watch.flows()
    taken = {row["src_port"]: row for row in rows if row["dst_addr"] == B}
    answers = {row["dst_port"]: row for row in rows if row["dst_addr"] == A}
    assert taken.keys() == answers.keys()
    assert 3 <= len(taken) <= 30
    assert all(row["tcp_flags"] == SYN | ACK | FIN | PSH for row in taken.values())


def test_new_flows_that_find_the_table_full_are_counted(node: TwoPods) -> None:
    with (
        observed(node, ["va"], max_flows=256, cache_sets=1) as watch,
        node.socket("a", socket.AF_INET, socket.SOCK_DGRAM) as udp,
    ):
        for port in range(2000, 3000):
            udp.sendto(b"x", (FAR, port))
        settled(node)
        rows, seen = watch.flows(), touched(watch.program.counters())
    full = seen["table_full"]
    assert full >= 700
    assert seen["seen"] == seen["in_flows"] + full + seen.get("not_ip", 0)
    assert sum(row["packets"] for row in rows) == seen["in_flows"]


def test_eviction_loses_nothing_while_packets_pass(node: TwoPods) -> None:
    """Many evictions during transfers on two CPUs, however slow the machine; the program's own count is per CPU."""
    stop, taken, rounds = threading.Event(), [0], [0]

    def evict(watch: Observed) -> None:
        while not stop.is_set():
            taken[0] += sum(row["packets"] for row in flows(watch.program.evict()))
            rounds[0] += 1

    with observed(node) as watch:
        thread = threading.Thread(target=evict, args=(watch,))
        thread.start()
        before = settled(node, 0.0)["va"]
        transfers = 0
        while transfers < 3 or (rounds[0] <= 20 and transfers < 40):
            transfer(node, ("a", "b"), (B, 9000), 60_000_000)
            transfers += 1
        stop.set()
        thread.join()
        device = settled(node)["va"].since(before)
        taken[0] += sum(row["packets"] for row in watch.flows())
        seen = touched(watch.program.counters())
    assert rounds[0] > 20
    assert taken[0] == seen["in_flows"] == pytest.approx(device.met, abs=4)


def test_times_are_when_the_packets_passed(node: TwoPods) -> None:
    """To a tick of the kernel (10 ms at most), and a little for the clocks."""
    tolerance_ns = 20_000_000
    with observed(node, ["va"]) as watch, node.socket("a", socket.AF_INET, socket.SOCK_DGRAM) as udp:
        sent = []
        for wait_s in (0.3, 0):
            before = now_ns()
            udp.sendto(b"x", (FAR, 4000))
            sent.append((before, now_ns()))
            time.sleep(wait_s)
        settled(node)
        watch.detach()
        entries, ticks = watch.program.evict(), watch.program.ticks()
        row = entries.values[entries.keys["dst_port"] == 4000]
    for name, (before, after) in zip(("first_tick", "last_tick"), sent, strict=True):
        assert before - tolerance_ns <= int(ticks.wall_ns(row[name])[0]) <= after + tolerance_ns
    assert row["packets"].tolist() == [2]
