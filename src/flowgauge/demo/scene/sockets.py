# SPDX-License-Identifier: Apache-2.0
"""What the kernel says of TCP connections, as ``ss -tip`` shows it: round-trip times and processes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from flowgauge.demo.scene import kernel
from flowgauge.runtime import linux
from flowgauge.runtime.clock import now_ns

_ENDS = re.compile(r"^\s*\d+\s+\d+\s+(\S+):(\d+)\s+(\S+):(\d+)\s")
_SMOOTHED = re.compile(r"\srtt:([0-9.]+)/")
_SMALLEST = re.compile(r"\sminrtt:([0-9.]+)")
_HOLDER = re.compile(r'\("([^"]*)",pid=(\d+),')

Connection = tuple[str, int, str, int]
"""Address and port of the socket's own end, then of the other one, as the socket knows it (a Service's address, say)."""


@dataclass(frozen=True, slots=True)
class RoundTrip:
    """One connection at one moment: its smoothed round-trip time, and the smallest single one of the last five minutes.

    ``holders`` are the processes that have the socket, each as id and command name; none where ``ss`` may not look.
    """

    connection: Connection
    time_ms: int
    smoothed_ms: float
    smallest_ms: float
    holders: tuple[tuple[int, str], ...] = ()


def round_trips(netns: str, server_port: int) -> list[RoundTrip]:
    """Of every established connection over IPv4 from the namespace to ``server_port`` that has measured one.

    Raises:
        OSError, EnvironmentProblem: the namespace is gone, or ``ss`` cannot be run.
    """
    with linux.in_netns(netns):
        text = kernel.run_tool("ss", "-4tinpHO", "state", "established", f"( dport = :{server_port} )")
    return list(parsed(text, now_ns() // 1_000_000))


def parsed(text: str, time_ms: int) -> Iterator[RoundTrip]:
    """What ``ss -tinpHO state established`` printed; connections that have not measured anything yet are left out."""
    for line in text.splitlines():
        ends, smoothed, smallest = _ENDS.match(line), _SMOOTHED.search(line), _SMALLEST.search(line)
        if ends and smoothed and smallest:
            source, source_port, target, target_port = ends.groups()
            connection = (source, int(source_port), target, int(target_port))
            holders = tuple((int(pid), process) for process, pid in _HOLDER.findall(line))
            yield RoundTrip(connection, time_ms, float(smoothed[1]), float(smallest[1]), holders)
