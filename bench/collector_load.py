# SPDX-License-Identifier: Apache-2.0
"""What a whole collector can take, and what that costs, process by process.

Four loads, one at a time:

* ``sustained``: a rate for a time, stored, nothing lost: CPU seconds per million flows until all can be asked for, and with
  the store's merges settled; memory. ``--core`` stores the core columns only, ``--no-store`` keeps nothing.
* ``burst``: more than a store can take, for a short time: received and spooled, bytes a flow on disk, then drained.
* ``idle``: 1,000 flows/s without a store: share of a processor.
* ``exporters``: many exporters with many templates each, and all of them again after a restart: memory and CPU.

Every flow sent must be counted as stored at the end, or the run says what was lost and ends with 1. The sender's CPU is given,
and is not part of the sums. Flows are those of ``collector_path``: an agent's, with names from 5,000 pods.
"""

from __future__ import annotations

import argparse
import os
import struct
import sys
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path

import numpy as np
from collector_path import NODES, agent_flows, objects
from load_kit import Collector, Message, Sender, Told, Used, cpu_s, stamped
from store_insert import ask

from flowgauge.agent.messages import Messages
from flowgauge.agent.settings import AgentSettings
from flowgauge.config.model import Exporter

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from store_kit import StoreProcess, running_store

REPEATED_FLOWS = 1_000_000
QUIET_S = 3.0
DRAIN_S = 900.0
LOSSES = ("receive_socket_drops", "receive_queue_full", "sequence_gap_records", "pipeline_queue_full", "pipeline_failed",
          "pipeline_late", "spool_rows_shed", "spool_rows_damaged", "store_rows_failed", "decode_error_datagrams")  # fmt: skip


def agents(flows: int) -> list[list[Message]]:
    """Messages of every node's agent, ``flows`` in all."""
    random = np.random.default_rng(1)
    found: list[list[Message]] = []
    for node in range(NODES):
        agent = Messages(AgentSettings(node=f"node-{node}"))
        batch = agent_flows(random, flows // NODES, node)
        told = [*agent.templates(), *agent.options({"eviction_flows": len(batch)}, {2: "eth0", 3: "veth3"}, Exporter())]
        before = stamped(told, flows=False, first=0)
        found.append([*before, *stamped(agent.flows(batch), flows=True, first=sum(one.records for one in before))])
    return found


def template_sets(exporters: int, templates: int) -> list[list[Message]]:
    """Each exporter announces that many templates, 20 to a message, which differ in their fields."""
    elements = [8, 12, 7, 11, 4, 6, 5, 10, 14, 16, 17, 9, 13, 15, 61, 58, 21, 22]
    messages: list[bytes] = []
    for first in range(0, templates, 20):
        body = b""
        for number in range(first, min(first + 20, templates)):
            fields = [(1, 8), (2, 8), *((element, 4) for bit, element in enumerate(elements) if number + 1 >> bit & 1)]
            record = struct.pack("!HH", 256 + number, len(fields)) + b"".join(struct.pack("!HH", *one) for one in fields)
            body += record
        messages.append(struct.pack("!HHIIIHH", 10, 20 + len(body), int(time.time()), 0, 1, 2, 4 + len(body)) + body)
    return [[Message(message) for message in messages] for _ in range(exporters)]


def report(title: str, flows: int, used: Used, told: Told, settled: float | None = None) -> None:
    """Prints a table."""
    print(f"{title}: {flows:,} flows sent in {told.wall_s:.1f} s ({told.flows / told.wall_s:,.0f}/s)")
    print(f"  {'process':<16} {'CPU-s':>8} {'CPU-s/M flows':>14} {'MiB at most':>12}")
    for name, spent in used.cpu_s.items():
        print(f"  {name:<16} {spent:>8.2f} {spent / flows * 1e6:>14.3f} {used.peak_mib.get(name, 0):>12.0f}")
    print(f"  {'sender':<16} {told.cpu_s:>8.2f} {told.cpu_s / flows * 1e6:>14.3f}")
    print(f"  until all can be asked for: {used.total() / flows * 1e6:.2f} CPU-s/M flows")
    if settled is not None:
        print(f"  with merges settled:        {(used.total() + settled) / flows * 1e6:.2f} CPU-s/M flows")
    own = sum(mib for name, mib in used.peak_mib.items() if name != "store")
    print(f"  the collector's processes together: {own:.0f} MiB at most")


def accounted(collector: Collector, flows: int) -> int:
    """Exit status: whether everything that was sent is stored; says what is missing."""
    counted = collector.ledger()
    stored = counted.get("store_rows_written", 0)
    lost = {name: counted[name] for name in LOSSES if counted.get(name)}
    if stored == flows and not lost:
        print(f"  nothing lost: {stored:,} flows stored")
        return 0
    print(f"  LOST: {flows - stored:,} of {flows:,} flows are not stored; {lost}")
    return 1


def settle(store: StoreProcess) -> float:
    """Waits until the store rests; the CPU seconds that took."""
    before = last = cpu_s(store.pid)
    quiet_since = time.monotonic()
    while time.monotonic() - quiet_since < QUIET_S:
        time.sleep(0.5)
        now = cpu_s(store.pid)
        if now - last > 0.05:
            quiet_since = time.monotonic()
        last = now
    return last - before


def merges(store: StoreProcess) -> float:
    """Through how many merges a row of the store went since it started."""
    merged, inserted = (ask(store, f"SELECT sum(value) FROM system.events WHERE event = '{name}'")  # noqa: S608 - our own names
                        for name in ("MergedRows", "InsertedRows"))  # fmt: skip
    return int(merged) / max(1, int(inserted))


def sustained(options: argparse.Namespace, folder: Path) -> int:
    """A rate for a time."""
    sender = Sender(agents(min(REPEATED_FLOWS, options.rate * options.seconds)))
    columns = ["--groups", ""] if options.core else []
    with nullcontext() if options.no_store else running_store(folder / "store", "--log-level", "error", *columns) as store:
        collector = Collector(folder, store, objects=objects(folder), receive_processes=options.receive_processes)
        collector.begin()
        sender.send(collector.port, flows=options.rate * options.seconds, per_s=options.rate)
        told = sender.told()
        behind = told.flows - collector.ledger().get("store_rows_written", 0)
        began = time.monotonic()
        collector.until("store_rows_written", told.flows, DRAIN_S)
        late_s = time.monotonic() - began
        used = collector.measured()
        report("sustained" if store else "sustained, no store", told.flows, used, told, settle(store) if store else None)
        print(f"  {behind:,} flows were not stored yet when the last was sent; they were {late_s:.1f} s later")
        if store:
            print(f"  each went through {merges(store):.2f} merges")
        status = accounted(collector, told.flows)
        collector.stop()
    return status


def burst(options: argparse.Namespace, folder: Path) -> int:
    """More than a store can take."""
    sender = Sender(agents(REPEATED_FLOWS))
    with running_store(folder / "store", "--log-level", "error") as store:
        collector = Collector(folder, store, objects=objects(folder), receive_processes=options.receive_processes)
        collector.begin()
        sender.send(collector.port, flows=options.rate * options.seconds, per_s=options.rate)
        told = sender.told()
        collector.until("decode_records", told.flows, 60)
        counted, spooled = collector.ledger(), collector.spool_bytes()
        waiting = counted.get("decode_records", 0) - counted.get("store_rows_written", 0)
        during = collector.measured()
        report("burst, received and spooled", told.flows, during, told)
        print(f"  {waiting:,} flows waited on disk, {spooled / max(1, waiting):.1f} B each")
        began = time.monotonic()
        collector.until("store_rows_written", told.flows, DRAIN_S)
        print(f"  drained {time.monotonic() - began:.1f} s later")
        report("burst, all stored", told.flows, collector.measured(), told)
        status = accounted(collector, told.flows)
        collector.stop()
    return status


def idle(options: argparse.Namespace, folder: Path) -> int:
    """A low rate, no store."""
    rate = options.rate
    sender = Sender(agents(rate * options.seconds))
    collector = Collector(folder, None, objects=objects(folder), receive_processes=options.receive_processes)
    time.sleep(QUIET_S)
    collector.begin()
    began = time.monotonic()
    time.sleep(options.seconds)
    rest, rest_s = collector.measured().total(), time.monotonic() - began
    sender.send(collector.port, flows=rate * options.seconds, per_s=rate)
    told = sender.told()
    collector.until("store_rows_written", told.flows, 60)
    used, took = collector.measured(), time.monotonic() - began - rest_s
    busy = used.total() - rest
    print(f"idle: {rate:,} flows/s: {busy / took:.2%} of a processor; without any: {rest / rest_s:.2%}")
    for name, spent in used.cpu_s.items():
        print(f"  {name:<16} {spent:.2f} CPU-s in {took + rest_s:.0f} s")
    status = accounted(collector, told.flows)
    collector.stop()
    return status


def exporters(options: argparse.Namespace, folder: Path) -> int:
    """Many exporters, many templates."""
    sent = template_sets(options.exporters, options.templates)
    datagrams = sum(map(len, sent))
    sender = Sender(sent)
    for turn in ("announced", "announced again after a restart"):
        collector = Collector(folder, None, objects=None, receive_processes=options.receive_processes)
        collector.begin()
        sender.send_once(collector.port, per_s=options.rate)
        told = sender.told()
        collector.until("receive_datagrams", datagrams, 120)
        previous = -1.0
        while (now := collector.measured().total()) - previous > 0.2:
            previous = now
            time.sleep(1.0)
        used, counted = collector.measured(), collector.ledger()
        memory = sum(used.peak_mib.values())
        print(f"exporters: {options.exporters:,} × {options.templates} templates {turn}: {used.total():.1f} CPU-s, "
              f"{memory:.0f} MiB at most; {counted.get('receive_datagrams', 0):,} of {told.datagrams:,} datagrams, "
              f"{counted.get('decode_template_changes', 0):,} changes of templates")  # fmt: skip
        for name, spent in used.cpu_s.items():
            print(f"  {name:<16} {spent:>8.2f} CPU-s {used.peak_mib.get(name, 0):>8.0f} MiB")
        collector.stop()
    return 0


def main() -> int:
    """Runs one load."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("load", choices=("sustained", "burst", "idle", "exporters"))
    parser.add_argument("--rate", type=int, help="flows/s (150,000; 1,000,000; 1,000), of exporters datagrams/s (2,000)")
    parser.add_argument("--seconds", type=int, help="60; 10; 30")
    parser.add_argument("--exporters", type=int, default=10_000)
    parser.add_argument("--templates", type=int, default=100)
    parser.add_argument("--receive-processes", default="auto", help="as collector.receiveProcesses")
    parser.add_argument("--core", action="store_true", help="of sustained: store the core columns only")
    parser.add_argument("--no-store", action="store_true", help="of sustained: keep nothing")
    options = parser.parse_args()
    rate, seconds = {"sustained": (150_000, 60), "burst": (1_000_000, 10), "idle": (1_000, 30), "exporters": (2_000, 0)}[
        options.load
    ]
    options.rate, options.seconds = options.rate or rate, options.seconds or seconds
    with tempfile.TemporaryDirectory(prefix="flowgauge-bench-", dir=os.environ.get("FLOWGAUGE_BENCH_DIR")) as folder:
        return {"sustained": sustained, "burst": burst, "idle": idle, "exporters": exporters}[options.load](
            options, Path(folder)
        )


if __name__ == "__main__":
    sys.exit(main())
