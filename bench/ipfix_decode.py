# SPDX-License-Identifier: Apache-2.0
"""What decoding IPFIX costs: our agents' messages and a router's 52-byte records, against limits measured in the same run.

* copy: copying the datagrams' bytes once (memcpy), which no decoder can undercut;
* struct: ``struct.iter_unpack`` on each data set, the fastest way to Python objects, without making columns of them;
* nfcapd (when installed): its whole process, receiving and writing included, so not the same work; CPU per flow all the same.

Rounds are interleaved and the smallest CPU time of each counts, so that neighbours on the machine matter little. The ratios
hold over machines; flows/s do not. About half a minute.
"""

from __future__ import annotations

import argparse
import resource
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from flowgauge.agent.messages import Messages
from flowgauge.agent.settings import AgentSettings
from flowgauge.wire.datagrams import Datagrams
from flowgauge.wire.decoder import Decoder

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from wire_kit import EXPORT_S, a_set, message, random_flows, template

SLOT_BYTES = 2048
ROUTER = ((8, 4), (12, 4), (7, 2), (11, 2), (4, 1), (6, 1), (5, 1), (61, 1), (1, 8), (2, 8), (152, 8), (153, 8), (10, 4))
ROUTER_RECORD = struct.Struct("!4s4sHHBBBBQQQQI")
TIMES = slice(32, 48)
"""Where start and end are in a record."""
PER_MESSAGE = 26
EXPORTERS = 8
NFCAPD_FLOWS = 500_000


@dataclass
class Input:
    """Datagrams of one kind, as a receiver lays them out.

    Attributes:
        templates: sent before them, one an exporter.
        payloads: the datagrams; ``batches`` of them in slots.
        sent: records of each exporter in one pass over them.
    """

    name: str
    templates: Datagrams
    payloads: list[bytes]
    batches: list[Datagrams]
    sent: npt.NDArray[np.int64]

    @property
    def flows(self) -> int:
        """Records in one pass."""
        return int(self.sent.sum())

    @property
    def size(self) -> int:
        """Bytes of all datagrams."""
        return sum(map(len, self.payloads))


def in_slots(payloads: Sequence[bytes], source: Sequence[int]) -> Datagrams:
    """Datagrams in slots of ``SLOT_BYTES``, from 127.0.1.<source>."""
    plain = Datagrams.from_payloads(payloads)
    slots = np.zeros((len(payloads), SLOT_BYTES), np.uint8)
    slots[:, : plain.payloads.shape[1]] = plain.payloads
    plain.source_addr[:, 14] = 1
    plain.source_addr[:, 15] = source
    return Datagrams(slots, plain.lengths, plain.source_addr, plain.source_port, plain.received_ns)


def made(name: str, templates: Sequence[bytes], payloads: Sequence[Sequence[bytes]], batch: int, sent: Sequence[int]) -> Input:
    """Interleaves the exporters' datagrams in runs of eight and cuts them into batches."""
    streams = [list(stream) for stream in payloads]
    order: list[tuple[int, bytes]] = []
    while any(streams):
        for exporter, stream in enumerate(streams):
            order += [(exporter, payload) for payload in stream[:8]]
            del stream[:8]
    batches = [
        in_slots([payload for _, payload in order[at : at + batch]], [exporter for exporter, _ in order[at : at + batch]])
        for at in range(0, len(order), batch)
    ]
    greeting = in_slots(list(templates) * EXPORTERS, np.repeat(np.arange(EXPORTERS), len(templates)).tolist())
    return Input(name, greeting, [payload for _, payload in order], batches, np.array(sent))


def stamped(payload: bytes, sequence: int) -> bytes:
    """The message with its sequence number."""
    return payload[:8] + struct.pack("!I", sequence & 0xFFFFFFFF) + payload[12:]


def agent_input(batch: int, total: int) -> Input:
    """Our agents' messages: IPv4 of every protocol, a third translated."""
    agent = Messages(AgentSettings(node="node-a", obs_domain_id=1))
    agent.flows(random_flows(1000, seed=0))  # now it announces every template that occurs
    greeting, before = list[bytes](), 0
    for one in agent.templates():
        greeting.append(stamped(one.payload, before))
        before += one.records
    streams, sent = [], []
    for exporter in range(EXPORTERS):
        sequence, stream = before, []
        for one in agent.flows(random_flows(total // EXPORTERS, seed=exporter, v6_share=0.0)):
            stream.append(stamped(one.payload, sequence))
            sequence += one.records
        streams.append(stream)
        sent.append(sequence - before)
    return made("agent", greeting, streams, batch, sent)


def router_input(batch: int, total: int) -> Input:
    """A router's records of 52 bytes, 26 to a datagram."""
    random = np.random.default_rng(1)
    streams = []
    for _ in range(EXPORTERS):
        octets = random.integers(0, 256, (total // EXPORTERS // PER_MESSAGE, PER_MESSAGE * ROUTER_RECORD.size), np.uint8)
        start_ms = 1000 * EXPORT_S - random.integers(0, 60_000, (len(octets), PER_MESSAGE, 1))
        times = octets.reshape(len(octets), PER_MESSAGE, -1)[:, :, TIMES]
        times[...] = np.concatenate([start_ms, start_ms + 5000], axis=2).astype(">u8").view(np.uint8)
        streams.append([message(a_set(300, row.tobytes()), sequence=n * PER_MESSAGE) for n, row in enumerate(octets)])
    sent = [len(stream) * PER_MESSAGE for stream in streams]
    return made("router", [message(a_set(2, template(300, ROUTER)))], streams, batch, sent)


def smallest(works: dict[str, Callable[[], None]], rounds: int) -> dict[str, float]:
    """The smallest CPU seconds of each, in interleaved rounds."""
    best = dict.fromkeys(works, float("inf"))
    for _ in range(rounds):
        for name, work in works.items():
            if isinstance(work, Decoding):
                work.prepare()
            before = time.process_time()
            work()
            best[name] = min(best[name], time.process_time() - before)
    return best


def copying(given: Input) -> Callable[[], None]:
    """Copies the bytes of all datagrams, batch by batch, into one buffer."""
    joined = [np.frombuffer(b"".join(given.payloads[at : at + 1024]), np.uint8) for at in range(0, len(given.payloads), 1024)]
    target = np.empty(max(map(len, joined)), np.uint8)

    def work() -> None:
        for piece in joined:
            target[: len(piece)] = piece

    return work


class Decoding:
    """Decodes all batches, pass after pass, with sequence numbers that go on."""

    def __init__(self, given: Input) -> None:
        self._given = given
        self._decoder = Decoder()
        self._decoder.decode(given.templates)
        self()

    def prepare(self) -> None:
        """Moves the sequence numbers on by what each exporter sent in one pass; not measured."""
        for one in self._given.batches:
            numbers = np.ascontiguousarray(one.payloads[:, 8:12]).view(">u4").reshape(-1)
            numbers += self._given.sent[one.source_addr[:, 15]].astype(np.uint32)
            one.payloads[:, 8:12] = numbers.view(np.uint8).reshape(-1, 4)

    def __call__(self) -> None:
        """One pass."""
        results = [self._decoder.decode(one).counts for one in self._given.batches]
        assert sum(counts["decode_records"] for counts in results) == self._given.flows
        assert not any(name.startswith("sequence") for counts in results for name in counts)


def unpacking(given: Input) -> Callable[[], None]:
    """Headers and records through ``struct``, datagram by datagram; the tuples are dropped."""
    header = struct.Struct("!HHIIIHH")

    def work() -> None:
        for payload in given.payloads:
            header.unpack_from(payload)
            for _ in ROUTER_RECORD.iter_unpack(payload[20:]):
                pass

    return work


def collector_cpu_s(given: Input, program: str = "nfcapd") -> tuple[float, int]:
    """CPU seconds of a collector of nfdump's family that takes the datagrams, and how many flows it counted."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with tempfile.TemporaryDirectory(prefix="flowgauge-bench-") as folder:
        command = [program, "-w", folder, "-b", "127.0.0.1", "-p", str(port), "-t", "3600", "-B", "8000000"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        assert process.stdout is not None
        assert any("Startup" in line for line in process.stdout)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            greeting = [bytes(given.templates.payloads[0][: given.templates.lengths[0]])] if len(given.templates) else []
            for number, payload in enumerate([*greeting, *given.payloads]):
                sender.sendto(payload, ("127.0.0.1", port))
                if number % 32 == 0:
                    time.sleep(0.002)
        time.sleep(1)
        process.terminate()
        said = process.communicate()[0]
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    counted = next(int(line.partition("Flows: ")[2].partition(",")[0]) for line in said.splitlines() if "Flows: " in line)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime, counted


def report(given: Input, ours: Decoding, rounds: int, unpack: Callable[[], None] | None = None) -> float:
    """Measures and prints one input, also by ``unpack`` where it is given; our CPU seconds per million flows."""
    works: dict[str, Callable[[], None]] = {"copy": copying(given), "ours": ours}
    if unpack is not None:
        works["struct"] = unpack
    best = smallest(works, rounds)
    millions = given.flows / 1e6
    size = given.size / given.flows
    print(f"{given.name}: {given.flows:,} flows, {size:.0f} B/flow, batches of {len(given.batches[0])} datagrams")
    for name, seconds in best.items():
        rate = given.flows / seconds
        print(f"  {name:<7} {rate / 1e6:>8.1f} M flows/s a core  {seconds / millions:>7.4f} CPU-s/M flows")
    print(f"  ratio to copy {best['ours'] / best['copy']:.1f}", end="")
    print(f", struct to ours {best['struct'] / best['ours']:.1f}" if "struct" in best else "")
    return best["ours"] / millions


def report_collector(given: Callable[[], Input], ours: float, program: str = "nfcapd") -> None:
    """Measures and prints a collector of nfdump's family, where it is installed, beside our CPU seconds per million flows."""
    if shutil.which(program):
        seconds, flows = collector_cpu_s(given(), program)
        theirs = seconds / flows * 1e6
        print(f"  {program} {theirs:.3f} CPU-s/M flows ({flows:,} received and written); ratio to ours {theirs / ours:.1f}")


def options(description: str | None, *, flows: int, rounds: int) -> argparse.Namespace:
    """What was asked for: datagrams a batch, flows a pass, and rounds."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=1024, help="datagrams decoded together")
    parser.add_argument("--flows", type=int, default=flows)
    parser.add_argument("--rounds", type=int, default=rounds)
    return parser.parse_args()


def main() -> None:
    """Prints the figures."""
    asked = options(__doc__, flows=200_000, rounds=15)
    agent, router = agent_input(asked.batch, asked.flows), router_input(asked.batch, asked.flows)
    report(agent, Decoding(agent), asked.rounds)
    ours = report(router, Decoding(router), asked.rounds, unpacking(router))
    report_collector(lambda: router_input(asked.batch, NFCAPD_FLOWS), ours)


if __name__ == "__main__":
    main()
