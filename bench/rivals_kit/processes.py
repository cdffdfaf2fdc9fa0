# SPDX-License-Identifier: Apache-2.0
"""What the kernel says of processes and sockets: CPU seconds of a process and its children, bytes that wait, drops."""

from __future__ import annotations

import os
import resource
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

DEFAULT_BUFFER, LARGEST_BUFFER = Path("/proc/sys/net/core/rmem_default"), Path("/proc/sys/net/core/rmem_max")
"""Receive buffers of sockets that do not ask for one, and the largest that may be asked for."""

_QUEUE, _DROPS = 4, -1
"""Columns of /proc/net/udp: tx_queue:rx_queue, and the datagrams dropped since the socket was made."""


def cpu_s(pid: int) -> float:
    """CPU seconds of a process and of its living descendants, exact to the nanosecond (clock_getcpuclockid(3))."""
    return sum(time.clock_gettime(~one << 3 | 2) for one in family(pid) if Path(f"/proc/{one}").exists())


def family(pid: int) -> list[int]:
    """A process and its living descendants."""
    found = [pid]
    for one in found:
        for tasks in Path(f"/proc/{one}/task").glob("*/children"):
            found += map(int, tasks.read_text(encoding="ascii").split())
    return found


def children_cpu_s() -> float:
    """CPU seconds of all descendants that have ended and were waited for."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def peak_mib(pid: int) -> int:
    """Memory of a process and its descendants at most; what they share counts for each."""
    peak = 0
    for one in family(pid):
        lines = Path(f"/proc/{one}/status").read_text(encoding="ascii", errors="replace").splitlines()
        peak += sum(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
    return peak >> 10


def queued_bytes(port: int) -> int:
    """What waits in the receive buffer of a UDP port, as the kernel charges it."""
    return sum(int(fields[_QUEUE].partition(":")[2], 16) for fields in _sockets(port))


def drops(port: int) -> int:
    """Datagrams that the kernel dropped because that buffer was full."""
    return sum(int(fields[_DROPS]) for fields in _sockets(port))


def listens(port: int) -> bool:
    """Whether there is a socket on that port."""
    return bool(_sockets(port))


def free_port(kind: socket.SocketKind = socket.SOCK_DGRAM) -> int:
    """A port that nobody has."""
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def kernel_buffer_bytes(setting: Path) -> int:
    """What ``DEFAULT_BUFFER`` or ``LARGEST_BUFFER`` says."""
    return int(setting.read_text(encoding="ascii"))


@contextmanager
def default_buffer(size: int) -> Iterator[None]:
    """New sockets that ask for no receive buffer have one of ``size`` bytes; where this may not be set (no root), the usual."""
    before = kernel_buffer_bytes(DEFAULT_BUFFER)
    may = os.access(DEFAULT_BUFFER, os.W_OK)
    if may:
        DEFAULT_BUFFER.write_text(str(size), encoding="ascii")
    try:
        yield
    finally:
        if may:
            DEFAULT_BUFFER.write_text(str(before), encoding="ascii")


def cores() -> int:
    """That this process may use."""
    return len(os.sched_getaffinity(0))


def _sockets(port: int) -> list[list[str]]:
    wanted = f":{port:04X}"
    found = []
    for name in ("udp", "udp6"):
        with Path(f"/proc/net/{name}").open(encoding="ascii") as table:
            found += [fields for fields in map(str.split, table) if fields[1].endswith(wanted)]
    return found
