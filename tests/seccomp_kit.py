# SPDX-License-Identifier: Apache-2.0
"""For tests: runs a program under systemd's ``SystemCallFilter=`` where no systemd runs.

``systemd-analyze`` says which calls a set has; what is not among them fails with EPERM (``SystemCallErrorNumber=EPERM``, as
container runtimes do too). As a program: ``seccomp_kit.py SETS -- COMMAND…``. x86-64.
"""

from __future__ import annotations

import ctypes
import errno
import os
import re
import struct
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

NUMBERS = Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h")
_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _SECCOMP_MODE_FILTER = 38, 22, 2
_LOAD, _EQUAL, _RETURN = 0x20, 0x15, 0x06
"""linux/bpf_common.h: BPF_LD|BPF_W|BPF_ABS, BPF_JMP|BPF_JEQ|BPF_K, BPF_RET|BPF_K."""
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000
"""linux/seccomp.h: SECCOMP_RET_ALLOW, SECCOMP_RET_ERRNO."""
_MEMBER = re.compile(r"^\s*(@?[\w-]+)\s*$")


def under(filter_sets: str) -> list[str]:
    """The words before a command that is to run under ``SystemCallFilter=<filter_sets>``."""
    return [sys.executable, __file__, filter_sets, "--"]


def calls(names: Iterable[str]) -> set[str]:
    """System calls of sets and single names, sets within sets opened."""
    found: set[str] = set()
    for name in names:
        found |= calls(_members(name)) if name.startswith("@") else {name}
    return found


def _members(name: str) -> list[str]:
    text = subprocess.run(["systemd-analyze", "syscall-filter", name], capture_output=True, text=True, check=True).stdout
    return [match[1] for line in text.splitlines()[1:] if (match := _MEMBER.match(line))]


def program(allowed: Iterable[str]) -> bytes:
    """The struct sock_filter[]: the call's number is looked up among those allowed."""
    numbers = dict(re.findall(r"^#define __NR_(\w+) (\d+)$", NUMBERS.read_text(), re.MULTILINE))
    made = [struct.pack("=HBBI", _LOAD, 0, 0, 0)]
    for name in sorted(numbers.keys() & set(allowed)):
        made += [struct.pack("=HBBI", _EQUAL, 0, 1, int(numbers[name])), struct.pack("=HBBI", _RETURN, 0, 0, _ALLOW)]
    return b"".join([*made, struct.pack("=HBBI", _RETURN, 0, 0, _ERRNO | errno.EPERM)])


def confine(filters: bytes) -> None:
    """Puts this process, and what it becomes, under a filter for good."""
    libc = ctypes.CDLL(None, use_errno=True)
    code = ctypes.create_string_buffer(filters, len(filters))
    head = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(filters) // 8, ctypes.addressof(code)))
    for words in ((_PR_SET_NO_NEW_PRIVS, 1, 0), (_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, head)):
        if libc.prctl(words[0], words[1], words[2], 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "prctl")


if __name__ == "__main__":
    confine(program(calls(sys.argv[1].split())))
    os.execvp(sys.argv[3], sys.argv[3:])  # noqa: S606 - the command of a test
