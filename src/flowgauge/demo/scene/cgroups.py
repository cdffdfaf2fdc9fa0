# SPDX-License-Identifier: Apache-2.0
"""Control groups, version 2 (Linux, Documentation/admin-guide/cgroup-v2.rst): one per pod, so that its processes are known."""

from __future__ import annotations

import contextlib
import secrets
import time
from pathlib import Path

from flowgauge.runtime.cgroups import mount_point

_EMPTY_WITHIN_S = 2.0
_POLL_S = 0.002


def create(name: str) -> Path | None:
    """Makes a cgroup at the root of the hierarchy; None where that is not possible (no hierarchy, or read-only)."""
    root = mount_point()
    if root is None:
        return None
    try:
        (root / name).mkdir(exist_ok=True)
    except OSError:
        return None
    return root / name


def container(pod: Path, uid: str) -> Path:
    """Makes the cgroup of a new container of a pod, below the pod's own, with the identifiers that the kubelet gives them."""
    path = pod / f"pod{uid}" / secrets.token_hex(32)
    path.mkdir(parents=True)
    return path


def kill(path: Path) -> None:
    """Kills every process in the cgroup and below, and returns when they are gone (at most 2 s)."""
    with contextlib.suppress(OSError):
        (path / "cgroup.kill").write_text("1", encoding="utf-8")
    deadline = time.monotonic() + _EMPTY_WITHIN_S
    while _populated(path) and time.monotonic() < deadline:
        time.sleep(_POLL_S)


def remove(path: Path) -> None:
    """Kills what runs in the cgroup and removes it with everything below; one that is gone is no error."""
    if not path.is_dir():
        return
    kill(path)
    below = sorted((folder for folder in path.rglob("*") if folder.is_dir()), key=lambda folder: -len(folder.parts))
    for folder in (*below, path):
        with contextlib.suppress(OSError):
            folder.rmdir()


def _populated(path: Path) -> bool:
    try:
        return "populated 1" in (path / "cgroup.events").read_text(encoding="utf-8")
    except OSError:
        return False
