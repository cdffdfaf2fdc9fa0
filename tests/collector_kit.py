# SPDX-License-Identifier: Apache-2.0
"""For tests of pipeline and collector: batches as a decoder gives them, and exporters that have told who they are."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

import numpy as np

from flowgauge.flow.addresses import from_texts, packed
from flowgauge.flow.batch import FlowBatch, absent_column, definition
from flowgauge.flow.names import Names
from flowgauge.pipeline.exporters import ExporterDirectory
from flowgauge.schema.columns import BY_NAME
from flowgauge.wire.decoded import OptionsData, Value

SECOND_NS = 1_000_000_000


def decoded(rows: int = 1, *, exporter: str = "192.0.2.1", domain: int = 1, ended_ns: int | None = None,
            received_ns: int | None = None, flow_format: str = "agent", **columns: object) -> FlowBatch:  # fmt: skip
    """A batch before ``normalise``: TCP 10.0.0.1:40000 → 10.0.0.2:5432, one second long, ended and received now.

    ``columns`` are public columns: one value for all rows, or one each; addresses as texts, enumerations as labels.
    """
    now = time.time_ns() if received_ns is None else received_ns
    end = now if ended_ns is None else ended_ns
    given: dict[str, object] = {
        "time_received_ns": now, "time_end_ns": end, "time_start_ns": end - SECOND_NS, "src_addr": "10.0.0.1",
        "dst_addr": "10.0.0.2", "src_port": 40000, "dst_port": 5432, "proto": 6, "bytes": 100, "packets": 1,
        "exporter_addr": exporter, "obs_domain_id": domain, "flow_format": flow_format,
    } | columns  # fmt: skip
    return FlowBatch({name: column(name, value, rows) for name, value in given.items()}, rows)


def column(name: str, value: object, rows: int) -> np.ndarray | Names:
    """A column of one value, or of one each."""
    values = list(value) if isinstance(value, list | tuple) else [value] * rows
    entry = definition(name)
    pattern = absent_column(entry, rows)
    if isinstance(pattern, Names):
        return Names.from_strings([str(text) for text in values])
    if pattern.shape[1:] == (16,):
        return from_texts([str(text) for text in values])
    if entry.labels:
        values = [entry.labels.index(label) if isinstance(label, str) else label for label in values]
    return np.array(values, pattern.dtype)


def options(
    *records: Mapping[str, Value], exporter: str = "192.0.2.1", domain: int = 1, received_ns: int | None = None
) -> OptionsData:
    """Options data of one exporter."""
    at = time.time_ns() if received_ns is None else received_ns
    return OptionsData(packed(exporter), domain, tuple(records), at)


def report(node: str, started_ms: int = 1, **counters: int) -> dict[str, Value]:
    """What an agent says of itself."""
    return {"observationDomainName": node, "observationTimeMilliseconds": started_ms, "samplingInterval": 1,
            **(counters or {"kernel_packets_seen": 1})}  # fmt: skip


def directory(nodes: Sequence[str], received_ns: int | None = None) -> ExporterDirectory:
    """A directory that has heard an agent on each of ``nodes``: node number i exports from 192.0.2.(i + 1), domain i + 1."""
    known = ExporterDirectory()
    known.learn(
        options(report(node), exporter=f"192.0.2.{number + 1}", domain=number + 1, received_ns=received_ns)
        for number, node in enumerate(nodes)
    )
    return known


def labels(batch: FlowBatch, name: str) -> list[str]:
    """An enumerated column as labels."""
    return [BY_NAME[name].labels[code] for code in batch.array(name).tolist()]
