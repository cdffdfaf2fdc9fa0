# SPDX-License-Identifier: Apache-2.0
"""Records of both directions of a flow: reverse elements (RFC 5103 §6.1), and counters of initiator and responder.

Such a record becomes two rows. The second has the ends exchanged; interfaces too, since what came in at one went out there.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

import numpy as np

from flowgauge.schema.vendors import CISCO, CISCO_V9_BASE, REVERSE
from flowgauge.wire.elements import IANA
from flowgauge.wire.readers import Columns, Source, Sources, Step, integers
from flowgauge.wire.records import Records

_IXIA = 3054
_OF_CLIENT = frozenset({(CISCO, 8338), (CISCO, 9265), (IANA, CISCO_V9_BASE + 8338), (IANA, CISCO_V9_BASE + 9265)})
_OF_SERVER = {(CISCO, 8337): 1, (CISCO, 9266): 2, (IANA, CISCO_V9_BASE + 8337): 1, (IANA, CISCO_V9_BASE + 9266): 2}
"""Cisco's octets and packets of client and server (AVC), as IANA counts them; in NetFlow v9 plus ``CISCO_V9_BASE``."""
_OF_RESPONDER = {(IANA, 232): 1, (IANA, 299): 2, (_IXIA, 176): 1, (_IXIA, 177): 2, (CISCO, 12346): 1} | _OF_SERVER
"""Elements that count the other direction, and as which element; the preferred first."""
_OF_SENDER = _OF_CLIENT | {(CISCO, 12347)}
"""Vendors' elements that count this direction only: those of the client, AnyConnect's bytes sent (nvzFlow)."""
_ONE_DIRECTION = ((IANA, 1), (IANA, 2), (IANA, 85), (IANA, 86))
"""Where a record has these, initiator and responder are counted beside them: one kind counts, not both."""
_COUNTERS = (1, 2, 85, 86, 23, 24, 352)
_KEY = frozenset({
    4, 7, 8, 9, 10, 11, 12, 13, 14, 16, 17, 27, 28, 29, 30, 34, 35, 44, 45, 48, 49, 50, 56, 57, 58, 59, 60, 80, 81, 95, 96,
    130, 131, 136, 148, 169, 170, 180, 181, 182, 183, 225, 226, 227, 228, 239, 243, 245, 252, 253, 254, 255, 256, 281, 282,
    302, 304, 305, 306, 309, 310, *range(40001, 40005), *range(45004, 45010),
})  # fmt: skip
"""Elements that say which flow it is, and how it was observed: they hold for both directions. Others are the forward one's."""

_BIFLOW_DIRECTION, _REVERSE_INITIATOR = (IANA, 239), 2
_CLIENTS = {(CISCO, 12236), (CISCO, 12238), (IANA, CISCO_V9_BASE + 12236), (IANA, CISCO_V9_BASE + 12238)}
"""Cisco's client addresses (AVC): sources of flows, whichever end's packet was seen first."""

_MIRRORED = {"in_if": "out_if", "out_if": "in_if"}
_ENDS = (
    ("src_", "dst_"), ("dst_", "src_"), ("post_nat_src_", "post_nat_dst_"), ("post_nat_dst_", "post_nat_src_"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class InterfacesOfClient:
    """Exchanges interfaces where they are those of the responder's packets (reverseInitiator: RFC 5103 §6.3)."""

    direction: Source

    def fill(self, records: Records, out: Columns) -> None:
        """Exchanges them in place."""
        rows = np.flatnonzero(integers(records, self.direction) == _REVERSE_INITIATOR)
        came, went = out["in_if"], out["out_if"]
        came[rows], went[rows] = went[rows], came[rows]


def of_client(sources: Sources, columns: Collection[str]) -> tuple[Step, ...]:
    """What is to be done to ``columns`` of records that tell of client and server, rather than of source and destination."""
    if _BIFLOW_DIRECTION in sources and _CLIENTS & sources.keys() and {"in_if", "out_if"} <= set(columns):
        return (InterfacesOfClient(sources[_BIFLOW_DIRECTION][0]),)
    return ()


def of_nobody(sources: Sources) -> Collection[tuple[int, int]]:
    """Counters of client and server where a record does not tell which end is the client: the source may be either."""
    return () if _CLIENTS & sources.keys() else _OF_CLIENT | _OF_SERVER.keys()


def backwards(sources: Sources) -> Sources | None:
    """What a template tells of the other direction, as IANA elements; None when it counts nothing of it."""
    found = {(IANA, number): places for (enterprise, number), places in sources.items() if enterprise == REVERSE}
    if not any(key in sources for key in _ONE_DIRECTION) or any(enterprise == _IXIA for enterprise, _ in sources):
        for key, number in _OF_RESPONDER.items():
            if key in sources and key not in of_nobody(sources):
                found.setdefault((IANA, number), sources[key])
    return found if counters(found) else None


def counters(found: Sources) -> tuple[Source, ...]:
    """The fields that count."""
    return tuple(found[IANA, number][0] for number in _COUNTERS if (IANA, number) in found)


def onwards(sources: Sources) -> Sources:
    """What a template tells of both directions."""
    kept = {key: places for key, places in sources.items() if key[1] in _KEY or key[0] not in (IANA, REVERSE)}
    return {key: places for key, places in kept.items() if key not in _OF_SENDER}


def mirrored_name(column: str) -> str:
    """The column that holds for the other direction what ``column`` holds for this one."""
    for here, there in _ENDS:
        if column.startswith(here):
            return there + column[len(here) :]
    return _MIRRORED.get(column, column)


def mirrored(step: Step) -> Step:
    """A step that fills the mirrored column."""
    if not is_dataclass(step):
        return step
    changes: dict[str, Any] = {}
    for field in fields(step):
        value = getattr(step, field.name)
        if field.name == "column":
            changes["column"] = mirrored_name(value)
        elif field.name == "steps":
            changes["steps"] = tuple(mirrored(part) for part in value)
        elif hasattr(value, "column"):
            changes[field.name] = mirrored(value)
    return replace(step, **changes)
