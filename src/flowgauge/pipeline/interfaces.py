# SPDX-License-Identifier: Apache-2.0
"""Numbers of interfaces and VRFs → names, by what each exporter told: once per distinct number, not per flow.

Part of ``normalise``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from flowgauge.flow.batch import ColumnData, FlowBatch
from flowgauge.flow.names import Names
from flowgauge.pipeline.exporter import Exporter
from flowgauge.pipeline.exporters import ExporterRows

EGRESS = 1 << 31
"""Bit of ``observed_ifs`` that says that packets left through the interface."""

Numbers = npt.NDArray[np.uint32]
Tell = Callable[[Exporter, Numbers], str]


def interface_columns(batch: FlowBatch, rows: ExporterRows) -> dict[str, ColumnData]:
    """``in_if_name``, ``out_if_name``, ``observed_if_names``, ``observed_if_dirs`` and ``node_reporter`` of a batch's rows.

    Where routers tell VRFs, also ``in_vrf_name`` and ``out_vrf_name``.
    A number that the exporter has not named stays without a name; in lists, which must not lose places, it is written. Names
    that came with the records stay where nothing else is known.
    """
    observed_names, observed_dirs = _told(rows, batch.array("observed_ifs"), _names, _directions)
    (in_name,) = _told(rows, batch.array("in_if")[:, None], _one_name)
    (out_name,) = _told(rows, batch.array("out_if")[:, None], _one_name)
    vrfs = {f"{way}_vrf_name": _told(rows, batch.array(f"{way}_vrf")[:, None], _vrf_name)[0] for way in ("in", "out")
            if f"{way}_vrf" in batch}  # fmt: skip
    found = vrfs | {
        "in_if_name": in_name,
        "out_if_name": out_name,
        "observed_if_names": observed_names,
        "observed_if_dirs": observed_dirs,
        "node_reporter": _encoded((exporter.name for exporter in rows.exporters), rows.codes),
    }
    return {name: _or_told(column, batch, name) for name, column in found.items()}


def _or_told(column: Names, batch: FlowBatch, name: str) -> Names:
    """``column``, and where it is empty what the records say."""
    if name not in batch:
        return column
    both = Names.concat([column, batch.names(name)])
    codes = both.codes[: len(column)]
    return Names(np.where(codes == 0, both.codes[len(column) :], codes), both.values)


def distinct_rows(table: Numbers) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """(index of one row of each kind, for each row the number of its kind) of uint32 numbers, shape (n, k), k even.

    Two numbers make one exact 64-bit key. Longer rows are told apart by a hash of their keys, since sorting wide rows costs
    ten times as much; in the unlikely case that two kinds share a hash, which is looked at, rows are sorted after all.
    """
    keys = np.ascontiguousarray(table).view(np.uint64)
    mixed = keys[:, 0]
    for column in range(1, keys.shape[1]):
        mixed = (mixed * _MIX) ^ (mixed >> np.uint64(31)) ^ keys[:, column]
    _, index, inverse = np.unique(mixed, return_index=True, return_inverse=True)
    if keys.shape[1] > 1 and not np.array_equal(keys[index][inverse], keys):
        _, index, inverse = np.unique(keys, axis=0, return_index=True, return_inverse=True)
    return index, inverse.reshape(-1)


def _told(rows: ExporterRows, numbers: Numbers, *tell: Tell) -> list[Names]:
    """Columns of what each of ``tell`` makes of a row's exporter and its ``numbers``, (n, k); empty where all are 0."""
    some = np.flatnonzero(numbers.any(axis=1) if numbers.shape[1] > 1 else numbers[:, 0])
    table = np.zeros((len(some), (numbers.shape[1] + 2) // 2 * 2), np.uint32)
    table[:, 0], table[:, 1 : numbers.shape[1] + 1] = rows.codes[some], numbers[some]
    index, inverse = distinct_rows(table)
    kinds = [(rows.exporters[row[0]], row[1:]) for row in table[index]]
    return [_spread(_encoded((one(*kind) for kind in kinds), inverse), some, len(numbers)) for one in tell]


def _spread(some: Names, at: npt.NDArray[np.intp], length: int) -> Names:
    """A column of ``length`` rows with ``some`` in the rows ``at``, and nothing elsewhere."""
    if len(at) == length:
        return some
    codes = np.zeros(length, np.int32)
    codes[at] = some.codes
    return Names(codes, some.values)


def _encoded(texts: Iterable[str], inverse: npt.NDArray[Any]) -> Names:
    """A column of the text number ``inverse[i]`` in each row i; equal texts share a code."""
    kinds = Names.from_strings(texts)
    return Names(kinds.codes[inverse], kinds.values)


def _one_name(exporter: Exporter, numbers: Numbers) -> str:
    return exporter.named("interface", int(numbers[0]))


def _vrf_name(exporter: Exporter, numbers: Numbers) -> str:
    return exporter.named("vrf", int(numbers[0]))


def _names(exporter: Exporter, numbers: Numbers) -> str:
    points = (int(number) & ~EGRESS for number in numbers if number)
    return ",".join((exporter.named("interface", point) or str(point)).replace(",", "_") for point in points)


def _directions(_: Exporter, numbers: Numbers) -> str:
    return ",".join("1" if int(number) & EGRESS else "0" for number in numbers if number)


_MIX = np.uint64(0x9E3779B97F4A7C15)
"""An odd constant: multiplication by it is a permutation."""
