# SPDX-License-Identifier: Apache-2.0
"""The tables that an export interval fills: flows, and the signals that belong to them; all are emptied together.

The keys say in which epoch an entry was made, so that whole epochs are taken out that no program adds to any more. Before:
the eBPF programs; after: :mod:`flowgauge.ebpf.flow_program`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from flowgauge.ebpf import abi
from flowgauge.ebpf.cache import Cache
from flowgauge.ebpf.flow_parts import each_once, whole_flows
from flowgauge.ebpf.libbpf import possible_cpus
from flowgauge.ebpf.map_reader import Entries, MapReader, Room, joined
from flowgauge.ebpf.owners import Owners
from flowgauge.ebpf.questions import Questions
from flowgauge.ebpf.ring import Ring
from flowgauge.runtime import logs

_FLOWS = (abi.FLOW_KEY, abi.FLOW_VALUE)
_OWNERS = (abi.FLOW_KEY, abi.OWNER)
_SIGNALS: dict[str, tuple[np.dtype[Any], np.dtype[Any]]] = {
    "sockets": (abi.FLOW_KEY, abi.SOCKET_VALUE),
    "drops": (abi.DROP_KEY, abi.DROP_VALUE),
    "answers": (abi.ANSWER_KEY, abi.ANSWER_VALUE),
    "server_times": (abi.FLOW_KEY, abi.SERVER_TIME),
    "icmp_errors": (abi.ICMP_ERROR_KEY, abi.ICMP_ERROR_VALUE),
    "tunnels": (abi.FLOW_KEY, abi.TUNNEL),
    "macs": (abi.FLOW_KEY, abi.MACS),
}
"""Map → types of its keys and values."""
_RINGS: tuple[tuple[str, np.dtype[Any]], ...] = (
    ("socket_events", abi.SOCKET_EVENT),
    ("hellos", abi.HELLO_CHUNK),
    ("answer_pieces", abi.ANSWER_PIECE),
)
"""Ring buffers and the types of their records."""

_MANY = 32_768
"""From so many flows in a table on the kernel is asked for them by two threads: that takes 15 ms by one."""

_log = logs.get("ebpf")


@dataclass(frozen=True, slots=True)
class Evicted(Entries):
    """Flows, and the signals of the same epoch.

    Attributes:
        sockets: ``abi.FLOW_KEY``, ``abi.SOCKET_VALUE``: what TCP sockets know of the flows that they send.
        drops: ``abi.DROP_KEY``, ``abi.DROP_VALUE``.
        answers: ``abi.ANSWER_KEY``, ``abi.ANSWER_VALUE``: answers of DNS by the flow of the question, and questions without.
        server_times: ``abi.FLOW_KEY``, ``abi.SERVER_TIME``: how long servers took, by the flow that asks.
        icmp_errors: ``abi.ICMP_ERROR_KEY``, ``abi.ICMP_ERROR_VALUE``: by the flow that they are about.
        tunnels: ``abi.FLOW_KEY``, ``abi.TUNNEL``: in what flows came, by the flow as it was within.
        macs: ``abi.FLOW_KEY``, ``abi.MACS``: of the frame with which each flow began.
        owners: ``abi.FLOW_KEY`` of what a socket sends, ``abi.OWNER``: who uses it; of equal keys the last one counts.
        events: ``abi.SOCKET_EVENT``: what happened to sockets since the last time.
        hellos: ``abi.HELLO_CHUNK``: hello messages of TLS and QUIC since the last time, in pieces.
        answer_pieces: ``abi.ANSWER_PIECE``: answers of DNS since the last time, in pieces.
    """

    sockets: Entries
    drops: Entries
    answers: Entries
    server_times: Entries
    icmp_errors: Entries
    tunnels: Entries
    macs: Entries
    owners: Entries
    events: abi.Structured
    hellos: abi.Structured
    answer_pieces: abi.Structured

    @classmethod
    def nothing(cls) -> Evicted:
        """No flows, no signals."""
        flows = empty(*_FLOWS)
        signals = {name: empty(*types) for name, types in _SIGNALS.items()}
        events, hellos, pieces = (np.empty(0, kind) for _, kind in _RINGS)
        return cls(
            flows.keys, flows.values, **signals, owners=empty(*_OWNERS), events=events, hellos=hellos, answer_pieces=pieces
        )


def empty(key: np.dtype[Any], value: np.dtype[Any]) -> Entries:
    """No entries of these types."""
    return Entries(np.empty(0, key), np.empty(0, value))


class FlowTables:
    """The two maps of flows that epochs fill in turn, of ``size`` entries, by their descriptors: that of even epochs first."""

    def __init__(self, even: int, odd: int, size: int) -> None:
        self._readers = [MapReader(fd, *_FLOWS) for fd in (even, odd)]
        self._middle = (1 << (size - 1).bit_length()) // 2  # the kernel makes as many buckets as entries, a power of two
        self._expected = 0

    def take(self, present: int) -> Entries:
        """Takes out the flows of the epoch before the ``present`` one, each once; their epochs read 0 then.

        What the kernel does not let go of stays for the time after the next, everything when it raises OSError.
        """
        many = self._expected >= _MANY and len(os.sched_getaffinity(0)) > 1
        flows = self._readers[(present + 1) % 2].take(self._expected, self._middle if many else 0)
        self._expected = len(flows)
        epochs = flows.keys["epoch"]
        several = bool((epochs[1:] != epochs[:-1]).any())
        epochs[:] = 0
        return each_once(flows) if several else flows


class EpochTable:
    """One map whose keys are, or begin with, ``abi.FLOW_KEY``; entries that the kernel keeps are there the next time."""

    def __init__(self, fd: int, key: np.dtype[Any], value: np.dtype[Any]) -> None:
        self._reader = MapReader(fd, key, value)
        self._nested = "flow" in (key.names or ())

    def take(self, present: int) -> Entries:
        """Takes out all entries but those of the ``present`` epoch; their epochs read 0 then.

        What the kernel does not let go of stays for the next time, everything when it raises OSError.
        """
        entries = self._reader.read()
        entries = entries.take(self._epochs(entries) != present)
        removed = self._reader.remove(entries.keys)
        self._epochs(entries)[:] = 0
        return Entries(entries.keys[:removed], entries.values[:removed])

    def _epochs(self, entries: Entries) -> abi.Structured:
        return (entries.keys["flow"] if self._nested else entries.keys)["epoch"]


class Tables:
    """All tables of one loaded object.

    Args:
        map_fd: gives a map's descriptor by its name.
        sizes: entries of maps, by name.
    """

    def __init__(self, map_fd: Callable[[str], int], sizes: Mapping[str, int]) -> None:
        self._flows = FlowTables(map_fd("flows_even"), map_fd("flows_odd"), sizes["flows_even"])
        self._cache = Cache(map_fd("cache"), sizes["cache"], min(possible_cpus(), sizes["cache"]))
        self._expected = 0
        self._owners = Owners(map_fd("owners"))
        self._questions = Questions(map_fd("questions"), map_fd("asked_names"))
        self._rings = [Ring(map_fd(name), sizes[name], kind) for name, kind in _RINGS]
        self._signals = {name: EpochTable(map_fd(name), *types) for name, types in _SIGNALS.items()}

    def take(self, present: int) -> Evicted:
        """Takes out what was counted before the ``present`` epoch; OSError when the flows cannot be read, which stay then."""
        signals = {name: self._signals_of(name, present) for name in self._signals}
        signals["answers"] = joined(signals["answers"], self._unanswered())
        flows = self._flows_of(present)
        owners = self._of_owners()
        events, hellos, pieces = (ring.take() for ring in self._rings)
        return Evicted(flows.keys, flows.values, **signals, owners=owners, events=events, hellos=hellos, answer_pieces=pieces)

    def _flows_of(self, present: int) -> Entries:
        # The table first: when it cannot be read, its flows and what the slots have of them stay together.
        table, flows = self._flows.take(present), Room(*_FLOWS, self._expected)
        self._cache.take(present, flows)
        self._expected = flows.used
        return whole_flows(table, flows)

    def _of_owners(self) -> Entries:
        try:
            return self._owners.take()
        except OSError as error:
            _log.error("owners_not_read", error=str(error))
            return empty(*_OWNERS)

    def _unanswered(self) -> Entries:
        try:
            return self._questions.take_unanswered()
        except OSError as error:
            _log.error("questions_not_read", error=str(error))
            return empty(*_SIGNALS["answers"])

    def _signals_of(self, name: str, present: int) -> Entries:
        try:
            return self._signals[name].take(present)
        except OSError as error:
            _log.error("signals_not_read", table=name, error=str(error))
            return empty(*_SIGNALS[name])
