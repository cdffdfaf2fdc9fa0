# SPDX-License-Identifier: Apache-2.0
"""What a collector holds in memory at once, and what its processes load."""

from __future__ import annotations

import subprocess
import sys
import weakref
from pathlib import Path
from typing import Any

import pytest

from collector_kit import decoded
from flowgauge.collector import spool as module
from flowgauge.collector.passing import Passing
from flowgauge.collector.spool import Spool
from flowgauge.config.model import Spool as Settings
from flowgauge.flow.batch import FlowBatch
from flowgauge.pipeline.graph import Processed
from flowgauge.runtime.ledger import Ledger

NOT_FOR_RECEIVING = (
    "chdb", "clickhouse_connect", "confluent_kafka", "fastapi", "grpc", "http.server", "pandas", "prometheus_client",
    "pyarrow.compute", "pyarrow.dataset", "pyarrow.flight", "pyarrow.parquet", "rich", "typer",
    "flowgauge.cli", "flowgauge.enrich", "flowgauge.k8s", "flowgauge.query", "flowgauge.runtime.http", "flowgauge.store",
)  # fmt: skip
PRIVATE_KIB = """
import flowgauge.collector.receive_process
for line in open("/proc/self/smaps_rollup"):
    if line.startswith("Anonymous:"):
        print(line.split()[1])
"""


class Watching:
    """Instead of the pipeline: how many of the pieces that it had before are still in memory, each time."""

    def __init__(self) -> None:
        self.in_memory: list[int] = []
        self._had: list[weakref.ref[Any]] = []

    def __call__(self, batch: FlowBatch) -> Processed:
        self.in_memory.append(sum(one() is not None for one in self._had))
        self._had.append(weakref.ref(batch.array("src_addr")))
        return Processed(batch, {})


def test_of_a_long_segment_one_piece_at_a_time_is_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PIECE_ROWS", 25)
    spool, watching = Spool(tmp_path / "spool", Settings(), Ledger("collector", "box@1")), Watching()
    spool.start()
    segment = spool.begin()
    for size in (10, 10, 20, 20, 10, 15):
        assert spool.append(segment, decoded(size, src_port=list(range(size))))
        segment.rows += size
    spool.seal(segment)
    passing = Passing(segment, spool, watching)  # type: ignore[arg-type]
    sizes = []
    for piece in passing.pieces():
        sizes.append(len(piece))
        del piece
    assert sizes == [20, 20, 20, 25]
    assert watching.in_memory == [0, 0, 0, 0]
    spool.acknowledge(segment)
    spool.stop(told=True)


def test_a_receive_process_loads_only_what_receiving_needs() -> None:
    program = (
        "import sys, flowgauge.collector.receive_process\n"
        f"unneeded = sorted(one for one in {NOT_FOR_RECEIVING!r} if one in sys.modules)\n"
        "sys.exit(f'loaded: {unneeded}' if unneeded else 0)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_receive_process_that_has_received_nothing_is_small() -> None:
    done = subprocess.run([sys.executable, "-c", PRIVATE_KIB], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 60 << 10
