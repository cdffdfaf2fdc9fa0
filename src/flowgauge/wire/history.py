# SPDX-License-Identifier: Apache-2.0
"""Which template each data set of a batch is read by, though templates may change in the middle of it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from flowgauge.wire.grouping import Index
from flowgauge.wire.intake import Batch
from flowgauge.wire.ipfix import FIRST_DATA_SET, OPTIONS_TEMPLATE_SET, TEMPLATE_SET, Sets
from flowgauge.wire.layout import Layout
from flowgauge.wire.templates import Template

_BEFORE_BATCH = -1
UNKNOWN = -1
"""Layout number of a data set whose template nobody announced."""


class History:
    """The changes of templates within one batch, by stream (index in the batch) and template id."""

    def __init__(self) -> None:
        self._changes: dict[tuple[int, int], list[tuple[int, Template | None]]] = {}

    def learned(self) -> dict[int, set[int]]:
        """Ids of the templates that are in force now and were not before, by stream."""
        found: dict[int, set[int]] = {}
        for (stream, template_id), changes in self._changes.items():
            if changes[-1][1] is not None:
                found.setdefault(stream, set()).add(template_id)
        return found

    def learn(self, batch: Batch, sets: Sets) -> None:
        """Takes over every template set of the batch, in order of arrival."""
        rows = np.flatnonzero((sets.set_id == TEMPLATE_SET) | (sets.set_id == OPTIONS_TEMPLATE_SET))
        for row in rows[np.argsort(sets.position[rows])].tolist():
            message, start = int(sets.message[row]), int(sets.start[row])
            stream = int(batch.index[message])
            content = bytes(batch.intake.view.memory[start : int(sets.end[row])])
            changes, error = batch.streams[stream].templates.learn(content, int(sets.set_id[row]))
            for change in changes:
                known = self._changes.setdefault((stream, change.template_id), [(_BEFORE_BATCH, change.before)])
                known.append((int(sets.position[row]), change.after))
            batch.intake.counts["decode_template_changes"] += len(changes)
            if error:
                datagram = int(batch.messages.datagram[message])
                batch.intake.problems.add(datagram, start + error.at, error.cause, error.expected, error.found)

    def resolve(self, batch: Batch, sets: Sets) -> tuple[list[Layout], Index]:
        """The layouts that data sets are read by, and for each set which of them, or ``UNKNOWN``."""
        codes, order = np.unique(batch.index[sets.message] << 16 | sets.set_id, return_inverse=True)
        numbers: dict[Layout, int] = {}
        per_code = np.full(len(codes), UNKNOWN, np.intp)
        changed: list[tuple[int, tuple[int, int]]] = []
        for place, number in enumerate(codes.tolist()):
            key = number >> 16, number & 0xFFFF
            if key in self._changes:
                changed.append((place, key))
            elif (template := batch.streams[key[0]].templates.get(key[1])) is not None:
                per_code[place] = numbers.setdefault(template.layout, len(numbers))
        found = per_code[order.reshape(-1)]
        for place, key in changed:
            rows = np.flatnonzero(order == place)
            found[rows] = [
                UNKNOWN if template is None else numbers.setdefault(template.layout, len(numbers))
                for template in self._at(key, sets.position[rows].tolist())
            ]
        return list(numbers), found

    def _at(self, key: tuple[int, int], positions: Sequence[int]) -> list[Template | None]:
        """The template in force at each position; before the first definition, that definition."""
        changes = self._changes[key]
        first = next((template for _, template in changes if template is not None), None)
        found: list[Template | None] = []
        for position in positions:
            past = [template for at, template in changes if at < position]
            found.append(past[-1] if any(past) else first)
        return found


def data_sets(batch: Batch, sets: Sets) -> Sets:
    """The data sets among ``sets``; sets of reserved ids are passed over (RFC 7011 §3.3.2) and named."""
    reserved = (sets.set_id < FIRST_DATA_SET) & (sets.set_id != TEMPLATE_SET) & (sets.set_id != OPTIONS_TEMPLATE_SET)
    if reserved.any():
        datagrams = batch.messages.datagram[sets.message[reserved]]
        batch.intake.problems.add_all(datagrams, sets.start[reserved] - 4, "set_id", "2, 3 or from 256", sets.set_id[reserved])
    rows = sets.set_id >= FIRST_DATA_SET
    return sets if rows.all() else sets.take(rows)
