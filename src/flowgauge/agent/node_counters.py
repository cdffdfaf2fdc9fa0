# SPDX-License-Identifier: Apache-2.0
"""What the kernel itself counts on a node beside flows.

That is what devices dropped, queues of sockets that overflowed, how full connection tracking is, packets that a CPU had no time
for. Read from rtnetlink and proc when somebody asks, so that nobody who does not pays. Safe from any thread; to read another
network namespace the calling thread enters it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from flowgauge.agent.rtnetlink import LinkStatistics, Rtnetlink
from flowgauge.runtime import linux, logs
from flowgauge.runtime.metrics import Sample

_NET = Path("/proc/thread-self/net")
_TRACKING = Path("/proc/sys/net/netfilter")
_QUEUES = {
    "listen": ("TcpExt", "ListenOverflows"),
    "tcp_backlog": ("TcpExt", "TCPBacklogDrop"),
    "tcp_receive": ("TcpExt", "TCPRcvQDrop"),
    "udp_receive": ("Udp", "RcvbufErrors"),
    "udp_send": ("Udp", "SndbufErrors"),
}
"""Queue → the kernel's name of its counter of what found no room: that of nstat without its group."""
_V6_QUEUES = {"udp_receive": "Udp6RcvbufErrors", "udp_send": "Udp6SndbufErrors"}

_log = logs.get("agent")


@dataclass(frozen=True, slots=True)
class NodeCounters:
    """All of it, since the machine or the namespace began; what a kernel does not tell is not there.

    Attributes:
        devices: by name.
        queues: packets (of ``listen``: connections) that found a socket's queue full, IPv4 and IPv6, by queue.
        tracked, trackable: entries of connection tracking, and how many there may be; 0 without it.
        cpu_dropped: packets that found a CPU's queue full, of the whole machine.
        cpu_squeezed: how often a CPU ran out of time with packets left.
    """

    devices: dict[str, LinkStatistics] = field(default_factory=dict)
    queues: dict[str, int] = field(default_factory=dict)
    tracked: int = 0
    trackable: int = 0
    cpu_dropped: int = 0
    cpu_squeezed: int = 0

    def told(self) -> dict[str, Any]:
        """For JSON, without the devices, which are told each with its own."""
        return {name: value for name, value in asdict(self).items() if name != "devices"}


def read(netns: str) -> NodeCounters:
    """As they are now in a network namespace, a name or path; empty: the process's own. Nothing when it cannot be read."""
    try:
        with _inside(netns):
            dropped, squeezed = _cpus()
            return NodeCounters(
                _devices(), _queues(), _tracking("nf_conntrack_count"), _tracking("nf_conntrack_max"), dropped, squeezed
            )
    except OSError as error:
        _log.warning("node_counters_not_read", error=str(error))
        return NodeCounters()


def samples(counters: NodeCounters) -> Iterator[Sample]:
    """The figures for ``/metrics``."""
    for name, device in counters.devices.items():
        for way, figures in (("in", device.received), ("out", device.sent)):
            yield Sample("agent_device_dropped_packets", "Packets that a device dropped, as the kernel counts them.",
                         figures.dropped, {"interface": name, "direction": way}, cumulative=True)  # fmt: skip
            yield Sample("agent_device_error_packets", "Packets with errors at a device, as the kernel counts them.",
                         figures.errors, {"interface": name, "direction": way}, cumulative=True)  # fmt: skip
    for queue, overflows in counters.queues.items():
        yield Sample("agent_socket_queue_overflows", "Packets, or connections, that found a socket's queue full.",
                     overflows, {"queue": queue}, cumulative=True)  # fmt: skip
    yield Sample("agent_conntrack_entries", "Entries of connection tracking.", counters.tracked)
    yield Sample("agent_conntrack_entries_max", "How many entries there may be; new connections beyond are dropped.",
                 counters.trackable)  # fmt: skip
    yield Sample("agent_cpu_queue_dropped_packets", "Packets of the machine that found a CPU's queue full.",
                 counters.cpu_dropped, cumulative=True)  # fmt: skip
    yield Sample("agent_cpu_queue_squeezed", "How often a CPU ran out of time with packets left.",
                 counters.cpu_squeezed, cumulative=True)  # fmt: skip


@contextmanager
def _inside(netns: str) -> Iterator[None]:
    """Entering one's own namespace would need a capability for nothing."""
    if not netns:
        yield
        return
    with linux.in_netns(netns):
        yield


def _devices() -> dict[str, LinkStatistics]:
    source = Rtnetlink()
    try:
        return source.statistics()
    finally:
        source.close()


def _queues() -> dict[str, int]:
    """Files of pairs of lines: names, then numbers, each behind the group's name."""
    found: dict[tuple[str, str], int] = {}
    lines = [line for name in ("netstat", "snmp") for line in (_NET / name).read_text(encoding="ascii").splitlines()]
    for names, numbers in zip(lines[::2], lines[1::2], strict=False):
        group, _, columns = names.partition(":")
        values = numbers.partition(":")[2].split()
        found |= {(group, name): int(value) for name, value in zip(columns.split(), values, strict=False)}
    v6 = dict(line.split() for line in _text(_NET / "snmp6").splitlines())
    return {queue: found[at] + int(v6.get(_V6_QUEUES.get(queue, ""), 0)) for queue, at in _QUEUES.items() if at in found}


def _tracking(name: str) -> int:
    return int(_text(_TRACKING / name) or 0)


def _cpus() -> tuple[int, int]:
    """Dropped and squeezed, of all CPUs: the second and third number of each line, in hexadecimal."""
    rows = [line.split() for line in _text(_NET / "softnet_stat").splitlines()]
    return sum(int(row[1], 16) for row in rows), sum(int(row[2], 16) for row in rows)


def _text(path: Path) -> str:
    """Empty where the kernel lacks it: connection tracking that is not loaded, IPv6 that is switched off."""
    try:
        return path.read_text(encoding="ascii")
    except FileNotFoundError:
        return ""
