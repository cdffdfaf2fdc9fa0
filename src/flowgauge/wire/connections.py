# SPDX-License-Identifier: Apache-2.0
"""Firewalls' connection events (Cisco NSEL): updates count since the update before, the teardown counts the whole connection.

Both counted would count long connections twice. So what updates have told is remembered by connection, and taken off the
teardown's counters; a teardown that counts less than that is an increment itself (other releases) and stays as it is.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from flowgauge.wire.readers import INTEGER_BYTES, Source, Sources, integers
from flowgauge.wire.records import Records

_EVENTS = ((0, 233), (0, 40005))
_FLOW_ID = (0, 148)
_COUNTERS = ((0, 231), (0, 232), (0, 298), (0, 299))
_CREATED, _TEARDOWN, _UPDATE = 1, 2, 5
MAX_CONNECTIONS = 1 << 17
"""Connections with updates remembered, about 300 bytes each; the end of one forgotten before counts all of it again."""

Stream = tuple[bytes, int, int]
Connections = OrderedDict[tuple[Stream, int], list[int]]
"""Counters told in updates, by stream and number of the connection, in the order of ``_COUNTERS``."""


@dataclass(frozen=True, slots=True)
class ConnectionFields:
    """Where records say which event it is, of which connection, and what they count (None: they do not)."""

    event: Source
    flow_id: Source
    counters: tuple[Source | None, ...]


def connection_fields(sources: Sources) -> ConnectionFields | None:
    """The fields of a template of connection events; None for others."""
    event = next((sources[key][0] for key in _EVENTS if key in sources), None)
    flow_id = sources.get(_FLOW_ID)
    counters = tuple(sources[key][0] if key in sources else None for key in _COUNTERS)
    if event is None or flow_id is None or not any(counters):
        return None
    if any(each and each.length not in INTEGER_BYTES for each in counters):
        return None
    return ConnectionFields(event, flow_id[0], counters)


@dataclass(slots=True)
class Part:
    """Records of connection events of one layout: ``records`` is replaced where they change; ``streams``: of each set."""

    records: Records
    fields: ConnectionFields
    streams: Sequence[Stream]


def settle(parts: Sequence[Part], known: Connections) -> None:
    """Takes what updates told off the teardowns of a batch, in order of arrival over all layouts."""
    events: list[tuple[int, int, int, int, int]] = []
    for number, part in enumerate(parts):
        kinds = integers(part.records, part.fields.event)
        rows = np.flatnonzero((kinds == _CREATED) | (kinds == _TEARDOWN) | (kinds == _UPDATE))
        if len(rows):
            part.records = replace(part.records, fixed=part.records.fixed.copy())
            places = part.records.sets.start[part.records.set_row[rows]].tolist()
            flow_ids = integers(part.records, part.fields.flow_id)[rows].tolist()
            events += zip(places, rows.tolist(), [number] * len(rows), kinds[rows].tolist(), flow_ids, strict=True)
    for _, row, number, kind, flow_id in sorted(events):
        part = parts[number]
        _settle(part, row, kind, (part.streams[int(part.records.set_row[row])], flow_id), known)


def _settle(part: Part, row: int, kind: int, key: tuple[Stream, int], known: Connections) -> None:
    told = known.pop(key, None)
    if kind == _CREATED:
        return
    raw, sources = part.records.fixed, part.fields.counters
    counted = [int(raw[source.name][row]) if source else 0 for source in sources]
    if kind == _UPDATE:
        known[key] = [a + b for a, b in zip(told, counted, strict=True)] if told else counted
        if len(known) > MAX_CONNECTIONS:
            known.popitem(last=False)
    elif told and all(now >= before for now, before in zip(counted, told, strict=True)):
        for source, now, before in zip(sources, counted, told, strict=True):
            if source:
                raw[source.name][row] = now - before
