# SPDX-License-Identifier: Apache-2.0
"""From the sockets to the spool: listeners, decoder, thinning and gatherer, as threads of whichever process makes one.

::

    receive threads ─blocks─► decode thread ─segments─► onward
      (bytes-bounded)            └─► spool on disk

``onward`` is the process thread's queue when all of a collector is one process, and the way to it from a receive process
(:mod:`flowgauge.collector.receive_process`).
"""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flowgauge.collector.agent_ledgers import AgentLedgers
from flowgauge.collector.decode import DecodeLoop
from flowgauge.collector.decoders import Decoders
from flowgauge.collector.gatherer import Ahead, Gatherer, Onward
from flowgauge.collector.listener_state import ListenerState
from flowgauge.collector.listeners import make_listeners
from flowgauge.collector.segments import Segment
from flowgauge.collector.senders import Refusals
from flowgauge.collector.settings import CollectorSettings
from flowgauge.collector.standing import Standing, StateFile, TemplateFiles
from flowgauge.collector.udp_socket import UdpSocket
from flowgauge.pipeline.exporters import ExporterDirectory
from flowgauge.pipeline.thin import Thin
from flowgauge.runtime.ledger import Ledger


@dataclass(frozen=True, slots=True)
class Seat:
    """Which of the receive processes this is.

    Attributes:
        number, processes: from 0, and how many there are.
        sockets: of the UDP listeners, in their order, when somebody else has opened them.
    """

    number: int = 0
    processes: int = 1
    sockets: Sequence[UdpSocket] | None = None


@dataclass(frozen=True, slots=True)
class Way:
    """Where flows go.

    Attributes:
        spool: has them first.
        onward: gets segments.
        waiting: how many segments wait for the store.
        watched: whether somebody looks at flows as they pass.
        dropped: called with a segment for which there was no room.
        holds: whether segments on disk stay in memory, too, for ``onward``.
    """

    spool: Ahead
    onward: Onward
    waiting: Callable[[], int]
    watched: Callable[[], bool]
    dropped: Callable[[Segment], None]
    holds: bool = True


class Reception:
    """Receives between ``start`` and ``stop``.

    Attributes:
        standing: how exporters stand; refusals: who was turned away.
    """

    def __init__(
        self, settings: CollectorSettings, ledger: Ledger, directory: ExporterDirectory, agents: AgentLedgers, *, way: Way,
        seat: Seat | None = None,
    ) -> None:  # fmt: skip
        seat = seat or Seat()
        self.standing, self.refusals = Standing(), Refusals()
        self._arrived: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._decoders = Decoders(settings)
        self._listeners = make_listeners(
            settings, self._arrived, ledger, self.refusals, self._decoders, sockets=seat.sockets, streams=seat.number == 0
        )
        self._thin = Thin(directory, ledger, keep_one_of=settings.collector.sampling,
                          limit_per_s=settings.collector.exporter_rate_limit)  # fmt: skip
        gatherer = Gatherer(
            way.spool, way.onward, waiting=way.waiting, watched=way.watched, dropped=way.dropped, holds=way.holds
        )
        state = settings.data_dir / "state" if settings.data_dir else None
        names = None if seat.sockets else settings.names_path  # of receive processes the collector keeps them
        self._decode = DecodeLoop(
            self._arrived, new_decoder=self._decoders, directory=directory, thin=self._thin,
            gatherer=gatherer, agents=agents, ledger=ledger, refusals=self.refusals, standing=self.standing,
            templates=TemplateFiles(state, settings.name, seat.number, seat.processes), names=StateFile(names, "names"),
        )  # fmt: skip

    def launch(self) -> None:
        """Nothing takes long to start."""

    def start(self) -> None:
        """Listens; raises what the listeners raise."""
        self._decode.start()
        for listener in self._listeners:
            listener.start()

    def stop(self, timeout_s: float) -> None:
        """Takes nothing more, and hands on what was received."""
        until = time.monotonic() + timeout_s
        for listener in self._listeners:
            listener.stop()
        self._arrived.put(None)
        self._decode.stop(max(1.0, until - time.monotonic()))

    def broken(self) -> list[str]:
        """What has ended that should not."""
        silent = [f"receiver of {listener.name}" for listener in self._listeners if not listener.ready()]
        return silent if self._decode.ready() else [*silent, "decoder"]

    def listeners(self) -> list[ListenerState]:
        """How they stand, in the order of the settings."""
        return [listener.state() for listener in self._listeners]

    def apply(self, settings: CollectorSettings) -> None:
        """Takes over what can change while it runs."""
        self._thin.keep_one_of = settings.collector.sampling
        self._thin.limit_per_s = settings.collector.exporter_rate_limit
        self._decoders.apply(settings)

    def ledgers(self) -> dict[str, Mapping[str, int]]:
        """Ledgers beside the collector's own: none."""
        return {}

    def counters(self) -> Mapping[str, int]:
        """Their sum."""
        return {}

    def spool_problem(self) -> str:
        """Why what is received cannot be put on disk, beside what the spool says itself."""
        return ""
