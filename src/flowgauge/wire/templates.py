# SPDX-License-Identifier: Apache-2.0
"""The templates of an observation domain: announced, withdrawn (RFC 7011 §8), replaced, expired, bounded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import blake2b

from flowgauge.wire.budget import Budget
from flowgauge.wire.ipfix import FIRST_DATA_SET, OPTIONS_TEMPLATE_SET
from flowgauge.wire.layout import Layout, Layouts
from flowgauge.wire.template_records import Definition, Parse, TemplateError

MAX_TEMPLATES = 1024
"""Templates kept of one domain, beyond it the one announced longest ago goes: devices have tens."""
MAX_KNOWN_SETS = 64
"""Contents of template sets remembered as known, so that a refresh costs one lookup."""
MAX_KNOWN_SET_BYTES = 4096
REMEMBERED_SETS = 128
"""Contents of template sets whose records are kept for all exporters, up to 100 kB each."""

MARK_BYTES = 16
"""Of what stands for the content of a set: one that another content has, too, cannot be made on purpose."""
Parsed = tuple[tuple[Definition, ...], tuple[int, ...], TemplateError | None]
"""The template records of a set, the ids that it announces, and why its records end before the set does."""


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


@dataclass(frozen=True, slots=True)
class Announcement:
    """A template set as it came: its content and id, from which source port (0: not known), when, and whether it was cut."""

    content: bytes
    set_id: int
    port: int
    received_ns: int
    cut: bool = False


@dataclass(slots=True)
class Learned:
    """What a template set led to.

    Attributes:
        error: the first record that cannot be used.
        announced: how many templates it had.
        conflict: the source port that announced what this one redefines; nothing was taken over then. 0 = none.
    """

    changes: list[Change] = field(default_factory=list)
    error: TemplateError | None = None
    announced: int = 0
    conflict: int = 0


@dataclass(slots=True)
class Held:
    """A template in force.

    Attributes:
        port: from which it was announced last.
        announced_ns: when.
        provisional: it was in force when the collector ended, and has not been announced since.
    """

    template: Template
    port: int = 0
    announced_ns: int = 0
    provisional: bool = False


class Templates:
    """The templates of one observation domain of one exporter; their fields are taken from the budget ``fields``.

    Attributes:
        announced_ns: when the latest announcement came.
        refresh_ns: how long before it the one before came, for the latest pair that is more than a second apart; 0 = not yet.
    """

    def __init__(self, parse: Parse, layouts: Layouts, fields: Budget) -> None:
        self._parse, self._layouts, self._fields = parse, layouts, fields
        # Not in order of announcement: keeping that would take 125 bytes more for each of a million templates.
        self._held: dict[int, Held] = {}
        self._by_age: list[tuple[int, int]] = []
        self._known_sets: dict[bytes, tuple[int, ...]] = {}
        self._generation = 0
        self.announced_ns = self.refresh_ns = 0

    def __len__(self) -> int:
        return len(self._held)

    def __iter__(self) -> Iterator[Held]:
        return iter(self._held.values())

    def get(self, template_id: int) -> Held | None:
        """The template in force."""
        return self._held.get(template_id)

    def learn(self, told: Announcement, *, split: bool = True) -> Learned:
        """Takes over a template set.

        An announcement that says what is known changes nothing. A malformed record ends the set, and if its id can be read,
        the template of that id is gone: a stale layout would misread data (RFC 7011 §8). The record within which a set was cut
        says nothing: what it would define anew is read as before.

        Args:
            told: the set.
            split: whether to refuse it when it contradicts what another source port announced (see ``Streams.split``).
        """
        mark = _mark(told) if len(told.content) <= MAX_KNOWN_SET_BYTES else b""
        known = self._known_sets.get(mark)
        if known is not None:
            self._note(told.received_ns)
            for template_id in known:
                self._renew(self._held[template_id], told)
            return Learned(announced=len(known))
        definitions, announced, error = self._read(told)
        if split and (conflict := next(filter(None, (self._contradicted(each, told.port) for each in definitions)), 0)):
            return Learned(conflict=conflict)
        self._note(told.received_ns)
        changes = [change for definition in definitions for change in self._apply(definition, told)]
        if error and told.cut and error.cause == "template_length":
            error = None
        if error:
            broken = int.from_bytes(told.content[error.at : error.at + 2], "big") if error.cause != "template_header" else 0
            changes += self._remove([broken])
        elif changes:
            self._known_sets.clear()
        elif mark and not told.cut and len(self._known_sets) < MAX_KNOWN_SETS:
            self._known_sets[mark] = announced
        return Learned(changes, error, len(announced))

    def take_over(self, template_id: int, layout: Layout, *, announced_ns: int = 0, provisional: bool = False) -> None:
        """Adds a template that was announced elsewhere: to another stream, or to a collector that has ended."""
        self._put(template_id, layout, Held(self._next(template_id, layout), 0, announced_ns, provisional))

    def drop(self, template_id: int) -> None:
        """Forgets one."""
        self._remove([template_id])

    def expire(self, before_ns: int) -> int:
        """Forgets those announced last before a time; how many."""
        return len(self._remove([number for number, held in self._held.items() if held.announced_ns < before_ns]))

    def clear(self) -> None:
        """Forgets all of them."""
        self._remove(list(self._held))

    def _note(self, now_ns: int) -> None:
        since_ns = now_ns - self.announced_ns
        if since_ns > 1_000_000_000 and self.announced_ns:
            self.refresh_ns = since_ns
        self.announced_ns = max(self.announced_ns, now_ns)

    def _read(self, told: Announcement) -> Parsed:
        if len(told.content) > MAX_KNOWN_SET_BYTES:
            return _parsed(self._parse, told.content, told.set_id)
        return _remembered(self._parse, told.content, told.set_id)

    def _contradicted(self, definition: Definition, port: int) -> int:
        """Another source port that has given the id another layout: there are two exporters behind one address. 0 = none."""
        held = self._held.get(definition.template_id)
        if held is None or not definition.fields or 0 in (held.port, port) or held.port == port:
            return 0
        return held.port if held.template.layout is not self._layout(definition) else 0

    def _layout(self, definition: Definition) -> Layout:
        return self._layouts.get(definition.fields, definition.scope_count, is_options=definition.options)

    def _apply(self, definition: Definition, told: Announcement) -> Sequence[Change]:
        if not definition.fields:
            return self._withdraw(definition)
        layout = self._layout(definition)
        held = self._held.get(definition.template_id)
        if held is not None and held.template.layout is layout:
            self._renew(held, told)
            return ()
        after = self._next(definition.template_id, layout)
        self._put(definition.template_id, layout, Held(after, told.port, told.received_ns))
        changes = [Change(definition.template_id, held.template if held else None, after)]
        if len(self._held) > MAX_TEMPLATES:
            changes += self._remove([self._oldest()])
        return changes

    def _oldest(self) -> int:
        """The id of the template announced longest ago: next in a list made now and then, from which later ones are missing."""
        while True:
            while self._by_age:
                announced_ns, template_id = self._by_age.pop()
                held = self._held.get(template_id)
                if held is not None and held.announced_ns == announced_ns:
                    return template_id
            self._by_age = [(held.announced_ns, held.template.template_id) for held in reversed(self._held.values())]
            self._by_age.sort(key=lambda each: -each[0])

    def _renew(self, held: Held, told: Announcement) -> None:
        held.port, held.announced_ns, held.provisional = told.port, told.received_ns, False

    def _next(self, template_id: int, layout: Layout) -> Template:
        self._generation += 1
        return Template(template_id, layout, self._generation)

    def _put(self, template_id: int, layout: Layout, held: Held) -> None:
        before = self._held.get(template_id)
        self._held[template_id] = held
        self._fields.take(len(layout.fields) - (len(before.template.layout.fields) if before else 0))

    def _withdraw(self, definition: Definition) -> list[Change]:
        if definition.template_id >= FIRST_DATA_SET:
            return self._remove([definition.template_id])
        options = definition.template_id == OPTIONS_TEMPLATE_SET
        return self._remove([number for number, held in self._held.items() if held.template.layout.is_options == options])

    def _remove(self, numbers: Sequence[int]) -> list[Change]:
        gone = [self._held.pop(number).template for number in numbers if number in self._held]
        self._fields.take(-sum(len(template.layout.fields) for template in gone))
        if gone:
            self._known_sets.clear()
        return [Change(template.template_id, template, None) for template in gone]


def _parsed(parse: Parse, content: bytes, set_id: int) -> Parsed:
    definitions: list[Definition] = []
    try:
        definitions.extend(parse(content, set_id))
    except TemplateError as error:
        return tuple(definitions), _announced(definitions), error.with_traceback(None)
    return tuple(definitions), _announced(definitions), None


def _announced(definitions: Sequence[Definition]) -> tuple[int, ...]:
    return tuple(definition.template_id for definition in definitions if definition.fields)


def _mark(told: Announcement) -> bytes:
    """What stands for the set among those known: the contents themselves would be most of what an exporter takes."""
    return blake2b(told.content, digest_size=MARK_BYTES, salt=bytes((told.set_id & 1,))).digest()


_remembered = lru_cache(REMEMBERED_SETS)(_parsed)
"""The same for a set that any exporter sent lately: after a restart those of a kind all announce the same ones."""
