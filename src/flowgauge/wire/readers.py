# SPDX-License-Identifier: Apache-2.0
"""Steps that read one column out of records: the compiled form of a template. Each fills arrays of exactly n rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from flowgauge.flow.addresses import V4_MAPPED_PREFIX
from flowgauge.flow.batch import Array, definition
from flowgauge.wire.elements import VARIABLE
from flowgauge.wire.records import Records, Spans

Columns = Mapping[str, Array]

V4_PREFIX = np.frombuffer(b"\0\0\xff\xff\0\0\0\0", np.uint64)[0]
"""Second half of a v4-mapped address (RFC 4291 §2.5.5.2), as it lies in memory, without the IPv4 address."""
V4_SHIFT = np.uint64(32 if np.little_endian else 0)
"""Moves the address, as it lies in memory, behind the prefix."""
_WHOLE_ADDRESS = np.dtype((np.void, 16))
_MAPPED_ZERO = np.void(V4_MAPPED_PREFIX + bytes(4))
INTEGER_BYTES = frozenset({1, 2, 4, 8})
_TWELVE_BITS = 0x0FFF
_CPID_BITS, _CPID_VALUE, _CPID_EXCEPTION = 10, 0x3FF, 2
_FORWARDED, _DROPPED = np.uint8(64), np.uint8(128)
"""forwardingStatus (RFC 7270 §4.12): two bits of status, and no reason."""


class Step(Protocol):
    """Fills one or two columns of ``out`` from ``records``."""

    def fill(self, records: Records, out: Columns) -> None:
        """Fills every row."""


@dataclass(frozen=True, slots=True)
class Source:
    """A field of the template: its index and length in bytes (``VARIABLE`` possible)."""

    index: int
    length: int

    @property
    def name(self) -> str:
        """Its name in ``Layout.fixed``."""
        return f"f{self.index}"


Sources = Mapping[tuple[int, int], list[Source]]
"""The fields of a template by (enterprise, element); a list, since devices send some of them twice."""


def integers(records: Records, source: Source) -> Array:
    """Unsigned integers of any width (RFC 7011 §6.2: an exporter may leave out leading zero bytes), shape (n,).

    The array may be a big-endian view of the records. Of more than eight bytes the last eight count.
    """
    if source.length == VARIABLE:
        return _variable_integers(records.spans[source.index])
    raw = records.fixed[source.name]
    if source.length in INTEGER_BYTES:
        return raw
    width = min(source.length, 8)
    wide = np.zeros((len(raw), 8), np.uint8)
    wide[:, 8 - width :] = raw[:, source.length - width :]
    return wide.view(">u8").reshape(-1)


def _variable_integers(spans: Spans) -> Array:
    value = np.zeros(len(spans.start), np.uint64)
    end = spans.start + spans.length
    for place in range(8):
        at = end - 1 - place
        inside = at >= spans.start
        value[inside] |= spans.view.octets[at[inside]].astype(np.uint64) << np.uint64(8 * place)
    return value


@dataclass(frozen=True, slots=True)
class Number:
    """An integer column; a value too large for it becomes its largest (an index of 2³² must not look like a small one)."""

    column: str
    source: Source

    def fill(self, records: Records, out: Columns) -> None:
        """Fills every row."""
        target, values = out[self.column], integers(records, self.source)
        most = definition(self.column).most or np.iinfo(target.dtype).max
        if np.iinfo(values.dtype).max > most:
            values = np.minimum(values, most)
        target[...] = values


@dataclass(frozen=True, slots=True)
class CodePoint:
    """Type of service from the code point (195), its upper six bits; the lower two, of congestion, are not told then: 0."""

    column: str
    source: Source

    def fill(self, records: Records, out: Columns) -> None:
        """Fills every row."""
        out[self.column][...] = (integers(records, self.source) & 0x3F).astype(np.int16) << 2


@dataclass(frozen=True, slots=True)
class TwelveBits:
    """A number of twelve bits in two bytes or more, with others above it that are to be ignored.

    TCP flags stand below the header's length (RFC 7125 §3), VLANs below their priority (IEEE 802.1Q §9.6), where a device sends
    the whole tag.
    """

    column: str
    source: Source

    def fill(self, records: Records, out: Columns) -> None:
        """Fills every row."""
        np.bitwise_and(integers(records, self.source), _TWELVE_BITS, out=out[self.column], casting="unsafe")


@dataclass(frozen=True, slots=True)
class ApplicationId:
    """An application: one byte of engine, then a selector of any width (RFC 6759 §4).

    Engine × 2²⁴ + selector, as its commonest form of four bytes reads, so that the same application has the same number
    whatever the width; a selector of more than 24 bits stands below an engine × 2⁵⁶.
    """

    column: str
    source: Source

    def fill(self, records: Records, out: Columns) -> None:
        """Fills every row."""
        octets, end = _padded(records, self.source)
        engine = octets[:, 0].astype(np.uint64)
        selector = np.zeros(len(octets), np.uint64)
        for place in range(1, octets.shape[1]):
            selector = np.where(end > place, selector << np.uint64(8) | octets[:, place], selector)
        selector &= np.uint64((1 << 56) - 1)
        shift = np.where(selector < 1 << 24, np.uint64(24), np.uint64(56))
        out[self.column][...] = engine << shift | selector


MAX_APPLICATION_BYTES = 21
"""Engine and the longest selector of RFC 6759 §4."""


def _padded(records: Records, source: Source) -> tuple[npt.NDArray[np.uint8], Array]:
    """The bytes of a field as rows of one width, and how long each really is."""
    if source.length == VARIABLE:
        spans = records.spans[source.index]
        length = np.minimum(spans.length, MAX_APPLICATION_BYTES)
        at = spans.start[:, None] + np.arange(max(int(length.max(initial=1)), 1))
        return spans.view.octets[np.minimum(at, len(spans.view.octets) - 1)] * (length > 0)[:, None], length
    raw = np.ascontiguousarray(records.fixed[source.name])
    octets = raw.view(np.uint8).reshape(len(raw), source.length)[:, :MAX_APPLICATION_BYTES]
    return octets, np.full(len(raw), octets.shape[1])


@dataclass(frozen=True, slots=True)
class Code:
    """An enumerated column: the value plus ``shift``; what is beyond ``last`` is code 0 (absent or unknown)."""

    column: str
    source: Source
    shift: int
    last: int

    def fill(self, records: Records, out: Columns) -> None:
        """Fills every row."""
        target = out[self.column]
        target[...] = np.minimum(integers(records, self.source), 255)
        target += np.uint8(self.shift)  # 255 becomes 0
        target *= target <= self.last


@dataclass(frozen=True, slots=True)
class CodeIfSet:
    """An enumerated column that is ``code`` where the value is not zero."""

    column: str
    source: Source
    code: int

    def fill(self, records: Records, out: Columns) -> None:
        """Fills every row."""
        out[self.column][...] = (integers(records, self.source) != 0) * np.uint8(self.code)


@dataclass(frozen=True, slots=True)
class AddressV4:
    """An IPv4 address as v4-mapped; with ``zero_is_absent`` 0.0.0.0 becomes the absent (all-zero) address."""

    column: str
    source: Source
    zero_is_absent: bool

    def fill(self, records: Records, out: Columns) -> None:
        """Fills every row."""
        target = out[self.column]
        # All sixteen bytes, then the last four: half of what two words cost.
        target.view(_WHOLE_ADDRESS).reshape(-1)[...] = _MAPPED_ZERO
        address = target.view(np.uint32)[:, 3]
        address[...] = records.fixed[self.source.name].view(np.uint32)
        if self.zero_is_absent and (absent := address == 0).any():
            target[absent] = 0


@dataclass(frozen=True, slots=True)
class Bytes:
    """Fixed bytes as they are: IPv6 addresses (16), MAC addresses (6)."""

    column: str
    source: Source

    def fill(self, records: Records, out: Columns) -> None:
        """Fills every row."""
        _copy(records, self.source, out[self.column])


@dataclass(frozen=True, slots=True)
class Words:
    """Fixed bytes as big-endian 32-bit words, shape (n, k)."""

    column: str
    source: Source

    def fill(self, records: Records, out: Columns) -> None:
        """Fills every row."""
        target = out[self.column]
        _copy(records, self.source, target)
        if np.little_endian:
            target.byteswap(inplace=True)


def _copy(records: Records, source: Source, target: Array) -> None:
    """Copies a field into rows of as many bytes, each as one piece: five times as fast as byte by byte."""
    piece = np.dtype((np.void, source.length))
    _, offset = records.fixed.dtype.fields[source.name][:2]  # type: ignore[index]
    only = np.dtype({"names": ["it"], "formats": [piece], "offsets": [offset], "itemsize": records.fixed.itemsize})
    target.view(piece).reshape(-1)[...] = records.fixed.view(only)["it"]


@dataclass(frozen=True, slots=True)
class OrElse:
    """A number, and where it is zero another one: exporters of what leaves by an interface count nothing that came in.

    Attributes:
        aside: the other one; it is an element of its own, too, which is shown as such.
    """

    step: Number | TwelveBits
    aside: Number | TwelveBits

    def fill(self, records: Records, out: Columns) -> None:
        """Fills every row."""
        self.step.fill(records, out)
        target = out[self.step.column]
        if not target.all():
            other = np.zeros_like(target)
            self.aside.fill(records, {self.step.column: other})
            np.copyto(target, other, where=target == 0)


@dataclass(frozen=True, slots=True)
class ForwardingException:
    """Whether Juniper's inline monitoring tells of a forwarding exception: dropped, else forwarded; 0 where it tells nothing.

    Attributes:
        aside: commonPropertiesId, of which a template may have several: six bits of kind, ten of value.
    """

    column: str
    aside: tuple[Source, ...]

    def fill(self, records: Records, out: Columns) -> None:
        """Fills every row."""
        target = out[self.column]
        target[...] = 0
        for source in self.aside:
            told = integers(records, source)
            status = np.where(told & _CPID_VALUE, _DROPPED, _FORWARDED)
            np.copyto(target, status, where=told >> _CPID_BITS == _CPID_EXCEPTION)


@dataclass(frozen=True, slots=True)
class FirstSet:
    """The first of several sources that is not zero: both address families, or a field that a device sends twice."""

    column: str
    steps: tuple[Step, ...]

    def fill(self, records: Records, out: Columns) -> None:
        """Fills every row."""
        target = out[self.column]
        self.steps[0].fill(records, out)
        for step in self.steps[1:]:
            other = np.zeros_like(target)
            step.fill(records, {self.column: other})
            empty = target == 0 if target.ndim == 1 else ~target.any(axis=1)
            target[empty] = other[empty]
