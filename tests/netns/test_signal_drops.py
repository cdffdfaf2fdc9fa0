# SPDX-License-Identifier: Apache-2.0
"""Dropped packets with their cause, against the counters of whoever dropped them: nftables, queues, sockets."""

from __future__ import annotations

import json
import re
import socket
import struct
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from agent_kit import until
from ebpf_kit import loaded
from flowgauge.demo.scene import kernel
from flowgauge.ebpf.kernel_types import KERNEL_BTF, enumerators
from node_kit import A6, B6, A, B, Observed, TwoPods, observed, settled, two_pods
from signal_kit import one, told

pytestmark = [pytest.mark.root, pytest.mark.bpf]

SERVICE = "10.96.0.80"
RULES = f"""
table inet wall {{
  counter dropped {{ }}
  chain translate {{
    type nat hook prerouting priority dstnat;
    ip daddr {SERVICE} udp dport 53 dnat ip to {B}:7003
  }}
  chain pass {{
    type filter hook forward priority 0;
    udp dport 7001-7003 counter name dropped drop
  }}
}}
"""


@pytest.fixture(scope="module")
def node() -> Iterator[TwoPods]:
    with two_pods(RULES) as built:
        yield built


@contextmanager
def followed(node: TwoPods) -> Iterator[Observed]:
    with observed(node, drops=True) as watch:
        watch.program.attach_signals()
        yield watch


def send(node: TwoPods, to: tuple[str, int], count: int, size: int = 100) -> int:
    """Sends datagrams from pod a; the port they came from."""
    family = socket.AF_INET6 if ":" in to[0] else socket.AF_INET
    with node.socket("a", family, socket.SOCK_DGRAM) as sender:
        for _ in range(count):
            sender.sendto(bytes(size), to)
        port: int = sender.getsockname()[1]
    settled(node)
    return port


def dropped_by_rules(node: TwoPods) -> tuple[int, int]:
    """Packets and layer 3 bytes that the rules dropped since they were made."""
    text = node.run("node", "nft", "-j", "list", "counter", "inet", "wall", "dropped")
    counter = json.loads(text)["nftables"][1]["counter"]
    return counter["packets"], counter["bytes"]


@pytest.mark.parametrize(("src", "dst", "header"), [(A, B, 28), (A6, B6, 48)], ids=["v4", "v6"])
def test_what_a_policy_drops_is_what_it_counts(node: TwoPods, src: str, dst: str, header: int) -> None:
    before = dropped_by_rules(node)
    with followed(node) as watch:
        port = send(node, (dst, 7001), 20)
        row = one(told(watch.program), src_addr=src, dst_addr=dst, src_port=port)
    after = dropped_by_rules(node)
    assert (row["drop_packets"], row["drop_bytes"]) == (after[0] - before[0], after[1] - before[1]) == (20, 20 * (100 + header))
    assert (row["drop_cause"], row["packets"]) == ("NETFILTER_DROP", 20)


def test_what_is_dropped_behind_translation_belongs_to_the_service(node: TwoPods) -> None:
    with followed(node) as watch:
        port = send(node, (SERVICE, 53), 5)
        rows = told(watch.program)
    assert one(rows, src_addr=A, src_port=port)["dst_addr"] == SERVICE
    assert one(rows, src_addr=A, src_port=port)["drop_packets"] == 5


@pytest.mark.parametrize(("src", "dst"), [(A, B), (A6, B6)], ids=["v4", "v6"])
def test_nobody_listens(node: TwoPods, src: str, dst: str) -> None:
    with followed(node) as watch:
        port = send(node, (dst, 7100), 3)
        rows = told(watch.program)
    row = one(rows, src_addr=src, dst_addr=dst, src_port=port)
    assert (row["drop_packets"], row["drop_cause"]) == (3, "NO_SOCKET")


def test_a_full_queue_drops_what_its_statistics_say(node: TwoPods) -> None:
    """It lets 8 kB/s pass: however slowly the 200 kB are sent, most find it full."""
    device = node.device("b")
    node.run("node", "tc", "qdisc", "add", "dev", device, "root", "tbf", "rate", "64kbit", "burst", "10kb", "limit", "15000")
    try:
        with node.socket("b", socket.AF_INET, socket.SOCK_DGRAM) as listener, followed(node) as watch:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
            listener.bind((B, 7200))
            port = send(node, (B, 7200), 200, size=1000)
            dropped = dropped_by_queue(node, device)
            rows = told(watch.program)
    finally:
        node.run("node", "tc", "qdisc", "del", "dev", device, "root")
    row = one(rows, src_addr=A, dst_addr=B, src_port=port)
    assert row["drop_packets"] == dropped > 100
    assert row["drop_cause"].startswith("QDISC")


def dropped_by_queue(node: TwoPods, device: str) -> int:
    """What a queue says that it dropped, once it is empty."""

    def statistics() -> re.Match[str] | None:
        return re.search(r"dropped (\d+)[^\n]*\n backlog 0b 0p", node.run("node", "tc", "-s", "qdisc", "show", "dev", device))

    found: re.Match[str] = until(statistics, "an empty queue")
    return int(found[1])


def test_a_packet_that_no_hook_ever_saw_makes_a_flow_of_no_packets(node: TwoPods) -> None:
    kernel.nft(node.netns["a"], "table ip gate { chain o { type filter hook output priority 0; udp dport 7300 drop; }; }")
    try:
        with followed(node) as watch:
            with node.socket("a", socket.AF_INET, socket.SOCK_DGRAM) as sender:
                sender.bind((A, 0))
                with pytest.raises(PermissionError):
                    sender.sendto(b"x" * 10, (B, 7300))
                port = sender.getsockname()[1]
            rows = told(watch.program)
    finally:
        kernel.nft(node.netns["a"], "delete table ip gate")
    row = one(rows, src_addr=A, dst_addr=B, src_port=port)
    assert (row["packets"], row["bytes"], row["drop_packets"], row["drop_bytes"]) == (0, 0, 1, 38)
    assert abs(row["time_end_ns"] - time.time_ns()) < 10e9


@pytest.mark.parametrize(("src", "dst", "header"), [(A, B, 20), (A6, B6, 48)], ids=["v4", "v6"])
def test_every_fragment_that_is_dropped_belongs_to_its_flow(node: TwoPods, src: str, dst: str, header: int) -> None:
    """Where no connection tracking put them together the kernel drops pieces, of which only the first has ports."""
    hook, family = "{ type filter hook ingress device va priority 0; }", "ip6" if ":" in dst else "ip"
    node.run(
        "node", "nft", f"add table netdev cut; add chain netdev cut in {hook}; add rule netdev cut in {family} daddr {dst} drop"
    )
    try:
        with followed(node) as watch:
            port = send(node, (dst, 7300), 2, size=4000)
            rows = told(watch.program)
    finally:
        node.run("node", "nft", "delete table netdev cut")
    row = one(rows, src_addr=src, dst_addr=dst, proto=socket.IPPROTO_UDP)
    assert (row["src_port"], row["dst_port"], row["packets"]) == (port, 7300, 6)
    assert (row["drop_packets"], row["drop_bytes"]) == (6, 2 * (4008 + 3 * header))


def test_a_wrong_checksum(node: TwoPods) -> None:
    with node.socket("b", socket.AF_INET, socket.SOCK_DGRAM) as listener, followed(node) as watch:
        listener.bind((B, 7400))
        with node.socket("a", socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_UDP) as raw:
            raw.sendto(struct.pack("!HHHH", 7401, 7400, 12, 0xBAD) + b"data", (B, 0))
        settled(node)
        row = one(told(watch.program), src_addr=A, dst_addr=B, src_port=7401)
    assert (row["drop_packets"], row["drop_cause"]) == (1, "UDP_CSUM")


def checksum(data: bytes) -> int:
    """Of the Internet (RFC 1071)."""
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def test_a_segment_from_nowhere_has_the_state_of_the_connection_that_it_disturbs(node: TwoPods) -> None:
    with (
        followed(node) as watch,
        node.socket("b", socket.AF_INET, socket.SOCK_STREAM) as listener,
        node.socket("a", socket.AF_INET, socket.SOCK_STREAM) as client,
        node.socket("a", socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_TCP) as raw,
    ):
        listener.bind((B, 7500))
        listener.listen()
        client.connect((B, 7500))
        connection, (_, port) = listener.accept()
        with connection:
            pseudo = socket.inet_aton(A) + socket.inet_aton(B) + struct.pack("!BBH", 0, socket.IPPROTO_TCP, 20)
            segment = struct.pack("!HHIIBBHHH", port, 7500, 0xDEAD, 0xBEEF, 0x50, 0x10, 512, 0, 0)
            segment = segment[:16] + struct.pack("!H", checksum(pseudo + segment)) + segment[18:]
            raw.sendto(segment, (B, 0))
            settled(node)
            row = one(told(watch.program), src_addr=A, dst_addr=B, src_port=port)
    assert (row["drop_packets"], row["drop_tcp_state"]) == (1, "ESTABLISHED")
    assert row["drop_cause"].startswith("TCP_")


def test_a_connection_that_simply_ends_has_no_drops(node: TwoPods) -> None:
    with followed(node) as watch:
        node.run("a", "true")
        with node.socket("b", socket.AF_INET, socket.SOCK_DGRAM) as listener:
            listener.bind((B, 7600))
            port = send(node, (B, 7600), 3)
        rows = told(watch.program)
    assert one(rows, src_addr=A, dst_addr=B, src_port=port)["drop_packets"] == 0


def test_switched_off_it_sees_nothing(node: TwoPods) -> None:
    with observed(node) as watch:
        watch.program.attach_signals()
        port = send(node, (B, 7001), 5)
        rows = told(watch.program)
    assert one(rows, src_addr=A, src_port=port)["drop_packets"] == 0


@pytest.mark.tool("bpftool")
def test_reasons_are_those_of_the_running_kernel() -> None:
    types = subprocess.run(["bpftool", "btf", "dump", "file", str(KERNEL_BTF), "-j"], capture_output=True, check=True).stdout
    enum = next(t for t in json.loads(types)["types"] if t["kind"] == "ENUM" and t["name"] == "skb_drop_reason")
    assert enumerators("skb_drop_reason") == {member["val"] & 0xFFFFFFFF: member["name"] for member in enum["values"]}
    assert enumerators("no_such_enum") == {}


@pytest.mark.parametrize(
    ("lacking", "drops", "rtt"),
    [
        (b"no_such_name", "on", "on"),
        (b"SKB_DROP_REASON_NOT_SPECIFIED", "not supported: needs Linux >= 5.17", "on"),
        (b"srtt_us", "on", "not supported: needs Linux >= 5.9"),
    ],
)
def test_a_kernel_that_lacks_one_signal_gives_the_others(tmp_path: Path, lacking: bytes, drops: str, rtt: str) -> None:
    types = KERNEL_BTF.open("rb").read()
    (tmp_path / "btf").write_bytes(types.replace(b"\0" + lacking + b"\0", b"\0" + lacking[:-1] + b"#\0"))
    with loaded(drops=True, rtt=True, btf=tmp_path / "btf") as program:
        program.attach_signals()
        assert {name: program.features()[name] for name in ("drops", "rtt")} == {"drops": drops, "rtt": rtt}
