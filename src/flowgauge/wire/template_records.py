# SPDX-License-Identifier: Apache-2.0
"""Template records as values, and how IPFIX writes them (RFC 7011 §3.4); for NetFlow v9 see ``netflow9``."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from flowgauge.wire.ipfix import FIRST_DATA_SET, OPTIONS_TEMPLATE_SET, TEMPLATE_SET
from flowgauge.wire.layout import Field

MAX_FIELDS = 512
"""Fields of one template: above what fits in an Ethernet frame (about 360), below what makes one record cost a second."""

_ENTERPRISE_BIT = 0x8000
_CONVERTED_V9 = 0xFFFFFFFF
"""Enterprise number under which converters put the private elements of NetFlow v9, whose ids have the bit set."""


class TemplateError(ValueError):
    """A template record that cannot be used; ``at`` counts from the start of the set's content."""

    def __init__(self, at: int, cause: str, expected: str, found: str) -> None:
        super().__init__(cause)
        self.at, self.cause, self.expected, self.found = at, cause, expected, found


@dataclass(frozen=True, slots=True)
class Definition:
    """One template record of a set.

    Attributes:
        template_id: from 256; 2 or 3 in a withdrawal of all of that kind (IPFIX).
        fields: empty for a withdrawal.
        scope_count: how many of the fields are scope; 0 is possible in options templates of NetFlow v9.
        options: whether it describes options data.
    """

    template_id: int
    fields: tuple[Field, ...]
    scope_count: int
    options: bool


Parse = Callable[[bytes, int], Iterator[Definition]]
"""Reads the template records of a set's content; TemplateError at the first malformed one."""


def check_fields(begin: int, fields: Sequence[Field]) -> None:
    """TemplateError for fields that no records can have: none, too many, or all of them empty (records without end)."""
    if not 0 < len(fields) <= MAX_FIELDS:
        raise TemplateError(begin, "template_fields", f"1 to {MAX_FIELDS} fields", str(len(fields)))
    if not any(field.length for field in fields):
        raise TemplateError(begin, "template_size", "records of at least 1 byte", "0")


def ipfix_definitions(content: bytes, set_id: int) -> Iterator[Definition]:
    """The template records of a set's content; TemplateError at the first malformed one. Padding is skipped."""
    at, options = 0, set_id == OPTIONS_TEMPLATE_SET
    while len(content) - at >= 4:
        template_id, count = struct.unpack_from("!HH", content, at)
        if template_id == 0 and not any(content[at:]):
            return
        if template_id < FIRST_DATA_SET and not (
            count == 0 and template_id == (OPTIONS_TEMPLATE_SET if options else TEMPLATE_SET)
        ):
            raise TemplateError(at, "template_header", "template id from 256", str(template_id))
        begin, at = at, at + 4
        if count == 0:
            yield Definition(template_id, (), 0, options)
            continue
        if count > MAX_FIELDS:
            raise TemplateError(begin, "template_fields", f"1 to {MAX_FIELDS} fields", str(count))
        scope_count = 0
        if options:
            scope_count, at = _scope(content, begin, count), at + 2
        fields, at = _fields(content, begin, at, count)
        check_fields(begin, fields)
        yield Definition(template_id, fields, scope_count, options)


def _scope(content: bytes, begin: int, count: int) -> int:
    """The number of scope fields, 1 to ``count`` (RFC 7011 §3.4.2.2: zero is not allowed)."""
    if len(content) < begin + 6:
        raise TemplateError(begin, "template_length", "number of scope fields", "end of set")
    scope_count = int.from_bytes(content[begin + 4 : begin + 6], "big")
    if not 1 <= scope_count <= count:
        raise TemplateError(begin, "template_scope", f"1 to {count} scope fields", str(scope_count))
    return scope_count


def _fields(content: bytes, begin: int, at: int, count: int) -> tuple[tuple[Field, ...], int]:
    """``count`` field specifiers from ``at``, and where they end."""
    fields: list[Field] = []
    for _ in range(count):
        if len(content) - at < 4:
            raise TemplateError(begin, "template_length", f"{count} fields", f"{len(fields)} within the set")
        number, length = struct.unpack_from("!HH", content, at)
        at, enterprise = at + 4, 0
        if number & _ENTERPRISE_BIT:
            if len(content) - at < 4:
                raise TemplateError(begin, "template_length", "enterprise number", "end of set")
            (enterprise,) = struct.unpack_from("!I", content, at)
            at, number = at + 4, number & ~_ENTERPRISE_BIT
        if enterprise == _CONVERTED_V9:
            enterprise, number = 0, number | _ENTERPRISE_BIT
        fields.append(Field(enterprise, number, length))
    return tuple(fields), at
