# SPDX-License-Identifier: Apache-2.0
"""What the agent says to a collector that takes NetFlow v9: flows, its sampling, names of its devices (RFC 3954).

NetFlow v9 has no enterprise elements: signals, the node's name, our counters and what tells several observations of one packet
apart stay at home.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence

from flowgauge.agent.messages import AgentMessages
from flowgauge.agent.settings import AgentSettings
from flowgauge.config.model import Exporter
from flowgauge.export.messages import Message
from flowgauge.runtime.clock import now_ns
from flowgauge.schema.told import Answer, Kernel
from flowgauge.wire.ipfix_encode import FLOW_TEMPLATES, FlowEncoder
from flowgauge.wire.ipfix_write import Piece, in_sets
from flowgauge.wire.layout import Field
from flowgauge.wire.netflow9_write import (
    INTERFACE_SCOPE,
    SYSTEM_SCOPE,
    PacketWriter,
    options_template_flowset,
    template_flowset,
)

SAMPLING_TEMPLATE, INTERFACE_TEMPLATE = FLOW_TEMPLATES.stop, FLOW_TEMPLATES.stop + 1
NAME_BYTES = 32
"""IF_NAME has a fixed length in NetFlow v9; Linux's names have at most 15 bytes."""

_SAMPLING_INTERVAL, _IF_NAME = 34, 82
"""The algorithm (35) is left out: beside it nfdump 1.7 takes no notice of the rate."""


class NetFlow9Messages(AgentMessages):
    """As NetFlow v9, over UDP."""

    def __init__(self, settings: AgentSettings) -> None:
        writer = PacketWriter(settings.domain, settings.mtu_bytes, now_ns() // 1_000_000_000)
        super().__init__(settings, writer, FlowEncoder(writer.room, None), set(), now_ns)

    def options(self, counters: Mapping[str, int], names: Mapping[int, str], exporter: Exporter) -> list[Message]:
        """The sampling rate; names of interfaces when they changed or are due again. Counters have no place here."""
        del counters
        sampling = struct.pack("!II", self._settings.domain, exporter.sampling)
        pieces = in_sets(SAMPLING_TEMPLATE, [sampling], self._writer.room)
        if self._fresh_names(names):
            records = [struct.pack(f"!I{NAME_BYTES}s", index, name.encode()) for index, name in sorted(names.items())]
            pieces += in_sets(INTERFACE_TEMPLATE, records, self._writer.room)
        return self._messages(pieces)

    def beside(self, answers: Sequence[Answer], kernel: Kernel) -> list[Message]:
        """Has no place here, either."""
        del answers, kernel
        return []

    def _template_pieces(self, signatures: Iterable[int]) -> list[Piece]:
        return [template_flowset(self._flows.template(signature).record) for signature in sorted(signatures)]

    def _option_pieces(self) -> list[Piece]:
        return [
            options_template_flowset(SAMPLING_TEMPLATE, Field(0, SYSTEM_SCOPE, 4), [Field(0, _SAMPLING_INTERVAL, 4)]),
            options_template_flowset(INTERFACE_TEMPLATE, Field(0, INTERFACE_SCOPE, 4), [Field(0, _IF_NAME, NAME_BYTES)]),
        ]
