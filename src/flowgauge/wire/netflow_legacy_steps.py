# SPDX-License-Identifier: Apache-2.0
"""Steps that read the records of NetFlow 1, 5 and 7 with what their headers say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from flowgauge.flow.batch import Array
from flowgauge.schema.columns import ICMP_PROTOCOLS
from flowgauge.wire.readers import AddressV4, Columns, Number, Source, Step, integers
from flowgauge.wire.records import Index, Records
from flowgauge.wire.views import Offsets

_ICMP = sorted(ICMP_PROTOCOLS)
_NUMBERS = {
    "in_if": 10, "out_if": 14, "packets": 2, "bytes": 1, "src_port": 7, "dst_port": 11, "proto": 4, "ip_tos": 5,
    "tcp_flags": 6, "src_as": 16, "dst_as": 17, "src_mask": 9, "dst_mask": 13,
}  # fmt: skip
"""Column → element, of those that records have as plain numbers."""


def steps_of(sources: Mapping[int, Source], *, zero_is_absent: bool) -> tuple[tuple[Step, ...], tuple[str, ...]]:
    """The steps for fields by element, and the columns that they fill; ``zero_is_absent``: of the flow's own addresses."""
    numbers = {name: Number(name, sources[element]) for name, element in _NUMBERS.items() if element in sources}
    addresses = (
        AddressV4("src_addr", sources[8], zero_is_absent=zero_is_absent),
        AddressV4("dst_addr", sources[12], zero_is_absent=zero_is_absent),
        AddressV4("next_hop", sources[15], zero_is_absent=True),
    )
    icmp = IcmpOfPort()
    columns = (*(step.column for step in addresses), *numbers, "icmp_type", "icmp_code")
    return (*addresses, *numbers.values(), icmp), columns


@dataclass(frozen=True, slots=True)
class IcmpOfPort:
    """Type and code of ICMP out of the destination port (type × 256 + code), which is absent then. Runs after the numbers."""

    def fill(self, records: Records, out: Columns) -> None:  # noqa: ARG002 - the protocol of steps
        """Fills every row."""
        out["icmp_type"][...] = -1
        out["icmp_code"][...] = -1
        proto = out["proto"]
        rows = np.flatnonzero((proto == _ICMP[0]) | (proto == _ICMP[1]))
        if len(rows):
            both = out["dst_port"][rows]
            out["icmp_type"][rows] = both >> 8
            out["icmp_code"][rows] = both & 0xFF
            out["src_port"][rows] = out["dst_port"][rows] = 0


@dataclass(frozen=True, slots=True)
class PerDatagram:
    """A column that is the same for all records of a datagram."""

    column: str
    values: Array
    each: int

    def fill(self, records: Records, out: Columns) -> None:
        """Fills every row."""
        out[self.column][...] = spread(self.values, records.set_row, self.each)


@dataclass(frozen=True, slots=True)
class UptimeTimes:
    """Start and end from the exporter's uptime: as many ms before the export time as the uptime has grown since.

    The uptime is a counter modulo 2³² ms (49.7 days). The difference is taken modulo 2³² too and read as signed: a flow that
    began before the counter wrapped is minutes old, and one "later" than its export (devices stamp the header first) is so by
    that little. The export time is used with its nanoseconds; without them times would jump by up to a second.

    Devices exist whose uptime counts seconds: ``unit_ns`` says of each datagram what one count is.
    """

    start: Source
    end: Source
    uptime: Offsets
    export_ns: Offsets
    unit_ns: Offsets
    each: int

    def fill(self, records: Records, out: Columns) -> None:
        """Fills every row."""
        uptime = spread(self.uptime.astype(np.uint32), records.set_row, self.each)
        unit_ns = spread(self.unit_ns, records.set_row, self.each)
        export = spread(self.export_ns, records.set_row, self.each)
        since = np.empty(len(records), np.uint32)
        for column, source in (("time_start_ns", self.start), ("time_end_ns", self.end)):
            since[...] = integers(records, source)
            since -= uptime
            target = out[column]
            target[...] = since.view(np.int32)
            target *= unit_ns
            target += export


def spread(per_datagram: Array, row: Index, each: int) -> Any:
    """The value of each record's datagram, or one value where all have the same.

    Args:
        per_datagram: one value a datagram.
        row: of each record, which datagram it is of.
        each: records of every datagram, where all have as many and are in order; else 0. Repeating costs a fifth of looking up.
    """
    if (per_datagram == per_datagram[0]).all():
        return per_datagram[0]
    return np.repeat(per_datagram, each) if each else per_datagram[row]
