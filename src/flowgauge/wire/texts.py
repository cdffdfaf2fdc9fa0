# SPDX-License-Identifier: Apache-2.0
"""Steps that read columns of strings: each distinct byte string of a batch is decoded once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from flowgauge.flow.names import Codes, Names
from flowgauge.wire.elements import VARIABLE
from flowgauge.wire.readers import Source, integers
from flowgauge.wire.records import Index, Records, Spans
from flowgauge.wire.views import Octets

MAX_TEXT_BYTES = 1024
"""Longer strings are cut: names are short, and a dictionary of long ones would be held for as long as the flows are."""


class TextStep(Protocol):
    """Makes one column of strings of ``records``."""

    def read(self, records: Records) -> Names:
        """One text a row."""
        ...


def text_of(raw: bytes) -> str:
    """What an exporter meant: UTF-8, without the zeros or blanks that fill a fixed field; bytes that are none become U+FFFD."""
    return raw.rstrip(b"\0 ").decode("utf-8", "replace").replace("\0", "")


def octets_of(records: Records, source: Source) -> Octets:
    """The bytes of a field of fixed length, shape (n, length)."""
    raw = np.ascontiguousarray(records.fixed[source.name])
    return raw.view(np.uint8).reshape(len(raw), source.length)


@dataclass(frozen=True, slots=True)
class Strings:
    """A string element of fixed or variable length."""

    source: Source

    def read(self, records: Records) -> Names:
        """One text a row."""
        codes, index = np.zeros(len(records), np.int32), {"": 0}
        if self.source.length != VARIABLE:
            if self.source.length:
                _encode(octets_of(records, self.source), codes, np.arange(len(records)), index)
            return Names(codes, tuple(index))
        spans = records.spans.get(self.source.index)
        if spans is not None:
            _encode_spans(spans, codes, index)
        return Names(codes, tuple(index))


def _encode_spans(spans: Spans, codes: Codes, index: dict[str, int]) -> None:
    """Strings of one length at a time, so that each length is one rectangle of bytes."""
    lengths = np.minimum(spans.length, MAX_TEXT_BYTES)
    for length in np.unique(lengths).tolist():
        if length:
            rows = np.flatnonzero(lengths == length)
            _encode(spans.view.octets[spans.start[rows][:, None] + np.arange(length)], codes, rows, index)


def _encode(octets: Octets, codes: Codes, rows: Index, index: dict[str, int]) -> None:
    """Writes the codes of equally long strings, uint8 (n, length), into ``codes[rows]``; new ones join ``index``."""
    whole = np.ascontiguousarray(octets).view(np.dtype((np.void, octets.shape[1]))).reshape(-1)
    distinct, inverse = np.unique(whole, return_inverse=True)
    known = [index.setdefault(text_of(raw.tobytes()), len(index)) for raw in distinct]
    codes[rows] = np.array(known, np.int32)[inverse.reshape(-1)]


@dataclass(frozen=True, slots=True)
class MplsLabels:
    """The label stack (elements 70–79), top first, down to the bottom-of-stack bit, as a list."""

    sources: tuple[Source, ...]

    def read(self, records: Records) -> Names:
        """One text a row."""
        stack = np.stack([integers(records, source).astype(np.uint32) for source in self.sources], axis=1)
        index = {"": 0}
        distinct, inverse = np.unique(stack, axis=0, return_inverse=True)
        known = [index.setdefault(_labels(entries), len(index)) for entries in distinct.tolist()]
        return Names(np.array(known, np.int32)[inverse.reshape(-1)], tuple(index))


def _labels(entries: list[int]) -> str:
    """20 bits of label, 3 of traffic class, 1 bottom of stack; an entry of zero was not there."""
    labels: list[str] = []
    for entry in entries:
        if entry:
            labels.append(str(entry >> 4))
        if entry & 1:
            break
    return ",".join(labels)
