# SPDX-License-Identifier: Apache-2.0
"""What the agent says, as IPFIX messages: flows, and templates and options as often as a collector needs them.

Before it: the accounter's columns and the ledger; after it: an export, which stamps sequence numbers and
sends. Over UDP templates get lost and collectors restart, so templates, the types of our own elements and the names of
interfaces are repeated every ``template_refresh_s`` (RFC 7011 §8.4); over TCP and TLS a session begins with them instead.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence

from flowgauge.agent.settings import AgentSettings
from flowgauge.config.model import Exporter
from flowgauge.export.messages import STREAM_MESSAGE_BYTES, Message
from flowgauge.flow.batch import FlowBatch
from flowgauge.runtime.clock import Clock, now_ns
from flowgauge.schema.told import Answer, Kernel
from flowgauge.wire import options_encode
from flowgauge.wire.ipfix_encode import FlowEncoder, sent_elements, usual_signatures
from flowgauge.wire.ipfix_write import MessageWriter, Piece, in_sets, template_set
from flowgauge.wire.netflow9_write import PacketWriter

_TEMPLATES_PER_SET = 4
"""Flow templates in one set, so that a set stays well below the smallest MTU."""
_SENT = "export_records_sent"


class AgentMessages(ABC):
    """What both protocols share: templates before the flows that need them, and again when they are due. One thread.

    Args:
        settings: node, domain, PEN, MTU and refresh interval.
        writer: makes messages of sets.
        flows: makes sets of flows.
        announced: signatures whose templates are told from the start.
        clock: wall time, by which messages say when they were made.
        monotonic: by which templates are due again.
    """

    def __init__(
        self,
        settings: AgentSettings,
        writer: MessageWriter | PacketWriter,
        flows: FlowEncoder,
        announced: set[int],
        clock: Clock,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings, self._writer, self._flows, self._clock = settings, writer, flows, clock
        self._monotonic = monotonic
        self._announced = announced
        self._datagrams = settings.collector.transport == "UDP"
        self._templates_at: float | None = None
        self._names_sent: dict[int, str] | None = None

    def templates(self) -> list[Message]:
        """What somebody who has just begun to listen needs first; names of interfaces follow with the next options.

        Over TCP and TLS the export's thread asks for it at each new session.
        """
        self._templates_at = self._monotonic()
        self._names_sent = None
        return self._messages([*self._template_pieces(self._announced), *self._option_pieces()])

    def flows(self, batch: FlowBatch) -> list[Message]:
        """The messages that carry ``batch``; before them templates that are due, or new."""
        pieces, signatures = self._flows.encode(batch)
        fresh = signatures - self._announced
        self._announced = self._announced | fresh
        if self._refresh_due():
            return [*self.templates(), *self._messages(pieces)]
        return self._messages([*self._template_pieces(fresh), *pieces])

    @abstractmethod
    def options(self, counters: Mapping[str, int], names: Mapping[int, str], exporter: Exporter) -> list[Message]:
        """Who we are and our counters; names of interfaces when they changed or are due again.

        Args:
            counters: cumulative, by the ledger's names.
            names: of interfaces, by ifIndex.
            exporter: the settings in force, for the sampling rate.
        """

    @abstractmethod
    def beside(self, answers: Sequence[Answer], kernel: Kernel) -> list[Message]:
        """Which names stand for which addresses, as clients learned it from DNS; and what the node's kernel counts."""

    @abstractmethod
    def _template_pieces(self, signatures: Iterable[int]) -> list[Piece]:
        """The templates of flows of these signatures."""

    @abstractmethod
    def _option_pieces(self) -> list[Piece]:
        """The templates of options, and what is told with them."""

    def _fresh_names(self, names: Mapping[int, str]) -> bool:
        """Whether the names are to be told now; they are remembered as told."""
        changed = bool(names) and names != self._names_sent
        if changed:
            self._names_sent = dict(names)
        return changed

    def _refresh_due(self) -> bool:
        if self._templates_at is None:
            return True
        return self._datagrams and self._monotonic() - self._templates_at >= self._settings.template_refresh_s

    def _messages(self, pieces: Iterable[Piece]) -> list[Message]:
        written = self._writer.messages(pieces, self._clock() // 1_000_000_000)
        return [Message(message.payload, message.records, message.records) for message in written]


class Messages(AgentMessages):
    """As IPFIX (RFC 7011), with the types of our own elements (RFC 5610)."""

    def __init__(self, settings: AgentSettings, clock: Clock = now_ns, monotonic: Callable[[], float] = time.monotonic) -> None:
        size = settings.mtu_bytes if settings.collector.transport == "UDP" else STREAM_MESSAGE_BYTES
        writer = MessageWriter(settings.domain, size)
        super().__init__(
            settings, writer, FlowEncoder(writer.room, settings.pen), usual_signatures(), clock, monotonic=monotonic
        )
        self._started_ms = clock() // 1_000_000

    def options(self, counters: Mapping[str, int], names: Mapping[int, str], exporter: Exporter) -> list[Message]:
        """As in the base class."""
        return self._messages(self._options_pieces(counters, names, exporter))

    def beside(self, answers: Sequence[Answer], kernel: Kernel) -> list[Message]:
        """As in the base class."""
        return self._messages(self._pieces_beside(answers, kernel))

    def _pieces_beside(self, answers: Sequence[Answer], kernel: Kernel) -> list[Piece]:
        domain, room = self._settings.domain, self._writer.room
        return [
            *in_sets(options_encode.ANSWER_TEMPLATE, options_encode.answer_records(domain, answers), room),
            *in_sets(options_encode.DEVICE_TEMPLATE, options_encode.device_records(kernel), room),
            *in_sets(options_encode.NODE_TEMPLATE, options_encode.node_records(domain, kernel), room),
        ]

    def _options_pieces(self, counters: Mapping[str, int], names: Mapping[int, str], exporter: Exporter) -> list[Piece]:
        records = list(options_encode.interface_records(names)) if self._fresh_names(names) else []
        # These messages count themselves: whoever has received them compares what was sent with what has come.
        sent = counters.get(_SENT, 0) + 1 + len(records)
        system = options_encode.System(
            domain=self._settings.domain,
            name=self._settings.node,
            sampling=exporter.sampling,
            started_ms=self._started_ms,
            counters={**counters, _SENT: sent},
        )
        pieces = in_sets(options_encode.SYSTEM_TEMPLATE, [options_encode.system_record(system)], self._writer.room)
        if records:
            pieces += in_sets(options_encode.INTERFACE_TEMPLATE, records, self._writer.room)
        return pieces

    def _template_pieces(self, signatures: Iterable[int]) -> list[Piece]:
        records = [self._flows.template(signature).record for signature in sorted(signatures)]
        groups = [records[at : at + _TEMPLATES_PER_SET] for at in range(0, len(records), _TEMPLATES_PER_SET)]
        return [Piece(template_set(group), 0) for group in groups]

    def _option_pieces(self) -> list[Piece]:
        options = template_set(options_encode.templates(self._settings.pen), options=True)
        types = options_encode.type_records(sent_elements(self._settings.pen))
        return [Piece(options, 0), *in_sets(options_encode.TYPE_TEMPLATE, types, self._writer.room)]
