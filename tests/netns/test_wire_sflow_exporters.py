# SPDX-License-Identifier: Apache-2.0
"""Real sFlow agents that we did not write: pmacct's sfprobe and Open vSwitch in user space; we count what was sent."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from agent_kit import until
from capture_kit import pcap
from flowgauge.flow.rows import to_rows
from flowgauge.wire.datagrams import Datagrams
from flowgauge.wire.decoded import Decoded
from flowgauge.wire.decoder import Decoder
from switch_kit import TOOLS, bridge, frames, listening, own_network, run, running, send

AGENT = "198.51.100.9"


def sent() -> Counter[tuple[Any, ...]]:
    """The same by hand: source, protocol, destination port, VLAN, bytes of layer 3."""
    wanted = Counter(("10.0.0.1", 6, 443, 100, 40 + 100 * n) for n in range(9))
    wanted["2001:db8::1", 17, 53, 0, 88] = 4
    wanted["10.0.0.5", 1, 0, 0, 84] = 1
    return wanted


def seen(decoded: Decoded) -> Counter[tuple[Any, ...]]:
    return Counter(
        (row.get("src_addr"), row.get("proto"), row.get("dst_port", 0), row.get("vlan_id", 0), row["bytes"])
        for row in to_rows(decoded.flows)
    )


def received(collector: socket.socket, wanted: int, within_s: float, *, counters: bool = False) -> Decoded:
    """Decodes datagrams until ``wanted`` samples have come, and ``counters`` with packets."""
    payloads: list[bytes] = []
    until = time.monotonic() + within_s
    collector.settimeout(1)
    while True:
        with contextlib.suppress(TimeoutError):
            payloads.append(collector.recv(65535))
        decoded = Decoder().decode(Datagrams.from_payloads(payloads, received_ns=1))
        told = not counters or any(one.values.get("ifInUcastPkts") for one in decoded.counters)
        if (told and len(decoded.flows) >= wanted) or time.monotonic() > until:
            return decoded


@pytest.mark.slow
@pytest.mark.tool("pmacctd")
def test_sfprobe_is_understood_to_the_packet(tmp_path: Path) -> None:
    """It reads a capture and samples every packet of it."""
    (tmp_path / "traffic.pcap").write_bytes(pcap(frames()))
    with listening() as (collector, port):
        settings = [
            "daemonize: false", f"pcap_savefile: {tmp_path}/traffic.pcap", "plugins: sfprobe[s]", "sampling_rate[s]: 1",
            f"sfprobe_receiver: 127.0.0.1:{port}", f"sfprobe_agentip: {AGENT}",
        ]  # fmt: skip
        (tmp_path / "pmacctd.conf").write_text("\n".join(settings) + "\n")
        with running("pmacctd", "-f", str(tmp_path / "pmacctd.conf")):
            decoded = received(collector, sent().total(), 90)
    assert not decoded.problems
    assert seen(decoded) == sent()
    assert {(row["exporter_addr"], row["sampling_rate"]) for row in to_rows(decoded.flows)} == {(AGENT, 1)}
    assert not any(name.startswith("sequence") for name in decoded.counts)


@pytest.mark.root
@pytest.mark.slow
@pytest.mark.tool(*TOOLS)
@pytest.mark.skipif(not Path("/dev/net/tun").exists(), reason="no /dev/net/tun, which a bridge in user space needs")
def test_open_vswitch_is_understood_to_the_packet(tmp_path: Path) -> None:
    """It samples one of two packets on average; told to sample every packet, it reports each, and its counters."""
    with bridge(tmp_path) as (switch, name, device), listening() as (collector, port):
        sampler = ("agent=lo", f'target="127.0.0.1:{port}"', "sampling=1", "polling=1", "header=128")
        switch.set("--", "set", "bridge", name, "sflow=@s", "--", "--id=@s", "create", "sFlow", *sampler)
        send(device)
        decoded = received(collector, sent().total(), 90, counters=True)
    assert not decoded.problems
    assert seen(decoded) == sent()
    assert all(row["sampling_rate"] == 1 and row["in_if"] > 0 for row in to_rows(decoded.flows))
    assert not any(name.startswith("sequence") for name in decoded.counts)
    assert any(one.values.get("ifInUcastPkts") for one in decoded.counters)


@pytest.mark.root
@pytest.mark.slow
@pytest.mark.tool(*TOOLS, "ovs-appctl", "ovs-ofctl")
@pytest.mark.skipif(not Path("/dev/net/tun").exists(), reason="no /dev/net/tun, which a bridge in user space needs")
@pytest.mark.parametrize(("kind", "key"), [("geneve", 77), ("vxlan", 5001), ("gre", 9)])
def test_open_vswitch_tells_in_which_tunnel_packets_go(tmp_path: Path, kind: str, key: int) -> None:
    """It samples what comes in and is sent into a tunnel of its own; not of every packet it tells what it did with it."""
    near, far = "198.18.0.1", "198.18.0.2"
    with (
        own_network(),
        bridge(tmp_path) as (switch, name, device),
        listening() as (collector, port),
        contextlib.ExitStack() as stack,
    ):
        under, tunnel, cable = (f"{prefix}{os.getpid() % 10_000}" for prefix in ("fgbu", "fgtu", "fgsb"))
        switch.set("add-br", under, "--", "set", "bridge", under, "datapath_type=netdev")
        stack.callback(switch.set, "del-br", under)
        switch.set("del-port", name, f"{cable}n", "--", "add-port", under, f"{cable}n")
        run("ip", "addr", "add", f"{near}/24", "dev", under)
        run("ip", "link", "set", under, "up")
        ends = (f"type={kind}", f"options:remote_ip={far}", f"options:key={key}")
        switch.set("add-port", name, tunnel, "--", "set", "interface", tunnel, *ends)
        until(lambda: near in switch.ask("ovs/route/show"), "the switch knows the way to the tunnel's end")
        switch.ask("tnl/neigh/set", under, far, "02:00:00:00:00:99")
        run("ovs-ofctl", "add-flow", f"unix:{tmp_path}/{name}.mgmt", f"priority=9,actions=output:{tunnel}")
        sampler = ("agent=lo", f'target="127.0.0.1:{port}"', "sampling=1", "polling=0", "header=128")
        switch.set("--", "set", "bridge", name, "sflow=@s", "--", "--id=@s", "create", "sFlow", *sampler)
        send(device)
        decoded = received(collector, sent().total(), 90)
    assert not decoded.problems
    assert seen(decoded) == sent()
    told = {
        tuple(row.get(f"tunnel_{what}") for what in ("kind", "src_addr", "dst_addr", "id")) for row in to_rows(decoded.flows)
    }
    assert told - {(None,) * 4} == {(kind, near, far, key)}
