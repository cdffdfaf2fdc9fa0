# SPDX-License-Identifier: Apache-2.0
"""Reads names out of the running kernel's own type information (BTF).

Numbers of drop reasons move between kernel versions, so no table of ours could name them.
"""

from __future__ import annotations

import functools
import struct
from pathlib import Path

KERNEL_BTF = Path("/sys/kernel/btf/vmlinux")

_HEADER = struct.Struct("=HBBIIIII")
_TYPE = struct.Struct("=III")
_MAGIC = 0xEB9F
_ENUM = 6
_EXTRA_BYTES = {
    1: (4, 0),
    3: (12, 0),
    4: (0, 12),
    5: (0, 12),
    6: (0, 8),
    13: (0, 8),
    14: (4, 0),
    15: (0, 12),
    17: (4, 0),
    19: (0, 12),
}
"""Bytes behind a type of each kind (linux/btf.h): a fixed number, and so many for each of its members."""


@functools.cache
def enumerators(name: str) -> dict[int, str]:
    """Value (as 32 bits) → name of each member of ``enum name``; nothing when the kernel does not tell."""
    try:
        with KERNEL_BTF.open("rb") as file:  # sysfs gives no size, so read_bytes would not do
            data = file.read()
    except OSError:
        return {}
    magic, _, _, header, type_at, type_length, text_at, text_length = _HEADER.unpack_from(data)
    if magic != _MAGIC:
        return {}
    texts = data[header + text_at : header + text_at + text_length]
    wanted = texts.find(b"\0" + name.encode() + b"\0") + 1
    at, end = header + type_at, header + type_at + type_length
    while wanted and at < end:
        name_at, info, _ = _TYPE.unpack_from(data, at)
        kind, members = info >> 24 & 0x1F, info & 0xFFFF
        at += _TYPE.size
        if kind == _ENUM and name_at == wanted:
            return dict(_member(data, texts, at + 8 * number) for number in range(members))
        fixed, each = _EXTRA_BYTES.get(kind, (0, 0))
        at += fixed + each * members
    return {}


def _member(data: bytes, texts: bytes, at: int) -> tuple[int, str]:
    name_at, value = struct.unpack_from("=II", data, at)
    return value, texts[name_at : texts.index(b"\0", name_at)].decode()
