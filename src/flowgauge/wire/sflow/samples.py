# SPDX-License-Identifier: Apache-2.0
"""The fixed part of samples: who took them, by which rate, and which interfaces the packet crossed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from flowgauge.wire.intake import Intake
from flowgauge.wire.packet_headers_bytes import Index, Windows, Words
from flowgauge.wire.sflow.headers import Heads
from flowgauge.wire.sflow.parts import Containers, Parts
from flowgauge.wire.views import Offsets

FLOW, COUNTER, EXPANDED_FLOW, EXPANDED_COUNTER, DISCARDED = 1, 2, 3, 4, 5
KINDS = (FLOW, COUNTER, EXPANDED_FLOW, EXPANDED_COUNTER, DISCARDED)

INTERFACE, DISCARD_REASON, SEVERAL = 0, 1, 2
"""Formats of an interface value; whatever else it is says nothing."""
LOCAL = 0x3FFFFFFF
"""In format ``INTERFACE``: the packet began or ended in the device itself."""

KEPT_BYTES = 216
"""Of a sample read at once: its fixed part, 128 bytes of the packet's head, which mostly comes next, and a switch record. More
bytes of a row cost little, a second look at another place as much as the first."""

_FORMAT_SHIFT, _VALUE_MASK = np.uint32(30), np.uint32(0x3FFFFFFF)
_TYPE_SHIFT, _INDEX_MASK = np.uint32(24), np.uint32(0xFFFFFF)

_FIELDS: Mapping[int, Sequence[str]] = {
    FLOW: ("sequence", "source", "rate", "pool", "drops", "in", "out", "records"),
    COUNTER: ("sequence", "source", "records"),
    EXPANDED_FLOW: (
        "sequence", "source_type", "source_index", "rate", "pool", "drops", "in_format", "in_value", "out_format",
        "out_value", "records",
    ),
    EXPANDED_COUNTER: ("sequence", "source_type", "source_index", "records"),
    DISCARDED: ("sequence", "source_type", "source_index", "drops", "in_value", "out_value", "reason", "records"),
}  # fmt: skip
"""The 32-bit words that each kind of sample begins with."""

Fields = Mapping[str, Words]


@dataclass(frozen=True, slots=True)
class Samples:
    """n samples of one kind.

    Attributes:
        head: row of the datagram in ``Heads``.
        datagram: which one of the batch it is.
        words: the fixed part by field, uint32 (n,); the compact forms are taken apart, so that all kinds have
            ``source_type`` and ``source_index``, and flows ``in_format``, ``in_value``, ``out_format``, ``out_value``.
        start, end: bytes of the records.
        missing: bytes behind ``end`` that are not in the buffer, since the datagram was cut.
    """

    head: Index
    datagram: Index
    words: Fields
    start: Offsets
    end: Offsets
    missing: Offsets

    def __len__(self) -> int:
        return len(self.head)

    @property
    def records(self) -> Containers:
        """Where the records are."""
        return Containers(self.datagram, self.start, self.end, self.words["records"], self.missing)


def samples(intake: Intake, windows: Windows, heads: Heads, parts: Parts, kind: int) -> Samples:
    """The samples of one kind; one too short for its fixed part is named, unless it was cut, and left out."""
    names = _FIELDS[kind]
    size = 4 * len(names)
    chosen = parts.of(kind)
    short = chosen.end - chosen.start < size
    if short.any():
        named = short & (chosen.missing == 0)
        where = heads.datagram[chosen.owner[named]]
        intake.problems.add_all(where, chosen.start[named], "sample_fields", str(size), (chosen.end - chosen.start)[named])
        chosen = chosen.take(~short)
    windows.keep(chosen.start, KEPT_BYTES)
    words = dict(zip(names, windows.words(chosen.start, len(names)), strict=True))
    return Samples(
        head=chosen.owner,
        datagram=heads.datagram[chosen.owner],
        words=_expanded(words),
        start=chosen.start + size,
        end=chosen.end,
        missing=chosen.missing,
    )


def _expanded(words: dict[str, Words]) -> Fields:
    """Takes the compact forms apart: 8 bits of type and 24 of index, 2 bits of format and 30 of value."""
    if "source" in words:
        source = words["source"]
        words["source_type"], words["source_index"] = source >> _TYPE_SHIFT, source & _INDEX_MASK
    for side in ("in", "out"):
        if side in words:
            words[f"{side}_format"], words[f"{side}_value"] = words[side] >> _FORMAT_SHIFT, words[side] & _VALUE_MASK
    return words


def interface(words: Fields, side: str) -> Words:
    """The ifIndex of one side, 0 where there is not exactly one: unknown, discarded, several, or the device itself."""
    value = words[f"{side}_value"]
    known = value != LOCAL
    if f"{side}_format" in words:
        known &= words[f"{side}_format"] == INTERFACE
    found: Words = value * known
    return found
