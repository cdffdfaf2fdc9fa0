# SPDX-License-Identifier: Apache-2.0
"""Numbers of identities → columns of names: one small dictionary a column, codes by taking. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from flowgauge.enrich.as_of import Ints
from flowgauge.enrich.identities import Identity
from flowgauge.flow.batch import ColumnData
from flowgauge.flow.names import Names

NAMED = (
    "namespace", "name", "kind", "owner", "owner_kind", "revision", "node", "zone", "region", "application",
)  # fmt: skip
"""Attributes of an identity that become columns of names."""


def names_of(texts: Sequence[str], *rows: Ints) -> list[Names]:
    """Columns whose row i is ``texts[rows[i]]``, with one dictionary for all: each text once, and only those that occur."""
    used = np.zeros(len(texts), np.bool_)
    for column in rows:
        used[column] = True
    index: dict[str, int] = {"": 0}
    code_of = np.zeros(len(texts), np.int32)
    for number in np.flatnonzero(used).tolist():
        code_of[number] = index.setdefault(texts[number], len(index))
    values = tuple(index)
    return [Names(code_of[column], values) for column in rows]


def identity_columns(identities: Sequence[Identity], src: Ints, dst: Ints) -> dict[str, ColumnData]:
    """The columns of ``NAMED`` and the layer, for both ends."""
    used = np.zeros(len(identities), np.bool_)
    used[src] = used[dst] = True
    numbers = np.flatnonzero(used)
    renumbered = np.cumsum(used, dtype=np.int32) - 1
    rows = {"src": renumbered[src], "dst": renumbered[dst]}
    kept = [identities[number] for number in numbers.tolist()]
    columns: dict[str, ColumnData] = {}
    for attribute in NAMED:
        index: dict[str, int] = {"": 0}
        codes = np.array([index.setdefault(getattr(one, attribute), len(index)) for one in kept], np.int32)
        values = tuple(index)
        for end, positions in rows.items():
            columns[f"{end}_{attribute}"] = Names(codes[positions], values)
    layers = np.array([one.layer for one in kept], np.uint8)
    for end, positions in rows.items():
        columns[f"{end}_layer"] = layers[positions]
    return columns
