# SPDX-License-Identifier: Apache-2.0
"""Where this machine has its control groups (Linux, Documentation/admin-guide/cgroup-v2.rst)."""

from __future__ import annotations

from pathlib import Path


def mount_point() -> Path | None:
    """Where the version 2 hierarchy is mounted (proc_pid_mountinfo(5)): on a hybrid system not at the usual place."""
    for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines():
        before, _, after = line.partition(" - ")
        if after.split()[0] == "cgroup2":
            return Path(before.split()[4])
    return None
