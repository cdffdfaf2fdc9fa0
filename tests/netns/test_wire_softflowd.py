# SPDX-License-Identifier: Apache-2.0
"""A real exporter that we did not write: softflowd reads known packets and sends IPFIX or v9; we count what was in them."""

from __future__ import annotations

import socket
import struct
import subprocess
from pathlib import Path

import pytest

from flowgauge.flow.addresses import to_text
from flowgauge.flow.batch import FlowBatch
from flowgauge.wire.datagrams import Datagrams
from flowgauge.wire.decoder import Decoder

START_S = 1_767_000_000
Packet = tuple[float, bytes]
"""Seconds after the start, and an IPv4 packet."""


def ipv4(source: str, destination: str, proto: int, payload: bytes) -> bytes:
    ends = socket.inet_aton(source) + socket.inet_aton(destination)
    return struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(payload), 0, 0, 64, proto, 0) + ends + payload


def tcp(source_port: int, port: int, flags: int, size: int) -> bytes:
    return struct.pack("!HHIIBBHHH", source_port, port, 1, 1, 0x50, flags, 100, 0, 0) + bytes(size)


def packets() -> list[Packet]:
    """A TCP connection with more packets one way, a few of UDP, one ping."""
    client, server = "10.0.0.1", "10.0.0.2"
    found = [(n * 0.1, ipv4(client, server, 6, tcp(40000, 80, 0x02 if n == 0 else 0x18, 100 * n))) for n in range(10)]
    found += [(n * 0.1, ipv4(server, client, 6, tcp(80, 40000, 0x12 if n == 0 else 0x18, 1000))) for n in range(5)]
    udp = struct.pack("!HHHH", 5000, 53, 68, 0) + bytes(60)
    found += [(1 + n * 0.5, ipv4("10.0.0.3", "10.0.0.4", 17, udp)) for n in range(3)]
    found.append((2.5, ipv4("10.0.0.5", "10.0.0.6", 1, struct.pack("!BBHHH", 8, 0, 0, 1, 1) + bytes(56))))
    return sorted(found)


def write_pcap(path: Path, content: list[Packet]) -> None:
    with path.open("wb") as file:
        file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1))
        for after_s, packet in content:
            frame = bytes(12) + b"\x08\0" + packet
            second, micro = divmod(round(after_s * 1_000_000), 1_000_000)
            file.write(struct.pack("<IIII", START_S + second, micro, len(frame), len(frame)) + frame)


def exported(path: Path, folder: Path, version: str, time_format: str) -> list[bytes]:
    """What softflowd sends of a capture file."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as collector:
        collector.bind(("127.0.0.1", 0))
        collector.settimeout(0.5)
        where = f"127.0.0.1:{collector.getsockname()[1]}"
        command = ["softflowd", "-d", "-r", str(path), "-n", where, "-v", version, "-A", time_format, "-c", "none"]
        subprocess.run([*command, "-p", str(folder / "pid")], check=True, capture_output=True, timeout=60)
        payloads = []
        try:
            while True:
                payloads.append(collector.recv(65535))
        except TimeoutError:
            return payloads


def decoded(payloads: list[bytes]) -> FlowBatch:
    decoder = Decoder()
    result = decoder.decode(Datagrams.from_payloads(payloads))
    assert not result.problems
    assert "decode_unknown_template_sets" not in result.counts
    assert decoder.finish() == {}
    return result.flows


@pytest.mark.tool("softflowd")
@pytest.mark.parametrize(
    ("version", "time_format", "unit_ns"),
    [("10", "sec", 10**9), ("10", "milli", 10**6), ("10", "micro", 10**3), ("10", "nano", 10**3), ("9", "milli", 10**9)],
)
def test_softflowd_is_understood_to_the_packet(tmp_path: Path, version: str, time_format: str, unit_ns: int) -> None:
    """Addresses, ports, flags, counts, ICMP, and times in each of its formats; the header of v9 has whole seconds."""
    write_pcap(tmp_path / "traffic.pcap", packets())
    flows = decoded(exported(tmp_path / "traffic.pcap", tmp_path, version, time_format))
    names = ("src_port", "dst_port", "proto", "tcp_flags", "packets", "bytes", "icmp_type", "icmp_code")
    columns = [[to_text(bytes(row)) for row in flows[name].tolist()] for name in ("src_addr", "dst_addr")]  # type: ignore[union-attr]
    seen = zip(*columns, *(flows[name].tolist() for name in names), strict=True)  # type: ignore[union-attr]
    assert sorted(seen) == [
        ("10.0.0.1", "10.0.0.2", 40000, 80, 6, 0x1A, 10, 10 * 40 + 4500, -1, -1),
        ("10.0.0.2", "10.0.0.1", 80, 40000, 6, 0x1A, 5, 5 * 1040, -1, -1),
        ("10.0.0.3", "10.0.0.4", 5000, 53, 17, 0, 3, 3 * 88, -1, -1),
        ("10.0.0.5", "10.0.0.6", 0, 0, 1, 0, 1, 84, 8, 0),
    ]
    spans = flows.take(flows.array("dst_port") == 53)
    for name, second in (("time_start_ns", START_S + 1), ("time_end_ns", START_S + 2)):
        assert abs(int(spans.array(name)[0]) - second * 10**9) < unit_ns
