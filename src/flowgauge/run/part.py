# SPDX-License-Identifier: Apache-2.0
"""One part of a running Flowgauge: a process, how it is started, and how it stands."""

from __future__ import annotations

import os
import socket
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

LOOPBACK = "127.0.0.1"
"""Where parts of one machine meet."""

_KEPT = 64
"""Ports reserved at once: several times what one machine's parts need, and a bound for a supervisor that runs for years."""
_keepers: deque[socket.socket] = deque(maxlen=_KEPT)


@dataclass(frozen=True, slots=True)
class Part:
    """What the supervisor needs to start a process and to know that it works.

    Attributes:
        name: also the name of its log file (``agent-node-a`` → ``agent-node-a.log``).
        argv: program and arguments; never holds a secret.
        ready_url: URL that answers 200 when the part does its work; empty: ready once it runs.
        url: base URL of the part's own HTTP, for status; may be empty.
        secrets: option → secret. Each start the secret is put in a pipe whose read end the child inherits, and
            ``option N`` with its descriptor number is added to the arguments.
        env: added to the environment.
        restart: whether the part is started again when it dies.
        asked_again: whether it is asked now and then whether it is still ready, as one that somebody else may refuse later.
        optional: whether the others go on without it when it cannot run here.
    """

    name: str
    argv: tuple[str, ...]
    ready_url: str = ""
    url: str = ""
    secrets: Mapping[str, str] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict)
    restart: bool = True
    asked_again: bool = False
    optional: bool = False


class State(StrEnum):
    """How a part stands."""

    STARTING = "starting"
    READY = "ready"
    RESTARTING = "restarting"
    FAILED = "failed"
    STOPPED = "stopped"


@dataclass(slots=True)
class PartStatus:
    """How a part stands now: its ``pid`` (0 when none runs), how often it was restarted, and one sentence if it failed.

    ``refused`` is one, too: why it is not ready, where waiting is no use before somebody does something.
    """

    name: str
    state: State = State.STOPPED
    pid: int = 0
    restarts: int = 0
    problem: str = ""
    refused: str = ""


def secret_pipe(secret: str) -> int:
    """The read end of a pipe that holds ``secret``; the caller closes it after the child has inherited it.

    A pipe holds at least 4,096 bytes (pipe(7)), so writing a key cannot block.
    """
    read_end, write_end = os.pipe()
    with os.fdopen(write_end, "wb") as stream:
        stream.write(secret.encode())
    return read_end


def free_port(kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    """A port of this machine that nobody uses, reserved for a server that sets SO_REUSEADDR or takes datagrams.

    Of datagrams the kernel reserves nothing without taking some; that the number is reserved for TCP keeps others that ask
    here away from it.
    """
    while True:
        port = reserved(0)
        if kind is socket.SOCK_STREAM or _takes_datagrams(port):
            return port


def reserved(wanted: int) -> int:
    """``wanted``, or with 0 one of the kernel's choice: a port that it gives to nobody else, to listen or to connect from.

    Only who asks for just this one may have it, too. A socket that is bound and does not listen keeps it so. It allows a
    second one only once it is bound: otherwise it could be the second of somebody else's port.

    Raises:
        OSError: somebody has ``wanted``.
    """
    keeper = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        keeper.bind((LOOPBACK, wanted))
    except OSError:
        keeper.close()
        raise
    keeper.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    _keepers.append(keeper)
    port: int = keeper.getsockname()[1]
    return port


def _takes_datagrams(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
        return True


def is_free(port: int, host: str = LOOPBACK) -> bool:
    """Whether nobody listens at a TCP port of this machine."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do: an old connection is no listener
        try:
            probe.bind((host, port))
        except OSError:
            return False
        return True
