# SPDX-License-Identifier: Apache-2.0
"""The layout that a template describes, compiled once and shared by every exporter that announces the same one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from weakref import WeakValueDictionary

import numpy as np

from flowgauge.wire.elements import VARIABLE, Elements
from flowgauge.wire.mapping import Reader, compile_reader


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a template; ``length`` in bytes, ``VARIABLE`` when each record says."""

    enterprise: int
    number: int
    length: int


class Layout:
    """How the records of a template lie in the bytes; equal ones are one object (see ``Layouts``).

    Attributes:
        fields: in the order of the wire; the first ``scope_count`` of an options template are scope.
        is_options: whether the records are options data.
        min_bytes: the shortest record; its length when ``variable`` is false.
    """

    def __init__(self, fields: tuple[Field, ...], scope_count: int, elements: Elements, *, is_options: bool) -> None:
        self.fields, self.scope_count, self.is_options, self._elements = fields, scope_count, is_options, elements
        self.min_bytes = sum(1 if field.length == VARIABLE else field.length for field in fields)
        self.variable = any(field.length == VARIABLE for field in fields)
        self._reader: tuple[int, Reader] | None = None

    @cached_property
    def fixed(self) -> np.dtype[Any]:
        """Dtype of the fields of fixed length, packed in order; field i is named ``f<i>``."""
        return packed_dtype({f"f{i}": field.length for i, field in enumerate(self.fields) if field.length != VARIABLE})

    @property
    def reader(self) -> Reader:
        """What makes columns of the records; compiled when the first data come, and when users have changed their elements."""
        generation = self._elements.generation
        if self._reader is None or self._reader[0] != generation:
            fields = [(field.enterprise, field.number, field.length) for field in self.fields]
            self._reader = generation, compile_reader(fields, self._elements)
        return self._reader[1]


class Layouts:
    """Layouts in use, each once: thousands of exporters announce a handful of layouts."""

    def __init__(self, elements: Elements) -> None:
        self._elements = elements
        self._known: WeakValueDictionary[tuple[bool, int, tuple[Field, ...]], Layout] = WeakValueDictionary()

    def get(self, fields: tuple[Field, ...], scope_count: int, *, is_options: bool) -> Layout:
        """The layout of ``fields``, of which the first ``scope_count`` are scope."""
        key = is_options, scope_count, fields
        layout = self._known.get(key)
        if layout is None:
            layout = self._known[key] = Layout(fields, scope_count, self._elements, is_options=is_options)
        return layout


_FORMATS: dict[int, Any] = {1: "u1", 2: ">u2", 4: ">u4", 8: ">u8"}


def packed_dtype(lengths: Mapping[str, int]) -> np.dtype[Any]:
    """A dtype of big-endian integers where the length is that of one, else of bytes, without gaps."""
    return np.dtype([(name, _FORMATS.get(length) or ("u1", (length,))) for name, length in lengths.items()])
