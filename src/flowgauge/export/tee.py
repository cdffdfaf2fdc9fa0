# SPDX-License-Identifier: Apache-2.0
"""Passes datagrams on unchanged, to several receivers: from one socket, in batches, with nothing kept in between.

The receiving socket's buffer is the only queue, so the memory is bounded and what overflows is the kernel's own drop count.
Datagrams go on in the order in which they came. Before it: exporters of any protocol; after it: collectors of any make.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from flowgauge.errors import UsageError
from flowgauge.export.addresses import is_local
from flowgauge.export.outlets import Outlet, Passed, Receiver, sending_socket
from flowgauge.export.received import SLOTS, Inlet, Received
from flowgauge.export.sources import KeptSources, Sender
from flowgauge.flow.addresses import packed, to_text
from flowgauge.flow.prefixes import NOTHING, Prefix, PrefixTable
from flowgauge.runtime import logs
from flowgauge.runtime.ledger import Ledger
from flowgauge.runtime.metrics import Sample

DRAIN_S = 2.0
"""How long a stop may go on passing on what the socket holds."""

_ONE_ADDRESS = 128
_log = logs.get("tee")

Rows = npt.NDArray[np.intp]


class Tee:
    """Passes on between ``start`` and ``stop``.

    Args:
        inlet: opened and closed here.
        receivers: who gets each datagram.
        allowed: blocks of senders whose datagrams are passed on; empty: all but the receivers themselves.
        keep_source: whether receivers see the sender's address instead of ours.
    """

    def __init__(
        self, inlet: Inlet, receivers: Sequence[Receiver], allowed: Sequence[Prefix], ledger: Ledger, *, keep_source: bool
    ) -> None:
        self._inlet, self._receivers, self._ledger = inlet, list(receivers), ledger
        self._received = Received()
        self._sources = KeptSources(self._receivers, SLOTS) if keep_source else None
        self._outlets = [] if keep_source else [(sending_socket(one.family), Outlet(SLOTS)) for one in self._receivers]
        self._passed = [Passed() for _ in self._receivers]
        self._allowed = PrefixTable((block, 1) for block in allowed) if allowed else None
        peers = [packed(str(one.address[0]).partition("%")[0]) for one in self._receivers if not one.local]
        self._peers = PrefixTable(((address, _ONE_ADDRESS), 1) for address in peers)
        self._own_ports: list[int] = []
        self._limit = logs.RateLimit()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="tee", daemon=True)

    def start(self) -> None:
        """Listens; UsageError for a receiver that is this very port, EnvironmentProblem when sockets cannot be had."""
        self._inlet.open()
        try:
            self._refuse_itself()
            if self._sources:
                self._sources.check()
            for (sender, _), receiver in zip(self._outlets, self._receivers, strict=False):
                receiver.connect(sender)
        except BaseException:
            self._inlet.close()
            raise
        self._own_ports = [sender.getsockname()[1] for sender, _ in self._outlets]
        self._thread.start()

    def stop(self) -> None:
        """Passes on what has come, and gives the port back; safe to call twice."""
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join()
        self._inlet.close()
        if self._sources:
            self._sources.close()
        for sender, _ in self._outlets:
            sender.close()

    def ready(self) -> bool:
        """True while it passes on."""
        return self._thread.is_alive()

    def samples(self) -> Iterator[Sample]:
        """For ``/metrics``: what became of the datagrams, by receiver and cause."""
        for receiver, passed in zip(self._receivers, self._passed, strict=True):
            to = receiver.text
            yield Sample("tee_receiver_sent", "Datagrams sent to a receiver.", passed.sent, {"to": to}, cumulative=True)
            for cause, failed in list(passed.failed.items()):
                yield Sample("tee_receiver_failed", "Datagrams that did not reach a receiver, by cause.", failed,
                             {"to": to, "cause": cause}, cumulative=True)  # fmt: skip

    def _refuse_itself(self) -> None:
        """A receiver that is our own port would get each datagram again and again."""
        host, port = self._inlet.address
        everywhere = host in ("::", "0.0.0.0")
        for receiver in self._receivers:
            address = str(receiver.address[0])
            if receiver.port == port and (is_local(address) if everywhere else address == host):
                raise UsageError(f"--to {receiver.text} is where datagrams come in: each would go round for ever")

    def _run(self) -> None:
        try:
            while not self._stopping.is_set():
                self._step(wait=True)
            self._inlet.refuse_more()
            deadline = time.monotonic() + DRAIN_S
            while time.monotonic() < deadline and self._step(wait=False):
                pass
        except OSError as error:
            _log.error("tee_failed", error=str(error))

    def _step(self, *, wait: bool) -> int:
        """Receives once and passes on; how many datagrams came."""
        count = self._received.receive(self._inlet, wait=wait)
        if count:
            self._ledger.add("receive_datagrams", count)
            self._ledger.add("receive_bytes", int(self._received.lengths.sum()))
            self._pass_on(np.flatnonzero(self._may_pass()))
        if drops := self._inlet.new_drops():
            self._ledger.add("receive_socket_drops", drops)
            self._warn("receive_socket_drops", datagrams=drops, hint="raise --receive-buffer and net.core.rmem_max")
        return count

    def _pass_on(self, rows: Rows) -> None:
        places, lengths = self._received.places, self._received.lengths
        if self._sources is None:
            for number, (sender, outlet) in enumerate(self._outlets):
                self._count(number, len(rows), outlet.send(sender.fileno(), places[rows], lengths[rows]))
            return
        for of, chosen in self._by_sender(rows).items():
            for number, failed in enumerate(self._sources.send(of, places[chosen], lengths[chosen])):
                self._count(number, len(chosen), failed)

    def _count(self, number: int, offered: int, failed: Counter[str]) -> None:
        self._passed[number].add(offered, failed)
        lost = failed.total()
        self._ledger.add("tee_datagrams_sent", offered - lost)
        if lost:
            self._ledger.add("tee_datagrams_failed", lost)
            self._warn("datagrams_not_passed_on", to=self._receivers[number].text, causes=dict(failed))

    def _may_pass(self) -> npt.NDArray[np.bool_]:
        """Which datagrams are of senders that are allowed, and have not come back from us or from a receiver."""
        addresses, ports = self._received.addresses, self._received.ports
        found = self._peers.lookup(addresses) if self._allowed is None else self._allowed.lookup(addresses)
        passes: npt.NDArray[np.bool_] = np.equal(found, NOTHING) if self._allowed is None else np.not_equal(found, NOTHING)
        for row in np.flatnonzero(np.isin(ports, self._own_ports)).tolist():
            passes[row] &= not is_local(to_text(addresses[row].tobytes()) or "::")
        refused = np.flatnonzero(~passes)
        if len(refused):
            self._ledger.add("tee_datagrams_refused", len(refused))
            self._warn("datagrams_refused", sender=to_text(addresses[refused[0]].tobytes()), datagrams=len(refused))
        return passes

    def _by_sender(self, rows: Rows) -> dict[Sender, Rows]:
        addresses, ports = self._received.addresses, self._received.ports
        found: dict[Sender, list[int]] = {}
        for row in rows.tolist():
            found.setdefault((addresses[row].tobytes(), int(ports[row])), []).append(row)
        return {sender: np.array(of_sender, np.intp) for sender, of_sender in found.items()}

    def _warn(self, event: str, **facts: object) -> None:
        allowed, held_back = self._limit.allow(f"{event} {facts.get('to', '')}")
        if allowed:
            _log.warning(event, held_back=held_back, **facts)
