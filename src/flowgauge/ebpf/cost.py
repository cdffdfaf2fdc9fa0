# SPDX-License-Identifier: Apache-2.0
"""What programs and maps cost the kernel: memory of maps, and run time of programs while statistics are switched on."""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from flowgauge.ebpf.bpf_syscall import Command, bpf

_INFO_BYTES = 256
_RUN_TIME = struct.Struct("=QQ")
_RUN_TIME_AT = 192
"""Of run_time_ns and run_cnt in struct bpf_prog_info (linux/bpf.h)."""
_STATS_RUN_TIME = 0


@dataclass(frozen=True, slots=True)
class RunTime:
    """How long a program ran in all its runs, while statistics were on (``kernel.bpf_stats_enabled``)."""

    ns: int
    runs: int


def run_time(program_fd: int) -> RunTime:
    """Of the program behind a descriptor; OSError when the kernel refuses."""
    info = ctypes.create_string_buffer(_INFO_BYTES)
    bpf(Command.OBJ_GET_INFO_BY_FD, struct.pack("=IIQ", program_fd, _INFO_BYTES, ctypes.addressof(info)))
    return RunTime(*_RUN_TIME.unpack_from(info.raw, _RUN_TIME_AT))


def map_bytes(map_fd: int) -> int:
    """Memory of the map behind a descriptor; 0 when the kernel does not tell."""
    for line in Path(f"/proc/self/fdinfo/{map_fd}").read_text(encoding="ascii").splitlines():
        if line.startswith("memlock:"):
            return int(line.split()[1])
    return 0


@contextmanager
def statistics() -> Iterator[None]:
    """Switches run-time statistics of all programs on while the block runs; each run then reads a clock twice."""
    fd, _ = bpf(Command.ENABLE_STATS, struct.pack("=I", _STATS_RUN_TIME))
    try:
        yield
    finally:
        os.close(fd)
