# SPDX-License-Identifier: Apache-2.0
"""Linux calls that Python does not have: network namespaces and mounts. ``ctypes`` stays here and in ``ebpf``."""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

CLONE_NEWNET = 0x40000000
MS_BIND = 4096
MNT_DETACH = 2
NETNS_DIR = Path("/run/netns")

_libc = ctypes.CDLL(None, use_errno=True)


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


@contextmanager
def in_netns(name_or_path: str) -> Iterator[None]:
    """Runs the block in a network namespace, for the calling thread only.

    A socket belongs for good to the namespace in which it is created.

    Args:
        name_or_path: a name below /run/netns, or a path such as ``/proc/PID/ns/net``.
    """
    path = name_or_path if "/" in name_or_path else str(NETNS_DIR / name_or_path)
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        target = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            _check(_libc.setns(target, CLONE_NEWNET), f"enter network namespace {name_or_path}")
        finally:
            os.close(target)
        try:
            yield
        finally:
            _check(_libc.setns(home, CLONE_NEWNET), "return to the network namespace")
    finally:
        os.close(home)


def enter_netns(name_or_path: str) -> None:
    """Moves the calling thread into a network namespace for good (before exec)."""
    path = name_or_path if "/" in name_or_path else str(NETNS_DIR / name_or_path)
    target = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        _check(_libc.setns(target, CLONE_NEWNET), f"enter network namespace {name_or_path}")
    finally:
        os.close(target)


def create_netns(name: str) -> None:
    """Makes a named network namespace, as ``ip netns add`` does, without a process."""
    NETNS_DIR.mkdir(parents=True, exist_ok=True)
    path = NETNS_DIR / name
    path.touch(exist_ok=False)
    failure: list[OSError] = []

    def make() -> None:
        try:
            _check(_libc.unshare(CLONE_NEWNET), "create network namespace")
            source = b"/proc/thread-self/ns/net"
            _check(_libc.mount(source, str(path).encode(), b"none", MS_BIND, None), f"keep network namespace {name}")
        except OSError as error:
            failure.append(error)

    thread = threading.Thread(target=make, name=f"netns-{name}")
    thread.start()
    thread.join()
    if failure:
        path.unlink(missing_ok=True)
        raise failure[0]


def delete_netns(name: str) -> None:
    """Removes a named network namespace; one that is gone is no error."""
    path = NETNS_DIR / name
    _libc.umount2(str(path).encode(), MNT_DETACH)
    path.unlink(missing_ok=True)
