# SPDX-License-Identifier: Apache-2.0
"""The templates of an observation domain: announced, withdrawn (RFC 7011 §8), replaced, bounded."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from flowgauge.wire.budget import Budget
from flowgauge.wire.ipfix import FIRST_DATA_SET, OPTIONS_TEMPLATE_SET
from flowgauge.wire.layout import Layout, Layouts
from flowgauge.wire.template_records import Definition, Parse, TemplateError

MAX_TEMPLATES = 1024
"""Templates kept of one domain, beyond it the one announced longest ago goes: devices have tens."""
MAX_KNOWN_SETS = 64
"""Contents of template sets remembered as known, so that a refresh costs one lookup."""
MAX_KNOWN_SET_BYTES = 4096


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
class Change:
    """What a template set changed: the template before and after, None where there is none."""

    template_id: int
    before: Template | None
    after: Template | None


class Templates:
    """The templates of one observation domain of one exporter; their fields are taken from the budget ``fields``."""

    def __init__(self, parse: Parse, layouts: Layouts, fields: Budget) -> None:
        self._parse, self._layouts, self._fields = parse, layouts, fields
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
            for definition in self._parse(content, set_id):
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
        layout = self._layouts.get(definition.fields, definition.scope_count, is_options=definition.options)
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
