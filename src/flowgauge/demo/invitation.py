# SPDX-License-Identifier: Apache-2.0
"""The lines to paste that the demo prints: where the console is, how to click, how to ask, how to reach it, how to stop."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from flowgauge.demo.flow_demo import ROUTE_HOST

_GENERATIONS = 12
"""How many parents are asked for SSH_CONNECTION, which sudo takes out of our own environment."""


@dataclass(frozen=True, slots=True)
class Invitation:
    """Where things are."""

    console_url: str
    entrance_port: int
    log_dir: Path
    ssh: str = ""

    def lines(self) -> list[tuple[str, str]]:
        """(what it is, the line)."""
        port = self.entrance_port
        return [
            ("console", f"{self.console_url}/"),
            ("click", f"curl http://{ROUTE_HOST}:{port}/   (or: curl http://127.0.0.1:{port}/)"),
            ("ask", "./flowgauge flows 'namespace = flow-demo'"),
            *([("from afar", self.ssh)] if self.ssh else []),
            ("stop", f"Ctrl-C, or: kill {os.getpid()}   (logs until then: ./flowgauge logs, in {self.log_dir})"),
        ]


def ssh_line(console_url: str, entrance_port: int) -> str:
    """``ssh -L …`` that brings both ports to the user's own machine; empty when nobody came by SSH."""
    connection, user = _came_from()
    if not connection:
        return ""
    host = connection.split()[2]
    port = console_url.rpartition(":")[2]
    forwards = " ".join(f"-L {number}:127.0.0.1:{number}" for number in (port, entrance_port))
    return f"ssh -N {forwards} {user + '@' if user else ''}{host}"


def _came_from() -> tuple[str, str]:
    """SSH_CONNECTION and the user, of this process or the nearest parent that has it."""
    user = os.environ.get("SUDO_USER") or os.environ.get("USER", "")
    pid = os.getpid()
    for _ in range(_GENERATIONS):
        environment = _environment(pid)
        if environment.get("SSH_CONNECTION", "").count(" ") == 3:
            return environment["SSH_CONNECTION"], user
        pid = _parent(pid)
        if pid <= 1:
            break
    return "", user


def _environment(pid: int) -> Mapping[str, str]:
    try:
        entries = Path(f"/proc/{pid}/environ").read_text("utf-8", "replace").split("\0")
    except OSError:
        return {}
    return dict(entry.split("=", 1) for entry in entries if "=" in entry)


def _parent(pid: int) -> int:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace")
    except OSError:
        return 0
    return int(stat.rpartition(")")[2].split()[1])
