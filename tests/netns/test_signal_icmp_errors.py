# SPDX-License-Identifier: Apache-2.0
"""Errors of ICMP by the flow that they are about, against what tcpdump on the asking end captures of them."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from agent_kit import until
from flowgauge.demo.scene import kernel
from flowgauge.runtime import linux
from node_kit import A6, B6, FAR, FAR6, A, B, TwoPods, observed, settled, two_pods
from signal_kit import one, told

pytestmark = [pytest.mark.root, pytest.mark.bpf, pytest.mark.tool("tcpdump")]

SERVICE, NOBODY, FORBIDDEN = "10.96.0.30", "10.9.2.77", "10.9.3.99"
RULES = f"""
table ip svc {{
  chain translate {{
    type nat hook prerouting priority dstnat;
    ip daddr {SERVICE} udp dport 5000 dnat to {B}:5001
  }}
  chain refuse {{
    type filter hook forward priority filter;
    ip daddr {FORBIDDEN} reject with icmp type admin-prohibited
  }}
}}
"""
SMALL_MTU = 1280


@pytest.fixture(scope="module")
def node() -> Iterator[TwoPods]:
    with two_pods(RULES) as built:
        kernel.ip_batch(built.node, [f"link set eth0 mtu {SMALL_MTU}"])
        yield built


@dataclass(slots=True)
class Captured:
    path: Path

    def errors(self) -> int:
        """How many there are until now."""
        return sum("ICMP" in line for line in self.path.read_text().splitlines())


@contextmanager
def tcpdump(node: TwoPods, folder: Path) -> Iterator[Captured]:
    """What comes to a and is an error of ICMP."""
    captured = Captured(folder / "errors")
    errors = "icmp[0] == 3 or icmp[0] == 11 or (icmp6 and ip6[40] < 128)"
    command = ["tcpdump", "-l", "-n", "-i", "eth0", "--immediate-mode", errors]
    with captured.path.open("w") as output, linux.in_netns(node.netns["a"]):
        running = subprocess.Popen(command, stdout=output, stderr=subprocess.PIPE, text=True)
    assert running.stderr is not None
    while "listening on" not in running.stderr.readline():
        assert running.poll() is None
    try:
        yield captured
    finally:
        running.terminate()
        running.communicate(timeout=60)


def send(node: TwoPods, to: tuple[str, int], count: int, size: int = 20, hops: int = 64) -> int:
    """Sends datagrams from a that must not be fragmented, and waits until each was answered by an error; the own port."""
    family = socket.AF_INET6 if ":" in to[0] else socket.AF_INET
    with node.socket("a", family, socket.SOCK_DGRAM) as client:
        if family == socket.AF_INET6:
            client.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, hops)
        else:
            client.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, hops)
            client.setsockopt(socket.IPPROTO_IP, 10, 3)  # IP_MTU_DISCOVER, IP_PMTUDISC_PROBE: always with DF
        client.bind(("", 0))
        for _ in range(count):
            client.sendto(bytes(size), to)
            time.sleep(0.05)
        port: int = client.getsockname()[1]
    return port


CASES = {
    "closed port": ((B, 4001), 20, 64, "port unreachable"),
    "closed port, IPv6": ((B6, 4001), 20, 64, "port unreachable"),
    "last hop": ((B, 4002), 20, 1, "ttl exceeded"),
    "last hop, IPv6": ((B6, 4002), 20, 1, "ttl exceeded"),
    "small device": ((FAR, 4003), 1400, 64, "fragmentation needed"),
    "a rule": ((FORBIDDEN, 4004), 20, 64, "administratively prohibited"),
}


@pytest.mark.parametrize("case", CASES)
def test_the_flow_has_the_errors_that_tcpdump_captures(node: TwoPods, case: str, tmp_path: Path) -> None:
    to, size, hops, words = CASES[case]
    with observed(node, icmp_errors=True) as watch, tcpdump(node, tmp_path) as captured:
        port = send(node, to, 3, size, hops)
        settled(node)
        row = one(told(watch.program), dst_addr=to[0], src_port=port, dst_port=to[1])
        until(lambda: captured.errors() >= row["icmp_error_packets"], "tcpdump has seen as many")
    assert (row["icmp_error"], row["packets"]) == (words, 3)
    assert row["icmp_error_packets"] == captured.errors() > 0


def test_a_packet_too_big_of_ipv6_is_the_same_error(node: TwoPods) -> None:
    with node.socket("a", socket.AF_INET6, socket.SOCK_DGRAM) as client, observed(node, icmp_errors=True) as watch:
        client.setsockopt(socket.IPPROTO_IPV6, 23, 3)  # IPV6_MTU_DISCOVER, IPV6_PMTUDISC_PROBE
        client.sendto(bytes(1400), (FAR6, 4005))
        settled(node)
        row = one(told(watch.program), src_addr=A6, dst_port=4005)
    assert (row["icmp_error"], row["icmp_error_packets"]) == ("fragmentation needed", 1)


def test_through_a_service_the_error_is_of_the_flow_before_translation(node: TwoPods, tmp_path: Path) -> None:
    with observed(node, icmp_errors=True, nat=True) as watch, tcpdump(node, tmp_path) as captured:
        port = send(node, (SERVICE, 5000), 2)
        settled(node)
        rows = told(watch.program)
        row = one(rows, dst_addr=SERVICE, src_port=port)
        until(lambda: captured.errors() >= row["icmp_error_packets"], "tcpdump has seen as many")
    assert (row["icmp_error"], row["icmp_error_packets"]) == ("port unreachable", captured.errors())
    assert not [other for other in rows if other["dst_port"] == 5001]


def test_an_error_about_a_flow_of_an_interval_before_makes_a_row_without_packets(node: TwoPods) -> None:
    kernel.sysctl(node.node, {"ipv4/neigh/vb/retrans_time_ms": "2000"})
    with observed(node, icmp_errors=True) as watch:
        port = send(node, (NOBODY, 4006), 1)
        assert one(told(watch.program), src_port=port)["icmp_error"] == ""
        found = until(  # the node asks for the neighbour three times, two seconds apart
            lambda: [row for row in told(watch.program) if row["src_port"] == port], "the error"
        )
    assert [(row["icmp_error"], row["packets"], row["src_addr"]) for row in found] == [("host unreachable", 0, A)]


def test_switched_off_nothing_is_kept(node: TwoPods) -> None:
    with observed(node) as watch:
        send(node, (B, 4007), 1)
        assert one(told(watch.program), dst_port=4007)["icmp_error"] == ""
