# SPDX-License-Identifier: Apache-2.0
"""Flows → messages of the chosen protocol: templates before the first flow that needs them, and again when they are due.

Before it: ``wire.stored_encode``; after it: a transport, which numbers the messages as it sends them. One thread.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from flowgauge.export.settings import ExportSettings, FlowProtocol, Transport
from flowgauge.flow.batch import FlowBatch
from flowgauge.runtime.clock import Clock, now_ns
from flowgauge.wire import options_encode
from flowgauge.wire.elements import our_elements
from flowgauge.wire.ipfix import FIRST_DATA_SET, TEMPLATE_SET
from flowgauge.wire.ipfix_write import MessageWriter, Piece, in_sets, template_set
from flowgauge.wire.netflow9_write import PacketWriter, template_flowset
from flowgauge.wire.stored_encode import StoredEncoder
from flowgauge.wire.stored_fields import groups

STREAM_MESSAGE_BYTES = 16_384
"""Longest message over TCP and TLS: one TLS record; an IPFIX message may have 65,535 bytes."""
MESSAGES_BETWEEN_TEMPLATES = 1_000
"""Over UDP templates are sent again at least this often, too: at full pace a lost one costs an eighth of a second."""

_IPFIX_SEQUENCE_AT, _NETFLOW9_SEQUENCE_AT = 8, 12


@dataclass(frozen=True, slots=True)
class Message:
    """One message without its sequence number: how many data records it has, and how many of them are to be counted.

    An export of flows counts those; an agent counts every data record.
    """

    payload: bytes
    records: int
    flows: int


class Numbering:
    """Sequence numbers of one transport session: IPFIX counts data records (RFC 7011 §3.1), NetFlow v9 packets."""

    def __init__(self, protocol: FlowProtocol) -> None:
        self._of_records = protocol is FlowProtocol.IPFIX
        self._at = _IPFIX_SEQUENCE_AT if self._of_records else _NETFLOW9_SEQUENCE_AT
        self._next = 0

    def stamped(self, message: Message) -> bytearray:
        """The message as it is to be sent now."""
        payload = bytearray(message.payload)
        struct.pack_into("!I", payload, self._at, self._next)
        return payload

    def sent(self, message: Message) -> None:
        """The stamped message was sent: the next one has another number."""
        self._next = (self._next + (message.records if self._of_records else 1)) & 0xFFFFFFFF

    def restart(self) -> None:
        """A new session begins."""
        self._next = 0


class FlowMessages:
    """Encodes for one receiver.

    Args:
        settings: protocol, transport, PEN, domain and sizes.
        clock: wall time, by which messages say when they were made.
        monotonic: by which templates are due again.
    """

    def __init__(
        self, settings: ExportSettings, clock: Clock = now_ns, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._settings, self._clock, self._monotonic = settings, clock, monotonic
        self._datagrams = settings.transport is Transport.UDP
        size = settings.mtu_bytes if self._datagrams else STREAM_MESSAGE_BYTES
        self._ipfix = settings.protocol is FlowProtocol.IPFIX
        self._writer: MessageWriter | PacketWriter
        if self._ipfix:
            self._writer = MessageWriter(settings.domain, size)
            first, pen = options_encode.TYPE_TEMPLATE + 1, settings.pen
        else:
            self._writer = PacketWriter(settings.domain, size, clock() // 1_000_000_000)
            first, pen = FIRST_DATA_SET, None
        self._flows = StoredEncoder(self._writer.room, pen, first)
        self._templates_at: float | None = None
        self._since_templates = 0

    def templates(self) -> list[Message]:
        """All templates so far, and the types of our elements: what somebody who has just begun to listen needs first."""
        self._templates_at, self._since_templates = self._monotonic(), 0
        return [*self._types(), *self._template_messages(self._flows.template_records())]

    def flows(self, batch: FlowBatch) -> list[Message]:
        """The messages that carry a batch with physical columns; before them templates that are new, or due again."""
        fresh, pieces = self._flows.encode(batch)
        if self._templates_at is None or (self._datagrams and self._refresh_due(self._templates_at)):
            told = self.templates()
        else:
            told = self._template_messages(fresh)
        written = self._writer.messages(pieces, self._now_s())
        self._since_templates += len(written)
        return [*told, *(Message(one.payload, one.records, one.records) for one in written)]

    def _refresh_due(self, told_at: float) -> bool:
        age_s = self._monotonic() - told_at
        return age_s >= self._settings.template_refresh_s or self._since_templates >= MESSAGES_BETWEEN_TEMPLATES

    def _template_messages(self, records: Sequence[bytes]) -> list[Message]:
        if self._ipfix:
            pieces = [Piece(one.content, 0) for one in in_sets(TEMPLATE_SET, records, self._writer.room)]
        else:
            pieces = [template_flowset(record) for record in records]
        return self._about(pieces)

    def _types(self) -> list[Message]:
        """What our elements are (RFC 5610); NetFlow v9 has none of them."""
        if not self._ipfix:
            return []
        sent = {name for group in groups(self._settings.pen) for name in group}
        records = options_encode.type_records([one for one in our_elements(self._settings.pen) if one.name in sent])
        template = Piece(template_set([options_encode.type_template()], options=True), 0)
        return self._about([template, *in_sets(options_encode.TYPE_TEMPLATE, records, self._writer.room)])

    def _about(self, pieces: Sequence[Piece]) -> list[Message]:
        return [Message(one.payload, one.records, 0) for one in self._writer.messages(pieces, self._now_s())]

    def _now_s(self) -> int:
        return self._clock() // 1_000_000_000
