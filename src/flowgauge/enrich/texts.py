# SPDX-License-Identifier: Apache-2.0
"""Texts by code, kept between batches, and the columns that are made of them. Used by one thread."""

from __future__ import annotations

import numpy as np

from flowgauge.enrich.as_of import Ints
from flowgauge.flow.names import Names

FEW_TEXTS = 64
"""Up to so many texts of one kind (nodes, namespaces, zones …) are all put into a column's dictionary: finding out which of
them it uses costs more."""


class Texts(dict[str, int]):
    """Distinct texts by code; code 0 is the empty one. ``texts[text]`` is a text's code, which it gets now if it is new."""

    def __init__(self) -> None:
        super().__init__({"": 0})
        self._texts = [""]

    def __missing__(self, text: str) -> int:
        code = self[text] = len(self._texts)
        self._texts.append(text)
        return code

    def columns(self, codes: Ints, *rows: Ints) -> list[Names]:
        """Columns whose row i is the text of ``codes[rows[i]]``; they share a dictionary of the texts in ``codes``.

        Where there are few texts all are in it.
        """
        if len(self._texts) <= FEW_TEXTS:
            return [Names(codes[column], self._texts) for column in rows]
        numbers, (renumbered,) = used(len(self._texts), codes)
        texts = self._texts
        values = tuple([texts[number] for number in numbers.tolist()])
        return [Names(renumbered[column], values) for column in rows]


def used(count: int, *columns: Ints) -> tuple[Ints, list[Ints]]:
    """(which of the numbers below ``count`` occur, 0 always among them; the columns as positions among these)."""
    occurs = np.zeros(count, np.bool_)
    occurs[0] = True
    for column in columns:
        occurs[column] = True
    numbers = np.flatnonzero(occurs).astype(np.int32)
    positions = np.empty(count, np.int32)
    positions[numbers] = np.arange(len(numbers), dtype=np.int32)
    return numbers, [positions[column] for column in columns]
