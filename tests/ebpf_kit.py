# SPDX-License-Identifier: Apache-2.0
"""For tests and benchmarks: the flow program in the kernel, packets through PROG_TEST_RUN, and its maps as plain values."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from flowgauge.ebpf import bpf_syscall
from flowgauge.ebpf.abi import OBSERVED_EGRESS
from flowgauge.ebpf.flow_program import FlowProgram
from flowgauge.ebpf.map_reader import Entries
from flowgauge.ebpf.program_options import ProgramOptions
from flowgauge.flow import addresses

LO = 1
"""ifIndex of the device that a test run's packet is seen on unless told otherwise."""

_PCAP_HEADER, _PCAP_RECORD = 24, struct.Struct("=IIII")
_IFINDEX_AT, _GSO_SEGS_AT, _GSO_SIZE_AT, _CONTEXT_BYTES = 40, 164, 176, 192
"""Offsets in ``struct __sk_buff`` of linux/bpf.h."""


@contextmanager
def loaded(**options: Any) -> Iterator[FlowProgram]:
    """The flow program with ``ProgramOptions(**options)``."""
    program = FlowProgram(ProgramOptions(**options))
    program.load()
    try:
        yield program
    finally:
        program.close()


def frames(pcap: Path) -> list[bytes]:
    """The frames of a capture file of this machine's byte order."""
    data, at, found = pcap.read_bytes(), _PCAP_HEADER, []
    while at < len(data):
        length = _PCAP_RECORD.unpack_from(data, at)[2]
        at += _PCAP_RECORD.size + length
        found.append(data[at - length : at])
    return found


def context(*, gso_size: int = 0, gso_segments: int = 0, ifindex: int = LO) -> bytes:
    """The ``struct __sk_buff`` of a test run."""
    buffer = bytearray(_CONTEXT_BYTES)
    for at, value in ((_IFINDEX_AT, ifindex), (_GSO_SEGS_AT, gso_segments), (_GSO_SIZE_AT, gso_size)):
        struct.pack_into("=I", buffer, at, value)
    return bytes(buffer)


def show(program: FlowProgram, frame: bytes, *, egress: bool = False, ctx: bytes = b"") -> None:
    """Lets one hook see one packet; it must pass it on."""
    run = bpf_syscall.test_run(program.fd("flow_egress" if egress else "flow_ingress"), frame, ctx or context(), 1)
    assert run.result == -1, "the hook must leave the packet to whoever is next"


def flows(entries: Entries) -> list[dict[str, Any]]:
    """The flow table as plain values without times, in a stable order."""
    rows = [_flow(key, value) for key, value in zip(entries.keys, entries.values, strict=True)]
    return sorted(rows, key=lambda row: tuple(str(row[name]) for name in row))


def _flow(key: Any, value: Any) -> dict[str, Any]:
    row = {
        "src_addr": addresses.to_text(key["src_addr"].tobytes()),
        "dst_addr": addresses.to_text(key["dst_addr"].tobytes()),
        **{name: int(key[name]) for name in ("src_port", "dst_port", "proto", "icmp_type", "icmp_code")},
        **{name: int(value[name]) for name in ("packets", "bytes", "tcp_flags", "vlan_id", "ip_tos")},
    }
    return row | {"observed": [_point(point) for point in value["observed"].tolist() if point]}


def _point(point: int) -> str:
    return f"{point & ~OBSERVED_EGRESS} {'out' if point & OBSERVED_EGRESS else 'in'}"


def touched(counters: dict[str, int]) -> dict[str, int]:
    """The kernel's counters that are not 0, without the part of their names that all have."""
    return {name.removeprefix("kernel_packets_"): value for name, value in counters.items() if value}
