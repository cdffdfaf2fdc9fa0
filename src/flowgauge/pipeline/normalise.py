# SPDX-License-Identifier: Apache-2.0
"""The first stage: what the wire says (public columns, ns) → what is kept (physical columns, ms and µs), with names.

Quantised once, here, so that live data, the store and files choose the same rows for the same filter. Before: the spool;
after: ``late``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from flowgauge.flow.batch import ColumnData, FlowBatch
from flowgauge.pipeline.applications import application_columns
from flowgauge.pipeline.exporters import ExporterDirectory, ExporterRows
from flowgauge.pipeline.interfaces import interface_columns
from flowgauge.schema.columns import COLUMNS
from flowgauge.schema.enums import FLOW_FORMAT, SAMPLING_SOURCE, TIME_SOURCE, code

FUTURE_NS = 60_000_000_000
"""A flow that ends more than a minute after it was received comes from a clock that is wrong."""
ABSURD_AGE_NS = 86_400_000_000_000
"""And so does one that ended more than a day before (an unset clock begins in 1970). Between this and the store's bound a
flow is late, not wrong."""
LONGEST_NS = 86_400_000_000_000
"""A flow that claims to have lasted longer has a wrong start; exporters cut flows after minutes."""

_NS_PER_MS = 1_000_000
_U32_MAX = 0xFFFFFFFF
_LATENCIES = tuple(column for column in COLUMNS if column.held_as.endswith("_us"))
_CONSUMED = (
    "time_start_ns",
    "time_end_ns",
    "time_exported_ns",
    "observed_ifs",
    "template_id",
    *(column.name for column in _LATENCIES),
)
"""Public columns that have become physical ones."""

Nanoseconds = npt.NDArray[np.int64]


class Normalise:
    """Public columns in, physical columns out; ``time_received_ns`` stays for the next stage."""

    def __init__(self, directory: ExporterDirectory) -> None:
        self._directory = directory

    def __call__(self, batch: FlowBatch) -> FlowBatch:
        """The batch as it is kept."""
        received = batch.array("time_received_ns")
        rows = self._directory.rows(batch)
        return batch.without(*_CONSUMED).with_columns(
            {
                **times(batch.array("time_start_ns"), batch.array("time_end_ns"), received, _lag_ns(batch)),
                **latencies(batch),
                **sampling(batch, rows),
                **interface_columns(batch, rows),
                **application_columns(batch, rows),
            }
        )


def _lag_ns(batch: FlowBatch) -> Nanoseconds | None:
    """How far behind the clock of each row's exporter is, 0 where it is right; None when all are."""
    if "time_exported_ns" not in batch:
        return None
    exported = batch.array("time_exported_ns")
    lag: Nanoseconds = np.where(exported > 0, batch.array("time_received_ns") - exported, 0)
    return lag


def times(start: Nanoseconds, end: Nanoseconds, received: Nanoseconds, lag: Nanoseconds | None = None) -> dict[str, ColumnData]:
    """``time_end_ms``, ``duration_ms`` and ``time_source``, all inputs in ns since 1970; 0 = not told.

    A flow of an exporter whose clock is wrong ends as long before it was received as it ended before it was sent. An end that
    cannot be becomes the receive time; ``time_source`` says both. A start that cannot be becomes the end.
    """
    own = np.ones(len(end), np.bool_)
    if lag is not None:
        own = lag == 0
        moved = np.where(end > 0, lag, 0)
        start, end = np.where(start > 0, start + moved, start), end + moved
    plausible = (end <= received + FUTURE_NS) & (end >= received - ABSURD_AGE_NS)
    lasted = end - start
    lasted = np.where((start > 0) & (lasted >= 0) & (lasted <= LONGEST_NS), lasted, 0)
    source = np.where(plausible & own, code(TIME_SOURCE, "flow"), code(TIME_SOURCE, "received"))
    return {
        "time_end_ms": np.where(plausible, end, received) // _NS_PER_MS,
        "duration_ms": (lasted // _NS_PER_MS).astype(np.uint32),
        "time_source": source.astype(np.uint8),
    }


def latencies(batch: FlowBatch) -> dict[str, ColumnData]:
    """Latencies from ns to µs; one that was measured does not become 0, which means that it was not."""
    found: dict[str, ColumnData] = {}
    for column in _LATENCIES:
        if column.name in batch:
            nanoseconds: npt.NDArray[Any] = batch.array(column.name)
            found[column.physical] = np.minimum(
                (nanoseconds.astype(np.uint64) + np.uint64(column.scale - 1)) // np.uint64(column.scale), _U32_MAX
            ).astype(np.uint32)
    return found


def sampling(batch: FlowBatch, rows: ExporterRows) -> dict[str, ColumnData]:
    """``sampling_rate``, filled with what the exporter told in its options, and ``sampling_source``.

    A batch that has its ``sampling_source`` already keeps both.
    """
    if "sampling_source" in batch:
        return {name: batch[name] for name in ("sampling_rate", "sampling_source")}
    own = batch.array("sampling_rate")
    told = rows.each(exporter.sampling for exporter in rows.exporters).astype(np.uint32)
    from_agent = batch.array("flow_format") == code(FLOW_FORMAT, "agent")
    source = np.select(
        [(own > 0) & from_agent, own > 0, told > 0],
        [code(SAMPLING_SOURCE, label) for label in ("agent", "record", "system")],
        code(SAMPLING_SOURCE, "unknown"),
    )
    return {"sampling_rate": np.where(own > 0, own, told).astype(np.uint32), "sampling_source": source.astype(np.uint8)}
