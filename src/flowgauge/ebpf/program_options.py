# SPDX-License-Identifier: Apache-2.0
"""What is fixed when the eBPF programs are loaded: branches of the code, sizes of the maps."""

from __future__ import annotations

import mmap
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from flowgauge.ebpf import abi_settings as abi
from flowgauge.ebpf import stamps
from flowgauge.ebpf.libbpf import possible_cpus
from flowgauge.ebpf.rules import Rule, in_kernel, sample_below

MAX_SIGNAL_ENTRIES = 65_536
"""Sockets with signals, and flows with drops, kept within one export interval: 10 MB and 8 MB of kernel memory."""
_STORES_IN_ORDER = ("x86_64", "i686", "s390x")
"""Machines on which other processors see stores in the order in which a program makes them."""
MAX_CHOSEN = 262_144
"""Addresses of pods and Services that are chosen or left out: about 90 B of kernel memory each, taken as they are needed."""
MAX_QUESTIONS = 16_384
"""Questions (of DNS, and connections being opened) that wait for their answer, and answers within one export interval."""
EVENT_BYTES = 4 << 20
"""Room for what happens to sockets within an export interval: 28,000 events."""
HELLO_ROOM = 4 << 20
"""Bytes for the pieces of hello messages within an export interval: some 7,000, of which a connection has two to five."""
ANSWER_ROOM = 2 << 20
"""Bytes for the answers of DNS within an export interval: 3,500 of up to 512 bytes, which nearly all are."""
MAX_ICMP_ERRORS = 16_384
"""Flows with errors of ICMP within one export interval."""
MAX_UNFINISHED_HELLOS = 4096
"""Connections whose hello is being sent in several packets."""
TURNS = 32_768
"""Places of TCP connections whose replies are timed, a power of two: 2 MiB of kernel memory."""


@dataclass(frozen=True, slots=True)
class ProgramOptions:
    """What is fixed when the program is loaded.

    Attributes:
        max_flows: entries of each of the two flow tables, one of which an export interval fills.
        sampling: one of this many packets, or flows, is taken.
        sampling_mode: whether chance decides by packet, or by flow (the same for both directions and on every node).
        nat: whether to look for this node's address translation.
        rtt: whether to follow TCP sockets (round-trip times, segments sent again, ends of connections) and handshakes.
        drops: whether to follow the packets that the kernel drops.
        dns: whether to follow DNS questions and answers.
        dns_ports: of DNS servers, at most eight.
        server_time: whether to time servers' replies.
        process: whether to tell which process uses a socket of TCP or UDP.
        sockets: whether to tell what happens to TCP sockets.
        tls: whether to copy the hello messages of TLS and QUIC.
        icmp_errors: whether to follow the errors that ICMP reports.
        tunnels: whether of a packet in a tunnel the one within counts, the tunnel being kept beside its flow.
        macs: whether to keep the Ethernet addresses of each flow's first packet.
        netns: a file of the network namespace that the node's devices are in.
        shares_kernel: whether other nodes are on this machine, too; else every network namespace is of this node.
        cache_sets: sets of two flows that each CPU counts without a lock, a power of two; 0 does without; None: together as
            many flows as a table has, 96 B each.
        choice: ``CHOICE_INCLUDE``, ``CHOICE_EXCLUDE`` or both: what the chosen addresses may say; 0 counts all pods.
        rules: at most ``MAX_RULES``; the first that matches a packet decides.
        salt: of this node's stamps on packets; those of nodes that share a kernel should differ.
        tcx: False hooks by clsact filters only, as on kernels before 6.6.
        btf: a file with the kernel's types to go by; None: the kernel's own.
    """

    max_flows: int = 262_144
    sampling: int = 1
    sampling_mode: Literal["packet", "flow"] = "packet"
    nat: bool = True
    rtt: bool = False
    drops: bool = False
    dns: bool = False
    dns_ports: tuple[int, ...] = (53,)
    server_time: bool = False
    process: bool = False
    sockets: bool = False
    tls: bool = False
    icmp_errors: bool = False
    tunnels: bool = False
    macs: bool = False
    netns: Path = Path("/proc/thread-self/ns/net")
    shares_kernel: bool = False
    cache_sets: int | None = None
    choice: int = 0
    rules: tuple[Rule, ...] = ()
    salt: int = 1
    tcx: bool = True
    btf: Path | None = None

    def constants(self) -> dict[str, bytes]:
        """What the program's constants are, and its stamp is at first, by section."""
        stamp = bytes(stamps.first(self.salt))
        return {".rodata.settings": self._settings(), ".rodata.rules": in_kernel(self.rules), ".data.stamp": stamp}

    def rates(self) -> list[int]:
        """One of how many packets was taken, by what flows have as ``rule``."""
        return [self.sampling, *(rule.sampling for rule in self.rules)]

    def _settings(self) -> bytes:
        """``abi.Settings`` for these options."""
        return bytes(
            abi.Settings(
                sample_below=sample_below(self.sampling),
                sample_flows=self.sampling_mode == "flow",
                nat=self.nat,
                rtt=self.rtt,
                dns=self.dns,
                netns=_inode(self.netns),
                cache_sets=self.sets_per_cpu(),
                dns_ports=abi.Ports(*self.dns_ports),
                turns=TURNS if self.server_time else 0,
                choice=self.choice,
                rules=len(self.rules),
                hellos=self.tls,
                icmp_errors=self.icmp_errors,
                tunnels=self.tunnels,
                owners=self.process,
                macs=self.macs,
                stores_reorder=platform.machine() not in _STORES_IN_ORDER,
                shares_kernel=self.shares_kernel,
            )
        )

    def sets_per_cpu(self) -> int:
        """Of the cache; 0 when there is none."""
        if self.cache_sets is not None:
            return self.cache_sets
        share = self.max_flows // (abi.CACHE_WAYS * possible_cpus())
        return 1 << max(share.bit_length() - 1, 0)

    def signals(self) -> list[str]:
        """The signals with hooks of their own that are switched on."""
        wanted = {"rtt": self.rtt, "drops": self.drops, "process": self.process or self.sockets, "sockets": self.sockets}
        return [name for name, on in wanted.items() if on]

    def map_sizes(self) -> dict[str, int]:
        """Entries of the maps; one where a map is not used, which costs nothing."""
        of_sockets = min(self.max_flows, MAX_SIGNAL_ENTRIES)
        return {
            "flows_even": self.max_flows,
            "flows_odd": self.max_flows,
            "sockets": of_sockets if self.rtt else 1,
            "drops": of_sockets if self.drops else 1,
            "questions": MAX_QUESTIONS if self.rtt or self.dns else 1,
            "cache": max(self.sets_per_cpu() * possible_cpus(), 1),
            "answers": MAX_QUESTIONS if self.dns else 1,
            "asked_names": MAX_QUESTIONS if self.dns else 1,
            "turns": TURNS if self.server_time else 1,
            "owners": MAX_SIGNAL_ENTRIES if self.process or self.sockets else 1,
            "socket_events": EVENT_BYTES if self.sockets else mmap.PAGESIZE,
            "icmp_errors": MAX_ICMP_ERRORS if self.icmp_errors else 1,
            "hellos": HELLO_ROOM if self.tls else mmap.PAGESIZE,
            "answer_pieces": ANSWER_ROOM if self.dns else mmap.PAGESIZE,
            "unfinished_hellos": MAX_UNFINISHED_HELLOS if self.tls else 1,
            "server_times": of_sockets if self.server_time else 1,
            "tunnels": self.max_flows if self.tunnels else 1,
            "macs": self.max_flows if self.macs else 1,
            "chosen": MAX_CHOSEN if self.choice else 1,
        }


def _inode(netns: Path) -> int:
    try:
        return netns.stat().st_ino
    except OSError:
        return 0  # there is no such namespace: whoever enters it will say so
