# SPDX-License-Identifier: Apache-2.0
"""Interface numbers → names, by what each exporter told: once per distinct number, not per flow. Part of ``normalise``."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from flowgauge.flow.batch import Array, ColumnData, FlowBatch
from flowgauge.flow.names import Names
from flowgauge.pipeline.exporters import Exporter, ExporterRows

EGRESS = 1 << 31
"""Bit of ``observed_ifs`` that says that packets left through the interface."""

Tell = Callable[[Exporter, npt.NDArray[np.uint32]], str]


def interface_columns(batch: FlowBatch, rows: ExporterRows) -> dict[str, ColumnData]:
    """``in_if_name``, ``out_if_name``, ``observed_if_names``, ``observed_if_dirs`` and ``node_reporter`` of a batch's rows.

    A number that the exporter has not named stays without a name; in lists, which must not lose places, it is written.
    """
    observed = batch.array("observed_ifs")
    return {
        "in_if_name": _told(rows, batch.array("in_if")[:, None], _one_name),
        "out_if_name": _told(rows, batch.array("out_if")[:, None], _one_name),
        "observed_if_names": _told(rows, observed, _names),
        "observed_if_dirs": _told(rows, observed, _directions),
        "node_reporter": _encoded((exporter.name for exporter in rows.exporters), rows.codes),
    }


def distinct_rows(table: npt.NDArray[Any]) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """(index of one row of each kind, for each row the number of its kind) of an integer table, shape (n, k).

    Rows are told apart by a 64-bit hash, since sorting wide rows costs ten times as much; in the unlikely case that two kinds
    share a hash, which is looked at, rows are sorted after all.
    """
    mixed = np.zeros(len(table), np.uint64)
    for column in range(table.shape[1]):
        mixed = (mixed ^ table[:, column].astype(np.uint64)) * np.uint64(0x9E3779B97F4A7C15)
        mixed ^= mixed >> np.uint64(29)
    _, index, inverse = np.unique(mixed, return_index=True, return_inverse=True)
    if not np.array_equal(table[index][inverse], table):
        _, index, inverse = np.unique(table, axis=0, return_index=True, return_inverse=True)
    return index, inverse.reshape(-1)


def _told(rows: ExporterRows, numbers: Array, tell: Tell) -> Names:
    """The text of each row by its exporter and its ``numbers``, shape (n, k); empty where all of them are 0."""
    some = np.flatnonzero(numbers.any(axis=1))
    codes = np.zeros(len(numbers), np.int32)
    if not len(some):
        return Names(codes, ("",))
    table = np.column_stack((rows.codes[some].astype(np.uint32), numbers[some]))
    index, inverse = distinct_rows(table)
    named = _encoded((tell(rows.exporters[row[0]], row[1:]) for row in table[index]), inverse)
    codes[some] = named.codes
    return Names(codes, named.values)


def _encoded(texts: Iterable[str], inverse: npt.NDArray[Any]) -> Names:
    """A column of the text number ``inverse[i]`` in each row i; equal texts share a code."""
    kinds = Names.from_strings(texts)
    return Names(kinds.codes[inverse], kinds.values)


def _one_name(exporter: Exporter, numbers: npt.NDArray[np.uint32]) -> str:
    return exporter.interfaces.get(int(numbers[0]), "")


def _names(exporter: Exporter, numbers: npt.NDArray[np.uint32]) -> str:
    points = (int(number) & ~EGRESS for number in numbers if number)
    return ",".join(exporter.interfaces.get(point, str(point)).replace(",", "_") for point in points)


def _directions(_: Exporter, numbers: npt.NDArray[np.uint32]) -> str:
    return ",".join("1" if int(number) & EGRESS else "0" for number in numbers if number)
