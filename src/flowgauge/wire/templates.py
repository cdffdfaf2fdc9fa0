# SPDX-License-Identifier: Apache-2.0
"""Template records: parsed from sets (RFC 7011 §3.4), kept per observation domain, withdrawn, replaced, bounded."""

from __future__ import annotations

import struct
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass

from flowgauge.wire.budget import Budget
from flowgauge.wire.elements import VARIABLE
from flowgauge.wire.ipfix import FIRST_DATA_SET, OPTIONS_TEMPLATE_SET, TEMPLATE_SET
from flowgauge.wire.layout import Field, Layout, Layouts

MAX_TEMPLATES = 1024
"""Templates kept of one domain, beyond it the one announced longest ago goes: devices have tens."""
MAX_FIELDS = 512
"""Fields of one template: above what fits in an Ethernet frame (about 360), below what makes one record cost a second."""
MAX_KNOWN_SETS = 64
"""Contents of template sets remembered as known, so that a refresh costs one lookup."""
MAX_KNOWN_SET_BYTES = 4096

_ENTERPRISE_BIT = 0x8000


class TemplateError(ValueError):
    """A template record that cannot be used; ``at`` counts from the start of the set's content."""

    def __init__(self, at: int, cause: str, expected: str, found: str) -> None:
        super().__init__(cause)
        self.at, self.cause, self.expected, self.found = at, cause, expected, found


@dataclass(frozen=True, slots=True)
class Template:
    """One definition: immutable, so that records that came before it is replaced keep their layout.

    Attributes:
        template_id: from 256.
        generation: counts the definitions of its domain; a later one is greater.
    """

    template_id: int
    layout: Layout
    generation: int


@dataclass(frozen=True, slots=True)
class Definition:
    """One template record of a set: ``fields`` empty for a withdrawal; id 2 or 3 withdraws all of that kind."""

    template_id: int
    fields: tuple[Field, ...]
    scope_count: int


@dataclass(frozen=True, slots=True)
class Change:
    """What a template set changed: the template before and after, None where there is none."""

    template_id: int
    before: Template | None
    after: Template | None


class Templates:
    """The templates of one observation domain of one exporter; their fields are taken from the budget ``fields``."""

    def __init__(self, layouts: Layouts, fields: Budget) -> None:
        self._layouts, self._fields = layouts, fields
        self._templates: OrderedDict[int, Template] = OrderedDict()
        self._known_sets: dict[bytes, int] = {}
        self._generation = 0

    def __len__(self) -> int:
        return len(self._templates)

    def get(self, template_id: int) -> Template | None:
        """The template in force."""
        return self._templates.get(template_id)

    def learn(self, content: bytes, set_id: int) -> tuple[list[Change], TemplateError | None, int]:
        """Takes over a template set; what it changed, the first record that cannot be used, and how many were announced.

        An announcement that says what is known changes nothing. A malformed record ends the set, and if its id can be read,
        the template of that id is gone: a stale layout would misread data (RFC 7011 §8).
        """
        mark = content[:MAX_KNOWN_SET_BYTES] + bytes((set_id & 1,))
        if mark in self._known_sets:
            return [], None, self._known_sets[mark]
        changes: list[Change] = []
        announced = 0
        try:
            for definition in definitions(content, set_id):
                changes += self._apply(definition)
                announced += bool(definition.fields)
        except TemplateError as error:
            broken = int.from_bytes(content[error.at : error.at + 2], "big") if error.cause != "template_header" else 0
            return changes + self._remove([broken]), error, announced
        if changes:
            self._known_sets.clear()
        elif len(content) <= MAX_KNOWN_SET_BYTES and len(self._known_sets) < MAX_KNOWN_SETS:
            self._known_sets[mark] = announced
        return changes, None, announced

    def clear(self) -> None:
        """Forgets all of them."""
        self._remove(list(self._templates))

    def _apply(self, definition: Definition) -> list[Change]:
        if not definition.fields:
            return self._withdraw(definition)
        layout = self._layouts.get(definition.fields, definition.scope_count)
        before = self._templates.get(definition.template_id)
        if before is not None and before.layout is layout:
            self._templates.move_to_end(definition.template_id)
            return []
        self._generation += 1
        after = Template(definition.template_id, layout, self._generation)
        self._templates[definition.template_id] = after
        self._fields.left -= len(layout.fields) - (len(before.layout.fields) if before else 0)
        self._templates.move_to_end(definition.template_id)
        changes = [Change(definition.template_id, before, after)]
        if len(self._templates) > MAX_TEMPLATES:
            changes += self._remove([next(iter(self._templates))])
        return changes

    def _withdraw(self, definition: Definition) -> list[Change]:
        if definition.template_id >= FIRST_DATA_SET:
            return self._remove([definition.template_id])
        options = definition.template_id == OPTIONS_TEMPLATE_SET
        return self._remove([number for number, known in self._templates.items() if known.layout.is_options == options])

    def _remove(self, numbers: list[int]) -> list[Change]:
        known = [number for number in numbers if number in self._templates]
        changes = [Change(number, self._templates.pop(number), None) for number in known]
        self._fields.left += sum(len(change.before.layout.fields) for change in changes if change.before)
        if changes:
            self._known_sets.clear()
        return changes


def definitions(content: bytes, set_id: int) -> Iterator[Definition]:
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
            yield Definition(template_id, (), 0)
            continue
        if count > MAX_FIELDS:
            raise TemplateError(begin, "template_fields", f"at most {MAX_FIELDS} fields", str(count))
        scope_count = 0
        if options:
            scope_count, at = _scope(content, begin, count), at + 2
        fields, at = _fields(content, begin, at, count)
        if sum(1 if field.length == VARIABLE else field.length for field in fields) == 0:
            raise TemplateError(begin, "template_size", "records of at least 1 byte", "0")
        yield Definition(template_id, fields, scope_count)


def _scope(content: bytes, begin: int, count: int) -> int:
    """The number of scope fields, 1 to ``count`` (RFC 7011 §3.4.2.2: zero is not allowed)."""
    scope_count = int.from_bytes(content[begin + 4 : begin + 6], "big")
    if len(content) < begin + 6 or not 1 <= scope_count <= count:
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
        fields.append(Field(enterprise, number, length))
    return tuple(fields), at
