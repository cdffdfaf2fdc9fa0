# SPDX-License-Identifier: Apache-2.0
"""What a flow costs on its way through the collector: CPU seconds per million flows, by stage and as a whole.

The named limit is measured in the same run: receiving the same datagrams with recvmmsg and throwing them away, which no
collector can undercut. Every figure is also given as a multiple of it; the multiples hold over machines better than seconds.
Flows are those of an agent (our own template, names from 5,000 pods, a third seen by two nodes); the sender is a process of its
own, whose CPU does not count. "whole, no store" and "whole, real store" run the collector as it is, at the given rate; the
second counts the store's process too. About a minute on two cores.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import resource
import socket
import struct
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from flowgauge.agent.messages import Messages
from flowgauge.agent.settings import AgentSettings
from flowgauge.collector import gatherer as gatherer_module
from flowgauge.collector import main as collector_main
from flowgauge.collector.blocks import SLOT_BYTES, Block
from flowgauge.collector.gatherer import Gatherer
from flowgauge.collector.main import CollectorProcess
from flowgauge.collector.segments import Segment, SegmentQueue
from flowgauge.collector.settings import CollectorSettings
from flowgauge.collector.spool import Spool
from flowgauge.collector.udp_socket import UdpSocket
from flowgauge.config.model import Collector, Enrichment, Exporter
from flowgauge.config.model import Spool as SpoolSettings
from flowgauge.enrich.naming import Naming
from flowgauge.flow.batch import FlowBatch
from flowgauge.pipeline.dedup import Dedup
from flowgauge.pipeline.exporters import ExporterDirectory
from flowgauge.pipeline.graph import Pipeline
from flowgauge.pipeline.tally import Tally
from flowgauge.pipeline.thin import Thin
from flowgauge.runtime import logs
from flowgauge.runtime.ledger import Ledger
from flowgauge.schema.enums import LOCAL_ENDS, code
from flowgauge.wire.decoder import Decoder

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from store_kit import SECRET, StoreProcess, running_store

NODES, PODS = 20, 5_000
TICKS = os.sysconf("SC_CLK_TCK")
BUFFER_BYTES = 64 << 20


def objects(folder: Path) -> Path:
    """A cluster of ``NODES`` and ``PODS`` as an event log: all are known since long before the flows, as after the start."""
    since = "2020-01-01T00:00:00Z"
    items: list[dict[str, Any]] = [
        {"kind": "Node", "apiVersion": "v1", "metadata": {"name": f"node-{n}", "creationTimestamp": since},
         "status": {"addresses": [{"type": "InternalIP", "address": f"192.168.0.{n + 1}"}]}}
        for n in range(NODES)
    ]  # fmt: skip
    items += [
        {"kind": "Pod", "apiVersion": "v1",
         "metadata": {"name": f"web-{n}", "namespace": f"team-{n % 40}", "uid": f"u{n}", "creationTimestamp": since},
         "spec": {"nodeName": f"node-{n % NODES}"}, "status": {"phase": "Running", "podIP": pod_address(n), "startTime": since}}
        for n in range(PODS)
    ]  # fmt: skip
    path = folder / "cluster.jsonl"
    path.write_text("".join(f"{json.dumps({'type': 'ADDED', 'time': since, 'object': item})}\n" for item in items))
    return path


def pod_address(number: int) -> str:
    """Of one pod."""
    return f"10.128.{number // 250}.{number % 250 + 1}"


def messages(flows: int) -> list[bytes]:
    """IPFIX messages of all nodes' agents that carry ``flows`` in all, in the order of their export."""
    random = np.random.default_rng(1)
    each = flows // NODES
    sent: list[bytes] = []
    for node in range(NODES):
        agent = Messages(AgentSettings(node=f"node-{node}"))
        batch = agent_flows(random, each, node)
        told = [*agent.templates(), *agent.options({"eviction_flows": each}, {2: "eth0", 3: "veth3"}, Exporter())]
        sequence = 0
        for message in [*told, *agent.flows(batch)]:
            stamped = bytearray(message.payload)
            struct.pack_into("!I", stamped, 8, sequence)  # RFC 7011 §3.1; the agent's export does so when it sends
            sequence += message.records
            sent.append(bytes(stamped))
    return sent


def agent_flows(random: np.random.Generator, count: int, node: int) -> FlowBatch:
    """What one agent drains: flows of its pods with others, a third of them with a pod of its own as destination."""
    here = random.integers(0, PODS // NODES, count) * NODES + node
    there = random.integers(0, PODS, count)
    receiving = random.random(count) < 1 / 3
    src, dst = np.where(receiving, there, here), np.where(receiving, here, there)
    end = time.time_ns() - random.integers(0, 5_000_000_000, count)
    packets = random.integers(1, 60, count)
    columns = {
        "time_start_ns": end - random.integers(0, 5_000_000_000, count), "time_end_ns": end,
        "src_addr": addresses(src), "dst_addr": addresses(dst),
        "src_port": random.integers(32768, 60999, count).astype(np.uint16),
        "dst_port": random.choice(np.array([80, 443, 5432, 8080], np.uint16), count),
        "proto": np.full(count, 6, np.uint8), "icmp_type": np.full(count, -1, np.int16),
        "icmp_code": np.full(count, -1, np.int16), "ip_tos": np.zeros(count, np.int16),
        "tcp_flags": np.full(count, 24, np.uint16), "bytes": (packets * 700).astype(np.uint64),
        "packets": packets.astype(np.uint64), "in_if": np.full(count, 3, np.uint32), "out_if": np.full(count, 2, np.uint32),
        "flow_direction": np.where(receiving, 1, 2).astype(np.uint8), "sampling_rate": np.ones(count, np.uint32),
        "vlan_id": np.zeros(count, np.uint16),
        "observed_ifs": np.tile(np.array([3, 2 | 1 << 31, 0, 0], np.uint32), (count, 1)),
        "local_ends": np.where(receiving, code(LOCAL_ENDS, "dst"), code(LOCAL_ENDS, "src")).astype(np.uint8),
        "post_nat_src_addr": np.zeros((count, 16), np.uint8), "post_nat_dst_addr": np.zeros((count, 16), np.uint8),
        "post_nat_src_port": np.zeros(count, np.uint16), "post_nat_dst_port": np.zeros(count, np.uint16),
    }  # fmt: skip
    return FlowBatch(columns, count)


def addresses(pods: np.ndarray) -> np.ndarray:
    """Addresses of pods as a column."""
    column = np.zeros((len(pods), 16), np.uint8)
    column[:, 10:14] = 0xFF, 0xFF, 10, 128
    column[:, 14], column[:, 15] = pods // 250, pods % 250 + 1
    return column


def send(payloads: Sequence[bytes], port: int, per_s: float = 0) -> None:
    """Sends at ``per_s`` datagrams a second, in bursts of 32; 0 = as fast as it goes."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect(("127.0.0.1", port))
        due = time.monotonic()
        for number, payload in enumerate(payloads):
            sock.send(payload)
            if per_s and number % 32 == 31:
                due += 32 / per_s
                time.sleep(max(0.0, due - time.monotonic()))


class Sender:
    """A process of its own that sends all datagrams to the port it is told; forked before there are threads."""

    def __init__(self, payloads: Sequence[bytes], per_s: float) -> None:
        context = multiprocessing.get_context("fork")
        self._ports, theirs = context.Pipe()
        context.Process(target=self._serve, args=(theirs, payloads, per_s), daemon=True).start()

    @staticmethod
    def _serve(ports: Any, payloads: Sequence[bytes], per_s: float) -> None:
        while True:
            send(payloads, ports.recv(), per_s)

    def to(self, port: int) -> None:
        """Begins to send."""
        self._ports.send(port)


def filled_blocks(payloads: Sequence[bytes]) -> list[Block]:
    """The datagrams in blocks, as the receiver hands them over."""
    sock = UdpSocket("127.0.0.1", 0, BUFFER_BYTES)
    sock.open()
    blocks = [Block(SLOT_BYTES[0], ipv6=sock.ipv6)]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.connect(sock.address)
        for payload in payloads:
            sender.send(payload)
            if blocks[-1].full:
                blocks.append(Block(SLOT_BYTES[0], ipv6=sock.ipv6))
            blocks[-1].receive(sock.descriptor(), time.time_ns, wait=True)
    sock.close()
    return blocks


def receiving(payloads: Sequence[bytes]) -> float:
    """CPU seconds of receiving from a full socket, and nothing else: the limit."""
    sock = UdpSocket("127.0.0.1", 0, BUFFER_BYTES)
    sock.open()
    block = Block(SLOT_BYTES[0], ipv6=sock.ipv6)
    spent, got = 0.0, 0
    for at in range(0, len(payloads), 10_000):
        send(payloads[at : at + 10_000], sock.address[1])
        begin = time.thread_time()
        while received := block.receive(sock.descriptor(), time.time_ns, wait=False):
            got += received
            if block.full:
                block.clear()
        spent += time.thread_time() - begin
    sock.close()
    assert got == len(payloads), f"the kernel dropped {len(payloads) - got} datagrams"
    return spent


def stages(blocks: Sequence[Block], path: Path, segment_rows: int) -> dict[str, float]:
    """CPU seconds of each step from the decoder to the store's door, segments being as long as at the offered rate."""
    ledger, directory, decoder, tally = Ledger("collector", "bench@1"), ExporterDirectory(), Decoder(), Tally()
    naming = Naming(path, Enrichment())
    naming.start()
    pipeline = Pipeline(directory, naming.stage, Dedup(directory, "Mark", tally), tally, retention_hours=168)
    thin, spool, marked = Thin(directory, ledger), Spool(path.parent / f"spool-{time.time_ns()}", SpoolSettings(), ledger), 0
    spool.start()
    waiting = SegmentQueue(sys.maxsize)
    gatherer = Gatherer(spool, waiting, waiting=lambda: 0, watched=lambda: False, dropped=lambda _: None)
    spent = dict.fromkeys(("decode", "count exporters", "spool", "join"), 0.0)

    def timed(name: str, call: Callable[[], Any]) -> Any:
        begin = time.thread_time()
        result = call()
        spent[name] += time.thread_time() - begin
        return result

    def process(segment: Segment) -> int:
        result = pipeline(timed("join", lambda: FlowBatch.concat(segment.raw)))
        segment.raw = []
        timed("spool", lambda: spool.acknowledge(segment))
        return result.counts.get("pipeline_duplicates_marked", 0)

    with mock.patch.object(gatherer_module, "MAX_ROWS", segment_rows):
        for block in blocks:
            decoded = timed("decode", lambda block=block: decoder.decode(next(block.datagrams())))
            directory.learn(decoded.options)
            flows = timed("count exporters", lambda decoded=decoded: thin(decoded.flows))
            timed("spool", lambda flows=flows: gatherer.add(flows))
            while (segment := waiting.take(0)) is not None:
                marked += process(segment)
        gatherer.hand_on()
    while (segment := waiting.take(0)) is not None:
        marked += process(segment)
    spool.stop(told=True)
    naming.stop()
    assert marked > 0
    return spent | {step.name: step.cpu_s for step in pipeline.steps}


class NoStore:
    """Takes everything and keeps nothing."""

    def write(self, batch: FlowBatch, token: str) -> int:  # noqa: ARG002 - as a store's
        """All are taken."""
        return len(batch)

    def write_pieces(self, pieces: Iterable[FlowBatch], token: str) -> int:  # noqa: ARG002 - as a store's
        """All are taken."""
        return sum(map(len, pieces))

    def __getattr__(self, name: str) -> Callable[..., list[object]]:
        return lambda *_, **__: []


@dataclass(frozen=True, slots=True)
class Whole:
    """A whole run: CPU seconds, seconds from the first datagram to the last flow stored, the collector's memory at most."""

    cpu_s: float
    wall_s: float
    peak_mib: int


def whole(sender: Sender, flows: int, path: Path, store: StoreProcess | None) -> Whole:
    """The collector, and the store, with all flows, none lost; without a store they are dropped at the end."""
    settings = CollectorSettings(
        store_url=store.url if store else "", store_secret=SECRET, objects=path, http_port=0, data_dir=path.parent / "data",
        collector=Collector(port=0, receive_buffer_bytes=BUFFER_BYTES),
    )  # fmt: skip
    opened = mock.patch.object(collector_main, "open_store", return_value=NoStore()) if store is None else nullcontext()
    with opened:
        collector = CollectorProcess(settings)
    collector.start()
    before, began = time.process_time() + cpu_s(store), time.monotonic()
    sender.to(collector.address[1])
    deadline = time.monotonic() + 300
    while collector.ledger.snapshot().get("store_rows_written", 0) < flows:
        assert time.monotonic() < deadline, f"not all flows came through: {collector.ledger.snapshot()}"
        time.sleep(0.2)
    spent, took = time.process_time() + cpu_s(store) - before, time.monotonic() - began
    collector.stop()
    return Whole(spent, took, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10)


def cpu_s(store: StoreProcess | None) -> float:
    """CPU seconds of the store's process (proc(5), fields utime and stime); 0 without one."""
    if store is None:
        return 0.0
    fields = Path(f"/proc/{store.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def main() -> None:
    """Prints the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--flows", type=int, default=400_000)
    parser.add_argument("--rate", type=int, default=50_000, help="flows a second offered to the whole collector")
    parser.add_argument("--rounds", type=int, default=3, help="of the parts; the best counts")
    options = parser.parse_args()
    logs.configure("error")
    payloads = messages(options.flows)
    flows = options.flows // NODES * NODES
    sender = Sender(payloads, options.rate * len(payloads) / flows)
    with tempfile.TemporaryDirectory(prefix="flowgauge-bench-") as folder:
        path = objects(Path(folder))
        blocks = filled_blocks(payloads)
        limit = min(receiving(payloads) for _ in range(options.rounds))
        rounds = [stages(blocks, path, options.rate) for _ in range(options.rounds)]
        parts = {name: min(one[name] for one in rounds) for name in rounds[0]}
        dropped = whole(sender, flows, path, None)
        with running_store(Path(folder) / "store", "--log-level", "error") as store:
            kept = whole(sender, flows, path, store)
    print(f"collector path: {flows:,} flows in {len(payloads):,} datagrams, whole runs at {options.rate:,} flows/s")
    print(f"  {'':<30} CPU-s/M flows    × limit")
    rows = {"limit: recvmmsg and no more": limit, **{f"  {name}": spent for name, spent in parts.items()},
            "receive + decode": limit + parts["decode"], "receive + decode + pipeline": limit + sum(parts.values()),
            "whole collector, no store": dropped.cpu_s, "whole collector, real store": kept.cpu_s}  # fmt: skip
    for name, spent in rows.items():
        print(f"  {name:<30} {spent / flows * 1e6:>13.3f} {spent / limit:>10.2f}")
    for name, run in (("no store", dropped), ("real store", kept)):
        print(f"  {name}: {flows / run.wall_s:,.0f} flows/s until the last was stored, none lost; {run.peak_mib} MiB at most")


if __name__ == "__main__":
    main()
