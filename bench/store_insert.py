# SPDX-License-Identifier: Apache-2.0
"""What storing a flow costs: the embedded store with its core columns, fsync and one rollup, against its own floor.

The floor is the same segments inserted the same way into a table that keeps nothing (engine Null): hand-over, parsing and the
HTTP round trip. The ratio says what sorting, compression, the rollup and the disk add; it holds over machines better than
rows/s. "Queryable" ends with the last insert's return, "settled" when no merge has run for some seconds. Rows are made
beforehand and not counted; CPU is that of the store's process and of the writer. Two cores, 2 million rows: about a minute.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from flowgauge.flow.batch import FlowBatch
from flowgauge.flow.names import Names
from flowgauge.schema.columns import stored_columns
from flowgauge.store.store import FlowStore

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from store_kit import StoreProcess, now_ms, running_store

NAMESPACES, WORKLOADS, PODS, EDGES, NODES = 200, 2_500, 20_000, 12_000, 300
TICKS = os.sysconf("SC_CLK_TCK")
SETTLED_S = 3.0


class Cluster:
    """Makes flows of a middling cluster: zipf-distributed workload pairs, pods drawn evenly within a workload."""

    def __init__(self, seed: int = 1) -> None:
        self._random = np.random.default_rng(seed)
        self._edges = self._random.integers(0, WORKLOADS, (EDGES, 2))
        self._pods_of = self._random.permutation(PODS).reshape(WORKLOADS, -1)
        self._namespaces = _dictionary("namespace", NAMESPACES)
        self._workloads = _dictionary("workload", WORKLOADS)
        self._pods = _dictionary("workload-7f9c5d7b6-pod", PODS)
        self._nodes = _dictionary("node", NODES)

    def batch(self, rows: int) -> FlowBatch:
        """``rows`` flows that ended within the last 5 s."""
        random = self._random
        pairs = self._edges[np.minimum(random.zipf(1.3, rows) - 1, EDGES - 1)]
        columns: dict[str, np.ndarray | Names] = {
            "time_end_ms": now_ms() - random.integers(0, 5000, rows),
            "duration_ms": random.integers(0, 5000, rows).astype(np.uint32),
            "src_port": random.integers(32768, 60999, rows).astype(np.uint16),
            "dst_port": random.choice(np.array([80, 443, 5432, 8080, 53], np.uint16), rows),
            "proto": random.choice(np.array([6, 6, 6, 17], np.uint8), rows),
            "bytes": (random.pareto(1.2, rows) * 500 + 40).astype(np.uint64),
            "packets": random.integers(1, 60, rows).astype(np.uint64),
            "sampling_rate": np.ones(rows, np.uint32),
            "tcp_flags": random.choice(np.array([2, 18, 24, 27], np.uint16), rows),
            "rtt_avg_us": random.integers(100, 20_000, rows).astype(np.uint32),
            "in_if": random.integers(1, 40, rows).astype(np.uint32),
            "flow_direction": random.integers(1, 3, rows).astype(np.uint8),
            "flow_format": np.full(rows, 7, np.uint8),
            "src_layer": np.ones(rows, np.uint8),
            "dst_layer": np.ones(rows, np.uint8),
            "duplicate_of": (random.random(rows) < 0.3).astype(np.uint8),
        }
        for number, end in enumerate(("src", "dst")):
            columns |= self._end(end, pairs[:, number])
        return FlowBatch(columns)

    def _end(self, end: str, workloads: np.ndarray) -> dict[str, np.ndarray | Names]:
        rows = len(workloads)
        pods = self._pods_of[workloads, self._random.integers(0, PODS // WORKLOADS, rows)]
        address = np.zeros((rows, 16), np.uint8)
        address[:, 10:13] = 0xFF, 0xFF, 10
        address[:, 13:] = pods.astype(">u4").view(np.uint8).reshape(rows, 4)[:, 1:]
        return {
            f"{end}_addr": address,
            f"{end}_namespace": _names(workloads % NAMESPACES, self._namespaces),
            f"{end}_owner": _names(workloads, self._workloads),
            f"{end}_owner_kind": Names.constant("Deployment", rows),
            f"{end}_name": _names(pods, self._pods),
            f"{end}_kind": Names.constant("Pod", rows),
            f"{end}_node": _names(pods % NODES, self._nodes),
            f"{end}_service": _names(workloads, self._workloads),
            f"{end}_zone": _names(pods % 3, ("", "zone-1", "zone-2", "zone-3")),
        }


def _dictionary(stem: str, count: int) -> tuple[str, ...]:
    return ("", *(f"{stem}-{number}" for number in range(count)))


def _names(index: np.ndarray, values: tuple[str, ...]) -> Names:
    return Names((index + 1).astype(np.int32), values)


@dataclass(frozen=True)
class Cost:
    """Wall and CPU seconds of a run, the latter of store and writer together."""

    wall_s: float
    cpu_s: float


def cpu_s(pid: int) -> float:
    """CPU seconds of a process (proc(5), fields utime and stime)."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def ask(process: StoreProcess, sql: str) -> str:
    """The answer to a statement with all rights."""
    request = urllib.request.Request(process.url, sql.encode(), {"X-ClickHouse-Key": process.secret})  # noqa: S310
    with urllib.request.urlopen(request) as answer:  # noqa: S310
        return str(answer.read().decode()).strip()


def measured(process: StoreProcess, store: FlowStore, batches: list[FlowBatch], name: str) -> Cost:
    """Writes the batches."""
    start, before = time.monotonic(), cpu_s(process.pid) + time.process_time()
    for number, batch in enumerate(batches):
        store.write(batch, f"{name}-{number}")
    return Cost(time.monotonic() - start, cpu_s(process.pid) + time.process_time() - before)


def settle(process: StoreProcess) -> None:
    """Waits until no merge has run for a while."""
    quiet_since = time.monotonic()
    while time.monotonic() - quiet_since < SETTLED_S:
        time.sleep(0.25)
        if ask(process, "SELECT count() FROM system.merges") != "0":
            quiet_since = time.monotonic()


def main() -> None:
    """Prints the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--batch", type=int, default=100_000)
    options = parser.parse_args()
    cluster = Cluster()
    batches = [cluster.batch(options.batch) for _ in range(max(1, options.rows // options.batch))]
    millions = sum(map(len, batches)) / 1e6
    with tempfile.TemporaryDirectory(prefix="flowgauge-bench-") as folder:
        with running_store(Path(folder) / "floor") as process:
            nothing = _keeping_nothing(process)
            nothing.write(batches[0].take(np.arange(1000)), "warm-up")
            floor = measured(process, nothing, batches, "floor")
        with running_store(Path(folder) / "store") as process:
            store = process.open()
            store.write(batches[0].take(np.arange(1000)), "warm-up")
            before = cpu_s(process.pid)
            queryable = measured(process, store, batches, "flows")
            inserting = cpu_s(process.pid) - before
            settle(process)
            settled_cpu = queryable.cpu_s + cpu_s(process.pid) - before - inserting
            status = store.status()
    print(
        f"store insert: {millions:.1f} M rows, {len(stored_columns())} columns, batches of {options.batch}, fsync, one rollup"
    )
    for name, cost in (("floor (engine Null)", floor), ("until queryable", queryable)):
        print(f"  {name:<19}  {millions * 1e6 / cost.wall_s:>10,.0f} rows/s  {cost.cpu_s / millions:6.2f} CPU-s/M rows")
    print(f"  with merges settled  {'':>10}         {settled_cpu / millions:6.2f} CPU-s/M rows")
    print(f"  on disk              {status.disk_bytes / status.rows:>10.1f} bytes a row in {status.parts} parts")
    print(f"ratio to the floor, rows/s: queryable {floor.wall_s / queryable.wall_s:.2f} (1 = storing costs nothing)")
    print(f"ratio to the floor, CPU: queryable {queryable.cpu_s / floor.cpu_s:.2f}, settled {settled_cpu / floor.cpu_s:.2f}")


def _keeping_nothing(process: StoreProcess) -> FlowStore:
    """A client of a store whose table of flows has the same columns and keeps nothing."""
    columns = ask(
        process, "SELECT name || ' ' || type FROM system.columns WHERE table = 'flows' AND database = currentDatabase()"
    )
    definition = ", ".join(line.replace("\\'", "'") for line in columns.splitlines())
    for statement in ("DROP TABLE ns_1m_view", "DROP TABLE flows", f"CREATE TABLE flows ({definition}) ENGINE = Null"):
        ask(process, statement)
    return process.open()


if __name__ == "__main__":
    main()
