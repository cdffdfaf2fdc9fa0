# SPDX-License-Identifier: Apache-2.0
"""Start and end of flows from whichever time elements a template has (RFC 7011 §6.1.7–10), in ns since 1970.

The finest absolute one that is not 0 is taken. Without any, start and end are the export time of the message: plausible, and
later stages know it from the receive time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from flowgauge.flow.batch import Array
from flowgauge.schema.iana import NUMBERS
from flowgauge.wire.framing import NOT_TOLD
from flowgauge.wire.readers import Columns, Source, integers
from flowgauge.wire.records import Records

Times = npt.NDArray[np.int64]
Conversion = Callable[[Records, Source], Times]

NTP_TO_UNIX_S = 2_208_988_800
"""Seconds from 1900 to 1970."""
_NTP_ERA_S = 1 << 32
_NTP_ERA_SPLIT_S = 1 << 31
"""NTP seconds below it lie in the era that begins in February 2036 (RFC 4330 §3)."""
DAY_NS = 86_400_000_000_000
_MAX_NS = (1 << 62) - 1
_MAX_MS = np.uint64((1 << 63) // 1_000_000 - 1)
MAX_BOOT_MS = 1 << 43
"""Latest believable start of an exporter, year 2248: with an uptime added, its ns still fit into an int64."""
BOOT_ELEMENT = "systemInitTimeMilliseconds"
_HALF_UPTIME_MS, _UPTIME_MASK = 1 << 31, (1 << 32) - 1


def from_seconds(records: Records, source: Source) -> Times:
    """DateTimeSeconds; of a wider field than 4 bytes the lower 32 bits."""
    return (integers(records, source).astype(np.int64) & 0xFFFFFFFF) * 1_000_000_000


def from_milliseconds(records: Records, source: Source) -> Times:
    """DateTimeMilliseconds; values that no int64 of ns holds become its largest."""
    time = integers(records, source).astype(np.uint64)
    np.minimum(time, _MAX_MS, out=time)
    time *= np.uint64(1_000_000)
    return time.view(np.int64)


def from_ntp(records: Records, source: Source) -> Times:
    """DateTimeMicroseconds and -Nanoseconds: NTP's 64-bit format, seconds since 1900 and a binary fraction."""
    value = integers(records, source).astype(np.uint64)
    seconds = (value >> np.uint64(32)).astype(np.int64)
    seconds += np.where(seconds < _NTP_ERA_SPLIT_S, _NTP_ERA_S, 0) - NTP_TO_UNIX_S
    nanoseconds = ((value & np.uint64(0xFFFFFFFF)) * np.uint64(1_000_000_000)) >> np.uint64(32)
    return seconds * 1_000_000_000 + nanoseconds.astype(np.int64)


def before_export(records: Records, source: Source) -> Times:
    """Microseconds before the export time of the message."""
    return _export_ns(records) - (integers(records, source).astype(np.int64) & 0xFFFFFFFF) * 1_000


def plausible(records: Records, source: Source, read: Conversion) -> Times:
    """What ``read`` says, or, where that is more than a day from the export time, another reading that is not.

    Devices send Unix time where NTP's format belongs (VPP: ns in 156), seconds in fields of milliseconds (Sophos), and other
    units than the element's. A time that no reading brings near the export time stays as the element means it.
    """
    times = read(records, source)
    export_ns = records.sets.export_s * 1_000_000_000
    if not len(times) or (times.min() >= export_ns.max() - DAY_NS and times.max() <= export_ns.min() + DAY_NS):
        return times
    export = export_ns[records.set_row]
    strange = np.flatnonzero(np.abs(times - export) > DAY_NS)
    if len(strange):
        value, export = integers(records, source)[strange].astype(np.uint64), export[strange]
        for unit_ns in (1, 1_000, 1_000_000, 1_000_000_000):
            other = np.minimum(value, np.uint64(_MAX_NS // unit_ns)).astype(np.int64) * unit_ns
            near = np.abs(other - export) <= DAY_NS
            times[strange[near]] = other[near]
    return times


def since_boot(records: Records, source: Source, boot: Source | None = None) -> Times:
    """Milliseconds since the exporter started; the export time where its start is not known.

    The start comes with the record (``boot``, systemInitTimeMilliseconds), is in the header (NetFlow v9), or was told in
    options data. The clock is of 32 bits and begins again after 49.7 days: of the times that a value may mean, the one
    nearest to the export time counts, so a flow may have begun before the clock's wrap, or end after the header was made.
    """
    if boot is not None:
        boot_ms = np.minimum(integers(records, boot).astype(np.uint64), MAX_BOOT_MS).astype(np.int64)
        boot_ms[boot_ms == 0] = NOT_TOLD
    elif records.sets.in_seconds is None:
        return _since_boot_of_set(records, source)
    else:
        boot_ms = records.sets.boot_ms[records.set_row]
    export_ms = records.sets.export_s[records.set_row] * 1000
    uptime = integers(records, source).astype(np.int64)
    before_ms = (export_ms - boot_ms - uptime + _HALF_UPTIME_MS & _UPTIME_MASK) - _HALF_UPTIME_MS
    if records.sets.in_seconds is not None:
        other = export_ms - boot_ms - uptime * 1000
        nearer = records.sets.in_seconds[records.set_row] & (np.abs(other) < np.abs(before_ms))
        before_ms = np.where(nearer, other, before_ms)
    return (export_ms - np.where(boot_ms == NOT_TOLD, 0, before_ms)) * 1_000_000


def _since_boot_of_set(records: Records, source: Source) -> Times:
    """The same where the start is that of each set, and no uptime counts seconds: sums of 32 bits wrap as the clock does."""
    export_ms = records.sets.export_s * 1000
    at_export = (export_ms - records.sets.boot_ms & _UPTIME_MASK).astype(np.uint32)
    before = at_export[records.set_row]
    before -= integers(records, source).astype(np.uint32)
    unknown = records.sets.boot_ms == NOT_TOLD
    if unknown.any():
        before[unknown[records.set_row]] = 0
    times = before.view(np.int32).astype(np.int64)
    times *= -1_000_000
    times += (export_ms * 1_000_000)[records.set_row]
    return times


def _export_ns(records: Records) -> Times:
    return records.sets.export_s[records.set_row] * 1_000_000_000


_Element = tuple[Conversion, Source]
_Found = _Element | None

seconds = partial(plausible, read=from_seconds)
milliseconds = partial(plausible, read=from_milliseconds)
ntp = partial(plausible, read=from_ntp)

START: Mapping[int, Conversion] = {
    156: ntp, 154: ntp, 152: milliseconds, 150: seconds, 158: before_export, 22: since_boot,
}  # fmt: skip
"""IANA element → conversion, the preferred first."""
_ABSOLUTE = (ntp, milliseconds, seconds)
"""Of these 0 is no time of a flow: exporters that tell another element beside it have left it out."""
END: Mapping[int, Conversion] = {
    157: ntp, 155: ntp, 153: milliseconds, 151: seconds, 159: before_export, 21: since_boot,
}  # fmt: skip
OBSERVED: Mapping[int, Conversion] = {325: ntp, 324: ntp, 323: milliseconds, 322: seconds}
"""One time for start and end: observationTime…, as event records have."""
DURATION_NS: Mapping[int, int] = {162: 1_000, 161: 1_000_000}
"""Duration element → ns in its unit."""


@dataclass(frozen=True, slots=True)
class FlowTimes:
    """Fills ``time_start_ns`` and ``time_end_ns``; what a template lacks follows from what it has."""

    start: tuple[Conversion, Source] | None
    end: tuple[Conversion, Source] | None
    duration: tuple[int, Source] | None

    def fill(self, records: Records, out: Columns) -> None:
        """Fills every row."""
        begin, finish = out["time_start_ns"], out["time_end_ns"]
        if self.start:
            begin[...] = self.start[0](records, self.start[1])
        if self.end:
            finish[...] = self.end[0](records, self.end[1])
        if self.start and self.end and self.start[0] is self.end[0] is since_boot:
            self._keep_apart(records, begin, finish)
        if not self.start and not self.end:
            finish[...] = _export_ns(records)
        if not self.end and self.start:
            finish[...] = begin + self._lasted(records)
        if not self.start:
            begin[...] = finish - self._lasted(records)

    def _keep_apart(self, records: Records, begin: Array, finish: Array) -> None:
        """Places flows of exporters that never tell when they started (SonicWall, MikroTik, Barracuda).

        The last flow of a set ends at the export, the others as long before it as their uptimes say.
        """
        unknown = records.sets.boot_ms == NOT_TOLD
        if unknown.any() and self.start and self.end:
            rows = np.flatnonzero(unknown[records.set_row])
            first, last = (integers(records, source)[rows].astype(np.uint32) for _, source in (self.start, self.end))
            of_set, origin = records.set_row[rows], np.zeros(len(unknown), np.uint32)
            origin[of_set] = last
            after = (last - origin[of_set]).view(np.int32).astype(np.int64)
            latest = np.zeros(len(unknown), np.int64)
            np.maximum.at(latest, of_set, after)
            finish[rows] -= (latest[of_set] - after) * 1_000_000
            begin[rows] = finish[rows] - np.maximum((last - first).view(np.int32), 0).astype(np.int64) * 1_000_000

    def _lasted(self, records: Records) -> Array | int:
        if self.duration is None:
            return 0
        scale, source = self.duration
        return (integers(records, source).astype(np.int64) & 0xFFFFFFFF) * scale


def flow_times(sources: Mapping[int, Source]) -> FlowTimes:
    """The step for a template with these IANA elements."""
    start, end = _first(START, sources), _first(END, sources)
    if end is None and (observed := _first(OBSERVED, sources)) is not None:
        start, end = start or observed, observed
    told = next(((scale, sources[number]) for number, scale in DURATION_NS.items() if number in sources), None)
    return FlowTimes(start, end, None if start and end else told)


def _with_boot(found: _Element, sources: Mapping[int, Source]) -> _Element:
    """Lets a conversion from uptime take the start from the record, if it is there."""
    boot = sources.get(NUMBERS[BOOT_ELEMENT])
    if boot is None or found[0] is not since_boot:
        return found
    return partial(since_boot, boot=boot), found[1]


def _first(conversions: Mapping[int, Conversion], sources: Mapping[int, Source]) -> _Found:
    """The preferred of the elements that are there; where it is 0 in a record, the next one that is not."""
    there = [(convert, sources[number]) for number, convert in conversions.items() if number in sources]
    if not there:
        return None
    (convert, source), *others = there
    if not others or convert not in _ABSOLUTE:
        return _with_boot(there[0], sources)
    return partial(_or_else, first=convert, others=[_with_boot(other, sources) for other in others]), source


def _or_else(records: Records, source: Source, first: Conversion, others: Sequence[_Element]) -> Times:
    """``first`` of ``source``; where that is 0, the first of ``others`` that tells a time."""
    times = first(records, source)
    absent = integers(records, source) == 0
    for convert, other in others:
        if not absent.any():
            break
        told = absent & (integers(records, other) != 0) if convert in _ABSOLUTE else absent
        times = np.where(told, convert(records, other), times)
        absent = absent & ~told
    return times
