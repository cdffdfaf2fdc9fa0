# SPDX-License-Identifier: Apache-2.0
"""Whatever an exporter claims, the pipeline neither raises nor loses a flow unnamed, and stores only what a store can place."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from collector_kit import SECOND_NS, decoded, directory, options
from flowgauge.flow.arrow import from_arrow, to_arrow
from flowgauge.flow.batch import FlowBatch
from flowgauge.pipeline.dedup import Dedup
from flowgauge.pipeline.exporters import ExporterDirectory
from flowgauge.pipeline.graph import Pipeline
from flowgauge.pipeline.late import MAX_LATENESS_MS
from flowgauge.pipeline.normalise import FUTURE_NS, Normalise
from flowgauge.pipeline.tally import Tally
from flowgauge.schema.columns import BY_PHYSICAL

NOW = 1_800_000_000 * SECOND_NS
NEAR = st.integers(NOW - 4 * 3600 * SECOND_NS, NOW + 3600 * SECOND_NS)
TIMES = st.one_of(NEAR, st.integers(-(2**63), 2**63 - 1), st.just(0))


@st.composite
def batches(draw: st.DrawFn) -> FlowBatch:
    rows = draw(st.integers(0, 12))

    def column(dtype: type, elements: st.SearchStrategy[int] | None = None, width: int | None = None) -> np.ndarray:
        shape = (rows,) if width is None else (rows, width)
        return draw(arrays.arrays(dtype, shape, elements=elements))

    return decoded(rows, received_ns=NOW).with_columns({
        "time_start_ns": column(np.int64, TIMES),
        "time_end_ns": column(np.int64, TIMES),
        "src_addr": column(np.uint8, width=16),
        "post_nat_src_addr": column(np.uint8, width=16),
        "exporter_addr": column(np.uint8, st.sampled_from([0, 1]), width=16),
        "obs_domain_id": column(np.uint32, st.sampled_from([0, 1, 2**32 - 1])),
        "in_if": column(np.uint32, st.sampled_from([0, 2, 2**32 - 1])),
        "observed_ifs": column(np.uint32, st.sampled_from([0, 2, 2**31, 2**31 + 2, 2**32 - 1]), width=4),
        "sampling_rate": column(np.uint32),
        "rtt_max_ns": column(np.uint32),
        "local_ends": column(np.uint8, st.integers(0, 4)),
        "flow_format": column(np.uint8, st.integers(0, 9)),
    })  # fmt: skip


@settings(max_examples=100)
@given(batches(), st.sampled_from(["Mark", "Drop", "Off"]))
def test_every_flow_is_kept_or_counted_and_can_be_stored(batch: FlowBatch, mode: str) -> None:
    tally, known = Tally(), directory(["node-a"], NOW)
    pipeline = Pipeline(known, lambda named: named, Dedup(known, mode, tally), tally, retention_hours=168)  # type: ignore[arg-type]
    result = pipeline(batch)
    kept, counted = result.flows, result.counts
    assert len(kept) + counted.get("pipeline_late", 0) + counted.get("pipeline_duplicates_dropped", 0) == len(batch)
    if not len(kept):
        return
    assert all(name in BY_PHYSICAL for name in kept)
    assert "time_received_ns" not in kept
    end_ns = kept.array("time_end_ms") * 1_000_000
    assert (end_ns <= NOW + FUTURE_NS).all()
    assert (end_ns >= NOW - (MAX_LATENESS_MS + 1) * 1_000_000).all()
    back = from_arrow(to_arrow(kept))
    assert all(len(back[name]) == len(kept) for name in kept)


NAMES = st.text(max_size=300) | st.binary(max_size=300)
RECORD = st.dictionaries(
    st.sampled_from(["ingressInterface", "egressInterface", "interfaceName", "interfaceDescription", "samplingInterval",
                     "samplingPacketInterval", "samplingPacketSpace", "observationDomainName", "observationTimeMilliseconds",
                     "systemInitTimeMilliseconds", "kernel_packets_seen", "export_records_sent", "pen9_1"]),
    st.sampled_from([-1, 0, 1, 2, 1000, 2**31, 2**32 - 1, 2**32, 2**63, 2**64]) | NAMES | st.floats(),
)  # fmt: skip


@settings(max_examples=100)
@given(st.lists(RECORD, max_size=6))
def test_whatever_options_hold_is_taken_or_ignored(records: list[dict[str, int | str | bytes | float]]) -> None:
    known = ExporterDirectory()
    reports = known.learn([options(*records, received_ns=NOW)])
    assert all(report.node.isprintable() and report.counters for report in reports)
    (exporter,) = known.snapshot()
    assert exporter.sampling >= 0
    assert all(name.isprintable() for name in exporter.interfaces.values())
    assert len(Normalise(known)(decoded(3, domain=[1, 1, 2], in_if=[1, 2, 2**32 - 1]))) == 3
    assert all(value >= 0 for report in reports for value in report.counters.values())
