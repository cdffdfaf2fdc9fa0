# SPDX-License-Identifier: Apache-2.0
"""In what the protocols with templates differ, once their messages and sets have been found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from flowgauge.schema.enums import FLOW_FORMAT, code
from flowgauge.wire import ipfix, netflow9
from flowgauge.wire.framing import Messages, Sets
from flowgauge.wire.problems import Problems
from flowgauge.wire.template_records import Parse, ipfix_definitions
from flowgauge.wire.views import ByteView, Offsets

FindMessages = Callable[[ByteView, Offsets, Offsets, Offsets, Problems], Messages]
FindSets = Callable[[ByteView, Messages, Problems], Sets]


@dataclass(frozen=True, slots=True)
class Dialect:
    """One protocol.

    Attributes:
        version: as in its header; part of what tells streams apart.
        flow_format: its code in ``enums.FLOW_FORMAT``.
        messages, sets: find them in datagrams.
        definitions: reads template records.
        numbers_messages: whether sequence numbers count messages; else data records.
        gap_counter: name in the ledger of what is missing from them.
        pads_blindly: whether up to three zero bytes behind the last record may be padding though a record is that short
            (RFC 3954 has no rule against it, RFC 7011 §3.3.1 has).
        header_has_uptime: whether the header tells how long the exporter has been up.
    """

    version: int
    flow_format: int
    messages: FindMessages
    sets: FindSets
    definitions: Parse
    numbers_messages: bool
    gap_counter: str
    pads_blindly: bool
    header_has_uptime: bool


IPFIX = Dialect(
    version=ipfix.VERSION,
    flow_format=code(FLOW_FORMAT, "ipfix"),
    messages=ipfix.messages,
    sets=ipfix.sets,
    definitions=ipfix_definitions,
    numbers_messages=False,
    gap_counter="sequence_gap_records",
    pads_blindly=False,
    header_has_uptime=False,
)
NETFLOW9 = Dialect(
    version=netflow9.VERSION,
    flow_format=code(FLOW_FORMAT, "netflow9"),
    messages=netflow9.messages,
    sets=netflow9.sets,
    definitions=netflow9.definitions,
    numbers_messages=True,
    gap_counter="sequence_gap_datagrams",
    pads_blindly=True,
    header_has_uptime=True,
)
