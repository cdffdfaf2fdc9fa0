# SPDX-License-Identifier: Apache-2.0
"""What the agent says, as IPFIX messages: flows, and templates and options as often as a collector needs them.

Before it: the accounter's columns and the ledger; after it: :mod:`flowgauge.agent.export`, which stamps sequence numbers and
sends. Over UDP templates get lost and collectors restart, so templates, the types of our own elements and the names of
interfaces are repeated every ``template_refresh_s`` (RFC 7011 §8.4).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from flowgauge.agent.export import Message
from flowgauge.agent.settings import AgentSettings
from flowgauge.config.model import Exporter
from flowgauge.flow.batch import FlowBatch
from flowgauge.runtime.clock import Clock, now_ns
from flowgauge.wire import options_encode
from flowgauge.wire.ipfix_encode import FlowEncoder, sent_elements, usual_signatures
from flowgauge.wire.ipfix_write import MessageWriter, Piece, in_sets, template_set

_TEMPLATES_PER_SET = 4
"""Flow templates in one set, so that a set stays well below the smallest MTU."""
_SENT = "export_records_sent"


class Messages:
    """Encodes for one agent; called by its main thread only.

    Args:
        settings: node, domain, PEN, MTU and refresh interval.
        clock: wall time; export times and the refresh go by it.
    """

    def __init__(self, settings: AgentSettings, clock: Clock = now_ns) -> None:
        self._settings, self._clock = settings, clock
        self._started_ms = clock() // 1_000_000
        self._writer = MessageWriter(settings.domain, settings.mtu_bytes)
        self._flows = FlowEncoder(self._writer, settings.pen)
        self._announced = usual_signatures()
        self._templates_at_ns: int | None = None
        self._names_sent: dict[int, str] | None = None

    def templates(self) -> list[Message]:
        """What somebody who has just begun to listen needs first; names of interfaces follow with the next options."""
        self._templates_at_ns = self._clock()
        self._names_sent = None
        options = template_set(options_encode.templates(self._settings.pen), options=True)
        types = options_encode.type_records(sent_elements(self._settings.pen))
        pieces = [*self._template_pieces(self._announced), Piece(options, 0)]
        return self._messages([*pieces, *in_sets(options_encode.TYPE_TEMPLATE, types, self._writer.room)])

    def flows(self, batch: FlowBatch) -> list[Message]:
        """The messages that carry ``batch``; before them templates that are due, or new."""
        pieces, signatures = self._flows.encode(batch)
        fresh = signatures - self._announced
        self._announced |= fresh
        if self._refresh_due():
            return [*self.templates(), *self._messages(pieces)]
        return self._messages([*self._template_pieces(fresh), *pieces])

    def options(self, counters: Mapping[str, int], names: Mapping[int, str], exporter: Exporter) -> list[Message]:
        """Who we are and our counters; names of interfaces when they changed or are due again.

        Args:
            counters: cumulative, by the ledger's names.
            names: of interfaces, by ifIndex.
            exporter: the settings in force, for the sampling rate.
        """
        changed = bool(names) and names != self._names_sent
        records = list(options_encode.interface_records(names)) if changed else []
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
            self._names_sent = dict(names)
            pieces += in_sets(options_encode.INTERFACE_TEMPLATE, records, self._writer.room)
        return self._messages(pieces)

    def _refresh_due(self) -> bool:
        if self._templates_at_ns is None:
            return True
        return self._clock() - self._templates_at_ns >= self._settings.template_refresh_s * 1e9

    def _template_pieces(self, signatures: Iterable[int]) -> list[Piece]:
        records = [self._flows.template(signature).record for signature in sorted(signatures)]
        groups = [records[at : at + _TEMPLATES_PER_SET] for at in range(0, len(records), _TEMPLATES_PER_SET)]
        return [Piece(template_set(group), 0) for group in groups]

    def _messages(self, pieces: Iterable[Piece]) -> list[Message]:
        written = self._writer.messages(pieces, self._clock() // 1_000_000_000)
        return [Message(message.payload, message.records) for message in written]
