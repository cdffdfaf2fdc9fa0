# SPDX-License-Identifier: Apache-2.0
"""To whom an agent sends, in which protocol, over which transport: made of the document's collector section.

With ``spread: FlowHash`` each collector is a destination with templates and sequence numbers of its own, and gets the
connections that fall to it, both directions and on every node the same. Otherwise there is one destination, which may have
others to fall back on. Called by the agent's main thread.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from flowgauge.agent.export_failover import Export, FailoverExport
from flowgauge.agent.export_stream import StreamExport
from flowgauge.agent.export_udp import UdpExport
from flowgauge.agent.messages import AgentMessages, Messages
from flowgauge.agent.messages_netflow9 import NetFlow9Messages
from flowgauge.agent.not_sent import NotSent
from flowgauge.agent.settings import AgentSettings
from flowgauge.config.model import Exporter
from flowgauge.config.sending import ClientTls
from flowgauge.export.messages import Message
from flowgauge.export.settings import ExportSettings, FlowProtocol, TlsOptions, TlsSettings, Transport
from flowgauge.flow.batch import FlowBatch
from flowgauge.flow.hashes import flow_hashes
from flowgauge.runtime.ledger import Ledger
from flowgauge.schema.told import Answer, Kernel

_SENT = "export_records_sent"
_OPTIONS = TlsOptions(*(f"spec.collector.clientTls.{name}" for name in ("ca", "certificate", "serverName")))
_PIECE = 16_384
"""Flows that are encoded at once: the messages of a hundred thousand would be the most of the agent's memory."""


@dataclass(frozen=True, slots=True)
class _Destination:
    """One encoder and whom its messages go to."""

    messages: AgentMessages
    export: Export


MakeExport = Callable[[Ledger], Export]


class Destinations:
    """Sends between ``start`` and ``stop``.

    Args:
        export: makes what takes IPFIX messages instead of the settings' collectors, as one in this process.
    """

    def __init__(self, settings: AgentSettings, ledger: Ledger, export: MakeExport | None = None) -> None:
        self._settings, self._ledger = settings, ledger
        self._fixed = export is not None
        self._all = [_Destination(Messages(settings), export(ledger))] if export else _made(settings, ledger)

    @property
    def where(self) -> list[str]:
        """The collectors in use, for people."""
        return [one.export.where for one in self._all]

    @property
    def sent_anything(self) -> bool:
        """Whether the network took anything yet."""
        return any(one.export.sent_anything for one in self._all)

    @property
    def refused(self) -> str:
        """What the first collector that refuses us says, and what to do; empty while none does."""
        return next((one.export.refused for one in self._all if one.export.refused), "")

    def start(self) -> None:
        """Begins; EnvironmentProblem when Kafka's library refuses its settings."""
        for one in self._all:
            one.export.start()

    def stop(self) -> None:
        """Ends, once what is kept was tried again; safe to call twice."""
        for one in self._all:
            one.export.stop()

    def greet(self) -> None:
        """Tells templates, before anything else."""
        for one in self._all:
            one.export.send(one.messages.templates())

    def send_flows(self, batch: FlowBatch, budget_s: float) -> None:
        """Sends a batch, spread over at most ``budget_s`` seconds."""
        for one, part in zip(self._all, self._parts(batch), strict=True):
            for piece in _pieces(part):
                one.export.send(one.messages.flows(piece), budget_s / len(self._all) * len(piece) / max(len(part), 1))

    def send_options(self, names: Mapping[int, str], exporter: Exporter) -> None:
        """Tells each collector our counters, with what it should have got itself, and the names of devices."""
        counters = self._ledger.snapshot()
        for one in self._all:
            one.export.send(one.messages.options({**counters, _SENT: one.export.sent_records}, names, exporter))

    def send_beside(self, answers: Sequence[Answer], kernel: Kernel) -> None:
        """Tells each collector names from DNS, before the flows that they are for, and what the kernel counts."""
        for one in self._all:
            if messages := one.messages.beside(answers, kernel):
                one.export.send(messages)

    def retry(self) -> None:
        """Offers again what nobody took."""
        for one in self._all:
            if one.export.held:
                one.export.send(())

    def apply(self, settings: AgentSettings) -> None:
        """Sends where ``settings`` say from now on, what nobody took yet included, unless in another protocol: then it failed.

        UsageError when a certificate cannot be used; everything stays as it was then.
        """
        before = self._settings.collector
        if self._fixed or _where(self._settings) == _where(settings):
            self._settings = settings
            return
        made = _made(settings, self._ledger)
        for one in made:
            one.export.start()
        left, self._all, self._settings = self._all, made, settings
        kept = self._kept(left, same_protocol=before.type == settings.collector.type)
        for one in self._all:
            one.export.send([*one.messages.templates(), *kept])
            kept = []
        for one in left:
            one.export.stop()

    def _kept(self, left: Sequence[_Destination], *, same_protocol: bool) -> list[Message]:
        """What nobody took, for whoever is sent to next; in another protocol it cannot be sent, and is counted."""
        kept = [message for one in left for message in one.export.release()]
        if same_protocol:
            return kept
        not_sent = NotSent(self._ledger)
        for message in kept:
            not_sent.count(message, "protocol_changed")
        return []

    def _parts(self, batch: FlowBatch) -> Iterator[FlowBatch]:
        if len(self._all) == 1:
            yield batch
            return
        mine = flow_hashes(batch) % np.uint64(len(self._all))
        for number in range(len(self._all)):
            yield batch.take(np.flatnonzero(mine == number))


def _made(settings: AgentSettings, ledger: Ledger) -> list[_Destination]:
    collector = settings.collector
    if collector.transport == "Kafka" and collector.kafka is not None:
        from flowgauge.agent.export_kafka import KafkaExport  # noqa: PLC0415 - whose library is for those who have Kafka
        from flowgauge.agent.messages_kafka import SelfContainedMessages  # noqa: PLC0415

        return [_Destination(SelfContainedMessages(settings), KafkaExport(collector.kafka, settings.domain, ledger))]
    places = [(collector.address, collector.port), *map(_host_port, collector.others)]
    if collector.spread == "FlowHash":
        return [_destination(settings, ledger, [place]) for place in places]
    return [_destination(settings, ledger, places)]


def _destination(settings: AgentSettings, ledger: Ledger, places: list[tuple[str, int]]) -> _Destination:
    netflow = settings.collector.type == "NetFlow"
    messages = NetFlow9Messages(settings) if netflow else Messages(settings)
    exports = [_export(settings, ledger, messages, *place) for place in places]
    return _Destination(messages, FailoverExport(exports, messages.templates) if len(exports) > 1 else exports[0])


def _export(settings: AgentSettings, ledger: Ledger, messages: AgentMessages, host: str, port: int) -> Export:
    collector = settings.collector
    name = settings.collector_name if (host, port) == (collector.address, collector.port) else ""
    if collector.transport == "UDP":
        protocol = FlowProtocol.NETFLOW9 if collector.type == "NetFlow" else FlowProtocol.IPFIX
        return UdpExport(host, port, ledger, greeting=messages.templates, protocol=protocol)
    # Patience is the thread's: it goes on for ever, and keeps what comes meanwhile.
    stream = ExportSettings(
        host, port, transport=Transport(collector.transport.lower()), tls=_tls(collector.client_tls, name), patience_s=0.0
    )
    return StreamExport(stream, ledger, messages.templates)


def _tls(tls: ClientTls | None, name: str) -> TlsSettings:
    """``name`` is whose certificate is asked for where the document names none."""
    tls = tls or ClientTls()
    ca_file, certificate, key = (Path(text) if text else None for text in (tls.ca, tls.certificate, tls.key))
    return TlsSettings(ca_file=ca_file, certificate=certificate, key=key, server_name=tls.server_name or name, options=_OPTIONS)


def _host_port(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    return host.strip("[]"), int(port)


def _where(settings: AgentSettings) -> tuple[object, ...]:
    """What decides where and how flows are sent."""
    collector = settings.collector
    return (
        collector.type, collector.address, collector.port, collector.transport, collector.client_tls, tuple(collector.others),
        collector.spread, collector.kafka, settings.collector_name,
    )  # fmt: skip


def _pieces(batch: FlowBatch) -> Iterator[FlowBatch]:
    """A batch by and by; an empty one, too."""
    if len(batch) <= _PIECE:
        yield batch
        return
    for first in range(0, len(batch), _PIECE):
        yield batch.take(np.arange(first, min(first + _PIECE, len(batch))))
