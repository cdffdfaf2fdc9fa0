# SPDX-License-Identifier: Apache-2.0
"""For tests: programs that serve in a place of a node, there until the block ends."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from agent_kit import until
from flowgauge.runtime import linux
from node_kit import TwoPods

FORKING = """
import os, socket, sys
listener = socket.create_server(("", int(sys.argv[1])))
print(os.getpid(), flush=True)
while True:
    accepted, _ = listener.accept()
    if os.fork() == 0:
        accepted.recv(100)
        accepted.sendall(str(os.getpid()).encode())
        accepted.recv(100)
        os._exit(0)
    accepted.close()
"""
"""Forks a process for each connection, as PostgreSQL does, which tells its id."""


@contextmanager
def listening(node: TwoPods, place: str, command: Sequence[str], port: int, folder: Path | None = None) -> Iterator[None]:
    """A program that listens on a port of TCP, once it does."""
    with linux.in_netns(node.netns[place]):
        running = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until(lambda: f":{port} " in node.run(place, "ss", "-Hltn"), f"{command[0]} listens")
        yield
    finally:
        running.kill()
        running.wait()


@contextmanager
def telling(node: TwoPods, source: str, port: int, group: Path | None = None) -> Iterator[int]:
    """A Python program in pod b, told its port, that prints its process id when it serves; that id.

    Args:
        node: where.
        source: the program.
        port: its argument.
        group: a control group into which it goes.
    """
    with linux.in_netns(node.netns["b"]):
        started = subprocess.Popen([sys.executable, "-c", source, str(port)], stdout=subprocess.PIPE, text=True)
    try:
        assert started.stdout is not None
        if group is not None:
            (group / "cgroup.procs").write_text(str(started.pid))
        assert int(started.stdout.readline()) == started.pid
        yield started.pid
    finally:
        started.kill()
        started.communicate()


def call(node: TwoPods, to: tuple[str, int]) -> tuple[int, int]:
    """One exchange of pod a with the server that forks: (the client's port, the worker's process id)."""
    with node.socket("a", socket.AF_INET6 if ":" in to[0] else socket.AF_INET, socket.SOCK_STREAM) as client:
        client.connect(to)
        client.sendall(b"who are you")
        worker = int(client.recv(100))
        port: int = client.getsockname()[1]
    until(lambda: Path(f"/proc/{worker}/stat").read_text().rpartition(")")[2].split()[0] == "Z", "the worker has ended")
    return port, worker
