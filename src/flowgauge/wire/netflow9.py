# SPDX-License-Identifier: Apache-2.0
"""Finds the packets and flowsets of NetFlow v9 (RFC 3954 §5), of a whole batch in lockstep, and reads its template records.

How it differs from IPFIX: the header has no length, so the datagram's end is the packet's; templates have set ids 0 and 1;
options templates give lengths in bytes instead of counts, and their scopes are a number space of their own; there is no
enterprise bit, so ids above 32767 are the vendors' private ones. The header's ``count`` is of records by RFC 3954, of
flowsets by some exporters (nProbe), and wrong from others: nothing here depends on it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

import numpy as np

from flowgauge.schema.vendors import NTOP, NTOP_V9_BASE, V9_SCOPE
from flowgauge.wire.framing import Messages, Sets, walk_sets, without_reserved
from flowgauge.wire.ipfix import FIRST_DATA_SET, OPTIONS_TEMPLATE_SET, TEMPLATE_SET
from flowgauge.wire.layout import Field
from flowgauge.wire.problems import Problems
from flowgauge.wire.template_records import Definition, TemplateError, check_fields
from flowgauge.wire.views import ByteView, Offsets

VERSION = 9
HEADER_BYTES = 20
_TEMPLATE_FLOWSET, _OPTIONS_FLOWSET = 0, 1
_SPECIFIER_BYTES = 4


def messages(view: ByteView, datagram: Offsets, start: Offsets, end: Offsets, problems: Problems) -> Messages:
    """The packets, one in each datagram that begins with version 9."""
    whole = end - start >= HEADER_BYTES
    if not whole.all():
        short = ~whole & (problems.missing[datagram] == 0)
        problems.add_all(datagram[short], start[short], "message_header", "20 bytes", (end - start)[short])
        datagram, start, end = datagram[whole], start[whole], end[whole]
    export_s = view.u32[start + 8].astype(np.int64)
    return Messages(
        datagram=datagram,
        start=start,
        end=end,
        export_s=export_s,
        sequence=view.u32[start + 12].astype(np.uint32),
        domain=view.u32[start + 16].astype(np.uint32),
        boot_ms=export_s * 1000 - view.u32[start + 4].astype(np.int64),
        missing=problems.missing[datagram],
    )


def sets(view: ByteView, found: Messages, problems: Problems) -> Sets:
    """The flowsets of all packets, under the set ids that IPFIX has for the same; reserved ones are passed over."""
    every = walk_sets(view, found, HEADER_BYTES, problems)
    kind = every.set_id
    known = (kind >= FIRST_DATA_SET) | (kind == _TEMPLATE_FLOWSET) | (kind == _OPTIONS_FLOWSET)
    every = without_reserved(found, every, ~known, "0, 1 or from 256", problems)
    kind = every.set_id
    kind[kind < FIRST_DATA_SET] += TEMPLATE_SET - _TEMPLATE_FLOWSET
    return every


def definitions(content: bytes, set_id: int) -> Iterator[Definition]:
    """The template records of a flowset's content; TemplateError at the first malformed one. Padding is skipped.

    In an options template either length may be 0 (Juniper SRX has no scope). A template without fields is malformed: v9 has
    no withdrawal.
    """
    options = set_id == OPTIONS_TEMPLATE_SET
    at, head = 0, 6 if options else 4
    while len(content) - at >= head:
        begin, template_id = at, int.from_bytes(content[at : at + 2], "big")
        if template_id == 0 and not any(content[at:]):
            return
        if template_id < FIRST_DATA_SET:
            raise TemplateError(begin, "template_header", "template id from 256", str(template_id))
        scopes, others = _options_counts(content, begin) if options else (0, int.from_bytes(content[at + 2 : at + 4], "big"))
        scope, at = _fields(content, begin, at + head, scopes)
        plain, at = _fields(content, begin, at, others)
        fields = (*(Field(V9_SCOPE, field.number, field.length) for field in scope), *map(_placed, plain))
        check_fields(begin, fields)
        yield Definition(template_id, fields, len(scope), options)


def _options_counts(content: bytes, begin: int) -> tuple[int, int]:
    """How many scope and option fields there are; the record has their lengths in bytes (RFC 3954 §6.1)."""
    lengths = struct.unpack_from("!HH", content, begin + 2)
    if any(length % _SPECIFIER_BYTES for length in lengths):
        raise TemplateError(begin, "template_scope", "lengths of whole fields, in bytes", f"{lengths[0]} and {lengths[1]}")
    return lengths[0] // _SPECIFIER_BYTES, lengths[1] // _SPECIFIER_BYTES


def _fields(content: bytes, begin: int, at: int, count: int) -> tuple[list[Field], int]:
    """``count`` field specifiers from ``at``, and where they end."""
    end = at + count * _SPECIFIER_BYTES
    if end > len(content):
        within = max(0, len(content) - at) // _SPECIFIER_BYTES
        raise TemplateError(begin, "template_length", f"{count} fields", f"{within} within the set")
    return [Field(0, number, length) for number, length in struct.iter_unpack("!HH", content[at:end])], end


def _placed(field: Field) -> Field:
    """NProbe's private fields are those of ntop's enterprise number, moved up (57590 is 35632/118)."""
    if field.number >= NTOP_V9_BASE:
        return Field(NTOP, field.number - NTOP_V9_BASE, field.length)
    return field
