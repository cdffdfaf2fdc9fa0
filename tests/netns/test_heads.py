# SPDX-License-Identifier: Apache-2.0
"""Packet heads that an agent keeps: the packets that tcpdump sees, no payload, bounds, and only for who may."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

import pytest

from agent_kit import until
from dump_kit import tcpdump
from flowgauge.agent.heads import Heads, Question
from flowgauge.agent.heads_cut import HEAD_BYTES
from flowgauge.agent.heads_ring import BLOCK_BYTES, BLOCK_FRAMES, HeadsRing
from flowgauge.agent.heads_route import MAX_CAPTURES
from flowgauge.config.choice import NamespaceChoice
from flowgauge.config.model import Enrichment, Exporter
from flowgauge.enrich.naming import Naming
from flowgauge.runtime import linux
from heads_kit import asked, keeping, message, of_tcpdump, packets, tshark
from node_kit import B6, A, B, TwoPods, settled, transfer, two_pods

pytestmark = pytest.mark.root

SECRET = b"the-password-is-swordfish"


def secrets_sent(built: TwoPods) -> None:
    """The secret over UDP, TCP and ICMP, IPv4 and IPv6."""
    for family, to, port in ((socket.AF_INET, B, 7001), (socket.AF_INET6, B6, 7002)):
        with built.socket("b", family, socket.SOCK_DGRAM) as receiver, built.socket("a", family, socket.SOCK_DGRAM) as sender:
            receiver.bind(("", port))
            sender.sendto(SECRET * 3, (to, port))
            receiver.recv(1000)
        with built.socket("b", family, socket.SOCK_STREAM) as listener, built.socket("a", family, socket.SOCK_STREAM) as out:
            listener.bind(("", port))
            listener.listen()
            out.connect((to, port))
            connection, _ = listener.accept()
            with connection:
                out.sendall(SECRET * 3)
                connection.recv(1000)
    built.run("a", "ping", "-c", "1", "-p", SECRET[:16].hex(), "-s", "64", B)


def _is_of_the_test(data: bytes) -> bool:
    """IPv4, or IPv6 that is no neighbour discovery, which comes when it likes."""
    return data[12:14] == b"\x08\x00" or (data[12:14] == b"\x86\xdd" and data[20] != socket.IPPROTO_ICMPV6)


@pytest.mark.slow
@pytest.mark.tool("tcpdump")
@pytest.mark.tool("tshark")
def test_the_packets_are_those_of_tcpdump_without_their_payload(tmp_path: Path) -> None:
    with two_pods() as node, linux.in_netns(node.node), keeping(tmp_path) as running:
        with tcpdump(node.node, "va", tmp_path / "dump.pcap", "--nano"):
            transfer(node, ("a", "b"), (B, 9000), 100_000)
            secrets_sent(node)
        status, body = asked(running, filter_=f"addr = {A} or addr = fd00:1::2", past="60s")
        assert status == 200
        ledger = asked(running, "ledger")
    (tmp_path / "ours.pcapng").write_bytes(body)
    rows = tshark(tmp_path / "ours.pcapng", "frame.interface_name", "frame.cap_len", "frame.len")
    found = packets(body)
    assert len(rows) == len(found)
    ours = [packet for packet, row in zip(found, rows, strict=True) if row[0] == "va"]
    theirs = [(at, data) for at, data in of_tcpdump(tmp_path / "dump.pcap") if _is_of_the_test(data)]
    ours = [packet for packet in ours if _is_of_the_test(packet.data)]
    assert len(ours) == len(theirs) > 20
    # Packets that two processors handle at once stand in the two files in either order.
    ours.sort(key=lambda packet: (packet.data[:42], packet.time_ns))
    theirs.sort(key=lambda packet: (packet[1][:42], packet[0]))
    for mine, (at, data) in zip(ours, theirs, strict=True):
        assert abs(mine.time_ns - at) < 3_000_000_000, "both are of when the packet passed, one after the other"
        assert mine.data == data[: len(mine.data)]
        assert 42 <= len(mine.data) <= HEAD_BYTES
        assert mine.length == len(data)
    assert SECRET in (tmp_path / "dump.pcap").read_bytes()
    assert SECRET[:8] not in body
    assert b'"heads_seen"' in ledger[1]


def test_a_full_ring_loses_the_oldest_and_counts_them() -> None:
    with two_pods() as node, node.socket("a", socket.AF_INET, socket.SOCK_DGRAM) as sender:
        ring = HeadsRing(2 * BLOCK_BYTES, node.node)
        ring.start()
        try:
            for number in range(2 * BLOCK_FRAMES):
                sender.sendto(b"%08d" % number, (B, 9))
                if number % 500 == 0:
                    ring.span()
            settled(node)
            begin, end = ring.span()
            counters = ring.counters()
            first = ring.read(0)
            assert 0 < begin == first.lost == counters["heads_overwritten"]
            assert counters["heads_seen"] == end + counters["heads_missed"]
            assert end - begin <= 2 * BLOCK_FRAMES
            ring.freeze(60)
            for number in range(2 * BLOCK_FRAMES):
                sender.sendto(b"%08d" % number, (B, 9))
            settled(node)
            assert ring.span()[0] == begin
            assert ring.counters()["heads_missed"] > counters["heads_missed"]
            ring.freeze(0)
            assert ring.span()[0] > begin
        finally:
            ring.stop()


def test_a_capture_ends_when_the_document_leaves_pods_out(tmp_path: Path) -> None:
    """What it would show from then on is theirs, too."""
    with two_pods() as node:
        naming = Naming(None, Enrichment())
        heads = Heads("n1", node.node, lambda: {node.ifindex("va"): "va"}, naming)
        pieces = heads.capture(Question("", 0, 0, 3600.0, 1_000_000), threading.Event())
        assert next(pieces)
        heads.apply(Exporter(namespaces=NamespaceChoice(exclude=["private"])))
        file = tmp_path / "rest.pcapng"
        reading = threading.Thread(target=lambda: file.write_bytes(b"".join(pieces)), daemon=True)
        reading.start()
        reading.join(60)
        assert not reading.is_alive()
        heads.stop()


def test_payload_is_not_even_in_memory() -> None:
    with two_pods() as node:
        ring = HeadsRing(BLOCK_BYTES, node.node)
        ring.start()
        try:
            secrets_sent(node)
            settled(node)
            begin, end = ring.span()
            frames = ring.read(0).frames
        finally:
            ring.stop()
    assert len(frames) == end - begin > 20
    assert SECRET[:8] not in frames.tobytes()


HOSTILE = [
    "port =", "port = 99999999999999999999", "(" * 5000, "not " * 5000 + "port = 1", "src_name ~ '(a+)+$'", "src_name ~ '('",
    "\x00", "port in (" + "1," * 50_000 + "2)", "drop_packets > 0", "'; drop table", "port = 1 or " * 3000 + "port = 2",
]  # fmt: skip


def test_only_who_has_the_token_gets_heads_and_hostile_questions_are_refused(tmp_path: Path) -> None:
    with two_pods() as node, linux.in_netns(node.node), keeping(tmp_path) as running:
        assert asked(running, token="")[0] == asked(running, token="wrong")[0] == 401
        assert asked(running, "heads/freeze", token="")[0] == 401
        for text in HOSTILE:
            status, body = asked(running, filter_=text[:30_000], past="1s")
            assert status in {200, 400, 414}, (text[:40], body[:200])
        for wrong in ({"past": "x"}, {"for_": "9h"}, {"from_": "-1"}, {"max_bytes": "1e9"}, {"from_": "9", "to": "8"}):
            status, body = asked(running, **wrong)
            assert (status, bool(message(body))) == (400, True)
        assert "drop_packets" in message(asked(running, filter_="drop_packets > 0", past="1s")[1])
        assert asked(running, past="60s")[0] == 200
        assert not [event for event in running.log() if event.get("event") == "http_handler_failed"]


def test_without_a_token_or_without_heads_there_is_no_past(tmp_path: Path) -> None:
    with two_pods() as node, linux.in_netns(node.node):
        with keeping(tmp_path, token="") as running:
            status, body = asked(running, past="60s")
            assert (status, "--token-file" in message(body)) == (403, True)
        with keeping(tmp_path, heads="enable: false") as running:
            status, body = asked(running, past="60s")
            assert (status, "spec.exporter.heads.enable" in message(body)) == (400, True)
            status, body = asked(running, for_="200ms")
            assert (status, body[:4]) == (200, b"\x0a\x0d\x0d\x0a")


def test_the_answer_is_never_longer_than_asked(tmp_path: Path) -> None:
    with two_pods() as node, linux.in_netns(node.node), keeping(tmp_path) as running:
        transfer(node, ("a", "b"), (B, 9000), 1_000_000)
        until(lambda: len(asked(running, past="60s")[1]) > 20_000, "heads")
        assert {asked(running, past="60s", method="HEAD")[0] for _ in range(MAX_CAPTURES + 1)} == {200}
        _, body = asked(running, past="60s", max_bytes="5000")
    assert 4000 < len(body) <= 5000
    assert packets(body)
