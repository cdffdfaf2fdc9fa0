# SPDX-License-Identifier: Apache-2.0
"""The columns of a batch of samples while they are gathered, and the steps that hand them to ``assemble``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from flowgauge.flow.batch import Array, absent_column, definition
from flowgauge.flow.names import Names
from flowgauge.wire.packet_headers_bytes import Index, Mask, Numbers
from flowgauge.wire.readers import Columns
from flowgauge.wire.records import Records


class Sheet:
    """Columns of ``count`` rows; a row that nobody filled is absent. Values are cast when they reach the batch.

    Attributes:
        columns: by name, as they were given.
    """

    __slots__ = ("columns", "count")

    def __init__(self, count: int) -> None:
        self.count = count
        self.columns: dict[str, Array] = {}

    def put(self, name: str, row: Index, values: Numbers) -> None:
        """Fills rows of a column; ``row`` ascends without repetition."""
        given = self.columns.get(name)
        if len(row) == self.count and given is None:
            self.columns[name] = values
            return
        own = self._absent(name, self.count)
        if given is not None:
            own[...] = given  # what was given may be shared, or of another type
        own[row] = values
        self.columns[name] = own

    def put_if(self, name: str, row: Index, values: Numbers, where: Mask) -> None:
        """The same for those of ``row`` that ``where`` says."""
        if where.any():
            self.put(name, row[where], values[where])

    def put_all(self, name: str, value: Numbers | int) -> None:
        """Fills a whole column: one value a row, or one for all."""
        self.columns[name] = np.asarray(value)

    def get(self, name: str, row: Index) -> Numbers:
        """Rows of a column, absent ones where nobody filled them."""
        column = self.columns.get(name)
        if column is None:
            return self._absent(name, len(row))
        return column if len(row) == self.count else column[row]

    def chosen(self, row: Index, without: frozenset[str]) -> dict[str, Array]:
        """The columns for some rows, less those ``without``; those of one value for all stay so."""
        named = {name: values for name, values in self.columns.items() if name not in without}
        if len(row) == self.count:
            return named
        return {name: values[row] if values.ndim else values for name, values in named.items()}

    @staticmethod
    def _absent(name: str, count: int) -> Array:
        column = absent_column(definition(name), count, name)
        assert not isinstance(column, Names)  # noqa: S101 - a mistake of ours, not of a datagram
        return column


@dataclass(frozen=True, slots=True)
class Given:
    """The step that copies columns which are there already."""

    columns: Mapping[str, Array]

    def fill(self, records: Records, out: Columns) -> None:  # noqa: ARG002 - the protocol of steps
        """Fills every row."""
        for name, values in self.columns.items():
            out[name][...] = values


@dataclass(frozen=True, slots=True)
class GivenNames:
    """The same for a column of strings."""

    names: Names

    def read(self, records: Records) -> Names:  # noqa: ARG002 - the protocol of steps
        """One text a row."""
        return self.names
