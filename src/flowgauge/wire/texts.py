# SPDX-License-Identifier: Apache-2.0
"""Steps that read columns of strings: each distinct byte string of a batch is decoded once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

import numpy as np
import numpy.typing as npt

from flowgauge.flow.names import Codes, Names
from flowgauge.wire.elements import VARIABLE
from flowgauge.wire.readers import Source, integers
from flowgauge.wire.records import Index, Records, Spans
from flowgauge.wire.views import Octets

SHORT_BYTES = 32
"""Strings up to this length are compared as four words."""
_CELL_BITS = 14
_CELL_MASK, _CELL_SHIFTS = np.uint64((1 << _CELL_BITS) - 1), (np.uint64(50), np.uint64(36), np.uint64(22))
_MIX = np.array([0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB, 0xD6E8FEB86659FD93], np.uint64)
_MASKS = np.tri(SHORT_BYTES + 1, SHORT_BYTES, -1, np.uint8).view(np.uint64) * np.uint64(0xFF)
"""By length: the words that keep so many bytes."""
Words = npt.NDArray[np.uint64]
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


_short_text = lru_cache(4096)(text_of)
"""Of short strings only: the cache has a bound in bytes, too."""


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
        return Names(codes, ("",)) if spans is None else names_of(spans)


def joined(steps: Sequence[TextStep | None], records: Sequence[Records]) -> Names:
    """One column of several layouts, one behind the other; None where a layout does not have it.

    Strings of variable length, which all lie in the buffer of one batch, are read together.
    """
    found = [_spans_of(step, part) for step, part in zip(steps, records, strict=True)]
    spans = [each for each in found if each is not None]
    if len(spans) == len(found) and len({id(each.view) for each in spans if len(each.start)}) == 1:
        view = next(each.view for each in spans if len(each.start))
        return names_of(Spans(view, *(np.concatenate([getattr(each, name) for each in spans]) for name in ("start", "length"))))
    parts = [step.read(part) if step else Names.constant("", len(part)) for step, part in zip(steps, records, strict=True)]
    return Names.concat(parts) if len(parts) > 1 else parts[0]


def _spans_of(step: TextStep | None, records: Records) -> Spans | None:
    """Where the strings of a step are; None if they are no spans."""
    if isinstance(step, Strings) and step.source.length == VARIABLE:
        return records.spans.get(step.source.index)
    return None


def names_of(spans: Spans) -> Names:
    """One text a span; the short ones by what they begin with, at once, others by their length."""
    codes, index = np.zeros(len(spans.start), np.int32), {"": 0}
    lengths = np.minimum(spans.length, MAX_TEXT_BYTES)
    near = (lengths <= SHORT_BYTES) & (spans.start <= len(spans.view.octets) - SHORT_BYTES)
    left = np.flatnonzero(~near)
    if near.any():
        rows = np.flatnonzero(near & (lengths > 0))
        words = spans.view.rows(spans.start[rows], SHORT_BYTES).view(np.uint64)
        words &= _MASKS[lengths[rows]]
        left = np.concatenate([left, _encode_short(words, rows, codes, index)])
    for length in np.unique(lengths[left]).tolist():
        if length:
            rows = left[lengths[left] == length]
            _encode(spans.view.octets[spans.start[rows][:, None] + np.arange(length)], codes, rows, index)
    return Names(codes, tuple(index))


def _encode_short(words: Words, rows: Index, codes: Codes, index: dict[str, int]) -> Index:
    """Writes the codes of strings of up to ``SHORT_BYTES``, filled with zeros; the rows for which there was no room.

    Rows with the same hash meet in a cell of a table, and the last one speaks for all that have the same words: no sorting.
    """
    cells = np.empty(1 << _CELL_BITS, np.int32)
    hashed = words @ _MIX
    for shift in _CELL_SHIFTS:
        if not len(rows):
            break
        cell = (hashed >> shift & _CELL_MASK).astype(np.intp)
        number = np.arange(len(rows), dtype=np.int32)
        cells[cell] = number
        speaker = cells[cell]
        differs = words[speaker]
        differs ^= words
        same = (differs[:, 0] | differs[:, 1] | differs[:, 2] | differs[:, 3]) == 0
        speakers = np.flatnonzero(speaker == number)
        known = np.zeros(len(rows), np.int32)
        known[speakers] = [index.setdefault(_short_text(word.tobytes()), len(index)) for word in words[speakers]]
        if same.all():
            codes[rows] = known[speaker]
            return rows[:0]
        codes[rows[same]] = known[speaker[same]]
        rows, words, hashed = rows[~same], words[~same], hashed[~same]
    return rows


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
        stack = np.stack([_entries(records, source) for source in self.sources], axis=1)
        index = {"": 0}
        distinct, inverse = np.unique(stack, axis=0, return_inverse=True)
        known = [index.setdefault(_labels(entries), len(index)) for entries in distinct.tolist()]
        return Names(np.array(known, np.int32)[inverse.reshape(-1)], tuple(index))


_WITH_TTL_BYTES = 4


def _entries(records: Records, source: Source) -> npt.NDArray[np.uint32]:
    """Label stack entries of three bytes; of four where the packet's whole entry is sent, with its TTL (as in sFlow)."""
    entries = integers(records, source).astype(np.uint32)
    return entries >> np.uint32(8) if source.length == _WITH_TTL_BYTES else entries


def _labels(entries: list[int]) -> str:
    """20 bits of label, 3 of traffic class, 1 bottom of stack; label 0 that is not the bottom (RFC 3032 §2.1) was not there."""
    labels: list[str] = []
    for entry in entries:
        if entry >> 4 or entry & 1:
            labels.append(str(entry >> 4))
        if entry & 1:
            break
    return ",".join(labels)
