# SPDX-License-Identifier: Apache-2.0
"""ICMP type and code, which exporters put into elements of their own, into one, or into the destination port."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from flowgauge.flow.batch import Array
from flowgauge.schema.columns import ICMP_PROTOCOLS
from flowgauge.wire.readers import Columns, Source, integers
from flowgauge.wire.records import Index, Records

_ABSENT = -1


@dataclass(frozen=True, slots=True)
class IcmpElements:
    """From elements: type (176, 178) and code (177, 179), or both in one as type × 256 + code (32, 139).

    Of the two address families the one that is not zero counts. Records of other protocols have neither; these have no
    ports. Runs after the ports.
    """

    types: tuple[Source, ...]
    codes: tuple[Source, ...]
    pairs: tuple[Source, ...]
    proto: Source | None

    def fill(self, records: Records, out: Columns) -> None:
        """Fills every row."""
        pair = _first_set(records, self.pairs)
        kind = _first_set(records, self.types) if self.types else pair >> 8
        code = _first_set(records, self.codes) if self.types else pair
        out["icmp_type"][...] = kind & 0xFF
        out["icmp_code"][...] = code & 0xFF if self.codes or self.pairs else _ABSENT
        if self.proto is not None:
            icmp = _is_icmp(integers(records, self.proto))
            out["icmp_type"][~icmp] = _ABSENT
            out["icmp_code"][~icmp] = _ABSENT
            _without_ports(out, icmp)


@dataclass(frozen=True, slots=True)
class IcmpFromPort:
    """From the destination port of ICMP records (type × 256 + code), whose ports are absent then. Runs after the ports."""

    proto: Source
    port: Source

    def fill(self, records: Records, out: Columns) -> None:
        """Fills every row."""
        out["icmp_type"][...] = _ABSENT
        out["icmp_code"][...] = _ABSENT
        rows = np.flatnonzero(_is_icmp(integers(records, self.proto)))
        if not len(rows):
            return
        both = integers(records, self.port)[rows].astype(np.int64)
        out["icmp_type"][rows] = both >> 8 & 0xFF
        out["icmp_code"][rows] = both & 0xFF
        _without_ports(out, rows)


@dataclass(frozen=True, slots=True)
class IcmpUnknown:
    """Of ICMP records neither type and code nor ports: those of a bidirectional record are its forward direction's."""

    proto: Source

    def fill(self, records: Records, out: Columns) -> None:
        """Fills every row."""
        _without_ports(out, _is_icmp(integers(records, self.proto)))


def _without_ports(out: Columns, rows: Index | npt.NDArray[np.bool_]) -> None:
    for port in ("src_port", "dst_port"):
        if port in out:
            out[port][rows] = 0


def _is_icmp(proto: Array) -> npt.NDArray[np.bool_]:
    found = np.zeros(len(proto), np.bool_)
    for number in ICMP_PROTOCOLS:
        found |= proto == number
    return found


def _first_set(records: Records, sources: tuple[Source, ...]) -> npt.NDArray[np.int64]:
    value = np.zeros(len(records), np.int64)
    for source in sources:
        value = np.where(value == 0, integers(records, source).astype(np.int64), value)
    return value
