# SPDX-License-Identifier: Apache-2.0
"""bpf(2), as far as libbpf 1.1 does not offer it: TCX links, map batches into our own memory, test runs.

Each function raises OSError with the kernel's errno. Safe from any thread; a link's device is looked up in the calling
thread's network namespace.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
import time
from dataclasses import dataclass
from enum import IntEnum

_NUMBERS = {"x86_64": 321, "aarch64": 280, "riscv64": 280, "ppc64le": 361, "s390x": 351}
"""Of the system call, by machine (the kernel's arch/*/entry/syscalls tables)."""
_MEMBARRIER_NUMBERS = {"x86_64": 324, "aarch64": 283, "riscv64": 283, "ppc64le": 365, "s390x": 356}
_MEMBARRIER_GLOBAL = 1
_WITHOUT_MEMBARRIER_S = 0.05
"""Where membarrier(2) is refused (nohz_full): a program takes microseconds, so after this none that ran before still runs."""
_ATTR_SIZE = 128
_SCHED_CLS = 3
_LICENSE = b"GPL\0"

_libc = ctypes.CDLL(None, use_errno=True)


class Command(IntEnum):
    """enum bpf_cmd of linux/bpf.h."""

    MAP_LOOKUP_ELEM = 1
    MAP_UPDATE_ELEM = 2
    PROG_LOAD = 5
    PROG_TEST_RUN = 10
    OBJ_GET_INFO_BY_FD = 15
    MAP_LOOKUP_BATCH = 24
    MAP_LOOKUP_AND_DELETE_BATCH = 25
    MAP_DELETE_BATCH = 27
    LINK_CREATE = 28
    LINK_UPDATE = 29
    ENABLE_STATS = 32


class Direction(IntEnum):
    """Attach types BPF_TCX_INGRESS and BPF_TCX_EGRESS of linux/bpf.h, since Linux 6.6."""

    INGRESS = 46
    EGRESS = 47


def bpf(command: Command, attributes: bytes) -> tuple[int, bytes]:
    """The result of a call, and the attributes as the kernel left them."""
    number = _NUMBERS.get(platform.machine())
    if number is None:
        raise OSError(errno.ENOSYS, f"bpf(2) on {platform.machine()}")
    buffer = ctypes.create_string_buffer(attributes.ljust(_ATTR_SIZE, b"\0"), _ATTR_SIZE)
    result: int = _libc.syscall(ctypes.c_long(number), ctypes.c_int(command), buffer, ctypes.c_uint(_ATTR_SIZE))
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result, buffer.raw


def probe_load() -> bool:
    """Whether the kernel takes a two-instruction program (``return 0``) from this process."""
    code = ctypes.create_string_buffer(struct.pack("<BBhi", 0xB7, 0, 0, 0) + struct.pack("<BBhi", 0x95, 0, 0, 0), 16)
    license_ = ctypes.create_string_buffer(_LICENSE)
    attributes = struct.pack("=IIQQ", _SCHED_CLS, 2, ctypes.addressof(code), ctypes.addressof(license_))
    try:
        fd, _ = bpf(Command.PROG_LOAD, attributes)
    except OSError:
        return False
    os.close(fd)
    return True


def tcx_link(program_fd: int, ifindex: int, direction: Direction) -> int:
    """Attaches a program to a device; the link's file descriptor, whose closing detaches.

    EINVAL: this kernel has no TCX.
    """
    return bpf(Command.LINK_CREATE, struct.pack("=IIII", program_fd, ifindex, direction, 0))[0]


def link_update(link_fd: int, program_fd: int) -> None:
    """Puts another program in the place of a link's: each packet meets one of both."""
    bpf(Command.LINK_UPDATE, struct.pack("=IIII", link_fd, program_fd, 0, 0))


def lookup(map_fd: int, key_at: int, value_at: int) -> bool:
    """Reads one map value to the address ``value_at``; False when the key is not there."""
    try:
        bpf(Command.MAP_LOOKUP_ELEM, struct.pack("=IIQQQ", map_fd, 0, key_at, value_at, 0))
    except OSError as error:
        if error.errno == errno.ENOENT:
            return False
        raise
    return True


def update(map_fd: int, key_at: int, value_at: int) -> None:
    """Writes one map value from the address ``value_at``."""
    bpf(Command.MAP_UPDATE_ELEM, struct.pack("=IIQQQ", map_fd, 0, key_at, value_at, 0))


@dataclass(frozen=True, slots=True)
class Batch:
    """Where a batch call starts, and puts or finds keys and values: addresses of caller-owned memory; 0 where not needed."""

    keys_at: int
    values_at: int = 0
    start_at: int = 0
    next_at: int = 0


def batch(command: Command, map_fd: int, memory: Batch, count: int) -> tuple[int, int]:
    """(errno or 0, entries done) of a batch call on up to ``count`` entries.

    When reading, ENOENT means that the map's end is reached, with entries; ENOSPC that ``count`` is too small.
    """
    attributes = ctypes.create_string_buffer(
        struct.pack("=QQQQIIQQ", memory.start_at, memory.next_at, memory.keys_at, memory.values_at, count, map_fd, 0, 0).ljust(
            _ATTR_SIZE, b"\0"
        ),
        _ATTR_SIZE,
    )
    number = ctypes.c_long(_NUMBERS[platform.machine()])
    result: int = _libc.syscall(number, ctypes.c_int(command), attributes, ctypes.c_uint(_ATTR_SIZE))
    done = struct.unpack_from("=I", attributes.raw, 32)[0]
    return (0 if result >= 0 else ctypes.get_errno()), done


def wait_for_programs() -> None:
    """Returns when every eBPF program that runs at the moment of the call has ended: after an RCU grace period."""
    number = _MEMBARRIER_NUMBERS.get(platform.machine())
    if number is None or _libc.syscall(ctypes.c_long(number), ctypes.c_int(_MEMBARRIER_GLOBAL), 0, 0) != 0:
        time.sleep(_WITHOUT_MEMBARRIER_S)


@dataclass(frozen=True, slots=True)
class TestRun:
    """What a test run gave: the program's result, and ns per run."""

    __test__ = False

    result: int
    duration_ns: int


def test_run(program_fd: int, packet: bytes, context: bytes, repeat: int) -> TestRun:
    """Runs a program on an Ethernet frame (at least 14 bytes) with a ``struct __sk_buff`` as context."""
    data = ctypes.create_string_buffer(packet, len(packet))
    ctx = ctypes.create_string_buffer(context, len(context))
    attributes = struct.pack(
        "=IIIIQQIIIIQQ",
        *(program_fd, 0, len(packet), 0, ctypes.addressof(data), 0, repeat, 0, len(context), 0, ctypes.addressof(ctx), 0),
    )
    _, after = bpf(Command.PROG_TEST_RUN, attributes)
    result, duration_ns = struct.unpack_from("=i", after, 4)[0], struct.unpack_from("=I", after, 36)[0]
    return TestRun(result, duration_ns)
