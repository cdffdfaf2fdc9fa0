# SPDX-License-Identifier: Apache-2.0
"""What the agent says to a Kafka topic: IPFIX messages each of which brings the templates of its own records.

Whoever reads the topic may begin anywhere, and partitions move between readers; so no message needs one before it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from flowgauge.agent.messages import Messages
from flowgauge.agent.settings import AgentSettings
from flowgauge.config.model import Exporter
from flowgauge.export.messages import STREAM_MESSAGE_BYTES, Message
from flowgauge.flow.batch import FlowBatch
from flowgauge.schema.told import Answer, Kernel
from flowgauge.wire import options_encode
from flowgauge.wire.ipfix import FIRST_DATA_SET, SET_HEADER_BYTES
from flowgauge.wire.ipfix_encode import FlowEncoder, sent_elements
from flowgauge.wire.ipfix_write import Piece, in_sets, template_set

TEMPLATE_BYTES = 1_024
"""Kept free in each message for a template: the longest has some 60 fields of 8 bytes."""


class SelfContainedMessages(Messages):
    """As its base, but each message can be read alone."""

    def __init__(self, settings: AgentSettings) -> None:
        super().__init__(settings)
        self._flows = FlowEncoder(STREAM_MESSAGE_BYTES - TEMPLATE_BYTES - SET_HEADER_BYTES, settings.pen)

    def templates(self) -> list[Message]:
        """The types of our elements: all that is told apart from flows and options."""
        self._names_sent = None
        types = options_encode.type_records(sent_elements(self._settings.pen))
        pieces = in_sets(options_encode.TYPE_TEMPLATE, types, self._writer.room - TEMPLATE_BYTES)
        return self._each_with(self._options_templates(), pieces)

    def flows(self, batch: FlowBatch) -> list[Message]:
        """A message a set, with the set's template before it."""
        pieces, _ = self._flows.encode(batch)
        return [message for piece in pieces for message in self._each_with(self._template_of(piece), [piece])]

    def options(self, counters: Mapping[str, int], names: Mapping[int, str], exporter: Exporter) -> list[Message]:
        """As its base, with the templates of options before each set."""
        return self._each_with(self._options_templates(), self._options_pieces(counters, names, exporter))

    def beside(self, answers: Sequence[Answer], kernel: Kernel) -> list[Message]:
        """As its base, with the templates of options before each set."""
        return self._each_with(self._options_templates(), self._pieces_beside(answers, kernel))

    def _options_templates(self) -> bytes:
        return template_set(options_encode.templates(self._settings.pen), options=True)

    def _template_of(self, piece: Piece) -> bytes:
        signature = int.from_bytes(piece.content[:2], "big") - FIRST_DATA_SET
        return template_set([self._flows.template(signature).record])

    def _each_with(self, templates: bytes, pieces: Iterable[Piece]) -> list[Message]:
        return [message for piece in pieces for message in self._messages([Piece(templates, 0), piece])]
