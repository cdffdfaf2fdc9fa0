# SPDX-License-Identifier: Apache-2.0
"""Gives up capabilities of this process for good (capabilities(7), capset(2), prctl(2))."""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Set as AbstractSet
from pathlib import Path

_VERSION_3 = 0x20080522
_PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS, _PR_CAP_AMBIENT, _CLEAR_ALL = 24, 38, 47, 4
_LAST = Path("/proc/sys/kernel/cap_last_cap")

_libc = ctypes.CDLL(None, use_errno=True)


def last() -> int:
    """The highest capability that this kernel knows."""
    return int(_LAST.read_text(encoding="ascii"))


def keep_only(numbers: AbstractSet[int], held: int) -> None:
    """Gives up every capability but those of ``numbers`` that are ``held`` (a bit mask), and any way to get others.

    Capabilities belong to threads: call it before there is a second one. Programs that are started later get no more, either.

    Raises:
        OSError: the kernel refuses.
    """
    for number in range(last() + 1):
        if number not in numbers:  # needs CAP_SETPCAP; without it the next steps hold all the same
            _libc.prctl(_PR_CAPBSET_DROP, number, 0, 0, 0)
    _libc.prctl(_PR_CAP_AMBIENT, _CLEAR_ALL, 0, 0, 0)
    kept = held & sum(1 << number for number in numbers)
    low, high = kept & 0xFFFFFFFF, kept >> 32
    header, data = struct.pack("=Ii", _VERSION_3, 0), struct.pack("=6I", low, low, 0, high, high, 0)
    _check(_libc.capset(header, data), "give up capabilities")
    _check(_libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "set no_new_privs")


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
