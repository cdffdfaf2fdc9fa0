# SPDX-License-Identifier: Apache-2.0
"""What is known of each exporter: its name, its interfaces' names, its sampling, and which nodes have an agent of ours.

Learned from options data by the decode thread, and looked up for each batch by whichever thread runs the pipeline.
Bounded: whoever reaches the UDP port can invent exporters.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from flowgauge.flow.addresses import V4_MAPPED_PREFIX, AddressColumn, packed, words
from flowgauge.flow.batch import FlowBatch
from flowgauge.pipeline import options
from flowgauge.schema.enums import FLOW_FORMAT, code
from flowgauge.wire.decoded import OptionsData

MAX_EXPORTERS = 10_000
"""Exporters remembered (about 1 kB each); beyond it those heard least recently go, a tenth at a time."""
MAX_INTERFACE_NAMES = 500_000
"""Interface names remembered altogether (about 100 B each); names beyond it are not kept."""
AGENT_SILENT_S = 60.0
"""An agent not heard for so long, or for three of its intervals, is gone: its node's flows are then counted elsewhere."""
RATE_SPAN_S = 10.0
"""Time over which ``flows_per_s`` is levelled."""

_AGENT = code(FLOW_FORMAT, "agent")

Key = tuple[bytes, int]
"""Address (16 bytes) and observation domain."""


@dataclass(slots=True)
class Exporter:
    """One exporter and observation domain.

    Attributes:
        name: of the device or node, as it calls itself; empty when it does not.
        flow_format: code of ``enums.FLOW_FORMAT`` of its latest flows.
        sampling: one of how many packets it observes as it told in options, 0 when it has not.
        record_sampling: the same as its latest flows tell themselves.
        interfaces: ifIndex → name.
        flows: records so far.
        seen_ns: when it was heard last, ns since 1970.
        reported_ns, interval_ns: of an agent: when it reported last, and how long before that the time before.
    """

    addr: bytes
    domain: int
    name: str = ""
    flow_format: int = 0
    sampling: int = 0
    record_sampling: int = 0
    interfaces: dict[int, str] = field(default_factory=dict)
    flows: int = 0
    seen_ns: int = 0
    reported_ns: int = 0
    interval_ns: int = 0
    _rate: float = 0.0
    _rate_at_ns: int = 0

    def count(self, flows: int, now_ns: int) -> None:
        """Notes that ``flows`` came."""
        self._rate = self.flows_per_s(now_ns) + flows / RATE_SPAN_S
        self._rate_at_ns = now_ns
        self.flows += flows
        self.seen_ns = now_ns

    def flows_per_s(self, now_ns: int) -> float:
        """Flows a second, levelled over ``RATE_SPAN_S``."""
        return self._rate * math.exp(-max(0, now_ns - self._rate_at_ns) / (RATE_SPAN_S * 1e9))

    @property
    def sampling_now(self) -> tuple[int, str]:
        """(one of how many packets it observes, 0 when not known; label of ``enums.SAMPLING_SOURCE``)."""
        if self.record_sampling:
            return self.record_sampling, "agent" if self.flow_format == _AGENT else "record"
        return self.sampling, "system" if self.sampling else "unknown"

    def has_agent(self, now_ns: int) -> bool:
        """Whether this is an agent of ours that still reports."""
        silent_ns = max(AGENT_SILENT_S * 1e9, 3 * self.interval_ns)
        return bool(self.reported_ns) and now_ns - self.reported_ns <= silent_ns


@dataclass(frozen=True, slots=True)
class ExporterRows:
    """The exporters of a batch's rows: row i is of ``exporters[codes[i]]``."""

    codes: npt.NDArray[np.int32]
    exporters: list[Exporter]

    def each(self, values: Iterable[int]) -> npt.NDArray[np.int64]:
        """One number an exporter, spread over the rows."""
        return np.fromiter(values, np.int64)[self.codes]


@dataclass(frozen=True, slots=True)
class AgentNodes:
    """Where agents of ours are: names of their nodes, and addresses from which they export."""

    names: frozenset[str]
    addresses: frozenset[bytes]


class ExporterDirectory:
    """All exporters heard. Safe from any thread; what is told of one exporter is read without a lock."""

    def __init__(self) -> None:
        self._exporters: dict[Key, Exporter] = {}
        self._interface_names = 0
        self._now_ns = 0
        self._elsewhere: dict[str, int] = {}
        self._lock = threading.Lock()

    def learn(self, received: Iterable[OptionsData]) -> list[options.AgentReport]:
        """Takes in options data; returns what agents reported of themselves."""
        reports: list[options.AgentReport] = []
        with self._lock:
            for data in received:
                exporter = self._exporter((data.exporter_addr, data.obs_domain_id))
                exporter.seen_ns = data.received_ns
                self._now_ns = max(self._now_ns, data.received_ns)
                for record in data.records:
                    self._learn_record(exporter, record)
                    report = options.agent_report(record)
                    if report is not None:
                        self._heard_agent(exporter, data.received_ns)
                        reports.append(report)
        return reports

    def know_agents(self, nodes: Iterable[str], now_ns: int) -> None:
        """Takes nodes for having an agent although it has not reported here yet, as after a restart of the collector."""
        self._now_ns = max(self._now_ns, now_ns)
        self._elsewhere = {**self._elsewhere, **dict.fromkeys(nodes, now_ns)}

    def count(self, batch: FlowBatch, now_ns: int) -> ExporterRows:
        """The exporters of a decoded batch, whose flows are counted with this."""
        found = self.rows(batch)
        counts = np.bincount(found.codes, minlength=len(found.exporters)).tolist()
        formats, rates = np.zeros(len(found.exporters), np.uint8), np.zeros(len(found.exporters), np.uint32)
        formats[found.codes], rates[found.codes] = batch.array("flow_format"), batch.array("sampling_rate")
        with self._lock:
            self._now_ns = max(self._now_ns, now_ns)
            told = zip(found.exporters, counts, formats.tolist(), rates.tolist(), strict=True)
            for exporter, flows, flow_format, rate in told:
                exporter.count(flows, now_ns)
                exporter.flow_format, exporter.record_sampling = flow_format, rate
        return found

    def rows(self, batch: FlowBatch) -> ExporterRows:
        """The exporters of a batch before ``normalise``."""
        addr, domain = batch.array("exporter_addr"), batch.array("obs_domain_id")
        starts = _run_starts(addr, domain)
        keys = zip(map(bytes, addr[starts]), domain[starts].tolist(), strict=True)
        index: dict[Key, int] = {}
        run_codes = np.fromiter((index.setdefault(key, len(index)) for key in keys), np.int32, len(starts))
        codes = np.repeat(run_codes, np.diff(starts, append=len(batch)))
        with self._lock:
            return ExporterRows(codes, [self._exporter(key) for key in index])

    def agents(self) -> AgentNodes:
        """The nodes whose agents report, as of the latest batch."""
        now_ns = self._now_ns
        heard = [exporter for exporter in self.snapshot() if exporter.has_agent(now_ns)]
        elsewhere = [name for name, at_ns in self._elsewhere.items() if now_ns - at_ns <= AGENT_SILENT_S * 1e9]
        names = frozenset(filter(None, (*(exporter.name for exporter in heard), *elsewhere)))
        addresses = frozenset(exporter.addr for exporter in heard if not _is_loopback(exporter.addr))
        return AgentNodes(names, addresses)

    def snapshot(self) -> list[Exporter]:
        """All exporters; from any thread."""
        with self._lock:
            return list(self._exporters.values())

    def _learn_record(self, exporter: Exporter, record: options.Record) -> None:
        exporter.name = options.domain_name(record) or exporter.name
        exporter.sampling = options.sampling_rate(record) or exporter.sampling
        named = options.interface_name(record)
        if named is None:
            return
        index, name = named
        if index not in exporter.interfaces:
            if self._interface_names >= MAX_INTERFACE_NAMES:
                return
            self._interface_names += 1
        exporter.interfaces[index] = name

    def _heard_agent(self, exporter: Exporter, now_ns: int) -> None:
        if exporter.reported_ns and now_ns > exporter.reported_ns:
            exporter.interval_ns = now_ns - exporter.reported_ns
        exporter.reported_ns = now_ns
        exporter.flow_format = _AGENT

    def _exporter(self, key: Key) -> Exporter:
        exporter = self._exporters.get(key)
        if exporter is None:
            if len(self._exporters) >= MAX_EXPORTERS:
                self._forget()
            exporter = Exporter(*key)
            self._exporters[key] = exporter
        return exporter

    def _forget(self) -> None:
        """Drops the tenth that was heard least recently."""
        oldest = sorted(self._exporters, key=lambda key: self._exporters[key].seen_ns)[: max(1, MAX_EXPORTERS // 10)]
        for key in oldest:
            self._interface_names -= len(self._exporters.pop(key).interfaces)


def _is_loopback(addr: bytes) -> bool:
    return addr == packed("::1") or addr.startswith(V4_MAPPED_PREFIX + b"\x7f")


def _run_starts(addr: AddressColumn, domain: npt.NDArray[np.uint32]) -> npt.NDArray[np.intp]:
    """Where a run of rows of one exporter begins: rows of a datagram lie together, so runs are few."""
    high, low = words(addr).T
    differs = (high[1:] != high[:-1]) | (low[1:] != low[:-1]) | (domain[1:] != domain[:-1])
    return np.concatenate(([0], np.flatnonzero(differs) + 1))[: len(addr)]
