# SPDX-License-Identifier: Apache-2.0
"""Names that came with the records, as agents of Kubernetes send them (NetObserv, Antrea): kept where we know nobody ourselves.

An end is named by one source, all of it: by what holds its address in Kubernetes or a fixed name of the document; else by the
record; else by the node in whose pod block the address is. So names of two clusters or times are never mixed, and nothing that
a record tells is overwritten by nothing. Columns that we do not fill (a country, a process) are not touched, and the Service
that a record tells stands where we know none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from flowgauge.enrich.identity_table import NAMED
from flowgauge.flow.batch import ColumnData, FlowBatch
from flowgauge.flow.names import Names

_TELLING = ("name", "namespace", "node", "owner")
"""A record names an end when it has one of these."""

Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Given:
    """What the records of a batch tell of one end.

    Attributes:
        names: by attribute, of ``NAMED`` those that there are.
        rows: which records name the end.
    """

    names: Mapping[str, Names]
    rows: Flags


def given(batch: FlowBatch, end: str) -> Given | None:
    """What came with the records; None when nothing did."""
    names = {attribute: batch.names(f"{end}_{attribute}") for attribute in NAMED if f"{end}_{attribute}" in batch}
    rows = np.zeros(len(batch), np.bool_)
    for attribute in _TELLING:
        if attribute in names:
            rows |= names[attribute].codes > 0
    return Given(names, rows) if rows.any() else None


def overlaid(
    columns: Mapping[str, ColumnData], end: str, told: Given, rows: Flags, layer_of: Callable[[str], int]
) -> dict[str, ColumnData]:
    """The columns of one end, in ``rows`` with what the records tell; there ``columns`` are empty."""
    layer = columns[f"{end}_layer"]
    assert isinstance(layer, np.ndarray)  # noqa: S101 - it is a column of numbers
    found: dict[str, ColumnData] = {}
    for attribute, names in told.names.items():
        found[f"{end}_{attribute}"] = merged(_names(columns, f"{end}_{attribute}"), names, rows)
    if {"name", "namespace"} <= told.names.keys():
        in_pod = rows & (told.names["name"].codes > 0) & (told.names["namespace"].codes > 0)
        kinds = _names({**columns, **found}, f"{end}_kind")
        found[f"{end}_kind"] = merged(kinds, Names.constant("Pod", len(rows)), in_pod & (kinds.codes == 0))
    if "namespace" in told.names:
        spaces = told.names["namespace"]
        layers = np.array([layer_of(space) if space else 0 for space in spaces.values], np.uint8)[spaces.codes]
        found[f"{end}_layer"] = np.where(rows, layers, layer)
    return found


def merged(ours: Names, told: Names, rows: Flags) -> Names:
    """``told`` in ``rows``, else ``ours``."""
    both = Names.concat([ours, told])
    return Names(np.where(rows, both.codes[len(ours) :], both.codes[: len(ours)]), both.values)


def _names(columns: Mapping[str, ColumnData], name: str) -> Names:
    found = columns[name]
    assert isinstance(found, Names)  # noqa: S101 - it is a column of names
    return found
