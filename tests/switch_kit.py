# SPDX-License-Identifier: Apache-2.0
"""For tests: an Open vSwitch in user space with one bridge between two cables, known traffic through it, and who listens."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from agent_kit import until
from flowgauge.runtime import linux
from sflow_kit import ethernet, ipv4, ipv6, tcp, udp

SCHEMA = Path("/usr/share/openvswitch/vswitch.ovsschema")
TOOLS = ("ovs-vswitchd", "ovsdb-server", "ovs-vsctl", "ovsdb-tool", "ip")


def frames() -> list[bytes]:
    """Known traffic: a TCP connection with a tag, DNS over IPv6, a ping."""
    found = [
        ethernet(0x0800, ipv4(6, tcp(40000, 443, 0x02 if n == 0 else 0x18, bytes(100 * n))), tags=[(0x8100, 100)])
        for n in range(9)
    ]
    found += [ethernet(0x86DD, ipv6(17, udp(5000 + n, 53, bytes(40)))) for n in range(4)]
    found.append(ethernet(0x0800, ipv4(1, b"\x08\x00" + bytes(62), src="10.0.0.5")))
    return found


@contextlib.contextmanager
def listening() -> Iterator[tuple[socket.socket, int]]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as collector:
        collector.bind(("127.0.0.1", 0))
        yield collector, collector.getsockname()[1]


@contextlib.contextmanager
def running(*command: str, environment: dict[str, str] | None = None) -> Iterator[subprocess.Popen[bytes]]:
    quiet = subprocess.DEVNULL
    process = subprocess.Popen(command, stdout=quiet, stderr=quiet, env={**os.environ, **(environment or {})})
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, timeout=60)


class Switch:
    """An Open vSwitch of our own in user space, with one bridge; everything of it is in ``folder``."""

    def __init__(self, folder: Path, stack: contextlib.ExitStack) -> None:
        self._database, self._control = f"unix:{folder}/db.sock", f"{folder}/vsw.ctl"
        where = {name: str(folder) for name in ("OVS_RUNDIR", "OVS_LOGDIR", "OVS_SYSCONFDIR", "OVS_DBDIR")}
        run("ovsdb-tool", "create", f"{folder}/conf.db", str(SCHEMA))
        listen = (f"--remote=punix:{folder}/db.sock", f"--unixctl={folder}/db.ctl")
        stack.enter_context(running("ovsdb-server", f"{folder}/conf.db", *listen, environment=where))
        until((folder / "db.sock").exists, "ovsdb-server listens")
        self.set("--no-wait", "init")
        stack.enter_context(running("ovs-vswitchd", self._database, f"--unixctl={self._control}", environment=where))

    def set(self, *words: str) -> None:
        """One ``ovs-vsctl`` command."""
        run("ovs-vsctl", "--timeout=60", f"--db={self._database}", *words)

    def ask(self, *words: str) -> str:
        """What one ``ovs-appctl`` command says."""
        command = ["ovs-appctl", "--timeout=60", f"--target={self._control}", *words]
        return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout


@contextlib.contextmanager
def own_network() -> Iterator[None]:
    """A network namespace of our own: two switches in user space with a device of their own want the same name."""
    name = f"fgsw{os.getpid()}"
    linux.create_netns(name)
    try:
        with linux.in_netns(name):
            run("ip", "link", "set", "lo", "up")
            yield
    finally:
        linux.delete_netns(name)


@contextlib.contextmanager
def cables() -> Iterator[tuple[str, str]]:
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


@contextlib.contextmanager
def bridge(folder: Path) -> Iterator[tuple[Switch, str, str]]:
    """A switch, its bridge, and the device into which frames are to be sent."""
    with contextlib.ExitStack() as stack:
        names = stack.enter_context(cables())
        switch, name = Switch(folder, stack), f"fgbr{os.getpid() % 10_000}"
        switch.set("add-br", name, "--", "set", "bridge", name, "datapath_type=netdev")
        stack.callback(switch.set, "del-br", name)
        for cable in names:
            switch.set("add-port", name, f"{cable}n")
        yield switch, name, names[0]


def send(device: str) -> None:
    """Sends the known traffic."""
    time.sleep(2)
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as sender:
        sender.bind((device, 0))
        for frame in frames():
            sender.send(frame.ljust(60, b"\0"))
            time.sleep(0.02)
