# SPDX-License-Identifier: Apache-2.0
"""NetFlow v5 and IPFIX of a real Open vSwitch in user space: its totals are those of the traffic sent through it."""

from __future__ import annotations

import contextlib
import socket
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from flowgauge.flow.rows import to_rows
from flowgauge.wire.datagrams import Datagrams
from flowgauge.wire.decoded import Decoded
from flowgauge.wire.decoder import Decoder
from switch_kit import TOOLS, bridge, listening, send

pytestmark = [
    pytest.mark.root,
    pytest.mark.slow,
    pytest.mark.tool(*TOOLS),
    pytest.mark.skipif(not Path("/dev/net/tun").exists(), reason="no /dev/net/tun, which a bridge in user space needs"),
]
TCP = ("10.0.0.1", "10.0.0.2", 6, 40000, 443)
PING = ("10.0.0.5", "10.0.0.2", 1, 0, 0)
DNS = {("2001:db8::1", "2001:db8::2", 17, 5000 + n, 53): (88, 1) for n in range(4)}
SENT: Mapping[tuple[Any, ...], tuple[int, int]] = {TCP: (42 + sum(40 + 100 * n for n in range(1, 9)), 9), PING: (84, 1), **DNS}
"""Bytes of layer 3 (the shortest frame is filled up by two), and packets, of each flow of ``switch_kit.frames``."""


def totals(decoded: Decoded) -> dict[tuple[Any, ...], tuple[int, int]]:
    """Bytes and packets by flow; a switch may report a flow in several records. What the kernel sends itself is left out.

    In IPFIX it reports a packet as it comes and again at each port that it leaves by (trap 88): the former is counted.
    """
    octets, packets = Counter[tuple[Any, ...]](), Counter[tuple[Any, ...]]()
    for row in to_rows(decoded.flows):
        if row.get("flow_direction") == "egress":
            continue
        key = tuple(row.get(name, 0) for name in ("src_addr", "dst_addr", "proto", "src_port", "dst_port"))
        octets[key] += row.get("bytes", 0)
        packets[key] += row.get("packets", 0)
    return {key: (octets[key], packets[key]) for key in octets if key in SENT}


def heard(collector: socket.socket, wanted: Mapping[tuple[Any, ...], Any], within_s: float = 90) -> Decoded:
    """Decodes what comes until every wanted flow is complete."""
    payloads: list[bytes] = []
    until = time.monotonic() + within_s
    collector.settimeout(1)
    while True:
        with contextlib.suppress(TimeoutError):
            payloads.append(collector.recv(65535))
        decoded = Decoder().decode(Datagrams.from_payloads(payloads, received_ns=1))
        if totals(decoded) == dict(wanted) or time.monotonic() > until:
            return decoded


def test_its_ipfix_is_understood_to_the_packet(tmp_path: Path) -> None:
    with bridge(tmp_path) as (switch, name, device), listening() as (collector, port):
        settings = (f'targets="127.0.0.1:{port}"', "sampling=1", "obs_domain_id=7", "obs_point_id=1", "cache_active_timeout=2")
        switch.set("--", "set", "bridge", name, "ipfix=@i", "--", "--id=@i", "create", "IPFIX", *settings)
        send(device)
        decoded = heard(collector, SENT)
    assert not decoded.problems
    assert totals(decoded) == SENT
    rows = [row for row in to_rows(decoded.flows) if row.get("src_addr") == TCP[0]]
    assert {row["obs_domain_id"] for row in rows} == {7}
    assert {row["vlan_id"] for row in rows} == {100}
    assert all(row["time_start_ns"] <= row["time_end_ns"] for row in rows)


def test_its_netflow_5_is_understood_to_the_packet(tmp_path: Path) -> None:
    """It knows IPv4 only, and counts the bytes of frames: 14 of Ethernet, four of the tag, the shortest filled up to 60."""
    of_v4 = {TCP: (60 + sum(58 + 100 * n for n in range(1, 9)), 9), PING: (14 + 84, 1)}
    with bridge(tmp_path) as (switch, name, device), listening() as (collector, port):
        settings = (f'targets="127.0.0.1:{port}"', "active_timeout=2")
        switch.set("--", "set", "bridge", name, "netflow=@n", "--", "--id=@n", "create", "NetFlow", *settings)
        send(device)
        decoded = heard(collector, of_v4)
    assert not decoded.problems
    assert totals(decoded) == of_v4
    assert not any(name.startswith("sequence") for name in decoded.counts)
