# SPDX-License-Identifier: Apache-2.0
"""What is known of each exporter: its name, its interfaces' names, its sampling, and which nodes have an agent of ours.

Learned from options data by the decode thread, and looked up for each batch by whichever thread runs the pipeline.
Bounded: whoever reaches the UDP port can invent exporters.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import cast

import numpy as np
import numpy.typing as npt

from flowgauge.flow.addresses import V4_MAPPED_PREFIX, AddressColumn, packed, words
from flowgauge.flow.batch import FlowBatch
from flowgauge.pipeline import exporters_state, options
from flowgauge.pipeline.exporter import AGENT_SILENT_S, Exporter, Named, moved
from flowgauge.schema.enums import FLOW_FORMAT, SAMPLING_SOURCE, code
from flowgauge.schema.told import Answer
from flowgauge.wire.decoded import OptionsData

MAX_EXPORTERS = 10_000
"""Exporters remembered (about 1 kB each); beyond it those heard least recently go, a tenth at a time."""
MAX_NAMES = 500_000
"""Names of interfaces, VRFs and applications remembered altogether (about 100 B each); names beyond it are not kept."""


_AGENT = code(FLOW_FORMAT, "agent")
_BY_AGENT, _BY_RECORD = code(SAMPLING_SOURCE, "agent"), code(SAMPLING_SOURCE, "record")

Key = tuple[bytes, int]
"""Address (16 bytes) and observation domain."""
_LOOPBACK_V6, _LOOPBACK_V4 = packed("::1"), V4_MAPPED_PREFIX + b"\x7f"
_KEY = np.dtype([("addr", "V16"), ("domain", np.uint32)])


@dataclass(frozen=True, slots=True)
class Heard:
    """Flows of one exporter that another process counted: how many, when the latest came, and the latest's format and rate."""

    addr: bytes
    domain: int
    flows: int
    seen_ns: int
    flow_format: int
    flow_sampling: int
    flow_sampling_source: int


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
    """Where agents of ours are: names of their nodes, addresses from which they export; the slowest one's ``patience_ns``."""

    names: frozenset[str]
    addresses: frozenset[bytes]
    patience_ns: int


LearnAnswers = Callable[[str, Sequence[Answer]], None]
"""Takes what DNS told clients on a node, whose name comes first."""
LearnKernel = Callable[[str, Mapping[str, int], Mapping[str, int]], None]
"""Takes what the kernel of a node counts, likewise, and what some of its counters were shortly before."""


class ExporterDirectory:
    """All exporters heard. Safe from any thread; what is told of one exporter is read without a lock.

    Args:
        learn_answers: who wants to know which names stand for which addresses; None: nobody.
        learn_kernel: who wants to know what nodes' kernels count; None: nobody.
    """

    def __init__(self, learn_answers: LearnAnswers | None = None, learn_kernel: LearnKernel | None = None) -> None:
        self._learn_answers, self._learn_kernel = learn_answers, learn_kernel
        self._exporters: dict[Key, Exporter] = {}
        self._names = 0
        self._now_ns = 0
        self._elsewhere: dict[str, int] = {}
        self.changes = 0
        """Goes up with everything that ``save`` would keep."""
        self._lock = threading.Lock()

    def learn(self, received: Iterable[OptionsData]) -> list[options.AgentReport]:
        """Takes in options data; returns what agents reported of themselves."""
        reports: list[options.AgentReport] = []
        with self._lock:
            for data in map(options.telling, received):
                exporter = self._exporter((data.exporter_addr, data.obs_domain_id))
                exporter.seen_ns = data.received_ns
                self._now_ns = max(self._now_ns, data.received_ns)
                for addr in data.also_addr:
                    self._exporter((addr, data.obs_domain_id)).told_by = exporter
                if data.records and "dns_address" in data.records[0]:
                    self._pass_on_answers(exporter.name, data.records, data.lag_ns // 1_000_000)
                    continue
                for record in data.records:
                    self._learn_record(exporter, record)
                    self._pass_on_kernel(exporter, record)
                    report = options.agent_report(record)
                    if report is not None:
                        self._heard_agent(exporter, data.received_ns)
                        reports.append(report)
        return reports

    def know_agents(self, nodes: Iterable[str], now_ns: int) -> None:
        """Takes nodes for having an agent although it has not reported here yet, as after a restart of the collector."""
        with self._lock:
            self._now_ns = max(self._now_ns, now_ns)
            known = {name: at_ns for name, at_ns in self._elsewhere.items() if _is_recent(at_ns, self._now_ns)}
            self._elsewhere = known | dict.fromkeys(nodes, now_ns)

    def count(self, batch: FlowBatch, now_ns: int) -> ExporterRows:
        """The exporters of a decoded batch, whose flows are counted with this."""
        found = self.rows(batch)
        counts = np.bincount(found.codes, minlength=len(found.exporters)).tolist()
        formats, rates, sources = (np.zeros(len(found.exporters), kind) for kind in (np.uint8, np.uint32, np.uint8))
        formats[found.codes], rates[found.codes] = batch.array("flow_format"), batch.array("sampling_rate")
        sources[found.codes] = batch.array("sampling_source") if "sampling_source" in batch else _told_by_flows(batch)
        with self._lock:
            self._now_ns = max(self._now_ns, now_ns)
            told = zip(found.exporters, counts, formats.tolist(), rates.tolist(), sources.tolist(), strict=True)
            for exporter, flows, flow_format, rate, source in told:
                exporter.count(flows, now_ns)
                exporter.flow_format, exporter.flow_sampling, exporter.flow_sampling_source = flow_format, rate, source
        return found

    def clock_was_set(self, now_ns: int, by_ns: int) -> None:
        """Our clock, now at ``now_ns``, was set forward by ``by_ns``, or back: who was heard just before still was."""
        with self._lock:
            for exporter in self._exporters.values():
                exporter.clock_was_set(now_ns, by_ns)
            self._elsewhere = {name: moved(at_ns, now_ns, by_ns) for name, at_ns in self._elsewhere.items()}
            self._now_ns = now_ns

    def count_elsewhere(self, heard: Iterable[Heard]) -> None:
        """Takes over what another process has counted."""
        with self._lock:
            for one in heard:
                exporter = self._exporter((one.addr, one.domain))
                exporter.count(one.flows, one.seen_ns)
                exporter.flow_format = one.flow_format
                exporter.flow_sampling, exporter.flow_sampling_source = one.flow_sampling, one.flow_sampling_source
                self._now_ns = max(self._now_ns, one.seen_ns)

    def rows(self, batch: FlowBatch) -> ExporterRows:
        """The exporters of a batch before ``normalise``."""
        addr, domain = batch.array("exporter_addr"), batch.array("obs_domain_id")
        starts = _run_starts(addr, domain)
        index: dict[Key, int] = {}
        run_codes = np.fromiter(
            (index.setdefault(key, len(index)) for key in _keys(addr[starts], domain[starts])), np.int32, len(starts)
        )
        codes = np.repeat(run_codes, np.diff(starts, append=len(batch)))
        with self._lock:
            exporters = [self._exporter(key) for key in index]
            if "socket_addr" in batch:
                sockets = batch.array("socket_addr")[starts]
                for row in np.flatnonzero(sockets.any(axis=1)).tolist():
                    self._tell_by(exporters[run_codes[row]], bytes(sockets[row]))
            return ExporterRows(codes, exporters)

    def agents(self) -> AgentNodes:
        """The nodes whose agents report, as of the latest batch."""
        now_ns = self._now_ns
        heard = [exporter for exporter in self.snapshot() if exporter.has_agent(now_ns)]
        elsewhere = [name for name, at_ns in self._elsewhere.items() if _is_recent(at_ns, now_ns)]
        names = frozenset(filter(None, (*(exporter.name for exporter in heard), *elsewhere)))
        addresses = frozenset(exporter.addr for exporter in heard if not _is_loopback(exporter.addr))
        patience_ns = max((exporter.patience_ns for exporter in heard), default=int(AGENT_SILENT_S * 1e9))
        return AgentNodes(names, addresses, patience_ns)

    def snapshot(self) -> list[Exporter]:
        """All exporters; from any thread."""
        with self._lock:
            return list(self._exporters.values())

    def save(self) -> bytes:
        """Names and sampling, for ``restore`` after a restart: exporters tell them seldom."""
        return exporters_state.saved(self.snapshot())

    def restore(self, content: bytes, now_ns: int) -> int:
        """Takes over what another directory has saved, until it is told anew; how many names. ``StateError`` if it is none."""
        count = 0
        for each in exporters_state.read(content, now_ns):
            with self._lock:
                exporter = self._exporter((each.addr, each.domain))
                exporter.name, exporter.sampling = exporter.name or each.name, exporter.sampling or each.sampling
                exporter.seen_ns = exporter.seen_ns or each.seen_ns
                for what, number, name in each.names:
                    self._learn_name(exporter, (what, number, name), remembered=True)
                    count += 1
        return count

    def _pass_on_answers(self, node: str, records: Iterable[options.Record], lag_ms: int) -> None:
        """Answers with their times by our clock, as the flows have them that they are to name."""
        if self._learn_answers is not None:
            told = [one for record in records if (one := options.dns_answer(record)) is not None]
            self._learn_answers(node, [replace(one, learned_ms=one.learned_ms + lag_ms) for one in told] if lag_ms else told)

    def _pass_on_kernel(self, exporter: Exporter, record: options.Record) -> None:
        if self._learn_kernel is not None and exporter.name and (counters := options.kernel_counters(record, exporter)):
            self._learn_kernel(exporter.name, counters, options.kernel_counters_before(record, exporter))

    def _learn_record(self, exporter: Exporter, record: options.Record) -> None:
        name, sampling = options.domain_name(record) or exporter.name, options.sampling_rate(record) or exporter.sampling
        self.changes += (name, sampling) != (exporter.name, exporter.sampling)
        exporter.name, exporter.sampling = name, sampling
        for named in options.names(record):
            self._learn_name(exporter, named)

    def _learn_name(self, exporter: Exporter, named: tuple[Named, int, str], *, remembered: bool = False) -> None:
        what, number, name = named
        known = exporter.own(what, number)
        if not known:
            if self._names >= MAX_NAMES:
                return
            self._names += 1
        self.changes += known != name
        exporter.learn(what, number, name, remembered=remembered)

    def _tell_by(self, exporter: Exporter, sender: bytes) -> None:
        """Lets the options that came from a sender's address hold for an exporter behind it."""
        relay = self._exporters.get((sender, exporter.domain))
        if relay is not None and relay is not exporter and relay.told_by is not exporter:
            exporter.told_by = relay

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
            gone = self._exporters.pop(key)
            self._names -= len(gone.interfaces) + len(gone.vrfs) + len(gone.applications)
            gone.interfaces, gone.vrfs, gone.applications = {}, {}, {}  # it may still be somebody's ``told_by``


def _told_by_flows(batch: FlowBatch) -> npt.NDArray[np.uint8]:
    """Codes of ``SAMPLING_SOURCE`` for flows that carry a rate themselves."""
    from_agent = batch.array("flow_format") == _AGENT
    return np.where(from_agent, _BY_AGENT, _BY_RECORD).astype(np.uint8)


def _is_recent(at_ns: int, now_ns: int) -> bool:
    return now_ns - at_ns <= AGENT_SILENT_S * 1e9


def _is_loopback(addr: bytes) -> bool:
    return addr == _LOOPBACK_V6 or addr.startswith(_LOOPBACK_V4)


def _keys(addr: AddressColumn, domain: npt.NDArray[np.uint32]) -> list[Key]:
    """The exporter of each row; made at once, for a datagram of sFlow has few rows."""
    rows = np.empty(len(addr), _KEY)
    rows["addr"] = np.ascontiguousarray(addr).view("V16").reshape(-1)
    rows["domain"] = domain
    return cast("list[Key]", rows.tolist())


def _run_starts(addr: AddressColumn, domain: npt.NDArray[np.uint32]) -> npt.NDArray[np.intp]:
    """Where a run of rows of one exporter begins: rows of a datagram lie together, so runs are few."""
    high, low = words(addr).T
    differs = (high[1:] != high[:-1]) | (low[1:] != low[:-1]) | (domain[1:] != domain[:-1])
    return np.concatenate(([0], np.flatnonzero(differs) + 1))[: len(addr)]
