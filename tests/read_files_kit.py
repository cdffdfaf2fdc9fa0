# SPDX-License-Identifier: Apache-2.0
"""For tests of ``collect --read``: captures with flows of a chosen time, and the command as people call it."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from pathlib import Path

from capture_kit import ethernet, ip, pcap, udp
from store_kit import SECRET, StoreProcess
from wire_kit import BASIC, a_set, basic, message, template

SPEC = (*BASIC, (151, 4))


def capture(path: Path, ended_s: int, octets: range, *more: bytes) -> Path:
    """One datagram with a flow of each number of bytes, sent when the flows had ended."""
    records = [basic(number) + struct.pack("!I", ended_s) for number in octets]
    payload = message(a_set(2, template(256, SPEC)), a_set(256, *records), *more, export_s=ended_s)
    path.write_bytes(pcap([ethernet(ip(udp(payload)))], second=ended_s))
    return path


def collect(store: StoreProcess, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """The command, with the store's secret in a descriptor of its own."""
    end, secret = os.pipe()
    os.write(secret, SECRET.encode())
    os.close(secret)
    command = [sys.executable, "-P", "-m", "flowgauge.cli.main", "collect", "--store-url", store.url,
               "--store-secret-fd", str(end), *map(str, arguments)]  # fmt: skip
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=120, pass_fds=[end], check=False)
    finally:
        os.close(end)
