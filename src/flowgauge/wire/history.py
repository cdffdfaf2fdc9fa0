# SPDX-License-Identifier: Apache-2.0
"""Which template each data set of a batch is read by, though templates may change in the middle of it."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from flowgauge.wire.cutting import MAX_PADDING
from flowgauge.wire.framing import SET_HEADER_BYTES, Sets
from flowgauge.wire.grouping import Index
from flowgauge.wire.intake import Batch
from flowgauge.wire.ipfix import FIRST_DATA_SET, OPTIONS_TEMPLATE_SET, TEMPLATE_SET
from flowgauge.wire.layout import Layout
from flowgauge.wire.templates import Announcement, Learned, Template
from flowgauge.wire.views import Offsets

_BEFORE_BATCH = -1
UNKNOWN = -1
"""Layout number of a data set whose template nobody announced."""


MAX_TEMPLATE_SETS = 4096
"""Template sets read in one batch, four a datagram: parsing costs more than anything else that an attacker can ask for."""

_SAME_NS = 1_000_000_000
"""What is announced again in one batch within so long keeps the time of the first announcement: nothing is told finer."""

_SEEN = {TEMPLATE_SET: "templates", OPTIONS_TEMPLATE_SET: "options_templates"}
Key = tuple[int, int]
"""Index of a stream in the batch, and a template id."""


class History:
    """The changes of templates within one batch."""

    def __init__(self) -> None:
        self._changes: dict[Key, list[tuple[int, Template | None]]] = {}

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
        rows = rows[np.argsort(sets.position[rows])]
        if len(rows) > MAX_TEMPLATE_SETS:
            beyond = sets.take(rows[MAX_TEMPLATE_SETS:])
            datagrams = batch.messages.datagram[beyond.message]
            batch.intake.problems.add_all(datagrams, beyond.start, "batch_templates", f"{MAX_TEMPLATE_SETS} sets", "more")
        rows = rows[:MAX_TEMPLATE_SETS]
        if not len(rows):
            return
        found = sets.take(rows)
        memory, origins, datagram = batch.intake.view.memory, batch.intake.origins, batch.messages.datagram[found.message]
        said: dict[tuple[int, int, int, bytes], tuple[int, int]] = {}
        seen = np.zeros(2, np.int64)
        streams = batch.index[found.message].tolist()
        ports, times = origins.source_port[datagram].tolist(), (origins.received_ns[datagram] // _SAME_NS).tolist()
        starts, ends = (found.start - SET_HEADER_BYTES).tolist(), found.end.tolist()
        firsts = _runs(found)
        for first, last in zip(firsts, [*firsts[1:], len(rows)], strict=True):
            again = streams[first], ports[first], times[first], bytes(memory[starts[first] : ends[last - 1]])
            announced = said.get(again)  # what was said just before already, and changed nothing, does not do so now
            if announced is None:
                announced, settled = self._learn_run(batch, found, range(first, last))
                if settled:
                    said[again] = announced
                else:
                    said.clear()
                    streams = batch.index[found.message].tolist()  # a stream may have been split
            seen += announced
        batch.intake.seen.update({name: count for name, count in zip(_SEEN.values(), seen.tolist(), strict=True) if count})

    def _learn_run(self, batch: Batch, sets: Sets, run: range) -> tuple[tuple[int, int], bool]:
        """Takes over template sets of one message.

        Returns:
            How many templates and options templates they announce, and whether nothing changed and nothing was wrong.
        """
        seen, settled = dict.fromkeys(_SEEN, 0), True
        for place in run:
            message, start, set_id = int(sets.message[place]), int(sets.start[place]), int(sets.set_id[place])
            datagram, origins = int(batch.messages.datagram[message]), batch.intake.origins
            content = bytes(batch.intake.view.memory[start : int(sets.end[place])])
            port, received_ns = int(origins.source_port[datagram]), int(origins.received_ns[datagram])
            told = Announcement(content, set_id, port, received_ns, bool(sets.cut[place]))
            learned = self._learn(batch, told, message, int(sets.position[place]), start)
            settled = settled and not (learned.changes or learned.error)
            seen[set_id] += learned.announced
        return (seen[TEMPLATE_SET], seen[OPTIONS_TEMPLATE_SET]), settled

    def _learn(self, batch: Batch, told: Announcement, message: int, position: int, start: int) -> Learned:
        """Takes over one template set, whose content begins at ``start``."""
        stream = int(batch.index[message])
        # A stream of one port alone is contradicted by nobody: it defines anew what another port announced before a split.
        learned = batch.streams[stream].templates.learn(told, split=batch.streams[stream].port != told.port)
        if learned.conflict:
            learned = batch.split(stream, learned.conflict, told.port).templates.learn(told, split=False)
            stream = int(batch.index[message])
            batch.intake.counts["decode_port_splits"] += 1
        for change in learned.changes:
            known = self._changes.setdefault((stream, change.template_id), [(_BEFORE_BATCH, change.before)])
            known.append((position, change.after))
        batch.intake.counts["decode_template_changes"] += len(learned.changes)
        if error := learned.error:
            datagram = int(batch.messages.datagram[message])
            batch.intake.problems.add(datagram, start + error.at, error.cause, error.expected, error.found)
        return learned

    def early(self, batch: Batch, sets: Sets) -> npt.NDArray[np.bool_]:
        """Which data sets came before their template, which came later in the batch."""
        defined = {
            stream << 16 | template_id: next((moment for moment, template in changes if template is not None), _BEFORE_BATCH)
            for (stream, template_id), changes in self._changes.items()
        }
        if not defined:
            return np.zeros(len(sets), np.bool_)
        keys = np.array(sorted(defined))
        moments = np.array([defined[key] for key in keys.tolist()])
        wanted = batch.index[sets.message] << 16 | sets.set_id
        place = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
        early: npt.NDArray[np.bool_] = (keys[place] == wanted) & (sets.position < moments[place])
        return early

    def resolve(self, batch: Batch, sets: Sets) -> tuple[list[Layout], Index]:
        """The layouts that data sets are read by, and for each set which of them, or ``UNKNOWN``."""
        codes, order = np.unique(batch.index[sets.message] << 16 | sets.set_id, return_inverse=True)
        numbers: dict[Layout, int] = {}
        per_code = np.full(len(codes), UNKNOWN, np.intp)
        changed: list[tuple[int, Key]] = []
        for place, number in enumerate(codes.tolist()):
            key = number >> 16, number & 0xFFFF
            if key in self._changes:
                changed.append((place, key))
            elif (held := batch.streams[key[0]].templates.get(key[1])) is not None:
                if held.provisional and _contradicted(held.template.layout, sets, order.reshape(-1) == place):
                    batch.streams[key[0]].templates.drop(key[1])
                    batch.intake.counts["decode_template_changes"] += 1
                else:
                    per_code[place] = numbers.setdefault(held.template.layout, len(numbers))
        found = per_code[order.reshape(-1)]
        if changed:
            self._resolve_changed(changed, order.reshape(-1), sets.position, numbers, found)
        return list(numbers), found

    def _resolve_changed(self, changed: list[tuple[int, Key]], order: Index, position: Offsets,
                         numbers: dict[Layout, int], found: Index) -> None:  # fmt: skip
        """The same for sets whose template changed within the batch (``order``: which key each set has), set by set."""
        by_key = np.argsort(order, kind="stable")
        places = np.array([place for place, _ in changed])
        firsts, lasts = (np.searchsorted(order[by_key], places, side=side).tolist() for side in ("left", "right"))
        for (_, key), first, last in zip(changed, firsts, lasts, strict=True):
            rows = by_key[first:last]
            found[rows] = [
                UNKNOWN if template is None else numbers.setdefault(template.layout, len(numbers))
                for template in self._at(key, position[rows].tolist())
            ]

    def _at(self, key: Key, positions: Sequence[int]) -> list[Template | None]:
        """The template in force at each position; before the first definition, that definition."""
        changes = self._changes[key]
        moments = [moment for moment, _ in changes]
        defined = next((number for number, (_, template) in enumerate(changes) if template is not None), len(changes) - 1)
        return [changes[max(bisect_left(moments, position) - 1, defined)][1] for position in positions]


def _runs(sets: Sets) -> list[int]:
    """The first of each run of sets, given in order of arrival, that lie one behind the other in one message."""
    apart = (sets.message[1:] != sets.message[:-1]) | (sets.start[1:] != sets.end[:-1] + SET_HEADER_BYTES)
    return np.flatnonzero(np.concatenate([[True], apart])).tolist()


def _contradicted(layout: Layout, sets: Sets, chosen: npt.NDArray[np.bool_]) -> bool:
    """Whether data sets cannot be of a layout: more is left behind their records than aligns them.

    Asked of templates that an earlier collector knew; where records are of variable length there is nothing to see.
    """
    rest = (sets.end[chosen] - sets.start[chosen]) % layout.min_bytes
    return not layout.variable and bool((rest > MAX_PADDING).any())


def data_sets(sets: Sets) -> Sets:
    """The data sets among ``sets``."""
    rows = sets.set_id >= FIRST_DATA_SET
    return sets if rows.all() else sets.take(rows)
