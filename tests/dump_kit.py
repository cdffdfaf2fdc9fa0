# SPDX-License-Identifier: Apache-2.0
"""For tests: tcpdump beside what is tested, such that a busy machine does not cost it packets."""

from __future__ import annotations

import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from agent_kit import until
from flowgauge.demo.scene import counters
from flowgauge.runtime import linux
from quiet_kit import at_rest

_HEADER_BYTES, _RECORD = 24, struct.Struct("=IIII")


@contextmanager
def tcpdump(netns: str, device: str, file: Path, *options: str) -> Iterator[None]:
    """Captures what passes a device: as many packets as the device itself counts are in the file when the block has ended."""
    command = ["tcpdump", "-i", device, "-n", "-U", "--immediate-mode", "-B", "8192", "-Z", "root", "-w", str(file), *options]
    with linux.in_netns(netns):
        running = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert running.stderr is not None
    try:
        while "listening on" not in running.stderr.readline():
            assert running.poll() is None
        before = counters.devices(netns)[device]
        yield
        passed = at_rest(lambda: counters.devices(netns)[device]).since(before).met
        until(lambda: packets_in(file) >= passed, f"tcpdump has written {passed} packets")
    finally:
        running.terminate()
        said = running.communicate(timeout=60)[1]
    assert "0 packets dropped by kernel" in said


def packets_in(file: Path) -> int:
    """Packets in a classic capture until now."""
    content, at, found = file.read_bytes(), _HEADER_BYTES, 0
    while at + _RECORD.size <= len(content):
        at += _RECORD.size + _RECORD.unpack_from(content, at)[2]
        found += at <= len(content)
    return found
