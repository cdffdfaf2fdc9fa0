# SPDX-License-Identifier: Apache-2.0
"""What a FlowBatch does not say of its rows: where they were, which columns they have, and elements without a column.

For who shows everything that was received (``flowgauge decode``); the collector does not ask for it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from functools import partial
from typing import Any

from flowgauge.wire.assemble import OF_MESSAGES, Block, columns_of
from flowgauge.wire.decoded import Detail, Value
from flowgauge.wire.elements import VARIABLE, Element, Elements
from flowgauge.wire.layout import Field
from flowgauge.wire.mapping import Reader
from flowgauge.wire.options import converted
from flowgauge.wire.readers import Source, integers
from flowgauge.wire.records import Records
from flowgauge.wire.structured import STRUCTURED, read_list
from flowgauge.wire.texts import octets_of

MAX_LAYOUTS = 4096
"""Layouts whose elements without a column are remembered."""
_PADDING = 210
"""paddingOctets: says nothing."""

Unread = tuple[tuple[Source, Element], ...]


def details(blocks: Sequence[Block], extra: ExtraReader) -> tuple[Detail, ...]:
    """The details of a batch assembled of ``blocks``."""
    found = []
    first = 0
    for block in blocks:
        last = first + len(block.records)
        if last > first:
            found.append(_detail(block, first, last, extra))
        first = last
    return tuple(found)


def _detail(block: Block, first: int, last: int, extra: ExtraReader) -> Detail:
    records = block.records
    columns = {*columns_of(block), *(name for name, _ in block.reader.texts), *OF_MESSAGES}
    position = block.origins.positions(records.sets.datagram, records.sets.start)[records.set_row]
    return Detail(first, last, frozenset(columns), position, block.backwards_of, extra.read(block))


class ExtraReader:
    """Reads the elements that have no column, by the names that ``elements`` has for them."""

    def __init__(self, elements: Elements) -> None:
        self._elements = elements
        self._known: dict[tuple[Field, ...], Unread] = {}

    def read(self, block: Block) -> Mapping[str, Sequence[Any]]:
        """Their values, by name. Of an element that a template has several times, the first that is there."""
        found: dict[str, Sequence[Any]] = {}
        for source, element in self._unread(block.reader, block.fields):
            found.setdefault(element.name, self._values(block, source, element))
        return found

    def _values(self, block: Block, source: Source, element: Element) -> Sequence[Any]:
        if element.data_type not in STRUCTURED or block.lookup is None:
            return _values(block.records, source, element)
        return [
            read_list(raw, element.data_type, self._elements, partial(block.lookup, row))
            for raw, row in zip(_octets(block.records, source), block.records.set_row.tolist(), strict=True)
        ]

    def _unread(self, reader: Reader, layout: tuple[Field, ...]) -> Unread:
        known = self._known.get(layout)
        if known is None:
            if len(self._known) >= MAX_LAYOUTS:
                self._known.clear()
            every = (reader, reader.reverse)  # both rows of a bidirectional record have the same elements
            read = {source.index for source in _sources(every)} - _named_by(reader)
            known = self._known[layout] = tuple(
                (Source(index, field.length), self._elements.get(field.enterprise, field.number))
                for index, field in enumerate(layout)
                if index not in read and field.length and (field.enterprise, field.number) != (0, _PADDING)
            )
        return known


def _named_by(reader: Reader) -> set[int]:
    """The field that names a sampler: it is read for its rate, and has no column."""
    return {reader.sampler.selector.index} if reader.sampler.selector else set()


def _sources(step: object) -> Iterator[Source]:
    """The fields that a step, or anything that holds steps, reads; what it reads ``aside`` remains to be shown."""
    if isinstance(step, Source):
        yield step
    elif isinstance(step, tuple):
        for part in step:
            yield from _sources(part)
    elif isinstance(step, partial):
        yield from _sources(tuple(step.keywords.values()))
    elif is_dataclass(step):
        yield from _sources(tuple(getattr(step, field.name) for field in fields(step) if field.name != "aside"))


def _values(records: Records, source: Source, element: Element) -> Sequence[Value | None]:
    if element.data_type.startswith("unsigned") and source.length <= 8:
        numbers: list[Value | None] = integers(records, source).tolist()
        return numbers
    known: dict[bytes, Value] = {}
    texts = _octets(records, source)
    for text in texts:
        if text not in known:
            known[text] = converted(element, text)
    return [known[text] for text in texts]


def _octets(records: Records, source: Source) -> list[bytes]:
    """The bytes of one field of every record."""
    if source.length != VARIABLE:
        content, size = octets_of(records, source).tobytes(), source.length
        return [content[at : at + size] for at in range(0, len(content), size)]
    spans = records.spans[source.index]
    places = zip(spans.start.tolist(), spans.length.tolist(), strict=True)
    return [bytes(spans.view.memory[start : start + length]) for start, length in places]
