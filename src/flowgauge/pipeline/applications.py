# SPDX-License-Identifier: Apache-2.0
"""Application ids → names, by the table that each exporter sent (RFC 6759; Cisco's NBAR). Part of ``normalise``."""

from __future__ import annotations

import numpy as np

from flowgauge.flow.batch import ColumnData, FlowBatch
from flowgauge.flow.names import Names
from flowgauge.pipeline.exporters import ExporterRows


def application_columns(batch: FlowBatch, rows: ExporterRows) -> dict[str, ColumnData]:
    """``application_name``, where records have an ``application_id`` and no name; a name that came with the record stays."""
    if "application_id" not in batch:
        return {}
    ids, given = batch.array("application_id"), batch.names("application_name")
    some = np.flatnonzero((ids > 0) & (given.codes == 0))
    kinds = np.zeros((len(some), 2), np.uint64)
    kinds[:, 0], kinds[:, 1] = rows.codes[some], ids[some]
    distinct, inverse = np.unique(kinds, axis=0, return_inverse=True)
    names = [rows.exporters[exporter].named("application", number) for exporter, number in distinct.tolist()]
    if not any(names):
        return {}
    codes = given.codes.copy()
    codes[some] = (np.arange(len(names), dtype=np.int32) + len(given.values))[inverse.reshape(-1)]
    every = Names.from_strings([*given.values, *names])
    return {"application_name": Names(every.codes[codes], every.values)}
