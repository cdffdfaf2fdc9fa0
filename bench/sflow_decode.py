# SPDX-License-Identifier: Apache-2.0
"""What decoding sFlow costs, against limits measured in the same run.

Samples of heads of 128 bytes (802.1Q, IPv4, TCP/UDP) with a switch record, six to a datagram, of eight switches with 48 ports
each; sequence numbers, pools and drops are kept.

* copy: copying the datagrams' bytes once (memcpy), which no decoder can undercut;
* struct: ``struct`` on every sample and head in a loop, without making columns of them: what Python costs otherwise;
* sfcapd (when installed): its whole process, receiving and writing included, so not the same work; CPU per flow all the same.

A pass is one batch, whose numbers have just been moved on, so that it is in the cache as a receiver leaves it. Rounds are
interleaved and the smallest CPU time of each counts. The ratios hold over machines; flows/s do not.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from ipfix_decode import EXPORTERS, Decoding, Input, made, options, report, report_collector

PER_DATAGRAM, PORTS, RATE = 6, 48, 1000
SFCAPD_FLOWS = 200_000
HEADER = np.dtype([
    ("version", ">u4"), ("kind", ">u4"), ("agent", ">u4"), ("sub_agent", ">u4"), ("sequence", ">u4"), ("uptime_ms", ">u4"),
    ("samples", ">u4"),
])  # fmt: skip
SAMPLE = np.dtype([
    ("tag", ">u4"), ("length", ">u4"), ("sequence", ">u4"), ("source", ">u4"), ("rate", ">u4"), ("pool", ">u4"),
    ("drops", ">u4"), ("in", ">u4"), ("out", ">u4"), ("records", ">u4"),
    ("head_tag", ">u4"), ("head_length", ">u4"), ("protocol", ">u4"), ("frame", ">u4"), ("stripped", ">u4"),
    ("captured", ">u4"),
    ("macs", "V12"), ("tpid", ">u2"), ("tci", ">u2"), ("ether_type", ">u2"),
    ("version", "u1"), ("tos", "u1"), ("total", ">u2"), ("id", ">u4"), ("ttl", "u1"), ("proto", "u1"), ("check", ">u2"),
    ("src", ">u4"), ("dst", ">u4"), ("src_port", ">u2"), ("dst_port", ">u2"), ("numbers", ">u8"), ("offset", "u1"),
    ("flags", "u1"), ("rest", "V76"),
    ("switch_tag", ">u4"), ("switch_length", ">u4"), ("vlan_in", ">u4"), ("prio_in", ">u4"), ("vlan_out", ">u4"),
    ("prio_out", ">u4"),
])  # fmt: skip
SAMPLE_STRUCT, HEAD_STRUCT = struct.Struct("!10I6I"), struct.Struct("!12sHHHBBHIBBHIIHH")


def datagrams(exporter: int, count: int) -> list[bytes]:
    """What one switch sends: its ports sample in turn, so that datagram n holds ports 6n … 6n + 5 modulo 48."""
    random = np.random.default_rng(exporter)
    numbers = np.arange(count)
    head = np.zeros(count, HEADER)
    head["version"], head["kind"], head["agent"], head["samples"] = 5, 1, 0x0A000000 + exporter, PER_DATAGRAM
    head["sequence"], head["uptime_ms"] = numbers + 1, 1_000_000 + numbers
    one = np.zeros((count, PER_DATAGRAM), SAMPLE)
    place = np.arange(count * PER_DATAGRAM).reshape(one.shape)
    one["tag"], one["length"], one["records"], one["rate"] = 1, SAMPLE.itemsize - 8, 2, RATE
    one["source"] = one["in"] = place % PORTS + 1
    one["out"] = random.integers(100, 148, one.shape)
    one["sequence"] = place // PORTS + 1
    one["pool"] = one["sequence"].astype(np.int64) * RATE
    one["head_tag"], one["head_length"], one["protocol"], one["stripped"], one["captured"] = 1, 16 + 128, 1, 4, 128
    one["total"] = random.integers(64, 1501, one.shape)
    one["frame"] = one["total"].astype(np.int64) + 18 + 4
    one["macs"] = np.void(bytes(range(12)))
    one["tpid"], one["tci"], one["ether_type"], one["version"], one["ttl"] = 0x8100, 100, 0x0800, 0x45, 63
    one["proto"] = random.choice(np.array([6, 17]), one.shape, p=[0.8, 0.2])
    for name in ("src", "dst"):
        one[name] = random.integers(1 << 24, 0xDF << 24, one.shape)
    for name in ("src_port", "dst_port"):
        one[name] = random.integers(1, 1 << 16, one.shape)
    one["offset"], one["flags"] = 0x50, 0x18
    one["switch_tag"], one["switch_length"], one["vlan_in"], one["vlan_out"] = 1001, 16, 100, 100
    whole = np.concatenate([head.view(np.uint8).reshape(count, -1), one.view(np.uint8).reshape(count, -1)], axis=1)
    return [row.tobytes() for row in whole]


def switches(batch: int, total: int) -> Input:
    """Eight switches' datagrams, interleaved; each sends as many as let every port take its turn equally often."""
    turn = PORTS // PER_DATAGRAM
    count = total // EXPORTERS // PER_DATAGRAM // turn * turn
    streams = [datagrams(exporter, count) for exporter in range(EXPORTERS)]
    return made("sflow", (), streams, batch, [count * PER_DATAGRAM] * EXPORTERS)


class Numbered(Decoding):
    """Decodes all batches, pass after pass, with the numbers of datagrams and samples, and pools, that go on."""

    def prepare(self) -> None:
        """Moves the numbers on by what each switch sent in one pass; not measured."""
        sent = int(self._given.sent[0])
        for one in self._given.batches:
            head, samples = self._parts(one.payloads)
            head["sequence"] += np.uint32(sent // PER_DATAGRAM)
            samples["sequence"] += np.uint32(sent // PORTS)
            samples["pool"] += np.uint32(sent // PORTS * RATE)

    @staticmethod
    def _parts(slots: npt.NDArray[np.uint8]) -> tuple[np.ndarray, np.ndarray]:
        """Headers (n,) and samples (n, 6) where they lie in the slots."""
        count, size = slots.shape
        head = np.ndarray((count,), HEADER, slots.data, 0, (size,))
        return head, np.ndarray((count, PER_DATAGRAM), SAMPLE, slots.data, HEADER.itemsize, (size, SAMPLE.itemsize))


def unpacking(given: Input) -> Callable[[], None]:
    """Samples and heads through ``struct``, one by one; the tuples are dropped."""

    def work() -> None:
        for payload in given.payloads:
            for at in range(HEADER.itemsize, len(payload), SAMPLE.itemsize):
                SAMPLE_STRUCT.unpack_from(payload, at)
                HEAD_STRUCT.unpack_from(payload, at + SAMPLE_STRUCT.size)

    return work


def main() -> None:
    """Prints the figures."""
    asked = options(__doc__, flows=1024 * PER_DATAGRAM, rounds=200)
    given = switches(asked.batch, asked.flows)
    ours = report(given, Numbered(given), asked.rounds, unpacking(given))
    report_collector(lambda: switches(asked.batch, SFCAPD_FLOWS), ours, "sfcapd")


if __name__ == "__main__":
    main()
