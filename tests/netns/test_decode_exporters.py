# SPDX-License-Identifier: Apache-2.0
"""Real exporters, a real network, a real capture: ``flowgauge decode`` reads what was sent, and what nfdump received."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import struct
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent_kit import until
from capture_kit import ethernet, pcap
from flowgauge.cli.main import main
from flowgauge.runtime import linux
from oracle_kit import all_read

pytestmark = [pytest.mark.root, pytest.mark.tool("tcpdump", "ip")]
Record = tuple[Any, ...]
"""Addresses, ports, protocol, bytes, packets, TCP flags, type of service."""
TOS = 0x20


def v4(source: str, target: str, proto: int, payload: bytes) -> bytes:
    ends = socket.inet_aton(source) + socket.inet_aton(target)
    return struct.pack("!BBHHHBBH", 0x45, TOS, 20 + len(payload), 0, 0, 64, proto, 0) + ends + payload


def v6(source: str, target: str, proto: int, payload: bytes) -> bytes:
    ends = socket.inet_pton(socket.AF_INET6, source) + socket.inet_pton(socket.AF_INET6, target)
    return struct.pack("!IHBB", 6 << 28 | TOS << 20, len(payload), proto, 64) + ends + payload


def tcp(source: int, target: int, flags: int, size: int) -> bytes:
    return struct.pack("!HHIIBBHHH", source, target, 1, 1, 0x50, flags, 100, 0, 0) + bytes(size)


def udp(source: int, target: int, size: int) -> bytes:
    return struct.pack("!HHHH", source, target, 8 + size, 0) + bytes(size)


def traffic() -> list[bytes]:
    """IPv4 and IPv6, TCP and UDP, a ping: enough flows for several datagrams of each protocol."""
    packets = []
    for host in range(1, 41):
        packets += [v4(f"10.0.0.{host}", "10.0.1.1", 6, tcp(40000 + host, 443, 0x18 if n else 0x02, 100 * n)) for n in range(4)]
        packets.append(v4("10.0.1.1", f"10.0.0.{host}", 17, udp(53, 50000 + host, 60)))
        packets.append(v6(f"2001:db8::{host:x}", "2001:db8:1::1", 6, tcp(41000 + host, 80, 0x02, 0)))
    packets.append(v4("10.0.0.1", "10.0.1.1", 1, struct.pack("!BBHHH", 8, 0, 0, 1, 1) + bytes(56)))
    return packets


def sent(packets: list[bytes]) -> Counter[Record]:
    """The flows of the traffic, by hand."""
    flows: dict[Record, list[int]] = {}
    for packet in packets:
        four = packet[0] >> 4 == 4
        family, ends = (socket.AF_INET, packet[12:20]) if four else (socket.AF_INET6, packet[8:40])
        half, content, proto = len(ends) // 2, packet[20:] if four else packet[40:], packet[9] if four else packet[6]
        ports = (0, 0) if proto == 1 else struct.unpack_from("!HH", content)
        addresses = (socket.inet_ntop(family, ends[:half]), socket.inet_ntop(family, ends[half:]))
        known = flows.setdefault((*addresses, *ports, proto), [0, 0, 0])
        known[0] += len(packet)
        known[1] += 1
        known[2] |= content[13] if proto == 6 else 0
    return Counter((*key, *counts) for key, counts in flows.items())


@pytest.fixture(scope="module")
def namespace() -> Iterator[list[str]]:
    """A network of its own with a loopback device; what to put before a command to run there."""
    name = f"fg-decode-{os.getpid()}"
    subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        subprocess.run(["ip", "-n", name, "link", "set", "lo", "up"], check=True)
        yield ["ip", "netns", "exec", name]
    finally:
        subprocess.run(["ip", "netns", "del", name], check=True)


@contextlib.contextmanager
def running(command: list[str], started: str) -> Iterator[None]:
    """A program that runs while the block does; it has printed ``started`` before."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert process.stdout is not None
    try:
        assert any(started in line for line in process.stdout), command
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)
        process.stdout.close()


def records_in(capture: Path) -> int:
    """Records of flows in a capture until now."""
    stats = capture.with_name("until-now")
    main(["decode", "--stats", str(stats), str(capture)])
    return int(json.loads(stats.read_text())["data_records"]) if stats.exists() else 0


def exporter(kind: str, version: int, folder: Path) -> list[str]:
    """The command that reads ``traffic.pcap`` in ``folder`` and exports its flows to port 2055."""
    if kind == "softflowd":
        return ["softflowd", "-d", "-6", "-r", str(folder / "traffic.pcap"), "-n", "127.0.0.1:2055", "-v", str(version),
                "-c", "none", "-p", str(folder / "pid")]  # fmt: skip
    settings = folder / "pmacct.conf"
    settings.write_text(
        f"daemonize: false\npcap_savefile: {folder / 'traffic.pcap'}\nplugins: nfprobe\nnfprobe_version: {version}\n"
        "nfprobe_receiver: 127.0.0.1:2055\naggregate: src_host, dst_host, src_port, dst_port, proto, tos, tcpflags\n"
    )
    return ["pmacctd", "-f", str(settings)]


@pytest.mark.tool("nfcapd", "nfdump")
@pytest.mark.parametrize(
    ("kind", "version"),
    [
        *(pytest.param("softflowd", version, marks=pytest.mark.tool("softflowd")) for version in (1, 5, 9, 10)),
        *(pytest.param("pmacctd", version, marks=pytest.mark.tool("pmacctd")) for version in (5, 9, 10)),
    ],
)
def test_what_was_sent_is_what_is_decoded(kind: str, version: int, namespace: list[str], tmp_path: Path,
                                          capfdbinary: pytest.CaptureFixture[bytes]) -> None:  # fmt: skip
    packets, capture, received = traffic(), tmp_path / "capture.pcap", tmp_path / "nfcapd"
    wanted = sent([packet for packet in packets if version >= 9 or packet[0] >> 4 == 4])
    (tmp_path / "traffic.pcap").write_bytes(pcap(map(ethernet, packets)))
    received.mkdir()
    watch = [*namespace, "tcpdump", "-U", "-n", "-i", "lo", "-w", str(capture), "udp port 2055"]
    collect = [*namespace, "nfcapd", "-w", str(received), "-b", "127.0.0.1", "-p", "2055", "-t", "3600"]
    with running(collect, "Startup nfcapd"), running(watch, "listening on"):
        subprocess.run([*namespace, *exporter(kind, version, tmp_path)], check=False, capture_output=True, timeout=60)
        until(lambda: records_in(capture) >= wanted.total(), "all flows are exported")
        with linux.in_netns(namespace[-1]):
            until(lambda: all_read(2055), "nfcapd reads")
    capfdbinary.readouterr()
    assert main(["decode", "--stats", str(tmp_path / "stats"), str(capture)]) == 0
    output, problems = capfdbinary.readouterr()
    rows = [json.loads(line) for line in output.splitlines()]
    assert not problems
    seen = flows_of(rows)
    assert seen == wanted
    if version > 1:  # nfdump does not know that softflowd's records of NetFlow 1 have 48 bytes
        assert seen == of_nfdump(received)
    stats = json.loads((tmp_path / "stats").read_text())
    assert (stats["data_records"], stats["decode_errors"], stats["sets_without_template"]) == (len(rows), {}, 0)


@pytest.mark.tool("softflowd", "pmacctd")
@pytest.mark.parametrize(("version", "order"), [(9, ("softflowd", "pmacctd")), (10, ("pmacctd", "softflowd"))])
def test_two_probes_at_one_address_and_domain_are_both_decoded(
    version: int, order: tuple[str, str], namespace: list[str], tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    """Both number their templates 1024 and 2048, with other fields: data read by the other's would be noise."""
    packets, capture = traffic(), tmp_path / "capture.pcap"
    once = sent(packets)
    (tmp_path / "traffic.pcap").write_bytes(pcap(map(ethernet, packets)))
    watch = [*namespace, "tcpdump", "-U", "-n", "-i", "lo", "-w", str(capture), "udp port 2055"]
    with running(watch, "listening on"):
        for number, kind in enumerate(order, 1):
            subprocess.run([*namespace, *exporter(kind, version, tmp_path)], check=False, capture_output=True, timeout=60)
            # pmacctd's plugin may send after pmacctd itself has ended.
            wanted = number * once.total()
            until(lambda wanted=wanted: records_in(capture) >= wanted, "all flows are exported")
    capfdbinary.readouterr()
    assert main(["decode", "--stats", str(tmp_path / "stats"), str(capture)]) == 0
    output, problems = capfdbinary.readouterr()
    assert not problems
    assert flows_of([json.loads(line) for line in output.splitlines()]) == once + once
    stats = json.loads((tmp_path / "stats").read_text())
    assert (stats["decode_errors"], stats["sets_without_template"]) == ({}, 0)


def flows_of(rows: list[dict[str, Any]]) -> Counter[Record]:
    """What was decoded."""
    names = ("src_addr", "dst_addr", "src_port", "dst_port", "proto", "bytes", "packets", "tcp_flags")
    return Counter(tuple(row.get(name, 0) for name in names) for row in rows)


def of_nfdump(folder: Path) -> Counter[Record]:
    """What nfcapd has understood of the same datagrams."""
    output = subprocess.run(["nfdump", "-R", str(folder), "-o", "json"], capture_output=True, check=True).stdout
    return Counter(
        (
            flow.get("src4_addr") or flow["src6_addr"], flow.get("dst4_addr") or flow["dst6_addr"], flow.get("src_port", 0),
            flow.get("dst_port", 0), flow["proto"], flow["in_bytes"], flow["in_packets"],
            sum(1 << bit for bit, letter in enumerate("FSRPAUEC") if letter in flow.get("tcp_flags", "")),
        )
        for flow in json.loads(output)
    )  # fmt: skip
