# SPDX-License-Identifier: Apache-2.0
"""Options data as plain values: what an exporter says of itself (names of interfaces, sampling, counters), a few records."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping

from flowgauge.flow.addresses import V4_MAPPED_PREFIX, to_text
from flowgauge.wire.decoded import Value
from flowgauge.wire.elements import VARIABLE, Element, Elements
from flowgauge.wire.layout import Layout
from flowgauge.wire.readers import MAX_APPLICATION_BYTES
from flowgauge.wire.texts import text_of
from flowgauge.wire.times import NTP_TO_UNIX_S

MAX_VALUES = 1 << 18
"""Values read of one batch; each is a Python object, so there is a bound. A thousand datagrams of names hold fewer."""


Told = tuple[Mapping[str, Value], ...]
"""The records of a set of options data."""
MAX_KEPT_BYTES = 1 << 20
"""What sets that are kept may take, roughly: those of an agent that do not change are 5 kB, of any number of agents."""
_VALUE_BYTES = 64
"""What a value takes, beside its bytes in the set."""


class SetsRead:
    """Sets that were read whole, with their records: exporters say the same again and again, and so do others beside them.

    Kept from batch to batch. Of those that nobody says again, as counters, there are soon too many; then all are forgotten.
    """

    def __init__(self, elements: Elements) -> None:
        self._elements, self._generation = elements, elements.generation
        self._read: dict[tuple[Layout, bytes], Told] = {}
        self._bytes = 0

    def begin(self) -> None:
        """A batch begins."""
        if self._generation != self._elements.generation or self._bytes > MAX_KEPT_BYTES:
            self._generation = self._elements.generation
            self._read.clear()
            self._bytes = 0

    def get(self, content: bytes, layout: Layout) -> Told | None:
        """The records of a set; None when they are not known."""
        return self._read.get((layout, content))

    def keep(self, content: bytes, layout: Layout, records: Told) -> None:
        """Takes in a set."""
        self._read[layout, content] = records
        self._bytes += len(content) + _VALUE_BYTES * len(layout.fields) * len(records)


class OptionsReader:
    """Reads the options data sets of one batch.

    Attributes:
        values_left: how many values it still reads; what is beyond is given up.
    """

    def __init__(self, elements: Elements, read: SetsRead) -> None:
        self._elements, self._read = elements, read
        self.values_left = MAX_VALUES

    def set_of(self, content: bytes, layout: Layout) -> tuple[Told, bool]:
        """The records of one set, and whether that is all of it: a record left it, or was beyond the bound.

        What was said before is not read again: its records are shared.
        """
        known = self._read.get(content, layout)
        if known is not None:
            return known, True
        records: list[Mapping[str, Value]] = []
        try:
            records.extend(self.records(content, layout))
        except IndexError:
            return tuple(records), False
        whole = tuple(records)
        self._read.keep(content, layout, whole)
        return whole, True

    def records(self, content: bytes, layout: Layout) -> Iterator[Mapping[str, Value]]:
        """The records of one set; IndexError at one that leaves the set or is beyond the bound."""
        fields = [(self._elements.get(field.enterprise, field.number), field.length) for field in layout.fields]
        convert = [(element.name, _conversion(element), length) for element, length in fields]
        at = 0
        while len(content) - at >= layout.min_bytes:
            self.values_left -= len(convert)
            if self.values_left < 0:
                raise IndexError
            record: dict[str, Value] = {}
            for name, conversion, fixed_length in convert:
                length = fixed_length
                if length == VARIABLE:
                    length, at = variable_length(content, at)
                if at + length > len(content):
                    raise IndexError
                value = conversion(content[at : at + length])
                if not record.get(name):  # devices send some elements twice: the one that is set counts
                    record[name] = value
                at += length
            yield record


def converted(element: Element, raw: bytes) -> Value:
    """The plain value of one field."""
    return _conversion(element)(raw)


def _conversion(element: Element) -> Callable[[bytes], Value]:
    if element.name == "applicationId":
        return _application
    return _CONVERSIONS.get(element.data_type, bytes)


def variable_length(content: bytes, at: int) -> tuple[int, int]:
    """A variable length, of one byte or of 255 and two more, and where the value begins."""
    if content[at] < 255:
        return content[at], at + 1
    return content[at + 1] << 8 | content[at + 2], at + 3


def _unsigned(raw: bytes) -> int:
    """Any width up to eight bytes (RFC 7011 §6.2); of more, the last eight."""
    return int.from_bytes(raw[-8:], "big")


def _signed(raw: bytes) -> int:
    return int.from_bytes(raw[-8:], "big", signed=True)


def _float(raw: bytes) -> float:
    """Float64 may be sent as float32 and the other way round (RFC 7011 §6.2)."""
    formats = {4: "!f", 8: "!d"}
    return float(struct.unpack(formats[len(raw)], raw)[0]) if len(raw) in formats else 0.0


def _application(raw: bytes) -> int:
    """The number that the column ``application_id`` has for it (see ``readers.ApplicationId``), so that names can be joined."""
    raw = raw[:MAX_APPLICATION_BYTES]
    selector = int.from_bytes(raw[1:], "big") & (1 << 56) - 1
    return (raw[0] if raw else 0) << (24 if selector < 1 << 24 else 56) | selector


def _boolean(raw: bytes) -> int:
    """1 is true, 2 is false (RFC 7011 §6.1.5)."""
    return int(_unsigned(raw) == 1)


def _ntp_ns(raw: bytes) -> int:
    """NTP's format as ns since 1970, of the era in which it is not before 1968."""
    value = _unsigned(raw[:8])
    seconds, fraction = value >> 32, value & 0xFFFFFFFF
    if seconds < 1 << 31:
        seconds += 1 << 32
    return (seconds - NTP_TO_UNIX_S) * 1_000_000_000 + (fraction * 1_000_000_000 >> 32)


def _ipv4(raw: bytes) -> str:
    return to_text(V4_MAPPED_PREFIX + raw) if len(raw) == 4 else raw.hex()


def _ipv6(raw: bytes) -> str:
    return to_text(raw) if len(raw) == 16 else raw.hex()


def _mac(raw: bytes) -> str:
    return raw.hex(":")


_CONVERSIONS: Mapping[str, Callable[[bytes], Value]] = {
    **{f"unsigned{bits}": _unsigned for bits in (8, 16, 32, 64)},
    **{f"signed{bits}": _signed for bits in (8, 16, 32, 64)},
    "float32": _float,
    "float64": _float,
    "boolean": _boolean,
    "string": text_of,
    "dateTimeSeconds": _unsigned,
    "dateTimeMilliseconds": _unsigned,
    "dateTimeMicroseconds": _ntp_ns,
    "dateTimeNanoseconds": _ntp_ns,
    "ipv4Address": _ipv4,
    "ipv6Address": _ipv6,
    "macAddress": _mac,
}
"""Data type → plain value; others stay bytes. dateTimeSeconds and -Milliseconds keep their unit, the finer ones are ns."""
