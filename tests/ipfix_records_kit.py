# SPDX-License-Identifier: Apache-2.0
"""For tests: IPFIX records of a TCP flow and whatever else is in them, and rows of what they decode to."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

from flowgauge.flow.addresses import to_text
from flowgauge.flow.names import Names
from flowgauge.wire.datagrams import Datagrams
from flowgauge.wire.decoded import Detail
from flowgauge.wire.decoder import Decoded, Decoder
from wire_kit import Spec, a_set, column, decode, message, template

REVERSE, CISCO, JUNIPER, IXIA, NTOP, ANTREA = 29305, 9, 2636, 3054, 35632, 56506
S, MS = 10**9, 10**6
ENDS = bytes((10, 0, 0, 1, 10, 0, 0, 2)) + struct.pack("!HHB", 1000, 443, 6)
KEY: tuple[Spec, ...] = ((8, 4), (12, 4), (7, 2), (11, 2), (4, 1))


def one_set(fields: Sequence[Spec], *records: bytes, decoder: Decoder | None = None) -> Decoded:
    """One set with its template, which must be well-formed."""
    decoded = decode(message(a_set(2, template(256, fields)), a_set(256, *records)), decoder=decoder)
    assert not decoded.problems
    return decoded


def value(fields: Sequence[Spec], record: bytes, *names: str) -> Any:
    """What one record says of columns."""
    decoded = one_set(fields, record)
    found = [column(decoded, name)[0] for name in names]
    return found[0] if len(found) == 1 else tuple(found)


def rows(decoded: Decoded, *names: str) -> list[tuple[Any, ...]]:
    """Tuples of plain values, in the order of the batch."""
    found = []
    for name in names:
        data = decoded.flows[name] if name in decoded.flows else decoded.flows.array(name)
        values = data.to_list() if isinstance(data, Names) else data.tolist()
        found.append([to_text(bytes(each)) for each in values] if name.endswith("_addr") else values)
    return list(zip(*found, strict=True))


def details(*payloads: bytes, decoder: Decoder | None = None) -> tuple[Decoded, list[Detail]]:
    """What is decoded for who asks for everything."""
    decoded = (decoder or Decoder(detailed=True)).decode(Datagrams.from_payloads(payloads, "192.0.2.1"))
    return decoded, list(decoded.details)


def short(content: bytes) -> bytes:
    """A value of variable length, below 255 bytes."""
    return bytes((len(content),)) + content
