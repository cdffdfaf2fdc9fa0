# SPDX-License-Identifier: Apache-2.0
"""What agents tell in options data that is neither a column of flows nor a counter of the ledger: elements of our own.

Numbers are shared with the columns (``enterprise``) and the ledger's counters, and are never reused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Told:
    """One element: ``data_type`` by its IANA name; a ``counter`` goes up since the machine, or the namespace, began."""

    name: str
    data_type: str
    enterprise: int
    help: str
    unit: str = ""
    counter: bool = False


ANSWERS: tuple[Told, ...] = (
    Told("dns_client", "ipv6Address", 160, "Who asked for a name; IPv4 as v4-mapped."),
    Told("dns_address", "ipv6Address", 161, "An address that the name stands for; IPv4 as v4-mapped."),
    Told("dns_ttl_s", "unsigned32", 162, "For how long, in seconds, the answer holds: the shortest of its chain.", "s"),
)
"""With the column ``dns_name`` and the time (IANA's 323): an answer of DNS."""

DEVICE: tuple[Told, ...] = (
    Told("device_in_dropped_packets", "unsigned64", 233, "Received packets that a device dropped.", "packets", counter=True),
    Told("device_out_dropped_packets", "unsigned64", 234, "Packets to be sent that a device dropped.", "packets", counter=True),
    Told("device_in_error_packets", "unsigned64", 235, "Received packets with errors.", "packets", counter=True),
    Told("device_out_error_packets", "unsigned64", 236, "Packets that a device failed to send.", "packets", counter=True),
)
"""Of one device, by its ifIndex: what the kernel counts."""

DEVICE_BEFORE: tuple[Told, ...] = tuple(
    Told(
        f"{told.name}_before",
        told.data_type,
        250 + number,
        f"The same a minute or two before: {told.help}",
        told.unit,
        counter=True,
    )
    for number, told in enumerate(DEVICE)
)
"""Beside them, in the order of ``DEVICE``: whoever hears of a device for the first time knows what of it is new."""

NODE: tuple[Told, ...] = (
    Told("conntrack_entries", "unsigned64", 237, "Entries of connection tracking.", "entries"),
    Told("conntrack_entries_max", "unsigned64", 238, "How many there may be; new connections beyond are dropped.", "entries"),
    Told("listen_overflows", "unsigned64", 239, "Connections that found a listener's queue full.", counter=True),
    Told("tcp_backlog_overflows", "unsigned64", 240, "Segments that found a socket's backlog full.", "packets", counter=True),
    Told(
        "tcp_receive_overflows",
        "unsigned64",
        241,
        "Segments that found a socket's receive queue full.",
        "packets",
        counter=True,
    ),
    Told(
        "udp_receive_overflows",
        "unsigned64",
        242,
        "Datagrams that found a socket's receive buffer full.",
        "packets",
        counter=True,
    ),
    Told("udp_send_overflows", "unsigned64", 243, "Datagrams that found a socket's send buffer full.", "packets", counter=True),
    Told(
        "cpu_dropped_packets",
        "unsigned64",
        244,
        "Packets of the machine that found a CPU's queue full.",
        "packets",
        counter=True,
    ),
    Told("cpu_squeezed", "unsigned64", 245, "How often a CPU ran out of time with packets left.", counter=True),
)
"""Of the node's network namespace, the last two of the machine: what the kernel counts."""

TOLD: tuple[Told, ...] = ANSWERS + DEVICE + DEVICE_BEFORE + NODE


@dataclass(frozen=True, slots=True)
class Kernel:
    """What the kernel of a node counts beside flows, since it began.

    Attributes:
        node: values of ``NODE``, in that order; empty: not told now.
        devices: ifIndex → values of ``DEVICE``, in that order, of those that are told now.
        before: the same of a minute or two before, or as they were when the agent first read them.
    """

    node: tuple[int, ...] = ()
    devices: Mapping[int, tuple[int, ...]] = field(default_factory=dict)
    before: Mapping[int, tuple[int, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Answer:
    """``client`` was told by DNS that ``name`` is ``address``; both 16 bytes, IPv4 as v4-mapped.

    Attributes:
        learned_ms: when, in ms since 1970.
        ttl_s: for how long it holds.
    """

    client: bytes
    address: bytes
    name: str
    learned_ms: int
    ttl_s: int
