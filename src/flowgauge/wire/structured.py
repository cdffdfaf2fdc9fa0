# SPDX-License-Identifier: Apache-2.0
"""Lists within records (RFC 6313 §4.5): basicList, subTemplateList, subTemplateMultiList, as plain Python lists.

They have no column; who asks for everything gets them under ``extra``. What is malformed in a list ends it: the record itself
is whole, since its length is known from outside.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flowgauge.wire.elements import VARIABLE, Elements
from flowgauge.wire.layout import Field, Layout
from flowgauge.wire.options import converted, variable_length

BASIC_LIST, SUB_TEMPLATE_LIST, SUB_TEMPLATE_MULTI_LIST = "basicList", "subTemplateList", "subTemplateMultiList"
STRUCTURED = frozenset({BASIC_LIST, SUB_TEMPLATE_LIST, SUB_TEMPLATE_MULTI_LIST})
MAX_DEPTH = 8
"""Lists within lists that are opened; real ones nest three deep."""
MAX_ITEMS = 1 << 14
"""Items read of one record: each is a Python object, and templates of one byte make many."""

Lookup = Callable[[int], Layout | None]
"""The layout of a template of the record's domain; None when it is not known."""


def read_list(raw: bytes, data_type: str, elements: Elements, lookup: Lookup) -> list[Any]:
    """The items of one list: values, or records as mappings by element name. Bytes become hexadecimal text."""
    return _Lists(elements, lookup).read(raw, data_type, 0)


class _Lists:
    """The lists of one record."""

    def __init__(self, elements: Elements, lookup: Lookup) -> None:
        self._elements, self._lookup = elements, lookup
        self._left = MAX_ITEMS

    def read(self, raw: bytes, data_type: str, depth: int) -> list[Any]:
        """Reads a list; its first byte is the semantic (§4.5.1), which says how items relate and not how they lie."""
        items: list[Any] = []
        if depth >= MAX_DEPTH:
            return items
        try:
            if data_type == BASIC_LIST:
                self._values(raw, depth, items)
            elif data_type == SUB_TEMPLATE_LIST:
                self._records(raw[3:], int.from_bytes(raw[1:3], "big"), depth, items)
            else:
                self._parts(raw[1:], depth, items)
        except IndexError:
            pass
        return items

    def _values(self, raw: bytes, depth: int, items: list[Any]) -> None:
        number, length, at = int.from_bytes(raw[1:3], "big"), int.from_bytes(raw[3:5], "big"), 5
        enterprise = 0
        if number & 0x8000:
            enterprise, number, at = int.from_bytes(raw[5:9], "big"), number & 0x7FFF, 9
        field = Field(enterprise, number, length)
        while at < len(raw) and length:
            value, at = self._field(raw, at, field, depth)
            items.append(value)

    def _parts(self, raw: bytes, depth: int, items: list[Any]) -> None:
        at = 0
        while at + 4 <= len(raw):
            template_id, length = int.from_bytes(raw[at : at + 2], "big"), int.from_bytes(raw[at + 2 : at + 4], "big")
            if not 4 <= length <= len(raw) - at:
                raise IndexError
            self._records(raw[at + 4 : at + length], template_id, depth, items)
            at += length

    def _records(self, raw: bytes, template_id: int, depth: int, items: list[Any]) -> None:
        layout = self._lookup(template_id)
        if layout is None:
            return
        at = 0
        while len(raw) - at >= layout.min_bytes:
            record: dict[str, Any] = {}
            for field in layout.fields:
                value, at = self._field(raw, at, field, depth)
                record.setdefault(self._elements.get(field.enterprise, field.number).name, value)
            items.append(record)

    def _field(self, raw: bytes, at: int, field: Field, depth: int) -> tuple[Any, int]:
        """The value at ``at``, and where the next one begins; IndexError when it is not all there, or too many were read."""
        self._left -= 1
        length = field.length
        if length == VARIABLE:
            length, at = variable_length(raw, at)
        end = at + length
        if end > len(raw) or self._left < 0:
            raise IndexError
        element = self._elements.get(field.enterprise, field.number)
        if element.data_type in STRUCTURED:
            return self.read(raw[at:end], element.data_type, depth + 1), end
        value = converted(element, raw[at:end])
        return value.hex() if isinstance(value, bytes) else value, end
