# SPDX-License-Identifier: Apache-2.0
"""What the collector and its receive processes tell each other, over a socket pair that nobody else has.

Pickled by ``multiprocessing.connection``: both ends are the same version of the same program. The end of the stream is a
message, too: whoever is left ends.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from flowgauge.collector.listener_state import ListenerState
from flowgauge.collector.settings import CollectorSettings
from flowgauge.pipeline.exporters import Heard
from flowgauge.wire.decoded import OptionsData, StreamReport

# To a receive process.


@dataclass(frozen=True, slots=True)
class Begin:
    """The first message: who it is, and what it has. ``descriptors``: of the UDP listeners' sockets, in their order."""

    settings: CollectorSettings
    instance: str
    number: int
    processes: int
    descriptors: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Changed:
    """Settings have changed."""

    settings: CollectorSettings


@dataclass(frozen=True, slots=True)
class Pressure:
    """How many segments wait for the store, and whether somebody watches flows as they pass."""

    waiting: int = 0
    watched: bool = False


@dataclass(frozen=True, slots=True)
class Stop:
    """Hand on what was received within ``timeout_s``, and end."""

    timeout_s: float


# From a receive process.


@dataclass(frozen=True, slots=True)
class Ready:
    """It receives."""


@dataclass(frozen=True, slots=True)
class Refused:
    """It cannot: ``usage`` when that is the user's mistake, else this machine's."""

    text: str
    usage: bool


@dataclass(frozen=True, slots=True)
class Sealed:
    """A segment on disk, which is the collector's from now on."""

    token: str
    rows: int
    path: Path
    size: int


@dataclass(frozen=True, slots=True)
class Loose:
    """A segment that found no room on disk; ``full``: because that is full, else because it cannot be written."""

    token: str
    rows: int
    frames: tuple[bytes, ...]
    full: bool


@dataclass(frozen=True, slots=True)
class Learned:
    """Options data, before the flows that came after it."""

    options: tuple[OptionsData, ...]


@dataclass(frozen=True, slots=True)
class Counted:
    """Its ledger, its listeners, and why it cannot write to disk (empty: it can)."""

    counters: Mapping[str, int]
    listeners: tuple[ListenerState, ...]
    spool_problem: str


@dataclass(frozen=True, slots=True)
class Exporters:
    """Who was heard since the last time; how exporters stand, and who was turned away, altogether."""

    heard: Sequence[Heard]
    reports: Sequence[StreamReport]
    refusals: Sequence[Mapping[str, Any]]


class Line:
    """One end of the connection; any thread may send, one receives."""

    def __init__(self, descriptor: int) -> None:
        self._connection = Connection(descriptor)
        self._lock = threading.Lock()

    def send(self, message: object) -> bool:
        """Waits until it is sent; False when there is nobody any more."""
        with self._lock:
            try:
                self._connection.send(message)
            except OSError:
                return False
            return True

    def receive(self, timeout_s: float | None = None) -> object | None:
        """The next message; None when none came within ``timeout_s``. EOFError when the other end is gone."""
        try:
            if not self._connection.poll(timeout_s):
                return None
            message: object = self._connection.recv()
        except ConnectionError as error:
            raise EOFError from error
        return message

    def close(self) -> None:
        """Gives it back."""
        with self._lock:
            self._connection.close()
