# SPDX-License-Identifier: Apache-2.0
"""The demo for somebody who is not root: the same command again, in a user namespace where they are.

There it may make network namespaces and capture packets, and nothing outside it changes. What a user namespace cannot have is
eBPF (bpf(2) asks for capabilities of the machine itself), so the agents observe with packet sockets, without signals.

The network there is another one than the user's browser is in. So the ports that people open are bound before, in the machine's
own network, and their sockets are handed in (:class:`Doors`); a connection that comes by one goes to the same port inside.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from flowgauge.demo.doors import DOORS_VARIABLE, LOOPBACK
from flowgauge.demo.entrance import PREFERRED_PORT
from flowgauge.demo.scene.addresses import NODES
from flowgauge.demo.stage import CONSOLE_PORT
from flowgauge.errors import EnvironmentProblem
from flowgauge.runtime import instance

CAPTURING = "agents capture packets instead, so RTT, retransmits, drops, DNS and the names of processes are missing"
MISSING = f"not root, so this runs in a user namespace, without eBPF: {CAPTURING} (sudo ./flowgauge demo has them)"
_UNSHARE = ("unshare", "--user", "--map-root-user", "--net", "--mount", "--ipc", "--propagation", "private", "--")
_SYSTEM_PATH = "/usr/local/sbin:/usr/sbin:/sbin"
"""Where nft and dnsmasq are, which a plain user's PATH often lacks."""
_SET_UP = """
set -e
ip link set lo up
mkdir -p "$1"
if [ -d /run/user ]; then mkdir -p "$1/user"; mount --rbind /run/user "$1/user"; fi
mount -t tmpfs -o mode=755 flowgauge /run
mkdir /run/netns
if [ -d "$1/user" ]; then mkdir /run/user; mount --rbind "$1/user" /run/user; umount -l "$1/user"; rmdir "$1/user"; fi
rmdir "$1"
shift
exec "$@"
"""
"""A /run of our own for the names of network namespaces, with the user's own runtime folder in it."""


def enter(arguments: Sequence[str], *, console_port: int, clicks_port: int) -> None:
    """Replaces this process by ``flowgauge`` with these arguments, root in a user namespace of its own.

    Args:
        arguments: of the command line.
        console_port: that the user wants; 0 takes the usual one if it is free, else any.
        clicks_port: likewise.

    Raises:
        EnvironmentProblem: this machine does not let plain users make namespaces, or a program is missing.
    """
    path = f"{os.environ.get('PATH', os.defpath)}:{_SYSTEM_PATH}"
    for program in ("unshare", "ip", "mount"):
        if not shutil.which(program, path=path):
            raise EnvironmentProblem(
                f"the demo needs the program {program}; nothing was started: apt-get install util-linux iproute2"
            )
    _require_namespaces()
    doors = [_bound(console_port, CONSOLE_PORT), _bound(clicks_port, PREFERRED_PORT)]
    doors += [_bound(0, 0) for _ in ("collector", *NODES)]
    for door in doors:
        door.set_inheritable(True)
    environment = {
        **os.environ,
        "PATH": path,
        instance.RUNTIME_DIR_VARIABLE: str(instance.user_dir()),
        DOORS_VARIABLE: ",".join(f"{door.fileno()}:{door.getsockname()[1]}" for door in doors),
    }
    aside = Path(tempfile.mkdtemp(prefix="flowgauge-run-"))
    command = [sys.executable, "-P", "-m", "flowgauge.cli.start", *arguments]
    _run([*_UNSHARE, "sh", "-c", _SET_UP, "demo", str(aside), *command], environment)


def _run(command: Sequence[str], environment: Mapping[str, str]) -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    os.execvpe(command[0], list(command), dict(environment))  # noqa: S606 - the program is ours


def _require_namespaces() -> None:
    try:
        done = subprocess.run([*_UNSHARE, "true"], capture_output=True, text=True, check=False, timeout=30)
        said = done.stderr.strip() if done.returncode else ""
    except (OSError, subprocess.TimeoutExpired) as error:
        said = str(error)
    if said:
        raise EnvironmentProblem(
            f"the demo needs root, or user namespaces, which this machine does not give to plain users{_why()} ({said}); "
            "nothing was started: run it with sudo"
        )


def _why() -> str:
    """The setting that forbids user namespaces, as far as one says so."""
    for name, forbids in (("user/max_user_namespaces", "0"), ("kernel/unprivileged_userns_clone", "0"),
                          ("kernel/apparmor_restrict_unprivileged_userns", "1")):  # fmt: skip
        with suppress(OSError):
            if Path("/proc/sys", name).read_text(encoding="ascii").strip() == forbids:
                return f": sysctl {name.replace('/', '.')} is {forbids}"
    return ""


def _bound(wanted: int, usual: int) -> socket.socket:
    """A socket that listens on loopback: on the port wanted, else on the usual one if it is free, else on any."""
    if wanted:
        try:
            return socket.create_server((LOOPBACK, wanted))
        except OSError as error:
            raise EnvironmentProblem(f"port {wanted} of {LOOPBACK} is taken: {error.strerror}") from error
    with suppress(OSError):
        return socket.create_server((LOOPBACK, usual))
    return socket.create_server((LOOPBACK, 0))
