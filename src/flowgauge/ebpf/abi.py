# SPDX-License-Identifier: Apache-2.0
"""What the kernel programs and user space share, as numpy types: the same as ``programs/abi.h``, to the byte.

A unit test compares both through the object's BTF. Ports are in host byte order, addresses in network order; times are
kernel ticks of 1 to 10 ms (:mod:`flowgauge.ebpf.ticks`). Before: the eBPF maps; after: the agent's flow source.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from flowgauge.ebpf import abi_settings
from flowgauge.ebpf.abi_settings import CACHE_WAYS

Structured = npt.NDArray[np.void]

OBSERVED_EGRESS = 0x8000_0000
"""Set in an observation point when packets were leaving by the device; the other bits are its ifindex."""

FEATURE_NAT = 1
"""Result bit of ``probe_features``: this kernel shows a packet's connection tracking entry."""

DROP_AT_NODE, DROP_SENT, DROP_RECEIVED = range(3)
"""Where a packet was dropped: in the node's own network namespace; in another, on its way out or in."""

FLOW_KEY: np.dtype[Any] = np.dtype(
    [
        ("src_addr", np.uint8, 16),
        ("dst_addr", np.uint8, 16),
        ("src_port", np.uint16),
        ("dst_port", np.uint16),
        ("proto", np.uint8),
        ("icmp_type", np.uint8),
        ("icmp_code", np.uint8),
        ("epoch", np.uint8),
    ]
)
CACHE_START: np.dtype[Any] = np.dtype(
    [
        ("first_tick", np.uint64),
        ("observed", np.uint32, 4),
        ("vlan_id", np.uint16),
        ("ip_tos", np.uint8),
        ("rule", np.uint8),
        ("handshake_us", np.uint32),
    ]
)
FLOW_VALUE: np.dtype[Any] = np.dtype(
    [
        ("packets", np.uint64),
        ("bytes", np.uint64),
        ("last_tick", np.uint64),
        ("tcp_flags", np.uint32),
        ("reserved", np.uint32),
        *CACHE_START.descr,
    ]
)
CACHE_SLOT: np.dtype[Any] = np.dtype(
    [
        ("key", FLOW_KEY),
        ("bytes", np.uint64),
        ("last_tick", np.uint64),
        ("packets", np.uint32),
        ("tcp_flags", np.uint32),
    ]
)
CACHE_SET: np.dtype[Any] = np.dtype([("slots", CACHE_SLOT, CACHE_WAYS), ("starts", CACHE_START, CACHE_WAYS)])
TRANSLATION: np.dtype[Any] = np.dtype(
    [
        ("src_addr", np.uint8, 16),
        ("dst_addr", np.uint8, 16),
        ("src_port", np.uint16),
        ("dst_port", np.uint16),
    ]
)
CLOCK_READING: np.dtype[Any] = np.dtype([("tick", np.uint64), ("monotonic_ns", np.uint64)])
KERNEL_COUNTERS: np.dtype[Any] = np.dtype(
    [
        (name, np.uint64)
        for name in (
            "seen",
            "in_flows",
            "seen_before",
            "sampled_out",
            "filtered",
            "not_ip",
            "parse_error",
            "table_full",
        )
    ]
)
NOT_IP_VALUE: np.dtype[Any] = np.dtype([("packets", np.uint64), ("bytes", np.uint64)])
ADDRESS: np.dtype[Any] = np.dtype([("bytes", np.uint8, 16)])
SOCKET_VALUE: np.dtype[Any] = np.dtype(
    [
        ("rtt_sum_us", np.uint64),
        ("last_tick", np.uint64),
        ("rtt_count", np.uint32),
        ("rtt_min_us", np.uint32),
        ("rtt_max_us", np.uint32),
        ("retransmits", np.uint32),
        ("rtt_histogram", np.uint32, 24),
        ("state", np.uint32),
        ("reserved", np.uint32),
    ]
)
DROP_KEY: np.dtype[Any] = np.dtype(
    [("flow", FLOW_KEY), ("reason", np.uint32), ("tcp_state", np.uint8), ("place", np.uint8), ("reserved", np.uint16)]
)
DROP_VALUE: np.dtype[Any] = np.dtype([(name, np.uint64) for name in ("packets", "bytes", "first_tick", "last_tick")])
QUESTION_DNS, QUESTION_TALKS = 0, 2
"""Kinds: a question of DNS; when a server last sent data to an asker over TCP."""
QUESTION_KEY: np.dtype[Any] = np.dtype(
    [("asker", np.uint8, 16), ("id", np.uint32), ("port", np.uint16), ("proto", np.uint8), ("kind", np.uint8)]
)
QUESTION_VALUE: np.dtype[Any] = np.dtype([("at_ns", np.uint64), ("flow", FLOW_KEY)])
ANSWER_KEY: np.dtype[Any] = np.dtype([("flow", FLOW_KEY), ("id", np.uint32), ("reserved", np.uint32)])
ANSWER_VALUE: np.dtype[Any] = np.dtype(
    [
        ("latency_ns", np.uint64),
        ("tick", np.uint64),
        ("flags", np.uint16),
        ("length", np.uint16),
        ("reserved", np.uint32),
        ("question", np.uint8, 264),
    ]
)
ANSWER_PIECE: np.dtype[Any] = np.dtype(
    [
        ("flow", FLOW_KEY),
        ("at_ns", np.uint64),
        ("at", np.uint16),
        ("length", np.uint16),
        ("reserved", np.uint32),
        ("data", np.uint8, 512),
    ]
)
TURN: np.dtype[Any] = np.dtype([("to_server", FLOW_KEY), ("asked_ns", np.uint64), ("reserved", np.uint64, 2)])
SERVER_TIME: np.dtype[Any] = np.dtype(
    [
        *((name, np.uint64) for name in ("sum_ns", "min_ns", "max_ns", "last_tick")),
        ("count", np.uint32),
        ("reserved", np.uint32),
    ]
)
OWNER: np.dtype[Any] = np.dtype(
    [
        ("cgroup", np.uint64),
        ("pid", np.uint32),
        ("uid", np.uint32),
        ("process", np.uint8, 16),
        ("ended", np.uint32),
        ("reserved", np.uint32),
    ]
)
SOCKET_OWNER: np.dtype[Any] = np.dtype(
    [("owner", OWNER), ("began_ns", np.uint64), ("initiator", np.uint32), ("reserved", np.uint32)]
)
DATAGRAM_SOCKET: np.dtype[Any] = np.dtype([("waits", FLOW_KEY), ("owner", OWNER)])
SOCKET_EVENT: np.dtype[Any] = np.dtype(
    [
        ("key", FLOW_KEY),
        ("owner", OWNER),
        ("at_ns", np.uint64),
        ("began_ns", np.uint64),
        ("rtt_us", np.uint32),
        ("retransmits", np.uint32),
        ("kind", np.uint8),
        ("state", np.uint8),
        ("initiator", np.uint8),
        ("reserved", np.uint8),
        ("netns", np.uint32),
    ]
)
HELLO_BEGINS, HELLO_GOES_ON, HELLO_QUIC = range(3)
"""What a piece of a hello is: the first of a TLS hello; a later one of a hello or datagram; the first of a QUIC datagram."""
HELLO_CHUNK: np.dtype[Any] = np.dtype(
    [
        ("flow", FLOW_KEY),
        ("seq", np.uint32),
        ("length", np.uint16),
        ("kind", np.uint8),
        ("datagram", np.uint8),
        ("data", np.uint8, 512),
    ]
)
ICMP_ERROR_KEY: np.dtype[Any] = np.dtype(
    [("flow", FLOW_KEY), ("type", np.uint8), ("code", np.uint8), ("v6", np.uint8), ("reserved", np.uint8)]
)
ICMP_ERROR_VALUE: np.dtype[Any] = np.dtype([(name, np.uint64) for name in ("packets", "first_tick", "last_tick")])
SIGNAL_COUNTERS: np.dtype[Any] = np.dtype(
    [
        (name, np.uint64)
        for name in (
            "sockets_full",
            "drops_full",
            "answers_full",
            "replies_full",
            "events_full",
            "hellos_full",
            "icmp_errors_full",
            "tunnels_full",
            "answer_pieces_full",
            "notes_full",
            "answers_not_asked",
            "macs_full",
        )
    ]
)
TUNNEL: np.dtype[Any] = np.dtype(
    [
        ("src_addr", np.uint8, 16),
        ("dst_addr", np.uint8, 16),
        ("id", np.uint32),
        ("kind", np.uint8),
        ("reserved", np.uint8, 3),
    ]
)
MACS: np.dtype[Any] = np.dtype([("dst", np.uint8, 6), ("src", np.uint8, 6)])
STRUCTS: dict[str, np.dtype[Any]] = {
    "flow_key": FLOW_KEY,
    "flow_value": FLOW_VALUE,
    "cache_slot": CACHE_SLOT,
    "cache_start": CACHE_START,
    "cache_set": CACHE_SET,
    "translation": TRANSLATION,
    "clock_reading": CLOCK_READING,
    "kernel_counters": KERNEL_COUNTERS,
    "not_ip_value": NOT_IP_VALUE,
    "settings": np.dtype(abi_settings.Settings),
    "stamp": np.dtype(abi_settings.Stamp),
    "address": ADDRESS,
    "rule": np.dtype(abi_settings.Rule),
    "socket_value": SOCKET_VALUE,
    "drop_key": DROP_KEY,
    "drop_value": DROP_VALUE,
    "question_key": QUESTION_KEY,
    "question_value": QUESTION_VALUE,
    "answer_key": ANSWER_KEY,
    "answer_value": ANSWER_VALUE,
    "answer_piece": ANSWER_PIECE,
    "signal_counters": SIGNAL_COUNTERS,
    "turn": TURN,
    "server_time": SERVER_TIME,
    "owner": OWNER,
    "socket_owner": SOCKET_OWNER,
    "datagram_socket": DATAGRAM_SOCKET,
    "socket_event": SOCKET_EVENT,
    "hello_chunk": HELLO_CHUNK,
    "icmp_error_key": ICMP_ERROR_KEY,
    "icmp_error_value": ICMP_ERROR_VALUE,
    "tunnel": TUNNEL,
    "macs": MACS,
}
"""By the name of the C structure."""


def offset(structure: np.dtype[Any], member: str) -> int:
    """Where a member begins, in bytes."""
    assert structure.fields is not None  # noqa: S101 - all of STRUCTS have members
    return structure.fields[member][1]
