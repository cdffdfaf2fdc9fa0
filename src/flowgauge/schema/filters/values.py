# SPDX-License-Identifier: Apache-2.0
"""Values as people write them → physical values of a column: numbers with units, addresses, times, names of codes.

A number is exact until it is compared: ``rtt_avg_ns > 5500ns`` on a column held in µs means at least 6 µs.
"""

from __future__ import annotations

import difflib
import ipaddress
import re
from collections.abc import Iterable
from datetime import UTC, datetime
from fractions import Fraction

from flowgauge.schema.column import Column, Kind, Role
from flowgauge.schema.well_known import PORT_NUMBERS, PROTOCOL_NUMBERS

V4_MAPPED_PREFIX = bytes(10) + b"\xff\xff"


class ValueProblem(Exception):
    """A value does not fit its field: one sentence, and a value that may have been meant."""

    def __init__(self, message: str, suggestion: str = "") -> None:
        super().__init__(message)
        self.suggestion = suggestion


_COUNTS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
_SIZES = _COUNTS | {
    f"{prefix}{binary}b": 1024**power if binary else 1000**power
    for power, prefix in enumerate(("", "k", "m", "g", "t"))
    for binary in (("", "i") if prefix else ("",))
}
_DURATIONS = {
    "": 1, "ns": 1, "us": 10**3, "µs": 10**3, "μs": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "min": 60 * 10**9,
    "h": 3600 * 10**9, "d": 86400 * 10**9,
}  # fmt: skip
_UNITS = {"bytes": _SIZES, "ns": _DURATIONS, "packets": _COUNTS}
_EXAMPLES = {"bytes": "10MB", "ns": "5ms", "packets": "10k"}
_NUMBER = re.compile(r"(-?\d[\d_]*(?:\.\d{1,9})?)([^\d._]*)")
_HEX = re.compile(r"0x[0-9a-f]{1,16}", re.IGNORECASE)
_MAC = re.compile(r"[0-9a-f]{2}([:-])[0-9a-f]{2}(?:\1[0-9a-f]{2}){4}", re.IGNORECASE)


def is_port(column: Column) -> bool:
    """Whether the values of ``column`` are ports, which have names."""
    return column.name.endswith("_port")


def number(column: Column, text: str) -> Fraction:
    """The value of a numeric column in its physical unit, exact; refused where the column can never hold it."""
    if column.kind is Kind.I64 and column.role is Role.TIME:
        return Fraction(_time_ns(column, text), column.scale)
    public = _public(column, text)
    most = column.bounds[1] * column.scale
    if not 0 <= public <= most:
        raise ValueProblem(f"{text!r} is out of range: {_what(column)} is 0 to {most}{column.unit and f' {column.unit}'}")
    if public.denominator != 1:
        raise ValueProblem(f"{text!r} is no value: {_what(column)} is a whole number{column.unit and f' of {column.unit}'}")
    return public / column.scale


def _public(column: Column, text: str) -> Fraction:
    """The number as written, in the unit of the column's name."""
    names = PROTOCOL_NUMBERS if column.name == "proto" else PORT_NUMBERS if is_port(column) else {}
    if text.lower() in names:
        return Fraction(names[text.lower()])
    if _HEX.fullmatch(text) and not column.unit:
        return Fraction(int(text, 16))
    units = _UNITS.get(column.unit, {"": 1})
    match = _NUMBER.fullmatch(text)
    if match is None:
        raise _no_number(column, text, names)
    factor = units.get(match[2].lower())
    if factor is None:
        known = ", ".join(dict.fromkeys(unit for unit in units if unit and unit != "μs"))
        raise ValueProblem(f"{match[2]!r} is no unit of {column.name}: {f'there are {known}' if known else 'it has none'}")
    return Fraction(match[1].replace("_", "")) * Fraction(factor)


def _what(column: Column) -> str:
    return "a port" if is_port(column) else "a protocol" if column.name == "proto" else column.name


def _no_number(column: Column, text: str, names: Iterable[str]) -> ValueProblem:
    what = _what(column).removeprefix("a ") if names else "number"
    example = _EXAMPLES.get(column.unit, "")
    hint = f" such as {example}" if example else ""
    return ValueProblem(f"{text!r} is no {what}{hint}", _near(text.lower(), names))


def _time_ns(column: Column, text: str) -> int:
    if text.isdecimal() and len(text) <= 20:
        return int(text)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        example = "2026-01-31T23:59:00Z"
        raise ValueProblem(f"{text!r} is no time; write one as {example}, or ns since 1970 for {column.name}") from None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    since = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86400 + since.seconds) * 10**9 + since.microseconds * 1000


def code(column: Column, text: str) -> int:
    """The code of an ENUM's label."""
    labels = {label.lower(): number for number, label in enumerate(column.labels) if label}
    found = labels.get(text.lower())
    if found is None:
        raise ValueProblem(f"{column.name} is one of {', '.join(labels)}, not {text!r}", _near(text.lower(), labels))
    return found


def mac(text: str) -> bytes:
    """Six bytes of ``02:00:5e:10:00:01`` or with hyphens."""
    if not _MAC.fullmatch(text):
        raise ValueProblem(f"{text!r} is no MAC address; write one as 02:00:5e:10:00:01")
    return bytes.fromhex(re.sub("[:-]", "", text))


def block(text: str) -> tuple[bytes, bytes, bool]:
    """The first and last address (16 bytes each) of an address or CIDR block, and whether it is IPv6's."""
    try:
        network = ipaddress.ip_network("" if "%" in text else text, strict=False)  # a zone means something on one machine only
    except ValueError:
        address, _, length = text.partition("/")
        if length and is_address(address):
            most = 128 if ":" in address else 32
            raise ValueProblem(f"{length!r} is out of range: the prefix length of {address} is 0 to {most}") from None
        raise ValueProblem(
            f"{text!r} is no address or CIDR block; write 10.0.0.1, 10.0.0.0/8, 2001:db8::/32, private or public"
        ) from None
    first, last = network.network_address.packed, network.broadcast_address.packed
    if network.version == 4:
        return V4_MAPPED_PREFIX + first, V4_MAPPED_PREFIX + last, False
    return first, last, True


def is_address(text: str) -> bool:
    """Whether ``text`` is an address, or one with a prefix length, which may be wrong."""
    try:
        block(text.partition("/")[0])
    except ValueProblem:
        return False
    return True


def _near(text: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(text, list(known), n=1, cutoff=0.6)
    return close[0] if close else ""
