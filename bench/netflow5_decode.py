# SPDX-License-Identifier: Apache-2.0
"""What decoding NetFlow 5 costs: full datagrams of eight routers, against limits measured in the same run.

* copy: copying the datagrams' bytes once (memcpy), which no decoder can undercut;
* struct: ``struct.iter_unpack``, the fastest way to Python objects, without making columns of them;
* nfcapd (when installed): its whole process, receiving and writing included, so not the same work; CPU per flow all the same.

A pass is one batch, whose numbers have just been moved on, so that it is in the cache as a receiver leaves it. Rounds are
interleaved and the smallest CPU time of each counts. The ratios hold over machines; flows/s do not.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

import numpy as np
from ipfix_decode import EXPORTERS, NFCAPD_FLOWS, Decoding, Input, made, options, report, report_collector

PER_DATAGRAM = 30
EXPORT_S, UPTIME_MS = 1_767_000_000, 400_000_000
HEADER = np.dtype([
    ("version", ">u2"), ("count", ">u2"), ("uptime_ms", ">u4"), ("export_s", ">u4"), ("export_ns", ">u4"),
    ("sequence", ">u4"), ("engine", ">u2"), ("sampling", ">u2"),
])  # fmt: skip
RECORD = np.dtype([
    ("src", ">u4"), ("dst", ">u4"), ("hop", ">u4"), ("in_if", ">u2"), ("out_if", ">u2"), ("packets", ">u4"),
    ("bytes", ">u4"), ("first", ">u4"), ("last", ">u4"), ("src_port", ">u2"), ("dst_port", ">u2"), ("pad", "u1"),
    ("flags", "u1"), ("proto", "u1"), ("tos", "u1"), ("src_as", ">u2"), ("dst_as", ">u2"), ("masks", ">u2"), ("pad2", ">u2"),
])  # fmt: skip
RECORD_STRUCT = struct.Struct("!4s4s4sHHIIIIHHxBBBHHBB2x")
SEQUENCE = slice(16, 20)


def datagrams(exporter: int, count: int) -> list[bytes]:
    """What one router sends: numbered, of all protocols, some of it ICMP."""
    random = np.random.default_rng(exporter)
    head = np.zeros(count, HEADER)
    numbers = np.arange(count)
    head["version"], head["count"], head["engine"], head["sampling"] = 5, PER_DATAGRAM, exporter, 0x4064
    head["uptime_ms"], head["export_s"], head["export_ns"] = UPTIME_MS + numbers * 10, EXPORT_S + numbers // 100, 5_000_000
    head["sequence"] = numbers * PER_DATAGRAM
    flows = np.zeros((count, PER_DATAGRAM), RECORD)
    for name in ("src", "dst", "hop"):
        flows[name] = random.integers(1 << 24, 0xDF << 24, flows.shape)
    for name in ("src_port", "dst_port", "in_if", "out_if", "src_as", "dst_as"):
        flows[name] = random.integers(1, 1 << 16, flows.shape)
    for name in ("packets", "bytes"):
        flows[name] = random.integers(1, 1 << 31, flows.shape)
    flows["proto"] = random.choice(np.array([6, 17, 1]), flows.shape, p=[0.75, 0.23, 0.02])
    flows["flags"], flows["masks"] = random.integers(0, 64, flows.shape), 0x1818
    flows["last"] = UPTIME_MS + numbers[:, None] * 10 - random.integers(0, 10_000, flows.shape)
    flows["first"] = flows["last"] - random.integers(0, 60_000, flows.shape)
    whole = np.concatenate([head.view(np.uint8).reshape(count, -1), flows.view(np.uint8).reshape(count, -1)], axis=1)
    return [row.tobytes() for row in whole]


def routers(batch: int, total: int) -> Input:
    """Eight routers' datagrams, interleaved."""
    count = total // EXPORTERS // PER_DATAGRAM
    streams = [datagrams(exporter, count) for exporter in range(EXPORTERS)]
    return made("netflow5", (), streams, batch, [count * PER_DATAGRAM] * EXPORTERS)


class Numbered(Decoding):
    """Decodes all batches, pass after pass, with sequence numbers that go on."""

    def prepare(self) -> None:
        """Moves the numbers on by what each router sent in one pass; not measured."""
        for one in self._given.batches:
            numbers = np.ascontiguousarray(one.payloads[:, SEQUENCE]).view(">u4").reshape(-1)
            numbers += self._given.sent[one.source_addr[:, 15]].astype(np.uint32)
            one.payloads[:, SEQUENCE] = numbers.view(np.uint8).reshape(-1, 4)


def unpacking(given: Input) -> Callable[[], None]:
    """Records through ``struct``, datagram by datagram; the tuples are dropped."""

    def work() -> None:
        for payload in given.payloads:
            for _ in RECORD_STRUCT.iter_unpack(payload[HEADER.itemsize :]):
                pass

    return work


def main() -> None:
    """Prints the figures."""
    asked = options(__doc__, flows=1024 * PER_DATAGRAM, rounds=200)
    given = routers(asked.batch, asked.flows)
    ours = report(given, Numbered(given), asked.rounds, unpacking(given))
    report_collector(lambda: routers(asked.batch, NFCAPD_FLOWS), ours)


if __name__ == "__main__":
    main()
