# SPDX-License-Identifier: Apache-2.0
"""Real sFlow agents that we did not write: pmacct's sfprobe and Open vSwitch in user space; we count what was sent."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from capture_kit import pcap
from flowgauge.flow.rows import to_rows
from flowgauge.wire.datagrams import Datagrams
from flowgauge.wire.decoded import Decoded
from flowgauge.wire.decoder import Decoder
from sflow_kit import ethernet, ipv4, ipv6, tcp, udp

AGENT = "198.51.100.9"
SCHEMA = Path("/usr/share/openvswitch/vswitch.ovsschema")


def frames() -> list[bytes]:
    """Known traffic: a TCP connection with a tag, DNS over IPv6, a ping."""
    found = [
        ethernet(0x0800, ipv4(6, tcp(40000, 443, 0x02 if n == 0 else 0x18, bytes(100 * n))), tags=[(0x8100, 100)])
        for n in range(9)
    ]
    found += [ethernet(0x86DD, ipv6(17, udp(5000 + n, 53, bytes(40)))) for n in range(4)]
    found.append(ethernet(0x0800, ipv4(1, b"\x08\x00" + bytes(62), src="10.0.0.5")))
    return found


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


def received(collector: socket.socket, wanted: int, within_s: float) -> Decoded:
    """Decodes datagrams until ``wanted`` samples have come."""
    payloads: list[bytes] = []
    until = time.monotonic() + within_s
    collector.settimeout(1)
    while True:
        with contextlib.suppress(TimeoutError):
            payloads.append(collector.recv(65535))
        decoded = Decoder().decode(Datagrams.from_payloads(payloads, received_ns=1))
        if len(decoded.flows) >= wanted or time.monotonic() > until:
            return decoded


@contextlib.contextmanager
def listening() -> Iterator[tuple[socket.socket, int]]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as collector:
        collector.bind(("127.0.0.1", 0))
        yield collector, collector.getsockname()[1]


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
        with _running("pmacctd", "-f", str(tmp_path / "pmacctd.conf")):
            decoded = received(collector, sent().total(), 20)
    assert not decoded.problems
    assert seen(decoded) == sent()
    assert {(row["exporter_addr"], row["sampling_rate"]) for row in to_rows(decoded.flows)} == {(AGENT, 1)}
    assert not any(name.startswith("sequence") for name in decoded.counts)


@contextlib.contextmanager
def _running(*command: str, environment: dict[str, str] | None = None) -> Iterator[subprocess.Popen[bytes]]:
    quiet = subprocess.DEVNULL
    process = subprocess.Popen(command, stdout=quiet, stderr=quiet, env={**os.environ, **(environment or {})})
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, timeout=60)


class Switch:
    """An Open vSwitch of our own in user space, with one bridge; everything of it is in ``folder``."""

    def __init__(self, folder: Path, stack: contextlib.ExitStack) -> None:
        self._database = f"unix:{folder}/db.sock"
        where = {name: str(folder) for name in ("OVS_RUNDIR", "OVS_LOGDIR", "OVS_SYSCONFDIR", "OVS_DBDIR")}
        run("ovsdb-tool", "create", f"{folder}/conf.db", str(SCHEMA))
        listen = (f"--remote=punix:{folder}/db.sock", f"--unixctl={folder}/db.ctl")
        stack.enter_context(_running("ovsdb-server", f"{folder}/conf.db", *listen, environment=where))
        _wait_for(folder / "db.sock")
        self.set("--no-wait", "init")
        stack.enter_context(_running("ovs-vswitchd", self._database, f"--unixctl={folder}/vsw.ctl", environment=where))

    def set(self, *words: str) -> None:
        """One ``ovs-vsctl`` command."""
        run("ovs-vsctl", "--timeout=20", f"--db={self._database}", *words)


def _wait_for(path: Path) -> None:
    until = time.monotonic() + 10
    while not path.exists():
        assert time.monotonic() < until, path
        time.sleep(0.05)


@pytest.fixture
def wires() -> Iterator[tuple[str, str]]:
    """Two cables whose far ends we send into and read from; near ends for the switch: the same names with an ``n``."""
    names = (f"fgsa{os.getpid() % 10_000}", f"fgsb{os.getpid() % 10_000}")
    try:
        for name in names:
            run("ip", "link", "add", name, "type", "veth", "peer", "name", f"{name}n")
            for end in (name, f"{name}n"):
                run("sysctl", "-qw", f"net.ipv6.conf.{end}.disable_ipv6=1")
                run("ip", "link", "set", end, "up")
        yield names
    finally:
        for name in names:
            subprocess.run(["ip", "link", "del", name], check=False, capture_output=True)


@pytest.mark.root
@pytest.mark.slow
@pytest.mark.tool("ovs-vswitchd", "ovsdb-server", "ovs-vsctl", "ovsdb-tool", "ip")
@pytest.mark.skipif(not Path("/dev/net/tun").exists(), reason="no /dev/net/tun, which a bridge in user space needs")
def test_open_vswitch_is_understood_to_the_packet(tmp_path: Path, wires: tuple[str, str]) -> None:
    """It samples one of two packets on average; told to sample every packet, it reports each, and its counters."""
    with contextlib.ExitStack() as stack:
        switch, (collector, port) = Switch(tmp_path, stack), stack.enter_context(listening())
        bridge = f"fgbr{os.getpid() % 10_000}"
        switch.set("add-br", bridge, "--", "set", "bridge", bridge, "datapath_type=netdev")
        stack.callback(switch.set, "del-br", bridge)
        for wire in wires:
            switch.set("add-port", bridge, f"{wire}n")
        sampler = ("agent=lo", f'target="127.0.0.1:{port}"', "sampling=1", "polling=1", "header=128")
        switch.set("--", "set", "bridge", bridge, "sflow=@s", "--", "--id=@s", "create", "sFlow", *sampler)
        time.sleep(2)
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as sender:
            sender.bind((wires[0], 0))
            for frame in frames():
                sender.send(frame.ljust(60, b"\0"))
                time.sleep(0.02)
        decoded = received(collector, sent().total(), 20)
    assert not decoded.problems
    assert seen(decoded) == sent()
    assert all(row["sampling_rate"] == 1 and row["in_if"] > 0 for row in to_rows(decoded.flows))
    assert not any(name.startswith("sequence") for name in decoded.counts)
    assert any(one.values.get("ifInUcastPkts") for one in decoded.counters)
