# SPDX-License-Identifier: Apache-2.0
"""The program in use, as the agent sees it: batches of flows, and counters that go on when the program is replaced.

Before it: :mod:`flowgauge.agent.kernel_side`; after it: the export cycle. Drained by the main thread; ``not_ip`` may be read
by any.
"""

from __future__ import annotations

import numpy as np

from flowgauge.agent import attribution, signal_columns, signal_rows, socket_events
from flowgauge.agent.accounter import Codes, account
from flowgauge.agent.containers import Containers
from flowgauge.agent.hellos import Hellos
from flowgauge.agent.kernel_side import KernelSide
from flowgauge.agent.local_addresses import LocalAddresses
from flowgauge.agent.program import Program
from flowgauge.agent.resolved import ResolvedNames
from flowgauge.agent.settings import AgentSettings
from flowgauge.agent.status import FramesSeen
from flowgauge.config.model import Feature
from flowgauge.ebpf.abi import Structured
from flowgauge.ebpf.kernel_types import enumerators
from flowgauge.ebpf.map_reader import Entries
from flowgauge.ebpf.tables import Evicted
from flowgauge.ebpf.ticks import Ticks
from flowgauge.ebpf.translations import join
from flowgauge.flow.batch import FlowBatch
from flowgauge.runtime import logs
from flowgauge.runtime.clock import now_ns
from flowgauge.schema.told import Answer

_log = logs.get("agent")


class FlowSource:
    """What ``kernel``, loaded with ``settings``, counts."""

    def __init__(self, kernel: KernelSide, settings: AgentSettings, local: LocalAddresses) -> None:
        exporter = settings.exporter
        self.kernel, self._local = kernel, local
        self._histogram = {Feature.RTT, Feature.RTT_HISTOGRAM} <= set(exporter.features)
        self._processes = Feature.PROCESS in exporter.features
        self._containers, self._hellos, self._resolved = Containers(), Hellos(), ResolvedNames()
        self._shared = bool(settings.netns)
        self._lost = 0
        self._counters_before: dict[str, int] = {}
        self._not_ip_before: dict[int, FramesSeen] = {}

    @property
    def program(self) -> Program:
        """What counts packets."""
        return self.kernel.program

    @property
    def without_ebpf(self) -> str:
        """Why that is not the eBPF program, in a sentence; empty when it is."""
        return self.kernel.without_ebpf

    def features(self) -> dict[str, str]:
        """What this kernel lets the program see, in words, by the document's feature name."""
        return self.program.features()

    def outdated(self) -> bool:
        """Whether the program, loaded again, would see more."""
        return self.program.outdated()

    def drain(self) -> FlowBatch:
        """The flows that the kernel's table held, which is empty then; OSError when the kernel refuses: then they stay.

        What was taken out of it and cannot be told, by a mistake of ours, is counted as lost and logged whole.
        """
        ticks = self.program.ticks()
        evicted, known = self.program.evict(), self.program.known_translations()
        try:
            return self._told(evicted, known, ticks)
        except Exception:  # noqa: BLE001 - the next ones must be sent all the same
            _log.exception("flows_lost_after_eviction", flows=len(evicted))
            self._lost += len(evicted)
            return FlowBatch({})

    def _told(self, evicted: Evicted, known: Entries, ticks: Ticks) -> FlowBatch:
        ends = self._ends if self._shared else None
        signals = signal_rows.place(evicted, known, ends)
        batch = account(
            signals.keys,
            signals.values,
            join(signals.keys, known.keys, known.values),
            self._local,
            ticks=ticks,
            sampling_rate=self.program.rates(signals.values["rule"]),
            sampling_mode=self.kernel.options.sampling_mode,
        )
        flows = batch.with_columns(signal_columns.columns(signals, enumerators("skb_drop_reason"), histogram=self._histogram))
        if self._processes:
            owners = signal_rows.of_sockets_here(evicted.owners, ends)
            flows = flows.with_columns(attribution.columns(signals.keys, owners, known, self._containers))
        self._resolved.add(evicted.answer_pieces)
        self._hellos.add(evicted.hellos, evicted.keys, known)
        flows = flows.with_columns(self._hellos.columns(signals.keys))
        events = socket_events.of_this_node(evicted.events, ends)
        if not len(events):
            return flows
        return FlowBatch.concat([flows, socket_events.batch(events, known, self._local, self._containers)])

    def answers(self) -> list[Answer]:
        """What DNS told clients on this node, that collectors are to be told now: of flows drained until now, too."""
        return self._resolved.due()

    def clock_was_set(self) -> None:
        """Collectors are told anew what goes by the clock."""
        self._resolved.clock_was_set()

    def _ends(self, keys: Structured) -> Codes:
        """Which ends of ``keys`` live here now."""
        src, dst = np.ascontiguousarray(keys["src_addr"]), np.ascontiguousarray(keys["dst_addr"])
        return self._local.local_ends(src, dst, np.zeros_like(dst), np.full(len(keys), now_ns()))

    def counters(self) -> dict[str, int]:
        """The kernel's ledger counters, those of replaced programs included."""
        own = {
            "eviction_lost": self._lost,
            "signal_hellos_unread": self._hellos.unread,
            "signal_answers_unread": self._resolved.unread,
            "signal_names_left_out": self._resolved.left_out,
        }
        now, before = self.program.counters() | own, self._counters_before
        return {name: now.get(name, 0) + before.get(name, 0) for name in now | before}

    def not_ip(self) -> dict[int, FramesSeen]:
        """Frames that are not IP, by ifIndex, those that replaced programs saw included."""
        found = dict(self._not_ip_before)
        for ifindex, seen in self.program.not_ip().items():
            before = found.get(ifindex, FramesSeen())
            found[ifindex] = FramesSeen(before.packets + seen.packets, before.bytes + seen.bytes)
        return found

    def carry_over(self, retired: FlowSource) -> None:
        """Goes on counting from where ``retired`` ended."""
        self._counters_before, self._not_ip_before = retired.counters(), retired.not_ip()
        self._resolved.carry_over(retired._resolved)

    def close(self) -> None:
        """Takes the program out of the kernel."""
        self.program.close()
